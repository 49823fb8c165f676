"""Where the integral of a bound lies: its density over time, or over the share of positions that is masked.

Nothing is drawn for it. Every noising that the bound is estimated from is kept with its cost and weighed as
bench/engine/likelihood/bound.py weighs it, so that the density integrates to the integral of the bound.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from bench.engine.likelihood.estimators import Estimator, choose, end_draws
from bench.engine.likelihood.standard_error import ratio_estimate
from bench.engine.model.model import Cost, Model
from methods.method import Latent, Method, Nats

BINS = 16  # at most
DRAWS = (
    8  # at least that fall into a bin where they are spread evenly: one without any would look as if it cost nothing
)


@dataclass
class NoiseDraws:
    """What the network calls of a bound met, in their order: times, masked positions and nats of sequences [B]."""

    t: list[Tensor] = field(default_factory=list)
    masked: list[Tensor] = field(default_factory=list)
    nats: list[Tensor] = field(default_factory=list)


class RecordingModel(Model):
    """A model that keeps what every noising cost, from when it is given a place to keep it."""

    seen: NoiseDraws | None = None

    def costs(self, cost: Cost, x: Tensor, z: Latent, t: Tensor, guess: Tensor | None = None) -> Nats:
        nats = super().costs(cost, x, z, t, guess)
        if self.seen is not None:
            is_masking = self.method.masking is not None
            self.seen.t.append(t)
            self.seen.masked.append((z == self.vocab_size).sum(-1) if is_masking else torch.zeros_like(t))
            self.seen.nats.append(nats.sum(-1))
        return nats


@dataclass(frozen=True)
class Draws:
    """The noisings of the integral of n sequences: cells that share out what they lie along, and nats [n, draws]."""

    along: str  # "masked": the share k / L, or "t"
    cell: Tensor  # of `cells` equal parts of (low, 1)
    cells: int
    low: float
    nats: Tensor  # weighed: their mean over the draws is the integral


def time_density(
    seen: NoiseDraws,
    method: Method,
    integral: Tensor,
    length: int,
    draws: int,
    asked: Estimator,
    clusters: Tensor | None = None,
) -> dict[str, Any] | None:
    """The density of the integral in nats per token, with its standard error over documents, between the `edges`.

    `seen` is what one `bound` met that found this integral, nats [n, replicates] of sequences of `length` tokens from
    `draws` in a replicate; `clusters` as for `ratio_estimate`. None where the method is exact, and where a grid of
    times hides how densely they lie.
    """
    if method.exact or (method.needs.steps and find_warp(method, asked) != 1):
        return None
    found = weigh(seen, method, integral.shape[1], length, draws, asked)
    bins = min(BINS, found.cells, max(1, found.nats.numel() // DRAWS))
    spent = torch.zeros(len(integral), bins, dtype=torch.float64)
    spent = spent.scatter_add(1, found.cell * bins // found.cells, found.nats) / found.nats.shape[1]
    assert torch.allclose(spent.sum(1), integral.mean(1), rtol=1e-6, atol=1e-9 * length), (spent.sum(), integral.sum())
    unit = [math.ceil(place * found.cells / bins) / found.cells for place in range(bins + 1)]
    edges = [found.low + (1 - found.low) * place for place in unit]
    sizes = torch.full((len(integral),), length)
    means = [ratio_estimate(nats[:, None], sizes, clusters) for nats in spent.unbind(1)]
    widths = [right - left for left, right in pairwise(edges)]
    told = list(zip(means, widths, strict=True))
    return {
        "along": found.along,
        "edges": edges,
        "value": [mean.value / width for mean, width in told],
        "standard_error": [mean.standard_error / width if len(integral) > 1 else None for mean, width in told],
        "n": means[0].n,
        "clusters": means[0].clusters,
    }


def find_warp(method: Method, asked: Estimator) -> float:
    """The power that draws of time are raised to."""
    return method.warp if choose(method, asked) == "times" else 1.0


def weigh(seen: NoiseDraws, method: Method, replicates: int, length: int, draws: int, asked: Estimator) -> Draws:
    """The noisings of the integral with the weights of `bench.engine.likelihood.bound._exact_count` and `_at_time`."""
    ends = end_draws(method, draws, asked)
    t, masked, nats = (_arrange(each, replicates, draws, ends) for each in (seen.t, seen.masked, seen.nats))
    if choose(method, asked) == "counted":
        assert method.masking is not None
        nats = length / masked.double() / method.masking.weight(t) * nats
        return Draws("masked", masked - 1, length, 0.0, nats)
    warp, share = find_warp(method, asked), (t - method.t_min) / (1 - method.t_min)
    nats = warp * share ** (1 - 1 / warp) * (1 - method.t_min) * nats
    if method.needs.steps is None:
        return Draws("t", (share * BINS).long().clamp(0, BINS - 1), BINS, method.t_min, nats)
    first = round(method.t_min * method.needs.steps)
    cells = method.needs.steps - first
    return Draws("t", (t * method.needs.steps).round().long() - first - 1, cells, first / method.needs.steps, nats)


def _arrange(calls: list[Tensor], replicates: int, draws: int, ends: int) -> Tensor:
    """The calls of all batches by sequence [n, replicates * draws], without those of the last guess."""
    turns = replicates * (draws + ends)
    batches = [torch.stack(calls[place : place + turns], 1) for place in range(0, len(calls), turns)]
    return torch.cat(batches).cpu().unflatten(1, (replicates, draws + ends))[:, :, :draws].flatten(1)
