"""From a suite to its cells: which trainings and which stages on top of them, under ids made from their science."""

from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from bench.engine.flops import Price
from bench.engine.model.method_instances import built, described
from bench.engine.model.network import Shape
from bench.engine.quality.scorers import Trained, TrainedCell
from bench.engine.quality.settings import QualitySpec
from bench.engine.settings import Block
from bench.engine.storage import digest
from bench.suite.settings import ArmSpec, Budget, NetworkSpec, Training
from bench.suite.suite import Suite, SuiteError
from methods import PLUGINS

Role = Literal["arm", "scorer", "control"]
Judging = tuple[dict[str, Any], dict[str, Any]]  # science and settings of the stages that measure quality

FORMAT = 1  # raised when equal words come to mean other science


@dataclass(frozen=True)
class Stage:
    """One thing that is done to a cell: its training, its bound, its samples."""

    name: str
    id: str  # of everything that its numbers depend on
    block: dict[str, Any]  # the stage's own settings, all of them

    @property
    def folder(self) -> str:
        """Its folder inside that of the cell."""
        return self.name if self.name == "train" else f"{self.name}-{self.id}"


class Amount(NamedTuple):
    """How much a training is, in whole steps."""

    steps: int
    tokens: int
    flops: float  # by the closed form of bench/engine/flops.py, without validations


@dataclass(frozen=True)
class Cell:
    """One arm with one seed: a training and the stages that follow it; or what its texts are judged by."""

    id: str
    arm: str
    method: str
    options: dict[str, Any]
    seed: int
    amount: Amount
    stages: tuple[Stage, ...]
    science: dict[str, Any]
    network: NetworkSpec
    training: Training
    budget: Budget
    role: Role = "arm"
    base: str | None = None  # the label of the arm against which its deltas are taken; not hashed

    @property
    def steps(self) -> int:
        """Of training; so the two below."""
        return self.amount.steps

    @property
    def tokens(self) -> int:
        return self.amount.tokens

    @property
    def flops(self) -> float:
        return self.amount.flops


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, arm by arm in the suite's order, and those that it needs to judge their texts."""

    suite: Suite
    cells: tuple[Cell, ...]
    judges: tuple[Cell, ...] = ()  # the suite's own scorer and the control texts

    @property
    def all(self) -> tuple[Cell, ...]:
        """Every cell, in the order in which they are run."""
        return (*self.judges, *self.cells)


def plan(suite: Suite) -> Plan:
    """The cells of a suite; a pure function of it. Two labels with the same science get the same id."""
    judges = plan_judges(suite)
    judging = _judging(suite, judges)
    arms = tuple(_cell(suite, arm, seed, judging) for arm in suite.spec.arms for seed in suite.spec.seeds)
    _check_scorer(suite, arms)
    return Plan(suite, arms, judges)


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


def _cell(suite: Suite, arm: ArmSpec, seed: int, judging: Judging | None) -> Cell:
    amount, science = _science(suite, arm, seed, {})
    id = digest(science)
    stages = _stages(suite, arm, id, judging)
    own = (suite.spec.network_of(arm), suite.spec.training_of(arm), suite.spec.budget_of(arm))
    return Cell(id, arm.label, arm.method, arm.options, seed, amount, stages, science, *own, base=arm.base)


def _data(suite: Suite) -> dict[str, Any]:
    data = suite.spec.data
    return {"source": data.source, "length": data.length, "fingerprint": suite.facts.fingerprint}


def amount(suite: Suite, arm: ArmSpec) -> Amount:
    """What the budget of an arm is in whole steps, each at the arm's own price.

    Raises SuiteError on a budget in FLOPs where a step would cost more for being done in parts: how a training is
    carried out is not to decide how long it is.
    """
    spec, training, budget = suite.spec, suite.spec.training_of(arm), suite.spec.budget_of(arm)
    method = built(arm.method, suite.facts.vocab_size, arm.options)
    price = Price(method, spec.network_of(arm).shape(), spec.data.length)
    parts, tokens = spec.execution.accumulate, training.batch_size * spec.data.length
    flops = price.step(training.batch_size, parts)
    if budget.flops is not None and flops != price.step(training.batch_size, 1):
        why = f"arm {arm.label}: execution.accumulate {parts} makes a step of {training.batch_size} sequences dearer"
        way = "as each part has ends of its own; take fewer parts, or a budget in tokens"
        raise SuiteError(f"{suite.name}: {why}, {way}")
    steps = budget.in_steps(tokens, flops)
    return Amount(steps, steps * tokens, steps * flops)


def _science(suite: Suite, arm: ArmSpec, seed: int, part: dict[str, str]) -> tuple[Amount, dict[str, Any]]:
    """How much a training is, and all that it is; `part` says which of the data where that is not all."""
    trained = amount(suite, arm)
    science = {
        "format": FORMAT,
        "method": arm.method,
        "options": described(arm.method, arm.options),
        "data": {**_data(suite), **part},
        "network": departures(suite.spec.network_of(arm).shape()),
        "training": suite.spec.training_of(arm).science(),
        "steps": trained.steps,
        "seed": seed,
    }
    plugin = PLUGINS.get(arm.method)
    if plugin:
        science["plugin"] = plugin.code
    return trained, science


def _stages(suite: Suite, arm: ArmSpec, id: str, judging: Judging | None) -> tuple[Stage, ...]:
    """What is done to a cell: whatever judges its texts comes last, so that its failure costs nothing."""
    evaluation = suite.spec.evaluation
    method = built(arm.method, suite.facts.vocab_size, arm.options)
    headline, *others = evaluation.bounds(arm.label, method)
    blocks: list[tuple[str, Block]] = [("bound", headline), *(("estimate", each) for each in others)]
    causal = method.needs.causal
    for name, ways in (("samples", evaluation.samplers(arm.label)), ("trajectories", evaluation.watched(arm.label))):
        blocks += [(name, way.for_causal() if causal else way) for way in ways]
    later = {
        stage.id: stage for stage in (_later(name, id, b.science(), b.model_dump(mode="json")) for name, b in blocks)
    }
    judged: list[Stage] = []
    if judging is not None:
        science, how = judging
        for stage in [stage for stage in later.values() if stage.name == "samples"]:
            block = {"samples": stage.folder, "way": stage.block, **how}
            judged.append(_later("quality", stage.id, science, block))
    return (Stage("train", id, {}), *later.values(), *judged)


def _later(name: str, after: str, science: dict[str, Any], block: dict[str, Any]) -> Stage:
    """A stage on top of another one."""
    return Stage(name, digest({"train": after, name: science}), block)


def departures(shape: Shape) -> dict[str, Any]:
    """The sizes that have no default or differ from it."""
    return {each.name: getattr(shape, each.name) for each in fields(shape) if getattr(shape, each.name) != each.default}
