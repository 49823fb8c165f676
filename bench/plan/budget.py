"""Budgets: how much training an arm gets, what its cell owes, and whether it got it."""

from collections.abc import Mapping
from typing import NamedTuple

from bench.engine.flops import FlopCounter
from bench.engine.model.method_instances import method_instance
from bench.engine.train.settings import Budget
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite, SuiteError

UNITS = {"steps": "steps", "tokens": "tokens", "flops": "FLOPs of training"}


class Amount(NamedTuple):
    """The size of a training run, in whole steps."""

    steps: int
    tokens: int
    flops: float  # by the closed form of bench/engine/flops.py, without validations


class BudgetMissed(RuntimeError):
    """A training run used another amount than its budget."""


def training_amount(suite: Suite, arm: ArmSpec) -> Amount:
    """The budget of an arm in whole steps, each at the arm's own cost.

    Raises SuiteError for a budget in FLOPs if accumulation makes a step more expensive: the budget would then depend
    on how training is executed.
    """
    spec, training, budget = suite.spec, suite.spec.training_of(arm), suite.spec.budget_of(arm)
    method = method_instance(arm.method, suite.facts.vocab_size, arm.options)
    price = FlopCounter(method, spec.network_of(arm).shape(), spec.data.length)
    parts, tokens = spec.execution.accumulate, training.batch_size * spec.data.length
    flops = price.training_step(training.batch_size, parts)

    if budget.flops is not None and flops != price.training_step(training.batch_size, 1):
        problem = f"execution.accumulate {parts} makes a step of {training.batch_size} sequences more expensive"
        reason = "because each part has ends of its own"
        raise SuiteError(
            f"{suite.name}: arm {arm.label}: {problem}, {reason}; accumulate fewer parts, or give a budget in tokens"
        )

    steps = budget.in_steps(tokens, flops)
    return Amount(steps=steps, tokens=steps * tokens, flops=steps * flops)


def budget_due(amount: Amount, budget: Budget) -> dict[str, tuple[float, float]]:
    """The training that a cell owes, by unit: the amount and its tolerance.

    Steps and tokens are owed exactly. FLOPs, if they are the budget, are owed within half a step, or within one step
    if the budget is less than that.
    """
    due: dict[str, tuple[float, float]] = {"steps": (amount.steps, 0), "tokens": (amount.tokens, 0)}
    if budget.flops is not None:
        step = amount.flops / amount.steps
        due["flops"] = (budget.flops, step if amount.steps == 1 else 0.5 * step)
    return due


def check_budget(due: Mapping[str, tuple[float, float]], counted: Mapping[str, float]) -> None:
    """Raise BudgetMissed if training counted another amount than was due, in any unit that was counted."""
    for unit, (amount, tolerance) in due.items():
        if unit not in counted or abs(counted[unit] - amount) <= tolerance * (1 + 1e-9):  # FLOPs are sums of floats
            continue
        within = f" within {tolerance:.3g}" if tolerance else ""
        raise BudgetMissed(
            f"budget: training counted {format_amount(counted[unit], unit)} {UNITS[unit]} instead of "
            f"{format_amount(amount, unit)}{within}; remove the folder of this training run to train again"
        )


def format_amount(amount: float, unit: str) -> str:
    """An amount of training for people."""
    return f"{amount:.3g}" if unit == "flops" else f"{amount:,.0f}"
