"""Tightness: with perfect knowledge the bound is the likelihood itself, but for what its method gives away by design.

What it gives away at its two ends is computed. At t_min the last guess writes every position by itself and pays the
total correlation that z leaves; at t = 1 the prior does not know the signal that the noise has left. Discrete time pays
in every step, too, by ever less the more steps there are.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.certify.oracle import Oracle, Source
from bench.engine.likelihood.bound import bound
from bench.engine.rng import Keyed
from methods.method import Latent, Method, Nats, Tokens, pick

DRAWS, REPLICATES = 16, 2
ROUNDING = 1e-4  # nats a text
BATCH = 256


@dataclass(frozen=True)
class Figure:
    """A mean over documents with its standard error, nats a text."""

    mean: float
    error: float

    @property
    def surprise(self) -> float:
        """How many standard errors the mean lies from zero; what roundings alone have moved lies at zero."""
        return 0.0 if abs(self.mean) < ROUNDING else self.mean / max(self.error, 1e-12)

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.error:.4f}"


@dataclass(frozen=True)
class Tightness:
    """The bound of a perfect network beside -log p(x), paired by document, nats a text."""

    parts: dict[str, float]  # means: prior gap, integral, last guess
    entropy: float  # the mean of -log p(x) over the same documents
    gap: Figure  # bound minus -log p(x)
    given_away: Figure  # what the ends cannot know: total correlation at t_min, signal at t = 1
    rest: Figure  # the gap without it


def measure(
    method: Method, source: Source, documents: int, dtype: torch.dtype = torch.float64, seed: int = 0
) -> Tightness:
    """Evaluates the bound of a perfect network on texts of the source, by the harness's own estimator."""
    x = source.sample(documents, torch.Generator().manual_seed(seed))
    oracle = Oracle(method, source, dtype)
    parts = {name: nats.mean(1) for name, nats in bound(oracle, x, DRAWS, REPLICATES, seed, BATCH).items()}
    exact = source.nats(x)
    gap = torch.stack(list(parts.values())).sum(0) - exact
    lost = correlation_left(oracle, x, seed) + signal_left(oracle, x, seed)
    means = {name: float(nats.mean()) for name, nats in parts.items()}
    return Tightness(means, float(exact.mean()), figure(gap), figure(lost), figure(gap - lost))


def figure(values: Nats) -> Figure:
    """The mean of independent values and its standard error."""
    return Figure(float(values.mean()), float(values.std()) / math.sqrt(len(values)))


@torch.no_grad()
def correlation_left(oracle: Oracle, x: Tokens, seed: int) -> Nats:
    """log p(x | z) - sum of log p(x_i | z) for a z at t_min of each text [n]; zeros where nothing is guessed last."""
    method, total = oracle.method, torch.zeros(len(x), dtype=torch.float64)
    if not method.guesses_last:
        return total
    t = torch.full((len(x),), method.t_min, dtype=torch.float64)
    for replicate in range(REPLICATES * 4):
        z = method.corrupt(x, t, Keyed(seed + 1, list(range(len(x))), replicate))
        total += _joint(oracle, x, z, t) - _single(oracle, x, z, t)
    return total / (REPLICATES * 4)


@torch.no_grad()
def signal_left(oracle: Oracle, x: Tokens, seed: int) -> Nats:
    """KL(q(z) || prior) at t = 1 for a z of each text [n]: the prior gap less what z says of the text."""
    method, told = oracle.method, torch.zeros(len(x), dtype=torch.float64)
    if method.needs.causal:
        return told
    t = torch.ones(len(x), dtype=torch.float64)
    for replicate in range(REPLICATES * 4):
        z = method.corrupt(x, t, Keyed(seed + 2, list(range(len(x))), replicate))
        told += _joint(oracle, x, z, t) + oracle.source.nats(x)
    return method.prior_gap(x).sum(-1) - told / (REPLICATES * 4)


def _joint(oracle: Oracle, x: Tokens, z: Latent, t: Tensor) -> Nats:
    """log p(x | z) = log p(x) + log q(z | x) - log p(z)."""
    log_q = oracle.method.log_noise(z, t[:, None].expand(x.shape)).double().clamp(min=-300)
    return -oracle.source.nats(x) + pick(log_q, x).sum(-1) - oracle.source.log_evidence(log_q)


def _single(oracle: Oracle, x: Tokens, z: Latent, t: Tensor) -> Nats:
    """The sum of log p(x_i | z)."""
    log_q = oracle.method.log_noise(z, t[:, None].expand(x.shape)).double().clamp(min=-300)
    whole = oracle.source.whole(log_q, oracle.source.others(log_q))
    return pick(whole, x).sum(-1)
