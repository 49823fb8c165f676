"""What a plan would do: each cell with the state of its stages and their cost, and what the suite excludes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bench import cell as record
from bench.code import code_fingerprint, with_stage, written_in
from bench.flops import costs
from bench.plan import Cell, Plan
from bench.run import folder_of
from bench.variations import Refused

SUSTAINED = {  # FLOPs a second over a whole run: an assumption, for a first idea of how long it takes
    "cuda": (100e12, "100 TFLOP/s, one GPU in bfloat16"),
    "cpu": (0.05e12, "0.05 TFLOP/s, two CPU cores"),
}
THERE = ("cached", "stale")  # states of stages that a run leaves as they are


@dataclass(frozen=True)
class Step:
    """A stage of a cell: what is there of it, and what it costs."""

    name: str
    id: str
    state: str  # "cached", "to run", "running", "failed", or "stale": made by other code
    reason: str  # of a failure
    flops: float


@dataclass(frozen=True)
class Line:
    """A cell with its stages."""

    cell: Cell
    steps: tuple[Step, ...]

    @property
    def training(self) -> float:
        """FLOPs of the training with its validations."""
        return sum(step.flops for step in self.steps if step.name == "train")

    @property
    def evaluation(self) -> float:
        """FLOPs of all that comes after it."""
        return sum(step.flops for step in self.steps if step.name != "train")

    @property
    def left(self) -> float:
        """FLOPs of what a run would do."""
        return sum(step.flops for step in self.steps if step.state not in THERE)

    @property
    def reasons(self) -> list[str]:
        """Why stages failed."""
        return list(dict.fromkeys(step.reason for step in self.steps if step.reason))


@dataclass(frozen=True)
class Matrix:
    """All cells of a plan, in the order in which they are run, and the combinations that are refused."""

    plan: Plan
    lines: tuple[Line, ...]

    @property
    def distinct(self) -> tuple[Line, ...]:
        """Each cell once: equal science runs once."""
        return tuple({line.cell.id: line for line in self.lines}.values())

    @property
    def refused(self) -> tuple[Refused, ...]:
        """What the suite excludes."""
        return self.plan.suite.refused

    @property
    def tokens(self) -> int:
        """Tokens of all trainings."""
        return sum(line.cell.tokens for line in self.distinct)

    @property
    def flops(self) -> float:
        """Of everything."""
        return sum(line.training + line.evaluation for line in self.distinct)

    @property
    def left(self) -> float:
        """FLOPs of what a run would do."""
        return sum(line.left for line in self.distinct)

    @property
    def speed(self) -> tuple[float, str]:
        """The assumed FLOPs a second of the device that the suite asks for, and in words."""
        device = self.plan.suite.spec.execution.device
        return SUSTAINED["cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"]


def matrix(plan: Plan, runs: Path) -> Matrix:
    """The cells of a plan with what is there of each under `runs`; nothing is written."""
    found: dict[str, tuple[Step, ...]] = {}
    for cell in plan.all:
        if cell.id not in found:
            found[cell.id] = tuple(_steps(plan, cell, folder_of(runs, cell)))
    return Matrix(plan, tuple(Line(cell, found[cell.id]) for cell in plan.all))


def _steps(plan: Plan, cell: Cell, folder: Path) -> Iterator[Step]:
    priced, is_there = costs(plan.suite, cell), folder.is_dir()
    for stage in cell.stages:
        state, reason = _state(folder, cell, stage.name, stage.folder) if is_there else ("to run", "")
        yield Step(stage.name, stage.id, state, reason, priced[stage.folder])


def _state(folder: Path, cell: Cell, name: str, stage: str) -> tuple[str, str]:
    state, reason = record.status(folder, stage)
    if state == "done":
        made_by = record.read_json(folder / stage / "result.json").get("environment", {}).get("code")
        return ("stale" if made_by not in (None, _code(cell.method, name)) else "cached"), ""
    return ("to run" if state == "missing" else state), reason


@cache
def _code(method: str, stage: str) -> str:
    return code_fingerprint(with_stage(written_in(method) if method else (), stage))


def joined(found: Sequence[Matrix]) -> Matrix:
    """The cells of several plans of one suite, for what they cost together."""
    return Matrix(found[0].plan, tuple(line for each in found for line in each.lines))


def all_as_json(found: Sequence[Matrix]) -> dict[str, Any]:
    """All of the plans of a suite with several data sets, and what they cost together."""
    whole = as_json(joined(found))
    plans = [{"label": each.plan.suite.label, **as_json(each)} for each in found]
    return {"question": whole["question"], "data_sets": plans, "total": whole["total"]}


def as_json(found: Matrix) -> dict[str, Any]:
    """All of it in plain values; FLOPs and seconds are estimates."""
    suite, (speed, words) = found.plan.suite, found.speed
    facts = suite.facts
    return {
        "suite": suite.name,
        "question": suite.spec.question,
        "data": {"source": facts.source, "length": facts.length, "sequences": facts.sequences},
        "seeds": suite.spec.seeds,
        "cells": [_line(line) for line in found.lines],
        "refused": [vars(each) for each in found.refused],
        "total": {
            "cells": len(found.distinct),
            "tokens": found.tokens,
            "flops": found.flops,
            "flops_left": found.left,
            "seconds_left": math.ceil(found.left / speed),
            "assumed_speed": words,
        },
    }


def _line(line: Line) -> dict[str, Any]:
    cell = line.cell
    said = {name: getattr(cell, name) for name in ("arm", "base", "role", "method", "options", "seed")}
    steps = [vars(step) for step in line.steps]
    sizes = {"network": cell.network.label, "steps": cell.steps, "tokens": cell.tokens}
    return {**said, "cell": cell.id, **sizes, "stages": steps}
