"""The status of a plan: each cell with the state of its stages and their cost, and what the suite excludes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bench.engine import storage
from bench.engine.records import Stage, StageResult, Work
from bench.plan.cells import Cell, Plan, folder_of, merge_stages
from bench.plan.cost import stage_work
from bench.plan.execution_differences import (
    ExecutedCell,
    ExecutionDifference,
    MadeStage,
    describe_differences,
    find_differences,
)
from bench.plan.fairness import Match, match_arms
from bench.plan.forecast import Forecast, forecast_work, network_key
from bench.plan.statistical_power import Power, plan_power
from bench.results.execution_settings import SettingsMade, read_made
from bench.results.staleness import code_origin, is_stale
from bench.suite.ablation_block import RefusedArm

FINISHED = ("cached", "stale")  # states of stages that a run leaves as they are


@dataclass(frozen=True)
class StageStatus:
    """A stage of a cell: its state and its cost."""

    name: str
    id: str
    state: str  # "cached", "to run", "running", "interrupted", "failed", or "stale": made by other code
    reason: str  # of a failure, or how far the stage is
    work: tuple[Work, ...]  # empty if the cost is unknown
    score: float | None  # of a finished bound, in the unit of the score
    settings: SettingsMade | None = None  # how its result was made; see bench.results.execution_settings

    @property
    def flops(self) -> float:
        """FLOPs of the stage."""
        return sum((work.flops for work in self.work), 0.0)


@dataclass(frozen=True)
class CellStatus:
    """A cell with its stages."""

    cell: Cell
    stages: tuple[StageStatus, ...]

    @property
    def training(self) -> float:
        """FLOPs of training with its validations."""
        return sum((stage.flops for stage in self.stages if stage.name == "train"), 0.0)

    @property
    def evaluation(self) -> float:
        """FLOPs of all other stages."""
        return sum((stage.flops for stage in self.stages if stage.name != "train"), 0.0)

    @property
    def remaining(self) -> float:
        """FLOPs of what a run would do."""
        return sum((stage.flops for stage in self.stages if stage.state not in FINISHED), 0.0)

    @property
    def reasons(self) -> list[str]:
        """Why stages failed, and how far those are that a worker has begun."""
        described = []
        for stage in self.stages:
            status = storage.describe_status(stage.state, stage.reason)
            if stage.state in storage.BEGUN:
                status = f"{self.cell.arm}, seed {self.cell.seed}: {stage.name} {status}"
            if stage.reason:
                described.append(status)
        return list(dict.fromkeys(described))


@dataclass(frozen=True)
class PlanStatus:
    """All cells of a plan, in the order in which they run, and the combinations that are refused."""

    plan: Plan
    cells: tuple[CellStatus, ...]
    runs: Path

    @cached_property
    def distinct(self) -> tuple[CellStatus, ...]:
        """Each cell once, with all stages that its arms ask for: equal science runs once."""
        cells: dict[str, Cell] = {}
        stages: dict[str, dict[str, StageStatus]] = {}
        for status in self.cells:
            cells.setdefault(status.cell.id, status.cell)
            stages.setdefault(status.cell.id, {}).update({stage.id: stage for stage in status.stages})
        return tuple(CellStatus(cells[id], tuple(by_id.values())) for id, by_id in stages.items())

    @property
    def refused(self) -> tuple[RefusedArm, ...]:
        """What the suite excludes."""
        return self.plan.suite.refused

    @property
    def tokens(self) -> int:
        """Tokens of all training runs."""
        return sum(status.cell.tokens for status in self.distinct)

    @property
    def flops(self) -> float:
        """FLOPs of everything."""
        return sum((status.training + status.evaluation for status in self.distinct), 0.0)

    @property
    def remaining(self) -> float:
        """FLOPs of what a run would do."""
        return sum((status.remaining for status in self.distinct), 0.0)

    @property
    def to_run(self) -> list[tuple[Cell, StageStatus]]:
        """The stages that a run would perform."""
        pairs = ((status.cell, stage) for status in self.distinct for stage in status.stages)
        return [(cell, stage) for cell, stage in pairs if stage.state not in FINISHED]

    @property
    def uncounted(self) -> list[str]:
        """The names of stages that a run would perform at an unknown cost."""
        return list(dict.fromkeys(stage.name for _, stage in self.to_run if not stage.work))

    @cached_property
    def time(self) -> "Time":
        """How long a run would take on the device that the suite asks for, by the speeds measured there."""
        work = [
            (cell.execution, (work, cell.method, network_key(cell.science["network"])))
            for cell, stage in self.to_run
            for work in stage.work
        ]
        try:
            device, forecast = forecast_work(self.runs, work, self.plan.suite.spec.execution)
        except (RuntimeError, ImportError) as error:
            return Time({}, None, str(error))
        return Time(device, forecast, "")

    @cached_property
    def differences(self) -> list[ExecutionDifference]:
        """Finished results that were made in another way than the suite asks for."""
        return find_differences(
            ExecutedCell(
                arm=status.cell.arm,
                execution=status.cell.execution,
                names_precision="precision" in status.cell.science,
                stages=[MadeStage(stage.name, stage.settings) for stage in status.stages],
            )
            for status in self.distinct
        )

    def describe_differences(self) -> list[str]:
        """These differences as lines of text."""
        return describe_differences(self.differences, bool(self.to_run))

    @cached_property
    def match(self) -> Match | None:
        """How far the arms are matched."""
        return match_arms(self.plan)

    @cached_property
    def power(self) -> Power | None:
        """What the seeds can show."""
        bounds = [(status.cell, stage) for status in self.cells for stage in status.stages if stage.name == "bound"]
        scores = {(cell.arm, cell.seed): stage.score for cell, stage in bounds if stage.score is not None}
        return plan_power(self.plan, scores, score_metric(self.plan))


@dataclass(frozen=True)
class Time:
    """A forecast with the device that it is for."""

    device: dict[str, str]
    forecast: Forecast | None  # None if the device is not available
    reason: str  # why there is no forecast

    @property
    def is_known(self) -> bool:
        """Whether everything that remains was timed before."""
        return self.forecast is not None and not self.forecast.unknown


def plan_status(plan: Plan, runs: Path) -> PlanStatus:
    """The cells of a plan with the state of each under `runs`; nothing is written."""
    by_id = {
        stage.id: stage
        for cell in merge_stages(plan.all)
        for stage in _stage_statuses(plan, cell, folder_of(runs, cell))
    }
    cells = (CellStatus(cell, tuple(by_id[stage.id] for stage in cell.stages)) for cell in plan.all)
    return PlanStatus(plan, tuple(cells), runs)


def _stage_statuses(plan: Plan, cell: Cell, folder: Path) -> Iterator[StageStatus]:
    work, exists, metric = stage_work(plan.suite, cell), os.path.lexists(folder), score_metric(plan)
    for stage in cell.stages:
        result = storage.whole_result(folder, stage.folder) if exists else None
        state, reason = _state(folder, cell, stage, result) if exists else ("to run", "")
        score = getattr(result, "measures", {}).get(metric)
        yield StageStatus(
            name=stage.name,
            id=stage.id,
            state=state,
            reason=reason,
            work=work[stage.folder],
            score=score.value if score else None,
            settings=None if result is None else read_made(stage.name, result.environment),
        )


def _state(folder: Path, cell: Cell, stage: Stage, result: StageResult | None) -> tuple[str, str]:
    if result is not None:
        origin = code_origin(cell.method, cell.science["data"]["source"])
        return ("stale" if is_stale(folder, stage, origin) else "cached"), ""
    state, reason = storage.status(folder, stage.folder)
    return ("to run" if state == "missing" else state), reason


def score_metric(plan: Plan) -> str:
    """The metric that arms are compared by."""
    return "bits_per_byte" if plan.suite.facts.level == "byte" else "bits_per_char"


def join_statuses(statuses: Sequence[PlanStatus]) -> PlanStatus:
    """The cells of several plans of one suite, for what they cost together."""
    first = statuses[0]
    return PlanStatus(first.plan, tuple(cell for status in statuses for cell in status.cells), first.runs)
