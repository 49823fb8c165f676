"""What a plan would do: each cell with the state of its stages and their cost, and what the suite excludes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from bench.engine import storage as record
from bench.engine.code_hash import code_fingerprint, with_stage, written_in
from bench.plan.cells import Cell, Plan, Stage, folder_of, merged
from bench.plan.cost import Work, works
from bench.plan.fairness import Match, match
from bench.plan.forecast import Forecast, name_of, speeds
from bench.plan.power import Power, power
from bench.suite.variations import Refused

THERE = ("cached", "stale")  # states of stages that a run leaves as they are


@dataclass(frozen=True)
class Step:
    """A stage of a cell: what is there of it, and what it costs."""

    name: str
    id: str
    state: str  # "cached", "to run", "running", "failed", or "stale": made by other code
    reason: str  # of a failure
    works: tuple[Work, ...]  # none where its cost cannot be told
    score: float | None  # of a bound that is done, in the unit of the score

    @property
    def flops(self) -> float:
        """Of all that it does."""
        return sum(work.flops for work in self.works)


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
    runs: Path

    @cached_property
    def distinct(self) -> tuple[Line, ...]:
        """Each cell once, with all stages that its arms ask of it: equal science runs once."""
        cells: dict[str, Cell] = {}
        steps: dict[str, dict[str, Step]] = {}
        for line in self.lines:
            cells.setdefault(line.cell.id, line.cell)
            steps.setdefault(line.cell.id, {}).update({step.id: step for step in line.steps})
        return tuple(Line(cells[id], tuple(of_cell.values())) for id, of_cell in steps.items())

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
    def to_run(self) -> list[tuple[Cell, Step]]:
        """What a run would do."""
        return [(line.cell, step) for line in self.distinct for step in line.steps if step.state not in THERE]

    @property
    def uncounted(self) -> list[str]:
        """The names of stages that a run would do and whose cost cannot be told."""
        return list(dict.fromkeys(step.name for _, step in self.to_run if not step.works))

    @cached_property
    def time(self) -> "Time":
        """How long a run would take, by what was measured on the device that the suite asks for."""
        try:
            known = speeds(self.runs, self.plan.suite.spec.execution)
        except (RuntimeError, ImportError) as error:
            return Time({}, None, str(error))
        left = ((work, c.method, name_of(c.science["network"])) for c, step in self.to_run for work in step.works)
        return Time(known.device, known.forecast(left), "")

    @cached_property
    def match(self) -> Match | None:
        """How far the arms are matched."""
        return match(self.plan)

    @cached_property
    def power(self) -> Power | None:
        """What the seeds can show."""
        bounds = [(line.cell, step) for line in self.lines for step in line.steps if step.name == "bound"]
        scores = {(cell.arm, cell.seed): step.score for cell, step in bounds if step.score is not None}
        return power(self.plan, scores, _score(self.plan))


@dataclass(frozen=True)
class Time:
    """A forecast with the device that it is for; none where that is not here."""

    device: dict[str, str]
    forecast: Forecast | None
    reason: str  # why there is none

    @property
    def is_known(self) -> bool:
        """Whether everything that is left was measured before."""
        return self.forecast is not None and not self.forecast.unknown


def matrix(plan: Plan, runs: Path) -> Matrix:
    """The cells of a plan with what is there of each under `runs`; nothing is written."""
    found = {step.id: step for cell in merged(plan.all) for step in _steps(plan, cell, folder_of(runs, cell))}
    lines = (Line(cell, tuple(found[stage.id] for stage in cell.stages)) for cell in plan.all)
    return Matrix(plan, tuple(lines), runs)


def _steps(plan: Plan, cell: Cell, folder: Path) -> Iterator[Step]:
    done, is_there = works(plan.suite, cell), folder.is_dir()
    for stage in cell.stages:
        result = record.read_json(folder / stage.folder / "result.json") if is_there else None
        state, reason = _state(folder, cell, stage, result) if is_there else ("to run", "")
        score = result.get("measures", {}).get(_score(plan), {}).get("value") if result else None
        yield Step(stage.name, stage.id, state, reason, done[stage.folder], score)


def _state(folder: Path, cell: Cell, stage: Stage, result: Any) -> tuple[str, str]:
    if result is not None:
        made_by = result.get("environment", {}).get("code")
        return ("stale" if made_by not in (None, _code(cell.method, stage.name)) else "cached"), ""
    state, reason = record.status(folder, stage.folder)
    return ("to run" if state == "missing" else state), reason


def _score(plan: Plan) -> str:
    """The metric that arms are compared by."""
    return "bits_per_byte" if plan.suite.facts.level == "byte" else "bits_per_char"


@cache
def _code(method: str, stage: str) -> str:
    return code_fingerprint(with_stage(written_in(method) if method else (), stage))


def joined(found: Sequence[Matrix]) -> Matrix:
    """The cells of several plans of one suite, for what they cost together."""
    return Matrix(found[0].plan, tuple(line for each in found for line in each.lines), found[0].runs)


def all_as_json(found: Sequence[Matrix]) -> dict[str, Any]:
    """All of the plans of a suite with several data sets, and what they cost together."""
    whole = as_json(joined(found))
    plans = [{"label": each.plan.suite.label, **as_json(each)} for each in found]
    return {"question": whole["question"], "data_sets": plans, "total": whole["total"]}


def as_json(found: Matrix) -> dict[str, Any]:
    """All of it in plain values; FLOPs and seconds are estimates."""
    suite, facts = found.plan.suite, found.plan.suite.facts
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
            **_time(found),
        },
        "matched": asdict(found.match) if found.match else None,
        "power": _power(found.power),
    }


def _time(found: Matrix) -> dict[str, Any]:
    """Seconds, from the fastest to the slowest that was measured; null where they are unknown."""
    time, forecast = found.time, found.time.forecast
    known = forecast if time.is_known else None
    return {
        "seconds_left": math.ceil(known.seconds) if known else None,
        "seconds_left_range": [math.ceil(known.least), math.ceil(known.most)] if known else None,
        "device": time.device or None,
        "speeds": [asdict(speed) for speed in forecast.speeds] if forecast else [],
        "unknown": list(forecast.unknown) if forecast else [time.reason],
        "uncounted": found.uncounted,
    }


def _power(found: Power | None) -> dict[str, Any] | None:
    if found is None:
        return None
    plain = asdict(found) | {"is_reachable": found.is_reachable}
    return plain | {"detectable_sd": None if math.isnan(found.detectable_sd) else found.detectable_sd}


def _line(line: Line) -> dict[str, Any]:
    cell = line.cell
    said = {name: getattr(cell, name) for name in ("arm", "base", "role", "method", "options", "seed")}
    names = ("name", "id", "state", "reason", "flops")
    steps = [{name: getattr(step, name) for name in names} for step in line.steps]
    sizes = {"network": cell.network.label, **cell.amount._asdict()}
    return {**said, "cell": cell.id, **sizes, "stages": steps}
