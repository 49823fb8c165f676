"""Estimates with their standard errors, over sequences that may be correlated with their neighbours."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from bench.engine.data.source_registry import SOURCES

MOST_RUNS = 30  # of neighbouring sequences; more of them hardly make an interval narrower


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error and its Monte Carlo error."""

    value: float
    standard_error: float  # over documents, Monte Carlo noise included; nan for a single document
    monte_carlo_error: float  # over replicates of the noise on the same documents; 0 if the value is exact
    n: int  # documents
    clusters: int = 0  # clusters of documents that may be correlated; 0 if documents are independent


def ratio_estimate(nats: Tensor, sizes: Tensor, clusters: Tensor | None = None) -> Estimate:
    """Estimate nats per unit of size: the ratio of sums over documents, from nats [n, replicates] and sizes [n].

    The standard error is the ratio estimator's over documents. If `clusters` [n], numbered from 0, tells which
    documents may be correlated, it is taken over clusters: sqrt(G / (G - 1) * sum over G clusters of (sum of
    residuals)^2), with G - 1 degrees of freedom (Liang and Zeger, 1986, Longitudinal data analysis using generalized
    linear models, with the factor for few clusters). The Monte Carlo error is the part of it that noise draws add.
    """
    n, replicates = nats.shape
    means, total = nats.mean(1), sizes.double().sum()
    value = means.sum() / total
    residuals = means - value * sizes
    if clusters is not None:
        residuals = torch.zeros(int(clusters.max()) + 1).to(residuals).index_add(0, clusters, residuals)

    count, sum_of_squares = len(residuals), residuals.square().sum()
    standard_error = (count / (count - 1) * sum_of_squares).sqrt() / total if count > 1 else torch.tensor(math.nan)
    noise = (nats.var(1).sum() / replicates).sqrt() / total if replicates > 1 else torch.zeros(())
    return Estimate(float(value), float(standard_error), float(noise), n, 0 if clusters is None else count)


def find_runs(n: int) -> Int[Tensor, " N"]:
    """Assign n sequences of running text to sqrt(n) runs of neighbours, at least 2 and at most 30.

    Similar text is adjacent, whether or not the boundaries of its documents are known. A run has to be longer than a
    document, and more than 30 runs gain little (Schmeiser, 1982, Batch size effects in the analysis of simulation
    output).
    """
    count = min(n, MOST_RUNS, max(2, math.isqrt(n)))
    return torch.arange(n) * count // n


def clusters_of(source: str, n: int) -> Int[Tensor, " N"] | None:
    """Return the clusters of the first n sequences of a split, by the name of their source; None if independent."""
    return None if SOURCES[source].independent_sequences else find_runs(n)
