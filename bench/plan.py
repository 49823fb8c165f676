"""From a suite to its cells: which trainings and which stages on top of them, under ids made from their science."""

import hashlib
import json
from dataclasses import dataclass, fields
from typing import Any

from bench.block import Block
from bench.network import Shape
from bench.suite import Suite
from methods import PLUGINS, describe

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
    """One arm with one seed: a training and the stages that follow it."""

    id: str
    arm: str
    method: str
    options: dict[str, Any]
    seed: int
    steps: int
    tokens: int
    stages: tuple[Stage, ...]
    science: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, arm by arm in the suite's order."""

    suite: Suite
    cells: tuple[Cell, ...]


def plan(suite: Suite) -> Plan:
    """The cells of a suite; a pure function of it. Two labels with the same science get the same id."""
    return Plan(
        suite, tuple(_cell(suite, index, seed) for index in range(len(suite.spec.arms)) for seed in suite.spec.seeds)
    )


def _cell(suite: Suite, index: int, seed: int) -> Cell:
    spec, arm = suite.spec, suite.spec.arms[index]
    tokens_per_step = spec.training.batch_size * spec.data.length
    steps = spec.budget.in_steps(tokens_per_step)
    science = {
        "format": FORMAT,
        "method": arm.method,
        "options": describe(arm.method, arm.options),
        "data": {"source": spec.data.source, "length": spec.data.length, "fingerprint": suite.facts.fingerprint},
        "network": departures(spec.network.shape()),
        "training": spec.training.science(),
        "steps": steps,
        "seed": seed,
    }
    plugin = PLUGINS.get(arm.method)
    if plugin:
        science["plugin"] = plugin.code
    id = digest(science)
    stages, tokens = _stages(suite, arm.label, id), steps * tokens_per_step
    return Cell(id, arm.label, arm.method, arm.options, seed, steps, tokens, stages, science)


def _stages(suite: Suite, arm: str, id: str) -> tuple[Stage, ...]:
    evaluation = suite.spec.evaluation
    blocks: list[tuple[str, Block]] = [("bound", evaluation.bound)]
    blocks += [("samples", block) for block in evaluation.samplers(arm)]
    later = [
        Stage(name, digest({"train": id, name: block.science()}), block.model_dump(mode="json"))
        for name, block in blocks
    ]
    return (Stage("train", id, {}), *{stage.id: stage for stage in later}.values())


def departures(shape: Shape) -> dict[str, Any]:
    """The sizes that have no default or differ from it."""
    return {each.name: getattr(shape, each.name) for each in fields(shape) if getattr(shape, each.name) != each.default}


def digest(science: dict[str, Any]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of canonical JSON."""
    canonical = json.dumps(science, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
