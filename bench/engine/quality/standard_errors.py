"""Standard errors over texts: of means, and by the jackknife of statistics that pool all texts.

The jackknife that leaves out d of n texts at a time: Shao and Wu, Annals of Statistics 17 (1989), with disjoint groups.
Its variance is never too small in the mean (Efron and Stein, Annals of Statistics 9, 1981); too large, up to twice, for
what is made of pairs of texts: distinct n-grams most of which are rare, and a divergence from the texts' own law.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.engine.likelihood.standard_error import Estimate

Rows = NDArray[np.int64]  # numbers of the texts that a statistic is taken over


def mean(values: NDArray[np.float64]) -> Estimate:
    """The mean over texts, values [n], and its standard error; nan for a single text."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(float(values.mean()), error, 0.0, n)


def pooled(statistic: Callable[[Rows], float], n: int) -> Estimate:
    """A statistic of all n texts together, with its jackknife error."""
    return Estimate(statistic(np.arange(n)), jackknife(statistic, n), 0.0, n)


def jackknife(statistic: Callable[[Rows], float], n: int, groups: int = 20) -> float:
    """The standard error over n independent texts of a statistic of any rows of them; nan for a single text.

    Leaves out d = ceil(n / groups) texts at a time, g = floor(n / d) times: sqrt((n - d) / (d g) sum (v_i - mean)^2).
    All groups are of one size, since pooled statistics move with the number of texts; up to d - 1 texts stay in always.
    """
    if n < 2:
        return math.nan
    size = -(-n // groups)
    rows = np.arange(n)
    left = [np.delete(rows, np.s_[start : start + size]) for start in range(0, n - size + 1, size)]
    values = np.array([statistic(kept) for kept in left])
    return math.sqrt((n - size) / size * float(values.var()))
