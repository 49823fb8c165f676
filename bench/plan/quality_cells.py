"""The cells that samples are judged by: the suite's own scorer and the control texts."""

from typing import Any, NamedTuple

from bench.engine.quality.scorers import Trained, TrainedCell
from bench.engine.quality.settings import QualitySpec
from bench.engine.records import Stage
from bench.engine.storage import digest
from bench.engine.train.settings import Budget
from bench.plan.budget import Amount, training_amount
from bench.plan.cell_ids import data_identity, stage_after, training_identity
from bench.plan.cells import Cell
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite, SuiteError

SCORER = "scorer"  # the label of the suite's own scorer


class QualityIdentity(NamedTuple):
    """How every stage that measures quality is identified and set up."""

    science: dict[str, Any]
    settings: dict[str, Any]


def plan_quality_cells(suite: Suite) -> tuple[Cell, ...]:
    """The suite's own scorer, if it has one, and control texts of each shape that samples have."""
    quality = suite.spec.evaluation.quality
    if quality is None:
        return ()

    scorers = (plan_scorer(suite, quality.scorer),) if isinstance(quality.scorer, Trained) else ()
    length = suite.spec.data.length
    shapes = dict.fromkeys((samples.count, samples.length or length) for samples in suite.spec.evaluation.samples)
    return (*scorers, *(plan_controls(suite, quality, scorers, count, tokens) for count, tokens in shapes))


def plan_scorer(suite: Suite, scorer: Trained) -> Cell:
    """An autoregressive cell on the reserved data; its bound is evaluated as the arms' is."""
    budget = None if scorer.steps is None else Budget(steps=scorer.steps)
    arm = ArmSpec(label=SCORER, method="ar", budget=budget)
    amount, science = training_identity(suite, arm, scorer.seed, {"part": "reserve"})
    id = digest(science)
    bound = suite.spec.evaluation.bound[0].model_copy(update={"estimator": "auto", "arms": None})
    stages = (
        Stage(name="train", id=id),
        stage_after(id, "bound", bound.science(), bound.model_dump(mode="json")),
    )
    return Cell(
        id=id,
        arm=arm.label,
        method=arm.method,
        options={},
        seed=scorer.seed,
        amount=amount,
        stages=stages,
        science=science,
        network=suite.spec.network,
        training=suite.spec.training,
        budget=suite.spec.budget_of(arm),
        execution=suite.spec.execution,
        role="scorer",
    )


def plan_controls(suite: Suite, quality: QualitySpec, scorers: tuple[Cell, ...], count: int, length: int) -> Cell:
    """Control texts, as many and as long as samples: most metrics depend on both."""
    shape = {"count": count, "length": length}
    identity = quality_identity(suite, quality, scorers)
    science = {"data": data_identity(suite), "quality": identity.science, **shape}
    id = digest(science)
    return Cell(
        id=id,
        arm="controls",
        method="",
        options={},
        seed=quality.seed,
        amount=Amount(steps=0, tokens=0, flops=0.0),
        stages=(Stage(name="controls", id=id, settings={**shape, **identity.settings}),),
        science=science,
        network=suite.spec.network,
        training=suite.spec.training,
        budget=suite.spec.budget,
        execution=suite.spec.execution,
        role="control",
    )


def quality_identity(suite: Suite, quality: QualitySpec, quality_cells: tuple[Cell, ...]) -> QualityIdentity:
    """What quality metrics depend on besides samples and data, and what a worker needs to measure them."""
    scorers = [cell.id for cell in quality_cells if cell.role == "scorer"]
    science = quality.science()
    if quality.scorer is not None:
        science["scorer"] = quality.scorer.identity(suite.base) | ({"cells": scorers} if scorers else {})

    settings = {
        "quality": quality.model_dump(mode="json"),
        "scorer": scorers[0] if scorers else None,
        "steps": training_amount(suite, ArmSpec(label=SCORER, method="ar")).steps,
    }
    return QualityIdentity(science=science, settings=settings)


def check_scorer(suite: Suite, arms: tuple[Cell, ...]) -> None:
    """Raise SuiteError if the scorer of the suite is one of its arms."""
    quality = suite.spec.evaluation.quality
    if quality is None or not isinstance(quality.scorer, TrainedCell):
        return

    id = quality.scorer.identity(suite.base)["cell"]
    judged = next((cell for cell in arms if cell.id == id), None)
    if judged is not None:
        problem = f"evaluation.quality.scorer: cell {id} is arm {judged.arm} with seed {judged.seed} of this suite"
        raise SuiteError(f"{suite.name}: {problem}; name a scorer that is no arm")
