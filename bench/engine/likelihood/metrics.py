"""From nats per sequence to the numbers of a table, each with its two errors."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.engine.likelihood.bound import PARTS, Parts
from bench.engine.likelihood.standard_error import Estimate, ratio_estimate

LARGEST = 500.0  # nats per token, above which a perplexity and its error are no numbers any more


def mean_nats(parts: Parts, length: int, clusters: Tensor | None = None) -> Estimate:
    """The sum of the parts in nats per token; `clusters` as for `bench.engine.likelihood.bound.estimate`."""
    total = torch.stack(list(parts.values())).sum(0)
    return ratio_estimate(total, torch.full((len(total),), length), clusters)


def bound_metrics(
    parts: Parts, length: int, sizes: list[int], level: str, clusters: Tensor | None = None
) -> dict[str, Estimate]:
    """Every number that follows from the bound of sequences of `length` tokens and `sizes` bytes each, of which those
    of a cluster may vary together.

    Keys: nats_per_token, bits_per_byte, bits_per_char where tokens are characters, perplexity (per token) where it is a
    number, the parts of the bound and its addends in nats per token, and estimator_sd where there are replicates.
    """
    total = whole(parts)
    nats = mean_nats({"whole": total}, length, clusters)
    per_byte = ratio_estimate(total, torch.tensor(sizes), clusters)
    found = {
        "nats_per_token": nats,
        "bits_per_byte": _scaled(per_byte, 1 / math.log(2)),
        **{name: mean_nats({name: part}, length, clusters) for name, part in parts.items()},
    }
    if level == "char":
        found["bits_per_char"] = _scaled(nats, 1 / math.log(2))
    if nats.value < LARGEST:
        found["perplexity"] = _perplexity(nats)
    if total.shape[1] > 1:
        found["estimator_sd"] = estimator_sd(total, length)
    return found


def whole(parts: Parts) -> Tensor:
    """The bound itself from its parts, nats [documents, replicates]; addends are in the integral already."""
    return torch.stack([nats for name, nats in parts.items() if name in PARTS]).sum(0)


def estimator_sd(nats: Tensor, length: int) -> Estimate:
    """The standard deviation, in nats per token, of the estimate of one sequence from the draws of one replicate.

    From nats [n, replicates]: the root of the variance over replicates, averaged over the sequences; repeating the
    draws R times divides the variance by R. The error is the jackknife's over sequences (Efron and Stein, 1981, The
    jackknife estimate of variance) to first order, nan for a single one.
    """
    variances, n = nats.var(1), len(nats)
    deviation = float(variances.mean().sqrt())
    error = float(variances.std() / math.sqrt(n)) / (2 * deviation) if n > 1 and deviation > 0 else math.nan
    return Estimate(deviation / length, error / length, math.nan, n)


def _scaled(found: Estimate, factor: float) -> Estimate:
    names = ("value", "standard_error", "monte_carlo_error")
    return replace(found, **{name: getattr(found, name) * factor for name in names})


def _perplexity(nats: Estimate) -> Estimate:
    """exp(nats), its errors to first order."""
    return replace(_scaled(nats, math.exp(nats.value)), value=math.exp(nats.value))
