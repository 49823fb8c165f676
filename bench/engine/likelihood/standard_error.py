"""Which sequences of a data set may vary together: what is alike in a running text lies side by side."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

INDEPENDENT = ("markov",)  # sources of independent sequences; those of all others are cut from a running text
MOST_RUNS = 30  # of neighbouring sequences; more of them make an interval hardly narrower


def find_runs(n: int) -> Int[Tensor, " N"]:
    """Which run of neighbours each of n sequences of a running text belongs to: the root of n runs, 2 to 30.

    What is alike lies together, whether the ends of its documents are known or not; a run has to be longer than they
    are, and past 30 runs little is gained (Schmeiser, 1982, Batch size effects in the analysis of simulation output).
    """
    count = min(n, MOST_RUNS, max(2, math.isqrt(n)))
    return torch.arange(n) * count // n


def clusters_of(source: str, n: int) -> Int[Tensor, " N"] | None:
    """Those of the first n sequences of a split of a source; None where each varies by itself."""
    return None if source in INDEPENDENT else find_runs(n)


@dataclass(frozen=True)
class Estimate:
    """A mean with its two errors."""

    value: float
    standard_error: float  # over documents, Monte Carlo noise included; nan for a single document
    monte_carlo_error: float  # over replicates of the noise on the same documents; 0 where the value is exact
    n: int  # documents
    clusters: int = 0  # of documents that may vary together; 0 where each varies by itself


def ratio_estimate(nats: Tensor, sizes: Tensor, clusters: Tensor | None = None) -> Estimate:
    """Nats per unit of size: the ratio of sums over documents, from nats [n, replicates] and sizes [n].

    The standard error is the ratio estimator's over documents; where `clusters` [n], numbered from 0, tells which of
    them may vary together, that over these, sqrt(G / (G - 1) * sum over G clusters of (sum of residuals)^2) with G - 1
    degrees of freedom (Liang and Zeger, 1986, Longitudinal data analysis using generalized linear models, with the
    factor for few clusters). The Monte Carlo error is what the noise alone adds.
    """
    n, replicates = nats.shape
    each, total = nats.mean(1), sizes.double().sum()
    value = each.sum() / total
    residuals = each - value * sizes
    if clusters is not None:
        residuals = torch.zeros(int(clusters.max()) + 1).to(residuals).index_add(0, clusters, residuals)
    count, spread = len(residuals), residuals.square().sum()
    standard_error = (count / (count - 1) * spread).sqrt() / total if count > 1 else torch.tensor(math.nan)
    noise = (nats.var(1).sum() / replicates).sqrt() / total if replicates > 1 else torch.zeros(())
    return Estimate(float(value), float(standard_error), float(noise), n, 0 if clusters is None else count)
