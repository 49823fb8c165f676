"""From a suite to its cells: which trainings and which stages on top of them, under ids made from their science."""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any, Literal

from bench.block import Block
from bench.network import Shape
from bench.quality.spec import QualitySpec
from bench.scorers import Trained
from bench.spec import ArmSpec, Budget
from bench.suite import Suite
from methods import PLUGINS, build, describe

Role = Literal["arm", "scorer", "control"]

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


@dataclass(frozen=True)
class Cell:
    """One arm with one seed: a training and the stages that follow it; or what its texts are judged by."""

    id: str
    arm: str
    method: str
    options: dict[str, Any]
    seed: int
    steps: int
    tokens: int
    stages: tuple[Stage, ...]
    science: dict[str, Any]
    role: Role = "arm"


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
    arms = tuple(_cell(suite, arm, seed, judges) for arm in suite.spec.arms for seed in suite.spec.seeds)
    return Plan(suite, arms, judges)


def plan_judges(suite: Suite) -> tuple[Cell, ...]:
    """The suite's own scorer, where it has one, and the texts that no arm has written."""
    quality = suite.spec.evaluation.quality
    if quality is None:
        return ()
    scorer = _scorer(suite, quality.scorer) if isinstance(quality.scorer, Trained) else None
    judges = () if scorer is None else (scorer,)
    return (*judges, _controls(suite, quality, judges))


def _scorer(suite: Suite, spec: Trained) -> Cell:
    """An autoregressive cell on what the data reserve for it; it is evaluated as the arms are."""
    budget = suite.spec.budget if spec.steps is None else Budget(steps=spec.steps)
    arm, role = ArmSpec(label="scorer", method="ar"), {"part": "reserve"}
    steps, tokens, science = _science(suite, arm, spec.seed, budget, role)
    id, bound = digest(science), suite.spec.evaluation.bound
    stages = (Stage("train", id, {}), _later("bound", id, bound.science(), bound.model_dump(mode="json")))
    return Cell(id, arm.label, arm.method, {}, spec.seed, steps, tokens, stages, science, "scorer")


def _controls(suite: Suite, quality: QualitySpec, judges: tuple[Cell, ...]) -> Cell:
    """As many texts as the arms write at most, of the length of training."""
    count = max(each.count for each in suite.spec.evaluation.samples)
    science = {"data": _data(suite), "quality": appraisal(suite, quality, judges), "count": count}
    id = digest(science)
    block = {"count": count, **_judged_by(suite, quality, judges)}
    stage = Stage("controls", id, block)
    return Cell(id, "controls", "", {}, quality.seed, 0, 0, (stage,), science, "control")


def appraisal(suite: Suite, quality: QualitySpec, judges: tuple[Cell, ...]) -> dict[str, Any]:
    """All that the numbers of quality depend on beside the texts and the data."""
    science = quality.science()
    if quality.scorer is not None:
        science["scorer"] = {**quality.scorer.identity(suite.base), **{cell.role: cell.id for cell in judges}}
    return science


def _judged_by(suite: Suite, quality: QualitySpec, judges: tuple[Cell, ...]) -> dict[str, Any]:
    """What a worker needs to know to measure quality."""
    scorer = next((cell.id for cell in judges if cell.role == "scorer"), None)
    steps = suite.spec.budget.in_steps(suite.spec.training.batch_size * suite.spec.data.length)
    return {"quality": quality.model_dump(mode="json"), "scorer": scorer, "steps": steps}


def _cell(suite: Suite, arm: ArmSpec, seed: int, judges: tuple[Cell, ...]) -> Cell:
    steps, tokens, science = _science(suite, arm, seed, suite.spec.budget, {})
    id = digest(science)
    stages = _stages(suite, arm, id, judges)
    return Cell(id, arm.label, arm.method, arm.options, seed, steps, tokens, stages, science)


def _data(suite: Suite) -> dict[str, Any]:
    data = suite.spec.data
    return {"source": data.source, "length": data.length, "fingerprint": suite.facts.fingerprint}


def _science(
    suite: Suite, arm: ArmSpec, seed: int, budget: Budget, part: dict[str, str]
) -> tuple[int, int, dict[str, Any]]:
    """Steps, tokens, and all that a training is; `part` says which of the data where that is not all."""
    spec = suite.spec
    tokens_per_step = spec.training.batch_size * spec.data.length
    steps = budget.in_steps(tokens_per_step)
    science = {
        "format": FORMAT,
        "method": arm.method,
        "options": describe(arm.method, arm.options),
        "data": {**_data(suite), **part},
        "network": departures(spec.network.shape()),
        "training": spec.training.science(),
        "steps": steps,
        "seed": seed,
    }
    plugin = PLUGINS.get(arm.method)
    if plugin:
        science["plugin"] = plugin.code
    return steps, steps * tokens_per_step, science


def _stages(suite: Suite, arm: ArmSpec, id: str, judges: tuple[Cell, ...]) -> tuple[Stage, ...]:
    """What is done to a cell: whatever judges its texts comes last, so that its failure costs nothing."""
    evaluation, quality = suite.spec.evaluation, suite.spec.evaluation.quality
    blocks: list[tuple[str, Block]] = [("bound", evaluation.bound)]
    causal = build(arm.method, suite.facts.vocab_size, **arm.options).needs.causal
    for name, ways in (("samples", evaluation.samplers(arm.label)), ("trajectories", evaluation.watched(arm.label))):
        blocks += [(name, way.for_causal() if causal else way) for way in ways]
    later = {
        stage.id: stage for stage in (_later(name, id, b.science(), b.model_dump(mode="json")) for name, b in blocks)
    }
    judged: list[Stage] = []
    if quality is not None:
        science, how = appraisal(suite, quality, judges), _judged_by(suite, quality, judges)
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


def digest(science: dict[str, Any]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of canonical JSON."""
    canonical = json.dumps(science, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
