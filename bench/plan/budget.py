"""What a suite promises its arms of training, how far they are matched in it, and whether they got it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from bench.engine.flops import FlopCounter
from bench.engine.model.method_instances import method_instance
from bench.plan.cells import Amount
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite, SuiteError

if TYPE_CHECKING:
    from bench.plan.cells import Cell

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


def write(amount: float, unit: str) -> str:
    """So many of a unit."""
    return f"{amount:.3g}" if unit == "flops" else f"{amount:,.0f}"


def amount(suite: Suite, arm: ArmSpec) -> Amount:
    """What the budget of an arm is in whole steps, each at the arm's own price.

    Raises SuiteError on a budget in FLOPs where a step would cost more for being done in parts: how a training is
    carried out is not to decide how long it is.
    """
    spec, training, budget = suite.spec, suite.spec.training_of(arm), suite.spec.budget_of(arm)
    method = method_instance(arm.method, suite.facts.vocab_size, arm.options)
    price = FlopCounter(method, spec.network_of(arm).shape(), spec.data.length)
    parts, tokens = spec.execution.accumulate, training.batch_size * spec.data.length
    flops = price.step(training.batch_size, parts)
    if budget.flops is not None and flops != price.step(training.batch_size, 1):
        why = f"arm {arm.label}: execution.accumulate {parts} makes a step of {training.batch_size} sequences dearer"
        way = "as each part has ends of its own; take fewer parts, or a budget in tokens"
        raise SuiteError(f"{suite.name}: {why}, {way}")
    steps = budget.in_steps(tokens, flops)
    return Amount(steps, steps * tokens, steps * flops)
