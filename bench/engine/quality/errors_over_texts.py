"""Standard errors over texts: of means, and by the jackknife of statistics that pool all texts.

The delete-d jackknife with disjoint groups: Shao and Wu, Annals of Statistics 17 (1989). On average its variance is
never too small (Efron and Stein, Annals of Statistics 9, 1981). It is too large, up to twice, for statistics of pairs
of texts: distinct n-grams that are mostly rare, and a divergence from the distribution of the texts themselves.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bench.engine.likelihood.standard_error import Estimate

Rows = NDArray[np.int64]  # indices of the texts that a statistic is computed from


def mean_estimate(values: NDArray[np.float64]) -> Estimate:
    """Return the mean over texts, values [n], with its standard error; nan for a single text."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(float(values.mean()), error, 0.0, n)


def pooled_estimate(statistic: Callable[[Rows], float], n: int) -> Estimate:
    """Return a statistic of all n texts together, with its jackknife error."""
    return Estimate(statistic(np.arange(n)), jackknife(statistic, n), 0.0, n)


def jackknife(statistic: Callable[[Rows], float], n: int, groups: int = 20) -> float:
    """Return the standard error of a statistic over n independent texts; nan for a single text.

    Leaves out d = ceil(n / groups) texts at a time, g = floor(n / d) times: sqrt((n - d) / (d g) sum (v_i - mean)^2).
    All groups have one size, since pooled statistics depend on the number of texts; up to d - 1 texts are never left
    out.
    """
    if n < 2:
        return math.nan
    size = -(-n // groups)
    rows = np.arange(n)
    subsets = [np.delete(rows, np.s_[start : start + size]) for start in range(0, n - size + 1, size)]
    values = np.array([statistic(subset) for subset in subsets])
    return math.sqrt((n - size) / size * float(values.var()))
