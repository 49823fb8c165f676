"""How sure a difference is: intervals, exact tests, and what a number of seeds can show at all.

Everything is two-sided. Seeds and documents are two sources of chance, and neither says anything about the other: the
seeds of an arm meet the same documents, and the documents of a seed meet the same weights. Sequences that were cut from
one running text are no documents: neighbours are alike, so that errors over them are clustered.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Source = tuple[float, int]  # of chance: a standard error, and how many independent values it was estimated from

LEVEL = 0.05  # the share of false wins that is accepted; intervals hold 1 - LEVEL
POWER = 0.8  # the share of experiments that find a detectable effect
SMALLEST = 1e-300  # the least p that is told from 0
TRIED = 4000  # experiments that the power of a sign-flip test is counted in: a standard error of 0.6 %
COUNTED = 10  # seeds up to which it is counted; with more of them it is that of Student's test


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its interval; nan where n is 1."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def leaves_out_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero; False where there is none."""
        return self.low > 0 or self.high < 0


def student(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Student's interval of the mean of independent values, such as the paired differences of seeds (Student, 1908, The
    probable error of a mean). Raises ValueError without a value."""
    if not len(values):
        raise ValueError("an interval needs at least one value; there is none")
    mean, half = float(np.mean(values)), half_width(standard_error(values), len(values), level)
    return Interval(mean, mean - half, mean + half, len(values))


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of independent values; nan for one."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def half_width(error: float, n: int, level: float = LEVEL) -> float:
    """Half of Student's interval of a mean with a standard error estimated from n values; nan for one value."""
    if n > 1 and error == 0:
        return 0.0  # also at levels so small that there is no finite quantile
    return -float(special.stdtrit(n - 1, level / 2)) * error if n > 1 else math.nan


def join(halves: Sequence[float]) -> float:
    """The half width for two independent sources of chance: the root of the sum of squares of what each alone gives.

    Never below either (the method of variance estimates recovery: Zou and Donner, 2008, Construction of confidence
    limits about effect measures).
    """
    return math.hypot(*halves) if halves else math.nan


def interval_p(mean: float, sources: Sequence[Source]) -> float:
    """The level at which the interval of a mean with these independent sources of chance just reaches zero: the p of
    "no difference" that belongs to the joined interval; nan without a source of more than one value."""
    known = [source for source in sources if source[1] > 1]
    if not known:
        return math.nan

    def beyond(exponent: float) -> float:
        return join([half_width(*source, math.exp(exponent)) for source in known]) - abs(mean)

    least = math.log(SMALLEST)
    if mean == 0 or beyond(least) <= 0:
        return float(mean == 0)
    return math.exp(float(optimize.brentq(beyond, least, 0.0)))


def sign_flip(differences: Sequence[float]) -> float:
    """The share of all 2^n choices of signs whose sum is at least as far from zero: the exact p of "no difference".

    Nothing is assumed but that a paired difference is as likely to have either sign when arms do not differ (Fisher,
    1935, The design of experiments, section 21). The flips of two halves are counted against each other, so that the
    work grows as 2^(n / 2). Raises ValueError without a difference.
    """
    if not len(differences):
        raise ValueError("a sign-flip test needs at least one paired difference; there is none")
    numbers = np.asarray(differences, dtype=float)
    reached = abs(numbers.sum()) - 1e-12 * np.abs(numbers).sum()  # sums that differ by rounding alone are equal
    if reached <= 0:
        return 1.0
    left, right = (_flip(half) for half in np.array_split(numbers, 2))
    beyond = len(right) - np.searchsorted(np.sort(right), reached - left)
    return min(1.0, 2 * float(beyond.sum()) / 2.0 ** len(numbers))


def _flip(numbers: np.ndarray) -> np.ndarray:
    """The sums of all choices of signs [2^n]."""
    sums = np.zeros(1)
    for number in numbers:
        sums = np.concatenate([sums + number, sums - number])
    return sums


def smallest_p(n: int) -> float:
    """The least p that a sign-flip test of n differences can give: all of one sign, and its mirror image."""
    return min(1.0, 2.0 ** (1 - n))


def is_reachable(n: int, arms: int = 1, level: float = LEVEL) -> bool:
    """Whether a sign-flip test over n seeds can fall below the level, after Holm's correction over so many arms."""
    return smallest_p(n) * arms < level


def say_reach(n: int, arms: int = 1) -> str:
    """Why p < 0.05 is out of reach, in words; "" where it is not."""
    if is_reachable(n, arms):
        return ""
    seeds = f"{n} seed{'s' * (n != 1)}"
    of_arms = f" after Holm's correction over {arms} arms" * is_reachable(n)
    return f"p < {LEVEL:g} is out of reach with {seeds}{of_arms}: the smallest possible is {smallest_p(n):.3g}"


def holm(ps: Sequence[float]) -> list[float]:
    """Each p corrected for being one of several: some is below the level at most that often when no arm differs.

    The i-th smallest of m is multiplied by m - i + 1, and none falls below the one before it (Holm, 1979, A simple
    sequentially rejective multiple test procedure). nan stays nan and does not count.
    """
    there = [place for place, p in enumerate(ps) if not math.isnan(p)]
    order = sorted(there, key=lambda place: ps[place])
    found, least = [math.nan] * len(ps), 0.0
    for step, place in enumerate(order):
        least = max(least, min(1.0, (len(order) - step) * ps[place]))
        found[place] = least
    return found


def detectable(error: float, n: int, level: float = LEVEL, power: float = POWER, flipped: bool = False) -> float:
    """The true mean that Student's interval over n values with this standard error leaves zero out for in a share
    `power` of experiments; nan for one value (Cohen, 1988, Statistical power analysis, chapter 2).

    With `flipped` the sign-flip test of the values has to fall below the level as well, which takes a larger effect:
    of six seeds every one has to have the same sign.
    """
    if n < 2:
        return math.nan
    is_counted = flipped and n <= COUNTED
    return (_flipped_noncentrality if is_counted else _noncentrality)(n, level, power) * error


@cache
def _noncentrality(n: int, level: float, power: float) -> float:
    """The mean in standard errors at which a t-test with n - 1 degrees of freedom has the power."""
    edge = -float(special.stdtrit(n - 1, level / 2))

    def missing(mean: float) -> float:
        return float(stats.nct.sf(edge, n - 1, mean)) - power  # the other tail adds less than the level's thousandth

    return float(optimize.brentq(missing, 0.0, 2 * edge + 5))


@cache
def _flipped_noncentrality(n: int, level: float, power: float) -> float:
    """The same where the sign-flip test of n normal values has to find the mean too, counted in experiments that are
    always the same ones. Raises ValueError where that test cannot fall below the level."""
    if not smallest_p(n) < level:
        raise ValueError(f"a sign-flip test of {n} values cannot fall below {level:g}")
    noise = np.random.default_rng(0).standard_normal((TRIED, n))
    signs = _flip_signs(n)
    edge = -float(special.stdtrit(n - 1, level / 2))

    def missing(mean: float) -> float:
        values = noise + mean / math.sqrt(n)
        sums = values.sum(1)
        ps = (np.abs(values @ signs) >= np.abs(sums)[:, None] * (1 - 1e-12)).mean(1)
        leaves_out_zero = np.abs(sums) / n > edge * values.std(1, ddof=1) / math.sqrt(n)
        return float((leaves_out_zero & (ps < level)).mean()) - power

    least = _noncentrality(n, level, power)
    return float(optimize.brentq(missing, 0.5 * least, 4 * least + 5, xtol=1e-3))


def _flip_signs(n: int) -> NDArray[np.float64]:
    """Every choice of signs of n numbers but for its mirror image [n, 2^(n - 1)]."""
    bits = np.arange(2 ** (n - 1))[None, :] >> np.arange(n)[:, None] & 1
    return (1 - 2 * bits).astype(np.float64)


def rank(lows: Sequence[float], highs: Sequence[float]) -> list[tuple[int, int]]:
    """The best and the worst place that each of some intervals can have, lowest first; those that overlap tie.

    The best is one behind all that lie wholly below it, the worst one before all that lie wholly above.
    """
    low, high = np.asarray(lows, dtype=float), np.asarray(highs, dtype=float)
    below, above = high[None, :] < low[:, None], low[None, :] > high[:, None]  # [own, other]
    worst = len(low) - above.sum(1)
    return [(int(1 + one), int(other)) for one, other in zip(below.sum(1), worst, strict=True)]
