"""The density of the diffusion loss over time, or over the share of masked positions.

It costs no extra draws: a `RecordingModel` keeps every noise draw that the bound is estimated from, with its cost. The
draws are weighted as `bench.engine.likelihood.estimators` weights them, so that the density integrates to the diffusion
loss.
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from bench.engine.likelihood.estimators import Counted, Estimator, EstimatorName, Timed, estimator_for
from bench.engine.likelihood.standard_error import ratio_estimate
from bench.engine.model.method_with_network import Cost, Model
from methods.method import Latent, Method, Nats

BINS = 16  # at most
DRAWS_PER_BIN = 8  # at least, if draws are spread evenly: an empty bin would look as if it cost nothing


@dataclass
class NoiseDraws:
    """The noise draws met by the network calls of a bound, in order; each entry is of the sequences [B] of a call."""

    t: list[Tensor] = field(default_factory=list)
    masked: list[Tensor] = field(default_factory=list)  # masked positions
    nats: list[Tensor] = field(default_factory=list)


class RecordingModel(Model):
    """A model that records noise draws and their costs, once `noise_draws` is set."""

    noise_draws: NoiseDraws | None = None

    def costs(self, cost: Cost, x: Tensor, z: Latent, t: Tensor, guess: Tensor | None = None) -> Nats:
        nats = super().costs(cost, x, z, t, guess)
        if self.noise_draws is not None:
            has_masks = self.method.masking is not None
            self.noise_draws.t.append(t)
            self.noise_draws.masked.append((z == self.vocab_size).sum(-1) if has_masks else torch.zeros_like(t))
            self.noise_draws.nats.append(nats.sum(-1))
        return nats


@dataclass(frozen=True)
class WeightedDraws:
    """The noise draws of the diffusion loss of n sequences, on a grid of `cells` equal cells of (low, 1)."""

    along: str  # "masked": the share k / L, or "t"
    cell: Tensor  # [n, draws]
    cells: int
    low: float
    nats: Tensor  # [n, draws]; their mean over the draws is the diffusion loss


def time_density(
    noise: NoiseDraws,
    method: Method,
    integral: Tensor,
    length: int,
    draws: int,
    name: EstimatorName,
    clusters: Tensor | None = None,
) -> dict[str, Any] | None:
    """Return the density of the diffusion loss in nats per token between `edges`, with its standard errors.

    `noise` holds the noise draws of one call of `bound` that gave this `integral`, nats [n, replicates] of sequences of
    `length` tokens, from `draws` draws per replicate; `clusters` as for `ratio_estimate`. Returns None if the method is
    exact, or if a grid of times hides how densely they were drawn.
    """
    estimator = estimator_for(method, name)
    if method.exact or (method.needs.steps and find_warp(estimator) != 1):
        return None

    points = weigh(noise, estimator, integral.shape[1], length, draws)
    bins = min(BINS, points.cells, max(1, points.nats.numel() // DRAWS_PER_BIN))
    binned = torch.zeros(len(integral), bins, dtype=torch.float64)
    binned = binned.scatter_add(1, points.cell * bins // points.cells, points.nats) / points.nats.shape[1]
    assert torch.allclose(binned.sum(1), integral.mean(1), rtol=1e-6, atol=1e-9 * length), (
        binned.sum(),
        integral.sum(),
    )

    unit_edges = [math.ceil(edge * points.cells / bins) / points.cells for edge in range(bins + 1)]
    edges = [points.low + (1 - points.low) * edge for edge in unit_edges]
    widths = [high - low for low, high in pairwise(edges)]
    sizes = torch.full((len(integral),), length)
    means = [ratio_estimate(nats[:, None], sizes, clusters) for nats in binned.unbind(1)]
    has_errors = len(integral) > 1
    return {
        "along": points.along,
        "edges": edges,
        "value": [mean.value / width for mean, width in zip(means, widths, strict=True)],
        "standard_error": [
            mean.standard_error / width if has_errors else None for mean, width in zip(means, widths, strict=True)
        ],
        "n": means[0].n,
        "clusters": means[0].clusters,
    }


def find_warp(estimator: Estimator) -> float:
    """Return the power that uniform numbers are raised to before they become times; 1 if masks are counted."""
    return estimator.warp if isinstance(estimator, Timed) else 1.0


def weigh(noise: NoiseDraws, estimator: Estimator, replicates: int, length: int, draws: int) -> WeightedDraws:
    """Weight the draws of the diffusion loss as `Estimator.draw` does."""
    method, ends = estimator.method, estimator.reconstruction_draws(draws)
    t, masked, nats = (_arrange(calls, replicates, draws, ends) for calls in (noise.t, noise.masked, noise.nats))
    if isinstance(estimator, Counted):
        assert method.masking is not None
        nats = length / masked.double() / method.masking.weight(t) * nats
        return WeightedDraws("masked", masked - 1, length, 0.0, nats)

    warp, share = find_warp(estimator), (t - method.t_min) / (1 - method.t_min)
    nats = warp * share ** (1 - 1 / warp) * (1 - method.t_min) * nats
    if method.needs.steps is None:
        return WeightedDraws("t", (share * BINS).long().clamp(0, BINS - 1), BINS, method.t_min, nats)

    steps = method.needs.steps
    first = round(method.t_min * steps)
    return WeightedDraws("t", (t * steps).round().long() - first - 1, steps - first, first / steps, nats)


def _arrange(calls: list[Tensor], replicates: int, draws: int, ends: int) -> Tensor:
    """Arrange the calls of all batches by sequence [n, replicates * draws], without the reconstruction draws."""
    calls_per_batch = replicates * (draws + ends)
    starts = range(0, len(calls), calls_per_batch)
    batches = [torch.stack(calls[start : start + calls_per_batch], 1) for start in starts]
    return torch.cat(batches).cpu().unflatten(1, (replicates, draws + ends))[:, :, :draws].flatten(1)
