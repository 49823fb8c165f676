"""Metrics of the likelihood: from nats per sequence to the numbers of a table, with their errors."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.likelihood.bound import PARTS, Parts
from bench.engine.likelihood.standard_error import Estimate, ratio_estimate

LARGEST = 500.0  # nats per token; above, a perplexity overflows


def source_nats(data: Dataset, x: Tensor) -> Estimate | None:
    """The source's own -log p of the sequences x in nats per token; None if its law is unknown."""
    exact = data.exact_nats(x)
    return None if exact is None else mean_nats({"exact": exact[:, None]}, x.shape[1])


def bound_metrics(
    parts: Parts, length: int, sizes: list[int], level: str, clusters: Tensor | None = None
) -> dict[str, Estimate]:
    """Return every metric that follows from the bound of sequences of `length` tokens and `sizes` bytes.

    Keys: nats_per_token, bits_per_byte, bits_per_char if tokens are characters, perplexity (per token) if it does not
    overflow, the parts of the bound and their terms in nats per token, and estimator_sd if there are replicates.
    `clusters` as for `ratio_estimate`.
    """
    total = total_nats(parts)
    nats = mean_nats({"total": total}, length, clusters)
    nats_per_byte = ratio_estimate(total, torch.tensor(sizes), clusters)
    metrics = {"nats_per_token": nats, "bits_per_byte": bits_of(nats_per_byte)}
    for name, part in parts.items():
        metrics[name] = mean_nats({name: part}, length, clusters)

    if level == "char":
        metrics["bits_per_char"] = bits_of(nats)
    metrics |= perplexity_of(nats)
    if total.shape[1] > 1:
        metrics["estimator_sd"] = estimator_sd(total, length)
    return metrics


def mean_nats(parts: Parts, length: int, clusters: Tensor | None = None) -> Estimate:
    """Estimate the sum of the parts in nats per token; `clusters` as for `ratio_estimate`."""
    total = torch.stack(list(parts.values())).sum(0)
    return ratio_estimate(total, torch.full((len(total),), length), clusters)


def total_nats(parts: Parts) -> Tensor:
    """Return the bound itself, nats [documents, replicates]; named terms are contained in the integral already."""
    return torch.stack([nats for name, nats in parts.items() if name in PARTS]).sum(0)


def estimator_sd(nats: Tensor, length: int) -> Estimate:
    """Return the standard deviation, in nats per token, of one replicate's estimate for one sequence.

    From nats [n, replicates]: the root of the variance over replicates, averaged over the sequences; repeating the
    draws R times divides the variance by R. The error is the jackknife's over sequences (Efron and Stein, 1981, The
    jackknife estimate of variance) to first order, nan for a single one.
    """
    variances, n = nats.var(1), len(nats)
    deviation = float(variances.mean().sqrt())
    error = float(variances.std() / math.sqrt(n)) / (2 * deviation) if n > 1 and deviation > 0 else math.nan
    return Estimate(deviation / length, error / length, math.nan, n)


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    """Change the unit of an estimate."""
    return replace(
        estimate,
        value=estimate.value * factor,
        standard_error=estimate.standard_error * factor,
        monte_carlo_error=estimate.monte_carlo_error * factor,
    )


def bits_of(nats: Estimate) -> Estimate:
    """Return nats in bits."""
    return _scaled(nats, 1 / math.log(2))


def perplexity_of(nats: Estimate) -> dict[str, Estimate]:
    """Return exp(nats) as "perplexity", with errors to first order; nothing if it overflows."""
    if not nats.value < LARGEST:
        return {}
    return {"perplexity": replace(_scaled(nats, math.exp(nats.value)), value=math.exp(nats.value))}
