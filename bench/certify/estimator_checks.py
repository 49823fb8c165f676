"""The mean of the harness's estimator over all its draws, against the diffusion loss that it estimates.

The estimator draws a uniform number and noise. Here both are prescribed: the number by quadrature, the noise by
enumeration, weighted by its probability. So a weight that is wrong for one estimator and cancels in another is seen.
"""

from itertools import pairwise, product
from typing import Any

import torch
from numpy.polynomial.legendre import leggauss
from scipy.integrate import cubature
from torch import Tensor

from bench.certify.enumeration import find_enumeration
from bench.certify.exact_bound import ACCURACY, MAX_SUBDIVISIONS
from bench.certify.oracle import Oracle, Table
from bench.engine.likelihood.estimators import Counted, Estimator, Terms, Timed
from bench.engine.model.method_with_network import times
from bench.engine.rng import Keyed
from methods.method import Latent, Method, Nats, Tokens

MASK_GRID = 24  # values of the uniform number of each position that decides which are masked
STEP_NODES = 3  # of u in each step of discrete time: exact for weights that are quadratic in u


@torch.no_grad()
def mean_integral(estimator: Estimator, source: Table) -> Nats:
    """The mean of the estimated diffusion loss of every text of a source [N], with an oracle for the network."""
    oracle = Oracle(estimator.method, source)
    if isinstance(estimator, Counted):
        return _mean_of_counts(estimator, oracle, source.texts)
    assert isinstance(estimator, Timed)
    steps = estimator.method.needs.steps
    if steps is not None:
        return _mean_of_steps(estimator, oracle, source.texts, steps)

    def integrand(points: Any) -> Any:
        return _expected_draw(estimator, oracle, source.texts, torch.as_tensor(points)[:, 0]).T.numpy()

    edges = [0.0, 0.05, 0.3, 0.7, 0.95, 1.0]
    parts = [
        cubature(integrand, [start], [end], rtol=ACCURACY, atol=ACCURACY, max_subdivisions=MAX_SUBDIVISIONS).estimate
        for start, end in pairwise(edges)
    ]
    return torch.as_tensor(sum(parts))


class PrescribedNoise(Keyed):
    """Noise whose uniform numbers are given."""

    def __init__(self, uniforms: Tensor):
        super().__init__(0, [], 0)
        self.uniforms = uniforms

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        return self.uniforms.expand(shape)


class PrescribedCorruption(Method):
    """A method whose corruption returns the z that it is given."""

    def __init__(self, method: Method, z: Latent):
        super().__init__()
        self.needs, self.t_min, self.warp, self.z = method.needs, method.t_min, method.warp, z

    def corrupt(self, x: Tokens, t: Tensor, rng: Any) -> Latent:
        return self.z

    def bound(self, x: Tokens, z: Latent, t: Tensor, prediction: Tensor) -> Nats:
        raise NotImplementedError


def _expected_draw(estimator: Timed, oracle: Oracle, texts: Tokens, u: Tensor) -> Tensor:
    """The mean over the noise of a draw at uniform numbers u [U] for every text [N, U]."""
    method, warp = estimator.method, estimator.warp
    enumerate_noise = find_enumeration(method, texts.shape[1])
    assert enumerate_noise is not None
    ensemble = enumerate_noise(method, texts, times(method, u**warp))
    prescribed = type(estimator)(PrescribedCorruption(method, ensemble.z))

    draws = []
    for text in texts:
        x = text.expand(ensemble.z.shape[:2])
        terms = prescribed.draw(_integrand(oracle), x, u[ensemble.time], PrescribedNoise(torch.zeros(())))
        draws.append(terms["integral"])
    return ensemble.mean(torch.stack(draws))


def _mean_of_steps(estimator: Timed, oracle: Oracle, texts: Tokens, steps: int) -> Nats:
    """The mean over u in discrete time, where a draw depends on the step that u falls into and on its weight."""
    first, warp = round(estimator.method.t_min * steps), estimator.warp
    edges = (torch.arange(steps - first + 1, dtype=torch.float64) / (steps - first)) ** (1 / warp)
    nodes, weights = (torch.as_tensor(values) / 2 for values in leggauss(STEP_NODES))
    widths = edges.diff()
    u = (edges[:-1, None] + widths[:, None] * (nodes + 0.5)).flatten()
    mass = (widths[:, None] * weights).flatten()
    return _expected_draw(estimator, oracle, texts, u) @ mass


def _mean_of_counts(estimator: Counted, oracle: Oracle, texts: Tokens) -> Nats:
    """The mean over k and over the uniform numbers of the positions, in every order of the positions."""
    length = texts.shape[1]
    offsets = torch.arange(1, length + 1, dtype=torch.float64) / (length + 1)
    grid = (torch.tensor(list(product(range(MASK_GRID), repeat=length))) + offsets) / MASK_GRID
    orders = torch.cat([grid.roll(shift, 1) for shift in range(length)])
    u = (torch.arange(length, dtype=torch.float64) + 0.5) / length

    means = []
    for text in texts:
        rows = len(orders) * length
        noise = PrescribedNoise(orders.repeat_interleave(length, 0))
        draws = estimator.draw(_integrand(oracle), text.expand(rows, -1), u.repeat(len(orders)), noise)
        means.append(draws["integral"].mean())
    return torch.stack(means)


def _integrand(oracle: Oracle) -> Any:
    def integrand(x: Tokens, z: Latent, t: Tensor) -> Terms:
        return {"integral": oracle.costs(oracle.method.bound, x, z, t).sum(-1)}

    return integrand
