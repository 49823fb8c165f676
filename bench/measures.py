"""From nats per sequence to the numbers of a table, each with its two errors."""

import math
from dataclasses import replace

import torch

from bench.bound import Estimate, Parts, estimate

LARGEST = 500.0  # nats per token, above which a perplexity and its error are no numbers any more


def mean_nats(parts: Parts, length: int) -> Estimate:
    """The sum of the parts in nats per token."""
    total = torch.stack(list(parts.values())).sum(0)
    return estimate(total, torch.full((len(total),), length))


def measures(parts: Parts, length: int, sizes: list[int], level: str) -> dict[str, Estimate]:
    """Every number that follows from the bound of sequences of `length` tokens and `sizes` bytes each.

    Keys: nats_per_token, bits_per_byte, bits_per_char where tokens are characters, perplexity (per token) where it is a
    number, and the parts of the bound in nats per token.
    """
    total = torch.stack(list(parts.values())).sum(0)
    nats = mean_nats(parts, length)
    per_byte = estimate(total, torch.tensor(sizes))
    found = {
        "nats_per_token": nats,
        "bits_per_byte": _scaled(per_byte, 1 / math.log(2)),
        **{name: mean_nats({name: part}, length) for name, part in parts.items()},
    }
    if level == "char":
        found["bits_per_char"] = _scaled(nats, 1 / math.log(2))
    if nats.value < LARGEST:
        found["perplexity"] = _perplexity(nats)
    return found


def _scaled(found: Estimate, factor: float) -> Estimate:
    return Estimate(found.value * factor, found.standard_error * factor, found.monte_carlo_error * factor, found.n)


def _perplexity(nats: Estimate) -> Estimate:
    """exp(nats), its errors to first order."""
    return replace(_scaled(nats, math.exp(nats.value)), value=math.exp(nats.value))
