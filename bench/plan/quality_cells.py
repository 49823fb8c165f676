"""The cells that texts are judged by: the suite's own scorer and the control texts."""

from typing import Any

from bench.engine.quality.scorers import Trained, TrainedCell
from bench.engine.quality.settings import QualitySpec
from bench.engine.storage import digest
from bench.engine.train.settings import Budget
from bench.plan.budget import amount
from bench.plan.cells import Amount, Cell, Stage
from bench.plan.identity import _data, _later, _science
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite, SuiteError

Judging = tuple[dict[str, Any], dict[str, Any]]  # science and settings of the stages that measure quality


def _check_scorer(suite: Suite, arms: tuple[Cell, ...]) -> None:
    """Raises SuiteError where an arm would be judged by itself or by another one."""
    quality = suite.spec.evaluation.quality
    if quality is None or not isinstance(quality.scorer, TrainedCell):
        return
    id = quality.scorer.identity(suite.base)["cell"]
    judged = next((cell for cell in arms if cell.id == id), None)
    if judged is not None:
        why = f"evaluation.quality.scorer: cell {id} is arm {judged.arm} with seed {judged.seed} of this very suite"
        raise SuiteError(f"{suite.name}: {why}; name a scorer that is no arm")


def plan_judges(suite: Suite) -> tuple[Cell, ...]:
    """The suite's own scorer, where it has one, and the texts that no arm has written."""
    quality = suite.spec.evaluation.quality
    if quality is None:
        return ()
    scorer = _scorer(suite, quality.scorer) if isinstance(quality.scorer, Trained) else None
    judges = () if scorer is None else (scorer,)
    length = suite.spec.data.length
    shapes = dict.fromkeys((each.count, each.length or length) for each in suite.spec.evaluation.samples)
    return (*judges, *(_controls(suite, quality, judges, *shape) for shape in shapes))


def _scorer(suite: Suite, spec: Trained) -> Cell:
    """An autoregressive cell on what the data reserve for it; it is evaluated as the arms are."""
    budget = None if spec.steps is None else Budget(steps=spec.steps)
    arm, role = ArmSpec(label="scorer", method="ar", budget=budget), {"part": "reserve"}
    amount, science = _science(suite, arm, spec.seed, role)
    id, bound = digest(science), suite.spec.evaluation.bound[0].model_copy(update={"estimator": "auto", "arms": None})
    stages = (Stage("train", id, {}), _later("bound", id, bound.science(), bound.model_dump(mode="json")))
    own = (suite.spec.network, suite.spec.training, suite.spec.budget_of(arm))
    return Cell(id, arm.label, arm.method, {}, spec.seed, amount, stages, science, *own, "scorer")


def _controls(suite: Suite, quality: QualitySpec, judges: tuple[Cell, ...], count: int, length: int) -> Cell:
    """As many texts as arms write, and as long: most metrics depend on both."""
    shape = {"count": count, "length": length}
    science = {"data": _data(suite), "quality": appraisal(suite, quality, judges), **shape}
    id = digest(science)
    block = {**shape, **_judged_by(suite, quality, judges)}
    stage = Stage("controls", id, block)
    own = (suite.spec.network, suite.spec.training, suite.spec.budget)
    return Cell(id, "controls", "", {}, quality.seed, Amount(0, 0, 0.0), (stage,), science, *own, "control")


def appraisal(suite: Suite, quality: QualitySpec, judges: tuple[Cell, ...]) -> dict[str, Any]:
    """All that the numbers of quality depend on beside the texts and the data."""
    science = quality.science()
    if quality.scorer is not None:
        trained = [cell.id for cell in judges if cell.role == "scorer"]
        science["scorer"] = quality.scorer.identity(suite.base) | ({"cells": trained} if trained else {})
    return science


def _judged_by(suite: Suite, quality: QualitySpec, judges: tuple[Cell, ...]) -> dict[str, Any]:
    """What a worker needs to know to measure quality."""
    scorer = next((cell.id for cell in judges if cell.role == "scorer"), None)
    steps = amount(suite, ArmSpec(label="scorer", method="ar")).steps
    return {"quality": quality.model_dump(mode="json"), "scorer": scorer, "steps": steps}


def _judging(suite: Suite, judges: tuple[Cell, ...]) -> Judging | None:
    """The science and the settings of every stage that measures quality."""
    quality = suite.spec.evaluation.quality
    return None if quality is None else (appraisal(suite, quality, judges), _judged_by(suite, quality, judges))
