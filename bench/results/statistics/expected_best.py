"""The expected best of k trials and its standard deviation.

Sources: Dodge et al., "Show Your Work" (arXiv:1909.03004), for the deviation; Tang et al., "Showing Your Work Doesn't
Always Work" (arXiv:2004.13705), for the unbiased estimate of the mean.
"""

import math
from collections.abc import Sequence


def expected_best(scores: Sequence[float], k: int) -> float:
    """The mean lowest score over all sets of k of these n scores, drawn without replacement.

    sum_i s_(i) C(n - i, k - 1) / C(n, k) with s_(1) <= ... <= s_(n) (arXiv:2004.13705, section 3).
    """
    ordered, n = sorted(scores), len(scores)
    weight, terms = k / n, []  # of the lowest; C(n - i, k - 1) / C(n, k) itself would need integers of n bits
    for rank, score in enumerate(ordered, 1):
        terms.append(score * weight)
        weight *= max(n - rank - k + 1, 0) / max(n - rank, 1)
    return math.fsum(terms)


def expected_best_deviation(scores: Sequence[float], k: int) -> float:
    """The standard deviation of the lowest of k scores drawn with replacement from these n.

    The i-th lowest is the best with probability ((n - i + 1) / n)^k - ((n - i) / n)^k (arXiv:1909.03004, section 3).
    """
    ordered, n = sorted(scores), len(scores)
    probabilities = [((n - rank) / n) ** k - ((n - rank - 1) / n) ** k for rank in range(n)]
    mean = math.fsum(p * score for p, score in zip(probabilities, ordered, strict=True))
    return math.sqrt(math.fsum(p * (score - mean) ** 2 for p, score in zip(probabilities, ordered, strict=True)))
