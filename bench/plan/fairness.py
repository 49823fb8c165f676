"""How far the arms of a plan are matched in what they get."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.plan.budget import UNITS, write

if TYPE_CHECKING:
    from bench.plan.cells import Plan


@dataclass(frozen=True)
class Match:
    """How far the arms without a budget of their own got the same."""

    unit: str  # in which the suite's budget is given
    promised: float
    least: dict[str, float]  # by unit what the arm got that got the least
    most: dict[str, float]
    deviation: float  # the largest, as a share of what is promised; whole steps are not finer
    arm: str  # whose it is
    own: int  # arms that have a budget of their own


def match(plan: "Plan") -> Match | None:
    """How far the arms of a plan are matched; None where all of them have budgets of their own."""
    own = {arm.label for arm in plan.suite.spec.arms if arm.budget is not None}
    first = {cell.arm: cell.amount._asdict() for cell in reversed(plan.cells) if cell.arm not in own}
    if not first:
        return None
    unit, promised = next(iter(plan.suite.spec.budget.model_dump(exclude_none=True).items()))
    off = {arm: abs(got[unit] - promised) / promised for arm, got in reversed(first.items())}
    arm = max(off, key=lambda name: off[name])
    least, most = ({name: ends(got[name] for got in first.values()) for name in UNITS} for ends in (min, max))
    return Match(unit, promised, least, most, off[arm], arm, len(own))


def words(found: Match | None) -> str:
    """The same in a sentence."""
    if found is None:
        return "Every arm has a budget of its own, so that none are matched."
    rounded = f", to {100 * found.deviation:.2g} % by whole steps (the most: {found.arm})" if found.deviation else ""
    spans = (_span(found, unit) for unit in UNITS if unit != found.unit)
    which = "Arms without budgets of their own" if found.own else "Arms"
    return f"{which} are matched in {UNITS[found.unit]}{rounded}; {', '.join(spans)}."


def _span(found: Match, unit: str) -> str:
    least, most = found.least[unit], found.most[unit]
    if least == most:
        return f"all have {write(least, unit)} {UNITS[unit]}"
    return f"{UNITS[unit]} differ, {write(least, unit)} to {write(most, unit)}"
