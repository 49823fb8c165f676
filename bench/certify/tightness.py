"""Tightness: with a perfect network, the bound equals the likelihood plus costs that the method has by design.

The costs of both ends are computed. At t_min the last guess writes positions independently, which costs the total
correlation given z. At t = 1 the prior ignores the signal left in z. Discrete time also has a cost in every step, which
vanishes as the number of steps grows.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.certify.false_alarms import Estimate, estimate_mean
from bench.certify.oracle import Oracle, Source
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import EstimatorName, estimator_for
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Keyed
from methods.method import Latent, Method, Nats, Tokens, pick

DRAWS, REPLICATES = 16, 2
BATCH = 256
ROUNDING = 1e-4  # nats per text
HIDDEN_TAIL = 0.01  # of the entropy that draws of times may miss, as rare costs are large


@dataclass(frozen=True)
class Tightness:
    """The bound of a perfect network minus -log p(x), paired by document, in nats per text."""

    terms: dict[str, float]  # means: prior gap, integral, last guess
    entropy: float  # the mean of -log p(x) over the same documents
    gap: Estimate  # bound minus -log p(x)
    end_cost: Estimate  # total correlation at t_min and signal at t = 1
    residual: Estimate  # gap minus end_cost


def measure_tightness(
    method: Method,
    source: Source,
    documents: int,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    estimator: EstimatorName = "auto",
) -> Tightness:
    """Estimate the bound of a perfect network on texts of a source, with the harness's estimator."""
    x = source.sample(documents, torch.Generator().manual_seed(seed))
    oracle = Oracle(method, source, dtype)
    terms = {
        name: nats.mean(1)
        for name, nats in bound(oracle, x, DRAWS, REPLICATES, seed, BATCH, estimator=estimator).items()
    }
    exact = source.nats(x)
    gap = torch.stack(list(terms.values())).sum(0) - exact
    end_cost = end_correlation(oracle, x, seed) + remaining_signal(oracle, x, seed)
    means = {name: float(nats.mean()) for name, nats in terms.items()}
    return Tightness(
        means, float(exact.mean()), estimate_mean(gap), estimate_mean(end_cost), estimate_mean(gap - end_cost)
    )


def tolerance(method: Method, estimator: EstimatorName, entropy: float) -> float:
    """The nats per text by which a right bound may seem to be off, beside its error."""
    is_drawn = estimator_for(method, estimator).name in ("times", "independent")
    return HIDDEN_TAIL * entropy if is_drawn else ROUNDING


@torch.no_grad()
def end_correlation(oracle: Oracle, x: Tokens, seed: int) -> Nats:
    """log p(x | z) - sum_i log p(x_i | z) for z at t_min of each text [n]; 0 if the method has no last guess."""
    method, total = oracle.method, torch.zeros(len(x), dtype=torch.float64)
    if not method.guesses_last:
        return total
    t = torch.full((len(x),), method.t_min, dtype=torch.float64)
    for replicate in range(REPLICATES * 4):
        with in_sequences(method, x):
            z = method.corrupt(x, t, Keyed(seed + 1, list(range(len(x))), replicate))
        total += _joint(oracle, x, z, t) - _single(oracle, x, z, t)
    return total / (REPLICATES * 4)


@torch.no_grad()
def remaining_signal(oracle: Oracle, x: Tokens, seed: int) -> Nats:
    """KL(q(z) || prior) at t = 1 for z of each text [n]: the prior gap minus the information of z on the text."""
    method, information = oracle.method, torch.zeros(len(x), dtype=torch.float64)
    if method.needs.causal:
        return information
    t = torch.ones(len(x), dtype=torch.float64)
    for replicate in range(REPLICATES * 4):
        with in_sequences(method, x):
            z = method.corrupt(x, t, Keyed(seed + 2, list(range(len(x))), replicate))
        information += _joint(oracle, x, z, t) + oracle.source.nats(x)
    with in_sequences(method, x):
        return method.prior_gap(x).sum(-1) - information / (REPLICATES * 4)


def _joint(oracle: Oracle, x: Tokens, z: Latent, t: Tensor) -> Nats:
    """log p(x | z) = log p(x) + log q(z | x) - log p(z)."""
    log_q = _log_noise(oracle, x, z, t)
    return -oracle.source.nats(x) + pick(log_q, x).sum(-1) - oracle.source.log_evidence(log_q)


def _single(oracle: Oracle, x: Tokens, z: Latent, t: Tensor) -> Nats:
    """sum_i log p(x_i | z)."""
    log_q = _log_noise(oracle, x, z, t)
    posterior = oracle.source.whole(log_q, oracle.source.others(log_q))
    return pick(posterior, x).sum(-1)


def _log_noise(oracle: Oracle, x: Tokens, z: Latent, t: Tensor) -> Tensor:
    """log q(z_i | x_i = v) for every token v at all positions of x, at least -300 [n, L, V]."""
    with in_sequences(oracle.method, x):
        return oracle.method.log_noise(z, t[:, None].expand(x.shape)).double().clamp(min=-300)
