"""How far the arms of a plan are matched in the training that they get."""

from dataclasses import dataclass

from bench.plan.budget import UNITS, format_amount
from bench.plan.cells import Plan


@dataclass(frozen=True)
class Match:
    """How far the arms without a budget of their own got the same training."""

    unit: str  # of the suite's budget
    promised: float  # the suite's budget
    least: dict[str, float]  # by unit, the smallest amount that an arm got
    most: dict[str, float]  # by unit, the largest
    deviation: float  # the largest, relative to the budget; training is rounded to whole steps
    arm: str  # the arm with that deviation
    own: int  # number of arms with a budget of their own


def match_arms(plan: Plan) -> Match | None:
    """How far the arms of a plan are matched; None if every arm has a budget of its own."""
    exempt = {arm.label for arm in plan.suite.spec.arms if arm.budget is not None}
    amounts: dict[str, dict[str, float]] = {}
    for cell in plan.cells:
        if cell.arm not in exempt:
            amounts.setdefault(cell.arm, cell.amount._asdict())
    if not amounts:
        return None

    unit, budget = next(iter(plan.suite.spec.budget.model_dump(exclude_none=True).items()))
    deviations = {arm: abs(amount[unit] - budget) / budget for arm, amount in amounts.items()}
    arm = max(deviations, key=lambda label: deviations[label])
    return Match(
        unit=unit,
        promised=budget,
        least={name: min(amount[name] for amount in amounts.values()) for name in UNITS},
        most={name: max(amount[name] for amount in amounts.values()) for name in UNITS},
        deviation=deviations[arm],
        arm=arm,
        own=len(exempt),
    )


def describe_match(match: Match | None) -> str:
    """The match in a sentence."""
    if match is None:
        return "Every arm has a budget of its own, so no arms are matched."

    deviation = f"{100 * match.deviation:.2g} %"
    rounding = f" to within {deviation}, by whole steps (largest deviation: {match.arm})" if match.deviation else ""
    spans = ", ".join(_describe_span(match, unit) for unit in UNITS if unit != match.unit)
    arms = "Arms without a budget of their own" if match.own else "Arms"
    return f"{arms} are matched in {UNITS[match.unit]}{rounding}; {spans}."


def _describe_span(match: Match, unit: str) -> str:
    least, most = match.least[unit], match.most[unit]
    if least == most:
        return f"all have {format_amount(least, unit)} {UNITS[unit]}"
    return f"{UNITS[unit]} differ, {format_amount(least, unit)} to {format_amount(most, unit)}"
