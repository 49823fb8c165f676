"""The sampler's court: with perfect knowledge, many small steps have to draw from the law of the source itself.

Steps that write several positions at once ignore what ties them together, which costs an error of order 1 / calls; with
as many calls as are taken here it is far below what the number of drawn texts can show.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.certify.oracle import Oracle, Table
from bench.certify.tightness import Figure
from bench.sample import Policy, refusal, sample
from methods.method import Method

CALLS = (4, 16, 256)
TEXTS = 2**15
EXACT: tuple[Policy, ...] = ("ancestral", "ddim")  # exact in the limit at the rate 1 / calls; Euler's error is larger


@dataclass(frozen=True)
class Draws:
    """How far drawn texts lie from the law of the source."""

    policy: Policy
    distance: dict[int, float]  # total variation by number of network calls
    noise: float  # the total variation of as many texts drawn from the law itself, on average
    surprise: float  # of the chi-square at the most calls, about a standard normal number
    nats: Figure  # the mean of -log p(x) of the drawn texts beside the entropy, nats a text; lower: too cold


def hear(method: Method, source: Table) -> Iterator[Draws]:
    """Draws texts under each policy that the method can follow, with the oracle of the source as the network."""
    if method.needs.steps is not None and method.needs.steps < CALLS[-1]:
        return
    oracle = Oracle(method, source)
    for policy in EXACT:
        if refusal(method, policy) is None and (policy == EXACT[0] or not method.needs.causal):
            counts = {calls: _count(oracle, source, calls, policy) for calls in CALLS}
            distance = {calls: float((seen / TEXTS - source.law).abs().sum() / 2) for calls, seen in counts.items()}
            last = counts[CALLS[-1]]
            yield Draws(policy, distance, _noise(source), surprise(last, source.law), _coldness(last, source))


def _count(oracle: Oracle, source: Table, calls: int, policy: Policy) -> Tensor:
    """How often each text was drawn [N]."""
    ids = sample(oracle, TEXTS, source.length, calls, seed=calls, policy=policy).ids
    places = source.vocab_size ** torch.arange(source.length - 1, -1, -1)
    return torch.bincount(ids @ places, minlength=len(source.law))


def _noise(source: Table) -> float:
    """E |count / n - p| is about sqrt(2 p (1 - p) / (pi n))."""
    return float((2 * source.law * (1 - source.law) / (torch.pi * TEXTS)).sqrt().sum() / 2)


def _coldness(counts: Tensor, source: Table) -> Figure:
    """A temperature moves this mean by its share of the variance of log p(x): far more than single frequencies."""
    nats = -source.law.log()
    entropy = float(source.law @ nats)
    share = counts.double() / counts.sum()
    mean = float(share @ nats)
    return Figure(mean - entropy, float((share @ (nats - mean).square() / counts.sum()).sqrt()))


def surprise(counts: Tensor, law: Tensor) -> float:
    """Chi-square of counts against a law, as standard deviations of a normal number (Wilson and Hilferty 1931)."""
    expected, free = law * counts.sum(), len(law) - 1
    statistic = float(((counts - expected).square() / expected).sum())
    width = 2 / (9 * free)
    return ((statistic / free) ** (1 / 3) - (1 - width)) / width**0.5
