"""Which sequences of a data set may vary together: what is alike in a running text lies side by side."""

import math

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
