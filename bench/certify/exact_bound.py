"""The bound of every short text, without Monte Carlo: noise enumerated, time integrated by quadrature or summed.

Let I(t) = KL(q(z_t | x) || p(z_t)), what z_t tells about the text x if x comes from a known source. With perfect
knowledge, the diffusion loss over any interval [s, t] of continuous time is I(s) - I(t), text by text (the information
that a reverse process has to supply; VDM, arXiv:2107.00630v6, appendix; Campbell et al., arXiv:2205.14987v3). In
discrete time it is at least that on average, and exactly that for texts of one token in ids. At the ends,

    prior loss           >= I(1)                  on average, as it is KL(q(z_1 | x) || prior)
    reconstruction loss  >= -log p(x) - I(t_min)  on average

and the sum of the three is at least -log p(x). Each is judged alone.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from numpy.polynomial.legendre import leggauss
from scipy.integrate import cubature
from torch import Tensor

from bench.certify.enumeration import Ensemble, expected_costs, find_enumeration, information
from bench.certify.oracle import Oracle, Table
from bench.engine.model.method_with_network import Cost, Model
from bench.engine.model.positions import in_sequences
from methods.method import Method, Nats, pick

EDGES = (0.1, 0.5, 0.9)  # times at which the integral is cut, to tell where a cost is wrong
ACCURACY = 1e-7  # nats, of the quadrature
MAX_SUBDIVISIONS = 100  # of an interval of time
NODES = 32  # times at which two models are compared
MASKED = 1e-10  # share of masks below which masks are not counted: next to none


@dataclass(frozen=True)
class Part:
    """The diffusion loss between two times, and what it has to be, for every text of a source [N]."""

    start: float
    end: float
    loss: Nats
    information: Nats  # I(start) - I(end)

    @property
    def excess(self) -> Nats:
        """The loss minus the information that it pays for."""
        return self.loss - self.information


def sample_times(method: Method) -> tuple[Tensor, Tensor]:
    """Times that are spread over (t_min, 1), and the share of time that each stands for; all of discrete time."""
    steps = method.needs.steps
    if steps is not None:
        first = round(method.t_min * steps)
        times = torch.arange(first + 1, steps + 1, dtype=torch.float64) / steps
        return times, torch.full_like(times, 1 / steps)
    nodes, weights = (torch.as_tensor(values) for values in leggauss(NODES))
    width = 1 - method.t_min
    return method.t_min + width * (nodes + 1) / 2, width * weights / 2


class ExactBound:
    """The terms of the bound of every text of a source, exact up to roundings."""

    def __init__(
        self,
        method: Method,
        source: Table,
        model: Model | None = None,
        is_counted: bool = False,
        accuracy: float = ACCURACY,
        max_subdivisions: int = MAX_SUBDIVISIONS,
    ):
        enumerate_noise = find_enumeration(method, source.length)
        if enumerate_noise is None:
            raise TypeError("the noise of the method cannot be enumerated")
        self.method, self.source, self.enumerate_noise = method, source, enumerate_noise
        self.accuracy, self.max_subdivisions = accuracy, max_subdivisions
        self.model, self.is_counted = Oracle(method, source) if model is None else model, is_counted

    @property
    def is_tight(self) -> bool:
        """Whether perfect knowledge has to make the diffusion loss equal to the information, text by text.

        In discrete time, a step guesses positions independently, and a Gaussian step stands for a mixture.
        """
        is_one_guess = self.source.length == 1 and not self.method.needs.vector_width
        return self.method.needs.steps is None or is_one_guess

    @property
    def t_min(self) -> float:
        """The smallest time; near 0 where exact mask counts make the last guess superfluous."""
        if not self.is_counted:
            return self.method.t_min
        assert self.method.masking is not None
        return float(self.method.masking.inverse(torch.tensor(1 - MASKED, dtype=torch.float64)))

    @property
    def has_last_guess(self) -> bool:
        """Whether the text is guessed at t_min."""
        masks_all = self.method.masking is not None and self.method.t_min > 0
        return not self.is_counted and (self.method.guesses_last or masks_all)

    @cached_property
    def parts(self) -> list[Part]:
        """The diffusion loss, in discrete time step by step."""
        steps = self.method.needs.steps
        if steps is not None:
            return self._steps(steps)
        edges = [self.t_min, *(edge for edge in EDGES if edge > self.t_min), 1.0]
        informed = self._information(torch.tensor(edges, dtype=torch.float64))
        integrals = [self._integrate(start, end) for start, end in pairwise(edges)]
        return [
            Part(start, end, integral, informed[:, k] - informed[:, k + 1])
            for k, ((start, end), integral) in enumerate(zip(pairwise(edges), integrals, strict=True))
        ]

    @cached_property
    def integral(self) -> Nats:
        """The diffusion loss [N]."""
        return torch.stack([part.loss for part in self.parts]).sum(0)

    @cached_property
    def prior_gap(self) -> Nats:
        """The prior loss [N]."""
        with in_sequences(self.method, self.source.texts):
            return self.method.prior_gap(self.source.texts).double().sum(-1)

    @cached_property
    def last_guess(self) -> Nats:
        """The reconstruction loss [N]."""
        if not self.has_last_guess:
            return torch.zeros_like(self.prior_gap)

        def cost(x: Tensor, z: Tensor, t: Tensor, prediction: Tensor) -> Nats:
            return -pick(self.method.last_guess(z, t, prediction), x)

        return self._expected(cost, self._at(self.method.t_min))[:, 0]

    @property
    def total(self) -> Nats:
        """The bound [N]."""
        return self.prior_gap + self.integral + self.last_guess

    @property
    def prior_end(self) -> Nats:
        """The prior loss minus what z still tells at t = 1 [N]."""
        return self.prior_gap - self._information(self._time(1.0))[:, 0]

    @property
    def clean_end(self) -> Nats:
        """The reconstruction loss minus what z no longer tells at t_min [N]."""
        if not self.has_last_guess:
            return self.last_guess
        return self.last_guess + self.source.law.log() + self._information(self._time(self.method.t_min))[:, 0]

    def mean(self, nats: Nats) -> float:
        """The mean over texts of the source."""
        return float(self.source.law @ nats.detach())

    def kraft_sum(self) -> float:
        """exp(-bound), summed over all texts."""
        return float((-self.total.detach()).exp().sum())

    def costs(self, times: Tensor) -> Tensor:
        """The expected integrand of the bound at some times [N, T]."""
        return self._expected(self.method.bound, self.enumerate_noise(self.method, self.source.texts, times))

    def _steps(self, steps: int) -> list[Part]:
        first = round(self.method.t_min * steps)
        times = torch.arange(first, steps + 1, dtype=torch.float64) / steps
        after = self._information(times[1:])
        is_clean = first == 0 and not self.has_last_guess
        before = -self.source.law.log()[:, None] if is_clean else self._information(times[:1])
        informed = torch.cat([before, after], 1)
        costs = self.costs(times[1:])
        return [
            Part(float(times[k]), float(times[k + 1]), costs[:, k] / steps, informed[:, k] - informed[:, k + 1])
            for k in range(len(times) - 1)
        ]

    def _integrate(self, start: float, end: float) -> Nats:
        """The integral of the expected bound over continuous time [N]."""

        def integrand(points: object) -> object:
            return self.costs(torch.as_tensor(points, dtype=torch.float64)[:, 0]).T.numpy()

        result = cubature(
            integrand, [start], [end], rtol=self.accuracy, atol=self.accuracy, max_subdivisions=self.max_subdivisions
        )
        return torch.as_tensor(result.estimate)

    def _expected(self, cost: Cost, ensemble: Ensemble) -> Tensor:
        return expected_costs(self.model, cost, ensemble)

    def _information(self, times: Tensor) -> Tensor:
        return information(self.method, self.source, self.enumerate_noise(self.method, self.source.texts, times))

    def _at(self, t: float) -> Ensemble:
        return self.enumerate_noise(self.method, self.source.texts, self._time(t))

    @staticmethod
    def _time(t: float) -> Tensor:
        return torch.tensor([t], dtype=torch.float64)
