"""Expectations over the noise without Monte Carlo: all z of a short text, or a grid where z depends on few directions.

If z holds ids, all states of all positions are enumerated and weighted by `log_noise`. If z holds vectors, the noise is
integrated on a grid along the one direction that tells two tokens apart; that needs Gaussian noise, a vocabulary of two
tokens and texts of one.

Letters: N texts, T times, R rows (one for each time and z), L positions, S states of a position, D coordinates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from bench.certify.oracle import LOWEST, Source
from bench.engine.model.method_with_network import Cost, Model
from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from methods.method import Latent, Method, Tokens, pick

GRID_END, GRID_POINTS = 8.5, 96  # of standard normal noise; the trapezoidal rule is exact to 1e-9 there
LINEAR = 1e-6  # relative error within which the log-likelihood must be linear in the noise
ROWS_AT_ONCE = 2**16


@dataclass(frozen=True)
class Ensemble:
    """All z of some texts at T times, each with its probability given each text."""

    texts: Tokens  # [N, L]
    z: Latent  # [R, L] or [R, L, D]
    t: Tensor  # [R]
    time: Tensor  # index of t among the T times [R]
    count: int  # T
    weight: Tensor  # q(z | x), normalised over z [N, R]

    def mean(self, values: Tensor) -> Tensor:
        """The expectation over the noise of values [N, R], by text and time [N, T]; what is impossible is ignored."""
        weighed = torch.where(self.weight > 0, values * self.weight, 0.0)
        return torch.zeros(len(self.texts), self.count, dtype=torch.float64).index_add(1, self.time, weighed)


Enumerate = Callable[[Method, Tokens, Tensor], Ensemble]  # method, texts [N, L], times [T]


def find_enumeration(method: Method, length: int) -> Enumerate | None:
    """How to enumerate the noise of a method on texts of this length; None if it cannot be enumerated."""
    if not method.needs.vector_width:
        return enumerate_ids
    if method.vocab_size == 2 and length == 1 and is_gaussian(method):
        return enumerate_vectors
    return None


@torch.no_grad()
def enumerate_ids(method: Method, texts: Tokens, times: Tensor) -> Ensemble:
    """Every z that holds ids."""
    states = torch.tensor(list(product(range(method.vocab_size + method.needs.extra_tokens), repeat=texts.shape[1])))
    z, t = states.repeat(len(times), 1), times.repeat_interleave(len(states))
    log_q = _log_noise(method, z, t)
    weight = torch.stack([pick(log_q, text.expand(z.shape)).sum(-1).exp() for text in texts])

    possible = (weight > 0).any(0)
    time = torch.arange(len(times)).repeat_interleave(len(states))
    return Ensemble(texts, z[possible], t[possible], time[possible], len(times), weight[:, possible])


@torch.no_grad()
def enumerate_vectors(method: Method, texts: Tokens, times: Tensor) -> Ensemble:
    """A grid of Gaussian noise along the one direction that tells two tokens apart, for texts of one token."""
    nodes = torch.linspace(-GRID_END, GRID_END, GRID_POINTS, dtype=torch.float64)
    mass = (-nodes.square() / 2).exp()
    rows = len(times) * len(nodes)
    t, time = times.repeat_interleave(len(nodes)), torch.arange(len(times)).repeat_interleave(len(nodes))
    noise = nodes.repeat(len(times))[:, None, None] * telling_direction(method)

    with in_sequences(method, texts[:1].expand(rows, -1)):
        z = torch.cat([method.corrupt(text.expand(rows, -1), t, Prescribed(noise)) for text in texts])
    weight = torch.block_diag(*[(mass / mass.sum()).repeat(1, len(times))] * len(texts))
    return Ensemble(texts, z, t.repeat(len(texts)), time.repeat(len(texts)), len(times), weight)


def is_gaussian(method: Method) -> bool:
    """Whether the log-likelihood ratio of two tokens is linear in standard normal noise, in one direction for all t."""
    try:
        direction = telling_direction(method)
        noise = torch.randn(64, 1, method.needs.vector_width, generator=torch.Generator().manual_seed(0)).double()
        t = torch.linspace(0.01, 0.99, 64, dtype=torch.float64)
        along = (noise @ direction)[..., None] * direction
        ratio, ratio_along = _log_ratio(method, t, noise), _log_ratio(method, t, along)
        curvature = (ratio_along + _log_ratio(method, t, -along)) / 2 - _log_ratio(method, t, 0 * along)
    except (TypeError, RuntimeError, AssertionError):
        return False
    limit = LINEAR * (1 + ratio.abs().max())
    return bool((ratio - ratio_along).abs().max() < limit and curvature.abs().max() < limit)


def telling_direction(method: Method) -> Tensor:
    """The unit vector of noise along which the log-likelihood ratio of tokens 1 and 0 grows [D]."""
    width = method.needs.vector_width
    noise = torch.cat([torch.zeros(1, width), torch.eye(width)]).double()[:, None]
    ratio = _log_ratio(method, torch.full((width + 1,), 0.5, dtype=torch.float64), noise)
    gradient = ratio[1:] - ratio[0]
    return gradient / gradient.norm()


def _log_ratio(method: Method, t: Tensor, noise: Tensor) -> Tensor:
    """log q(z | 1) - log q(z | 0) for z of token 0 at times t [n] with noise [n, 1, D]."""
    blank = torch.zeros(len(t), 1, dtype=torch.long)
    with in_sequences(method, blank):
        z = method.corrupt(blank, t, Prescribed(noise))
    log_q = _log_noise(method, z, t)[:, 0]
    return log_q[:, 1] - log_q[:, 0]


class Prescribed(Stream):
    """Noise whose normal numbers are given; it has no uniform ones."""

    def __init__(self, normals: Tensor):
        super().__init__(0)
        self.normals = normals

    def normal(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        if tuple(shape) != tuple(self.normals.shape):
            raise TypeError(f"normal numbers of shape {tuple(shape)} instead of {tuple(self.normals.shape)}")
        return self.normals

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        raise TypeError("uniform numbers beside normal ones")


@torch.no_grad()
def expected_costs(model: Model, cost: Cost, ensemble: Ensemble) -> Tensor:
    """The expectation of a cost, summed over positions, by text and time [N, T]."""
    parts = [
        _costs(model, cost, ensemble.texts, ensemble.z[rows], ensemble.t[rows])
        for rows in torch.arange(len(ensemble.z)).split(ROWS_AT_ONCE)
    ]
    return ensemble.mean(torch.cat(parts, 1))


def _costs(model: Model, cost: Cost, texts: Tokens, z: Latent, t: Tensor) -> Tensor:
    """The cost of every text for every z, summed over positions [N, R]; the network is called once for each z."""
    hidden, total = model.hidden(z, t), torch.zeros(len(texts), len(z), dtype=torch.float64)
    for rows in model.chunks(z):
        prediction, t_rows = model.predict(hidden, z, t, rows), t[rows[0]]
        with at_positions(model.method, rows[1], z.shape[1]):
            for nats, text in zip(total, texts, strict=True):
                nats.index_add_(0, rows[0], cost(text[rows[1]], z[rows], t_rows, prediction).double())
    return total


@torch.no_grad()
def information(method: Method, source: Source, ensemble: Ensemble) -> Tensor:
    """KL(q(z | x) || p(z)), what z tells about the text x, by text and time [N, T], nats."""
    log_q = _log_noise(method, ensemble.z, ensemble.t).clamp(min=LOWEST)
    of_text = torch.stack([pick(log_q, text.expand(log_q.shape[:2])).sum(-1) for text in ensemble.texts])
    return ensemble.mean(of_text - source.log_evidence(log_q))


def _log_noise(method: Method, z: Latent, t: Tensor) -> Tensor:
    """log q(z_i | x_i = v) at all positions of z [R, L], float64."""
    with in_sequences(method, z):
        return method.log_noise(z, t[:, None].expand(z.shape[:2])).double()
