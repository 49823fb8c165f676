"""When a random figure is too far off: one threshold for all of them, so that right methods are rarely rejected.

A certificate draws at most `COMPARISONS` random figures. Each is rejected at a p-value below `FALSE_ALARMS` /
`COMPARISONS` (Bonferroni's correction), so that a right method fails one of them in less than one certificate of a
hundred, however the figures depend on each other.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scipy import stats
from torch import Tensor

FALSE_ALARMS = 0.01  # of a whole certificate
COMPARISONS = 100  # random figures of a certificate, at most
RATE = FALSE_ALARMS / COMPARISONS  # of a single figure
POWER = 0.9  # with which the smallest visible bias is seen


@dataclass(frozen=True)
class Estimate:
    """An estimated mean, its standard error, and the degrees of freedom of that error."""

    mean: float
    error: float
    freedom: float = float("inf")

    def p_below(self, rounding: float = 0.0) -> float:
        """The probability of a mean this low or lower if the true one is at least 0."""
        return self._p(self.mean + rounding)

    def p_above(self, rounding: float = 0.0) -> float:
        """The probability of a mean this high or higher if the true one is at most 0."""
        return self._p(rounding - self.mean)

    def p_value(self, rounding: float = 0.0) -> float:
        """The probability of a mean this far from 0 if the true one is at most `rounding` from it."""
        return min(1.0, 2 * min(self.p_below(rounding), self.p_above(rounding)))

    @property
    def smallest_visible(self) -> float:
        """The smallest bias that is rejected with probability `POWER`."""
        law = stats.t(self.freedom) if self.freedom < float("inf") else stats.norm
        return float(law.ppf(1 - RATE / 2) + law.ppf(POWER)) * self.error

    def __str__(self) -> str:
        return f"{self.mean:+.4f} ± {self.error:.4f}"

    def _p(self, distance: float) -> float:
        """The lower tail probability of a distance from the null hypothesis."""
        if self.error == 0:
            return float(distance >= 0)
        law = stats.t(self.freedom) if self.freedom < float("inf") else stats.norm
        return float(law.cdf(distance / self.error))


@dataclass(frozen=True)
class GoodnessOfFit:
    """A chi-square of counts under a law, with its degrees of freedom."""

    statistic: float
    freedom: int

    @property
    def p_value(self) -> float:
        """The probability of counts this far from the law, or this close to it; 1 with no degree of freedom."""
        if self.freedom == 0:
            return 1.0
        law = stats.chi2(self.freedom)
        return float(min(1.0, 2 * min(law.sf(self.statistic), law.cdf(self.statistic))))

    @property
    def z_score(self) -> float:
        """The statistic as a normal score (Wilson and Hilferty 1931)."""
        if self.freedom == 0:
            return 0.0
        width = 2 / (9 * self.freedom)
        return ((self.statistic / self.freedom) ** (1 / 3) - (1 - width)) / width**0.5


def estimate_mean(values: Tensor) -> Estimate:
    """The mean of independent values and its standard error."""
    return Estimate(float(values.mean()), float(values.std()) / math.sqrt(len(values)), len(values) - 1)


def combine(p_values: Iterable[float]) -> float:
    """The p-value of the smallest of several independent p-values (Sidak's correction)."""
    values = list(p_values)
    return float(-math.expm1(len(values) * math.log1p(-min(values)))) if min(values) < 1 else 1.0


def poisson_p(count: int, expected: float) -> float:
    """The probability of a Poisson count this far from its mean."""
    law = stats.poisson(expected)
    return float(min(1.0, 2 * min(law.cdf(count), law.sf(count - 1))))


def is_surprising(p_value: float) -> bool:
    """Whether a p-value is too small for a right method."""
    return p_value < RATE
