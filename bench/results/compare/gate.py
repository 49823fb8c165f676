"""The gate of `bench compare --fail-on-regression`: whether an arm got worse by more than a margin."""

import math
from dataclasses import dataclass

from bench.results.compare.unpaired_difference import Difference
from bench.results.statistics.verdicts import SAME, WORSE

REGRESSION, HELD, UNSURE, UNKNOWN = "regression", "held", "cannot tell", "not compared"


@dataclass(frozen=True)
class Margin:
    """How much a bound may grow: an absolute difference, or a share of the baseline's bound."""

    size: float
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> "Margin":
        """Parse a margin such as 0.5% or 0.01. Raises ValueError if it is negative, infinite or no number."""
        is_share = text.strip().endswith("%")
        try:
            size = float(text.strip().removesuffix("%"))
        except ValueError:
            size = math.nan
        if not (math.isfinite(size) and size >= 0):
            raise ValueError(f'"{text}" is no margin; give a share such as 0.5% or a difference such as 0.01')
        return cls(size / 100 if is_share else size, is_share)

    def of(self, baseline: float) -> float:
        """The margin in the unit of the baseline's bound."""
        return self.size * abs(baseline) if self.is_share else self.size


def decide(difference: Difference, margin: Margin) -> str:
    """Whether an arm is a regression.

    It is one if its verdict, corrected for all arms, is "worse" and its whole interval lies above the margin. It held
    if the interval lies below the margin. Otherwise the gate cannot tell, and does not fail: a gate that fails by
    chance gets switched off.
    """
    if not difference.seeds:
        return UNKNOWN

    limit = margin.of(difference.base)
    if difference.verdict == SAME or difference.high <= limit:
        return HELD
    return REGRESSION if difference.verdict == WORSE and difference.low > limit else UNSURE
