"""What a suite promises its arms of training, how far they are matched in it, and whether they got it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.plan.plan import Cell, Plan

Promise = dict[str, list[float]]  # by unit what is due, and by how much a training may miss it

UNITS = {"steps": "steps", "tokens": "tokens", "flops": "FLOPs of training"}


class BrokenPromise(RuntimeError):
    """A training was not what the suite promised."""


def promise(cell: "Cell") -> Promise:
    """What a training owes: its steps and tokens to the last one, and FLOPs, where those are the budget, within half a
    step of what the suite says; within a whole one where the budget is less than that. Control texts have no training.
    """
    due: Promise = {"steps": [cell.steps, 0], "tokens": [cell.tokens, 0]}
    if cell.budget.flops is not None and cell.role != "control":
        one = cell.flops / cell.steps
        due["flops"] = [cell.budget.flops, one if cell.steps == 1 else 0.5 * one]
    return due


def keep(due: Mapping[str, list[float]], counted: Mapping[str, float]) -> None:
    """Raises BrokenPromise where what was counted in training is not what was due."""
    for unit, (promised, leeway) in due.items():
        if abs(counted[unit] - promised) > leeway * (1 + 1e-9):  # FLOPs are sums of floats
            told = (
                f"{write(counted[unit], unit)} {UNITS[unit]} were counted where {write(promised, unit)} were promised"
            )
            way = "remove the folder of this training to train again"
            raise BrokenPromise(f"budget: {told}{f' within {leeway:.3g}' if leeway else ''}; {way}")


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


def write(amount: float, unit: str) -> str:
    """So many of a unit."""
    return f"{amount:.3g}" if unit == "flops" else f"{amount:,.0f}"
