"""The expected best of k trials, and its spread."""

import math
from collections.abc import Sequence


def expect_best(scores: Sequence[float], k: int) -> float:
    """The mean over all sets of k of these n scores of the lowest of a set: sum_i s_(i) C(n - i, k - 1) / C(n, k), with
    s_(1) <= ... <= s_(n) (arXiv:2004.13705, section 3)."""
    ordered, n = sorted(scores), len(scores)
    parts = [score * math.comb(n - place, k - 1) for place, score in enumerate(ordered, 1)]
    return math.fsum(parts) / math.comb(n, k)


def spread_best(scores: Sequence[float], k: int) -> float:
    """The standard deviation of the lowest of k scores that are drawn one by one from these n, each time from all: the
    i-th lowest comes out with probability ((n - i + 1) / n)^k - ((n - i) / n)^k (arXiv:1909.03004, section 3)."""
    ordered, n = sorted(scores), len(scores)
    odds = [((n - place) / n) ** k - ((n - place - 1) / n) ** k for place in range(n)]
    mean = math.fsum(chance * score for chance, score in zip(odds, ordered, strict=True))
    return math.sqrt(math.fsum(chance * (score - mean) ** 2 for chance, score in zip(odds, ordered, strict=True)))
