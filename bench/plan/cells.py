"""Cells: what a suite amounts to, one training each with the stages that follow it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.engine.model.settings import NetworkSpec
from bench.engine.train.settings import Budget, Training
from bench.suite.suite import Suite

Role = Literal["arm", "scorer", "control"]


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


# in the order in which they are done
STAGES = ("train", "bound", "estimate", "samples", "trajectories", "quality", "controls")


def folder_of(runs: Path, cell: Cell) -> Path:
    """The folder of a cell."""
    return runs / "cells" / cell.id


def merged(cells: tuple[Cell, ...]) -> list[Cell]:
    """Each cell once, with all stages that arms of the same science ask of it."""
    whole: dict[str, Cell] = {}
    for cell in cells:
        before = whole.get(cell.id)
        stages = {stage.id: stage for known in (before, cell) if known for stage in known.stages}
        ordered = sorted(stages.values(), key=lambda stage: STAGES.index(stage.name))
        whole[cell.id] = replace(before or cell, stages=tuple(ordered))
    return list(whole.values())
