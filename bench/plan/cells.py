"""Cells: what a suite amounts to, one training run each with the stages that follow it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.engine import storage
from bench.engine.environment import Execution
from bench.engine.model.settings import NetworkSpec
from bench.engine.records import RESULTS, Role, Stage
from bench.engine.train.settings import Budget, Training
from bench.plan.budget import Amount
from bench.suite.suite import Suite


@dataclass(frozen=True)
class Cell:
    """One arm with one seed: a training run and the stages that follow it; or what samples are judged by."""

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
    execution: Execution  # not hashed, but for a precision that the arm names
    role: Role = "arm"
    base: str | None = None  # label of the arm that it is compared with; not hashed

    @property
    def steps(self) -> int:
        """Steps of training."""
        return self.amount.steps

    @property
    def tokens(self) -> int:
        """Tokens of training."""
        return self.amount.tokens

    @property
    def flops(self) -> float:
        """FLOPs of training."""
        return self.amount.flops


@dataclass(frozen=True)
class Plan:
    """All cells of a suite, arm by arm in the suite's order, and those that its samples are judged by."""

    suite: Suite
    cells: tuple[Cell, ...]
    quality_cells: tuple[Cell, ...] = ()  # the suite's own scorer and the control texts

    @property
    def all(self) -> tuple[Cell, ...]:
        """Every cell, in the order in which they run."""
        return (*self.quality_cells, *self.cells)


def folder_of(runs: Path, cell: Cell) -> Path:
    """The folder of a cell."""
    return storage.cell_folder(runs, cell.id)


def merge_stages(cells: tuple[Cell, ...]) -> list[Cell]:
    """Each cell once, with all stages that arms of the same science ask for, in the order in which they run."""
    order = list(RESULTS)
    distinct: dict[str, Cell] = {}
    for cell in cells:
        first = distinct.get(cell.id, cell)
        stages = {stage.id: stage for stage in (*first.stages, *cell.stages)}
        ordered = sorted(stages.values(), key=lambda stage: order.index(stage.name))
        distinct[cell.id] = replace(first, stages=tuple(ordered))
    return list(distinct.values())
