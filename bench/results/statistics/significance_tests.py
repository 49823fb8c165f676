"""Significance tests, paired (sign flips over seeds) and of intervals, and what a number of seeds can show.

All tests and intervals are two-sided. Seeds and documents are separate sources of error: the seeds of an arm are
evaluated on the same documents, and the documents of a seed by the same weights. Sequences cut from one running text
are not independent documents, because neighbours are alike; their errors are clustered.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

ErrorSource = tuple[float, int]  # a standard error, and the number of independent values it was estimated from

LEVEL = 0.05  # accepted rate of false positives; intervals have coverage 1 - LEVEL
POWER = 0.8  # share of experiments in which a detectable effect is found
ROUNDING = 1e-12  # relative differences up to this are due to rounding
MIN_P = 1e-300  # smaller p-values are reported as 0
ADVISED_SEEDS = 3  # at least: Student's interval is ± 9 standard deviations over seeds with 2, ± 2.5 with 3
MAX_EXACT_SEEDS = 30  # up to which a sign-flip test counts all flips: 2^15 sums on either side
DRAWN_FLIPS = 100_000  # of more seeds: at p = 0.05, the standard error of p is 0.0007
BYTES_AT_ONCE = 1 << 18  # of signs that are drawn together, so that memory does not grow with the seeds
SIMULATIONS = 4000  # experiments from which the power of a sign-flip test is estimated: a standard error of 0.6 %
MAX_SIMULATED_SEEDS = 10  # with more seeds, the power is that of Student's test


@dataclass(frozen=True)
class Interval:
    """A mean and its confidence interval; the limits are NaN if n is 1."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero; False if the limits are NaN."""
        return self.low > 0 or self.high < 0


def student_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's interval of the mean of independent values, such as the paired differences of seeds.

    Raises ValueError if there is no value. Source: Student, "The probable error of a mean" (1908).
    """
    if not len(values):
        raise ValueError("an interval needs at least one value; there is none")
    mean = float(np.mean(values))
    half = half_width(standard_error(values), len(values), level)
    return Interval(mean, mean - half, mean + half, len(values))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean of independent values; NaN for a single one, 0 if they differ by rounding only."""
    if len(values) < 2:
        return math.nan
    deviation = float(np.std(values, ddof=1))
    is_rounding = deviation <= ROUNDING * float(np.max(np.abs(values)))
    return 0.0 if is_rounding else deviation / math.sqrt(len(values))


def half_width(error: float, n: int, level: float = LEVEL) -> float:
    """Half the width of Student's interval, for a standard error with n - 1 degrees of freedom; NaN if n is 1."""
    if n < 2:
        return math.nan
    if error == 0:
        return 0.0  # also at levels so small that the quantile is infinite
    return -float(special.stdtrit(n - 1, level / 2)) * error


def combine(half_widths: Sequence[float]) -> float:
    """The half-width for independent sources of error: the root of the sum of squares; NaN if there is no source.

    It is never smaller than the half-width of one source alone. This is the method of variance estimates recovery
    (Zou and Donner, "Construction of confidence limits about effect measures", 2008).
    """
    return math.hypot(*half_widths) if half_widths else math.nan


def half_widths(mean: float, sources: Sequence[ErrorSource], level: float = LEVEL) -> float:
    """Half the width of the interval of a difference with this mean; NaN if no source of error has several values.

    It is NaN as well if none of them spreads: that is no measured error, and makes nothing certain, except that a
    difference of exactly zero everywhere is none.
    """
    half = combine([half_width(error, n, level) for error, n in sources if n > 1])
    return math.nan if half == 0 and mean != 0 else half


def interval_p(mean: float, sources: Sequence[ErrorSource]) -> float:
    """The p-value of "no difference" that belongs to the combined interval: the level at which it just reaches zero.

    NaN if no source has more than one value, or if a difference has no spread at all: that is no measured error.
    """
    usable = [(error, n) for error, n in sources if n > 1]
    if not usable or (mean != 0 and combine([error for error, _ in usable]) <= ROUNDING * abs(mean)):
        return math.nan

    def excess(log_level: float) -> float:
        return combine([half_width(error, n, math.exp(log_level)) for error, n in usable]) - abs(mean)

    lowest = math.log(MIN_P)
    if mean == 0 or excess(lowest) <= 0:
        return float(mean == 0)
    return math.exp(find_root(excess, lowest, 0.0))


def sign_flip_p(differences: Sequence[float]) -> float:
    """The p-value of the sign-flip test: the share of all 2^n sign choices with a sum at least as far from zero.

    It only assumes that a paired difference has either sign with equal probability if the arms do not differ (Fisher,
    "The design of experiments", 1935, section 21). Up to `MAX_EXACT_SEEDS` differences all choices are counted: the
    sums of two halves against each other, so that the cost grows as 2^(n / 2). With more, `DRAWN_FLIPS` choices are
    drawn. Raises ValueError if there is no difference.
    """
    if not len(differences):
        raise ValueError("a sign-flip test needs at least one paired difference; there is none")
    values = np.asarray(differences, dtype=float)
    threshold = abs(values.sum()) - 1e-12 * np.abs(values).sum()  # sums that differ by rounding count as equal
    if threshold <= 0:
        return 1.0

    if len(values) > MAX_EXACT_SEEDS:
        return _drawn_p(values, threshold)
    first, second = (_signed_sums(half) for half in np.array_split(values, 2))
    exceedances = len(second) - np.searchsorted(np.sort(second), threshold - first)
    return min(1.0, 2 * float(exceedances.sum()) / 2.0 ** len(values))


def _signed_sums(values: np.ndarray) -> np.ndarray:
    """The sums for all choices of signs [2^n]."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn_p(values: np.ndarray, threshold: float) -> float:
    """The p-value by drawn signs, with a seed of its own: (1 + exceedances) / (1 + draws), which is never too small.

    Source: Phipson and Smyth, "Permutation p-values should never be zero" (2010).
    """
    groups = -(-len(values) // 8)  # a random byte holds the signs of eight values, and its sum is looked up
    padded = np.concatenate([values, np.zeros(8 * groups - len(values))]).reshape(groups, 8)
    sums = padded @ _all_signs(8).T  # [groups, 256]

    rng, exceedances, remaining = np.random.default_rng(0), 0, DRAWN_FLIPS
    while remaining:
        count = min(remaining, max(1, BYTES_AT_ONCE // groups))
        flips = np.frombuffer(rng.bytes(count * groups), np.uint8).reshape(count, groups)
        exceedances += int((np.abs(sums[np.arange(groups), flips].sum(1)) >= threshold).sum())
        remaining -= count
    return (1 + exceedances) / (1 + DRAWN_FLIPS)


def _all_signs(n: int) -> NDArray[np.float64]:
    """Every choice of signs of n values [2^n, n]."""
    return (1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)).astype(np.float64)


def describe_flips(n: int) -> str:
    """How the signs of n differences are flipped, if not all choices are counted."""
    if n <= MAX_EXACT_SEEDS:
        return ""
    return (
        f"the sign-flip test of {n} seeds draws {DRAWN_FLIPS:,} choices of signs; up to {MAX_EXACT_SEEDS} it counts all"
    )


def smallest_p(n: int) -> float:
    """The smallest p-value of a sign-flip test of n differences.

    All have one sign, counted with the mirror image; if signs are drawn, no choice exceeds the observed one.
    """
    return min(1.0, 2.0 ** (1 - n)) if n <= MAX_EXACT_SEEDS else 1 / (1 + DRAWN_FLIPS)


def is_reachable(n: int, arms: int = 1, level: float = LEVEL) -> bool:
    """Whether a sign-flip test over n seeds can fall below the level after Holm's correction for this many arms."""
    return smallest_p(n) * arms < level


def describe_reach(n: int, arms: int = 1) -> str:
    """Why p < 0.05 is out of reach with n seeds; "" if it can be reached."""
    if is_reachable(n, arms):
        return ""
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    correction = f" after Holm's correction over {arms} arms" if is_reachable(n) else ""
    return f"p < {LEVEL:g} is out of reach with {seeds}{correction}: the smallest possible is {smallest_p(n):.3g}"


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction, which bounds the probability of any false positive among several tests by the level.

    The i-th smallest of m p-values is multiplied by m - i + 1, and none may be smaller than the one before it. NaN
    stays NaN and does not count as a test. Source: Holm, "A simple sequentially rejective multiple test procedure"
    (1979).
    """
    tested = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    order = sorted(tested, key=lambda index: p_values[index])

    corrected, largest = [math.nan] * len(p_values), 0.0
    for step, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - step) * p_values[index]))
        corrected[index] = largest
    return corrected


def holm_apart(p_values: Sequence[float], is_tested: Sequence[bool]) -> list[float]:
    """Holm's correction of the tests that can have a verdict, and of all others, each among themselves."""
    families = (
        holm([p if flag == side else math.nan for p, flag in zip(p_values, is_tested, strict=True)])
        for side in (True, False)
    )
    return [second if math.isnan(first) else first for first, second in zip(*families, strict=True)]


def detectable_effect(
    error: float, n: int, level: float = LEVEL, power: float = POWER, uses_sign_flip: bool = False
) -> float:
    """The minimum detectable effect: the true mean at which Student's interval excludes zero with this power.

    `error` is a standard error estimated from n values; the effect is NaN if n is 1. With `uses_sign_flip`, the
    sign-flip test has to fall below the level as well, which takes a larger effect: with six seeds, all must have the
    same sign. Source: Cohen, "Statistical power analysis" (1988), chapter 2.
    """
    if n < 2:
        return math.nan
    is_simulated = uses_sign_flip and n <= MAX_SIMULATED_SEEDS
    noncentrality = _simulated_noncentrality if is_simulated else _noncentrality
    return noncentrality(n, level, power) * error


@cache
def _noncentrality(n: int, level: float, power: float) -> float:
    """The mean, in standard errors, at which a t-test with n - 1 degrees of freedom has the given power."""
    critical_value = -float(special.stdtrit(n - 1, level / 2))

    def excess_power(mean: float) -> float:
        # the other tail adds less than a thousandth of the level
        return float(noncentral_t().sf(critical_value, n - 1, mean)) - power

    return find_root(excess_power, 0.0, 2 * critical_value + 5)


@cache
def _simulated_noncentrality(n: int, level: float, power: float) -> float:
    """As `_noncentrality`, if the sign-flip test of n normal values has to reject as well.

    The power is estimated from simulated experiments with a fixed seed. Raises ValueError if the sign-flip test cannot
    fall below the level.
    """
    if not smallest_p(n) < level:
        raise ValueError(f"a sign-flip test of {n} values cannot fall below {level:g}")
    noise = np.random.default_rng(0).standard_normal((SIMULATIONS, n))
    signs = _sign_choices(n)
    critical_value = -float(special.stdtrit(n - 1, level / 2))

    def excess_power(mean: float) -> float:
        values = noise + mean / math.sqrt(n)
        sums = values.sum(1)
        p_values = (np.abs(values @ signs) >= np.abs(sums)[:, None] * (1 - 1e-12)).mean(1)
        excludes_zero = np.abs(sums) / n > critical_value * values.std(1, ddof=1) / math.sqrt(n)
        return float((excludes_zero & (p_values < level)).mean()) - power

    lower = _noncentrality(n, level, power)
    return find_root(excess_power, 0.5 * lower, 4 * lower + 5, xtol=1e-3)


def _sign_choices(n: int) -> NDArray[np.float64]:
    """Every choice of signs of n values, without mirror images [n, 2^(n - 1)]."""
    return _all_signs(n)[: 2 ** (n - 1)].T


def rank_ranges(lows: Sequence[float], highs: Sequence[float]) -> list[tuple[int, int]]:
    """The best and the worst rank that each interval can have, with the lowest values first; overlaps are ties.

    The best rank is one more than the number of intervals wholly below, the worst is the total minus the number wholly
    above.
    """
    low, high = np.asarray(lows, dtype=float), np.asarray(highs, dtype=float)
    is_below = high[None, :] < low[:, None]  # [interval, other]
    is_above = low[None, :] > high[:, None]
    best, worst = 1 + is_below.sum(1), len(low) - is_above.sum(1)
    return [(int(first), int(last)) for first, last in zip(best, worst, strict=True)]


def find_root(function: Callable[[float], float], low: float, high: float, xtol: float = 2e-12) -> float:
    """The root of a function that changes its sign between `low` and `high`."""
    from scipy import optimize  # slow to import, and a plan without differences needs no root

    return float(optimize.brentq(function, low, high, xtol=xtol))


def noncentral_t() -> Any:
    """The noncentral Student's t distribution of scipy."""
    from scipy import stats  # slow to import, as above

    return stats.nct
