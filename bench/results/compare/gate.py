"""The gate of `bench compare --fail-on-regression`: whether an arm got worse by more than a margin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bench.engine.metric_definitions import METRICS
from bench.results.compare.unpaired_difference import Difference
from bench.results.statistics.significance_tests import LEVEL
from bench.results.statistics.verdicts import NO_VERDICT, SAME, TEST_TEXT_ONLY, WORSE

REGRESSION, HELD, UNSURE, UNKNOWN = "regression", "held", "cannot tell", "not compared"


@dataclass(frozen=True)
class Margin:
    """How much a bound may grow: an absolute difference, or a share of the baseline's bound."""

    size: float
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> "Margin":
        """Parse a margin such as 0.5% or 0.01.

        Raises ValueError if it is negative, infinite or no number, or a share of 100 % or more.
        """
        is_share = text.strip().endswith("%")
        try:
            size = float(text.strip().removesuffix("%"))
        except ValueError:
            size = math.nan
        if not (math.isfinite(size) and size >= 0):
            raise ValueError(f'"{text}" is no margin; give a share such as 0.5% or a difference such as 0.01')
        if is_share and size >= 100:
            raise ValueError(f'"{text}" allows a bound to double, so that no gate fails; give a share such as 0.5%')
        return cls(size / 100 if is_share else size, is_share)

    def of(self, baseline: float) -> float:
        """The margin in the unit of the baseline's bound."""
        return self.size * abs(baseline) if self.is_share else self.size


def refuse_margin(differences: Sequence[Difference], margin: Margin) -> str:
    """Why a margin makes no gate: it is as large as the bound that it is a margin of; "" if it is not."""
    for difference in differences:
        if difference.seeds and margin.of(difference.base) >= abs(difference.base) > 0:
            unit = METRICS[difference.metric].subtitle
            advice = f"did you mean {margin.size:g}%?" if margin.size < 100 else "give a share such as 0.5%"
            return (
                f"the margin of {margin.size:g} {unit} is not below A's bound itself ({difference.base:.4g} {unit},"
                f" {difference.arm}), so that no gate fails; {advice}"
            )
    return ""


def describe_margin(differences: Sequence[Difference], margin: Margin) -> str:
    """A margin in the unit of the bounds, and as a share of A: "0.01 bits per character (0.5 % of A)"."""
    bases = [abs(difference.base) for difference in differences if difference.seeds]
    if not bases:
        return f"{100 * margin.size:.4g} % of A" if margin.is_share else f"{margin.size:.4g}"
    unit = METRICS[differences[0].metric].subtitle
    if margin.is_share:
        sizes = [f"{margin.of(base):.4g}" for base in (min(bases), max(bases))]
        return f"{100 * margin.size:.4g} % of A = {' to '.join(dict.fromkeys(sizes))} {unit}"
    shares = [f"{100 * margin.size / base:.2g}" for base in (max(bases), min(bases)) if base]
    return f"{margin.size:.4g} {unit}" + (f" ({' to '.join(dict.fromkeys(shares))} % of A)" if shares else "")


def decide(difference: Difference, margin: Margin) -> str:
    """Whether an arm is a regression.

    It is one if its verdict, corrected for all arms, is "worse" and its whole interval lies above the margin. It held
    if the interval lies below the margin. Otherwise the gate cannot tell, and does not fail: a gate that fails by
    chance gets switched off. One seed has no verdict; its test text decides, and `describe_decision` says so.
    """
    if not difference.seeds:
        return UNKNOWN

    limit = margin.of(difference.base)
    if difference.verdict == SAME or difference.high <= limit:
        return HELD
    is_worse = difference.verdict == WORSE or (difference.verdict == NO_VERDICT and difference.p < LEVEL)
    return REGRESSION if is_worse and difference.low > limit else UNSURE


def describe_decision(difference: Difference, margin: Margin) -> str:
    """The decision in words: "held", or "held (test text only)" if it rests on one seed."""
    decision = decide(difference, margin)
    return f"{decision} ({TEST_TEXT_ONLY})" if difference.verdict == NO_VERDICT else decision
