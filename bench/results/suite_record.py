"""The record of a suite as reports read it.

It holds one tidy table, with a row per cell, metric and point and per failure, and what does not fit into the table:
samples, trajectories, paired differences, certificates and tuning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine import storage
from bench.engine.measurements import Trajectory
from bench.engine.records import (
    BoundResult,
    ControlsResult,
    DataFacts,
    SamplesResult,
    StoredSuite,
    TrainResult,
    TrajectoriesResult,
)
from bench.results.recorded_cell import RecordedCell, recorded_cells
from bench.results.statistics.paired_differences import COLUMNS as PAIRED
from bench.results.statistics.paired_differences import pair
from bench.results.suite_certificates import Certification, certifications
from bench.results.tidy_table import COLUMNS, make_rows
from bench.results.tracking_gaps import read_gap

LEARNED = ("arm", "method", "seed", "metric", "token", "value")  # columns of parameters learned per token
PROFILE = (  # columns of the density of the diffusion loss, in nats per token, per bin of t or of the masked share k/L
    "arm",
    "method",
    "seed",
    "along",  # "t" or "masked"
    "low",
    "high",
    "value",
    "standard_error",
    "n",
    "clusters",
)


@dataclass(frozen=True)
class RecordedTrajectories:
    """Samples of one arm with what every network call was shown."""

    arm: str
    method: str
    seed: int
    way: str  # how the samples were drawn
    policy: str
    grid: str
    network_calls: int
    symbols: list[str]  # by token id
    texts: list[Trajectory]
    finals: list[str]  # the finished samples


@dataclass(frozen=True)
class SuiteRecord:
    """Everything that a report is made from."""

    suite: str
    question: str
    source: str  # the suite's YAML
    table: pd.DataFrame
    samples: dict[str, list[str]]  # by arm, from its first seed and way of sampling
    data: DataFacts
    environment: list[dict[str, str]]  # distinct ones of all cells
    state: str  # "complete" or "incomplete"
    trajectories: list[RecordedTrajectories] = field(default_factory=list)  # of each arm and way of sampling
    learned: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LEARNED))  # parameters learned per token
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(PAIRED)))  # arms minus their bases
    certificates: list[Certification] = field(default_factory=list)  # of the arms' bounds
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # of methods, by arm
    asked: str = ""  # the words that name the suite on the command line
    tuning: dict[str, Any] = field(default_factory=dict)  # see bench.suite.tuning.lock_file; empty without tuning
    profiles: pd.DataFrame = field(
        default_factory=lambda: pd.DataFrame(columns=PROFILE)
    )  # density of the diffusion loss
    warnings: tuple[str, ...] = ()  # of its plan
    controls: dict[str, list[str]] = field(default_factory=dict)  # control texts by kind
    untracked: str = ""  # why MLflow's store lacks some of it; "" if it lacks nothing
    unverified: int = 0  # results of earlier versions, which hold no digest
    training_warnings: tuple[str, ...] = ()  # such as a damaged checkpoint


class NoRecord(ValueError):
    """No results are recorded under a name."""


def load(runs: Path | str) -> pd.DataFrame:
    """The tidy table of every suite under `runs`; a suite whose record is broken is a row that says why.

    Raises NoRecord if there is no suite.
    """
    names = sorted(path.stem for path in (Path(runs) / "suites").glob("*.json"))
    if not names:
        raise NoRecord(f'no suite was run under "{runs}"; run one with: bench run suites/quickstart.yaml')
    return pd.concat([_read_table(Path(runs), name) for name in names], ignore_index=True)


def _read_table(runs: Path, suite: str) -> pd.DataFrame:
    try:
        return read(runs, suite).table
    except storage.BrokenRecord as error:
        row = {**COLUMNS, "suite": suite, "status": "failed", "reason": error.reason}
        return pd.DataFrame([row], columns=list(COLUMNS))


def read(runs: Path, suite: str, only: str | None = None) -> SuiteRecord:
    """Read the record of a suite, or of one of its cells; a broken result is a failed stage.

    Raises NoRecord if the suite was never run, BrokenRecord if the record of the suite itself is broken.
    """
    stored = storage.read_suite(runs, suite)
    if stored is None:
        raise NoRecord(f'suite "{suite}" was never run under "{runs}"; run it first, with bench run')

    cells = [cell for cell in recorded_cells(runs, stored) if only in (None, cell.id)]
    rows = [row for cell in cells for stage in cell.stages for row in make_rows(runs, stored, cell, stage)]
    table = pd.DataFrame([{**COLUMNS, **row} for row in rows], columns=list(COLUMNS))
    learned = [row for cell in cells for row in _learned(cell)]
    profiles = [row for cell in cells for row in _densities(cell)]
    return SuiteRecord(
        suite=suite,
        question=stored.question,
        source=stored.source,
        table=table,
        samples=_samples(cells),
        data=stored.facts,
        warnings=stored.warnings,
        environment=_environments(cells),
        state="complete" if table["status"].isin(["done", "stale"]).all() else "incomplete",
        trajectories=_trajectories(cells),
        learned=pd.DataFrame(learned, columns=LEARNED),
        pairs=pd.DataFrame(columns=list(PAIRED)) if only else pair(_arms(runs, stored), stored.facts.level),
        certificates=[] if only else certifications(runs, stored),
        options={cell.arm: cell.options for cell in stored.cells if cell.role == "arm"},
        asked=stored.asked,
        tuning=stored.tuning or {},
        profiles=pd.DataFrame(profiles, columns=PROFILE),
        controls=_controls(cells),
        untracked=read_gap(runs, suite),
        training_warnings=tuple(dict.fromkeys(warning for cell in cells for warning in _warnings(cell))),
        unverified=sum(_count_unverified(cell) for cell in cells),
    )


def _warnings(cell: RecordedCell) -> list[str]:
    """What happened to a cell's training, with its name."""
    return [f"{cell.arm}, seed {cell.seed}: {text}" for result in cell.results("train") for text in result.warnings]


def _count_unverified(cell: RecordedCell) -> int:
    """The results of a cell without a digest."""
    results = (stage for stage in cell.stages if cell.result(stage) is not None)
    return sum(not cell.is_verified(stage) for stage in results)


def describe_unverified(record: SuiteRecord) -> str:
    """That results of a record hold no digest."""
    count = f"{record.unverified} result{'s are' if record.unverified > 1 else ' is'}"
    return f"{count} of an earlier version, which wrote no digests: whether they were changed since cannot be told"


def _arms(runs: Path, suite: StoredSuite) -> list[RecordedCell]:
    return [cell for cell in recorded_cells(runs, suite) if cell.role == "arm"]


def _samples(cells: Sequence[RecordedCell]) -> dict[str, list[str]]:
    """The samples of each arm's first seed and way of sampling."""
    samples: dict[str, list[str]] = {}
    for cell in cells:
        for result in cell.results("samples"):
            assert isinstance(result, SamplesResult)
            samples.setdefault(cell.arm, result.texts)
    return samples


def _controls(cells: Sequence[RecordedCell]) -> dict[str, list[str]]:
    """The control texts by their kind."""
    controls: dict[str, list[str]] = {}
    for cell in cells:
        for result in cell.results("controls"):
            assert isinstance(result, ControlsResult)
            for name, control in result.controls.items():
                controls.setdefault(name, control.texts)
    return controls


def _environments(cells: Sequence[RecordedCell]) -> list[dict[str, str]]:
    """The distinct environments without the code, which differs between methods; a change of code is staleness."""
    environments: list[dict[str, str]] = []
    for cell in cells:
        for stage in cell.stages:
            result = cell.result(stage)
            if result is None:
                continue
            environment = {name: value for name, value in result.environment.items() if name != "code"}
            if environment not in environments:
                environments.append(environment)
    return environments


def _trajectories(cells: Sequence[RecordedCell]) -> list[RecordedTrajectories]:
    """Of each arm and way of sampling, the trajectories of the first seed."""
    trajectories: dict[tuple[str, str], RecordedTrajectories] = {}
    for cell in cells:
        for result in cell.results("trajectories"):
            assert isinstance(result, TrajectoriesResult)
            recorded = RecordedTrajectories(
                arm=cell.arm,
                method=cell.method,
                seed=cell.seed,
                way=result.how,
                policy=result.family,
                grid=result.grid,
                network_calls=result.network_calls or 0,
                symbols=result.symbols,
                texts=result.texts,
                finals=result.finals,
            )
            trajectories.setdefault((cell.arm, result.how), recorded)
    return list(trajectories.values())


def _learned(cell: RecordedCell) -> list[dict[str, Any]]:
    """The parameters that a cell's method has learned per token, in the order of token ids."""
    origin = {"arm": cell.arm, "method": cell.method, "seed": cell.seed}
    rows = []
    for result in cell.results("train"):
        assert isinstance(result, TrainResult)
        for name, values in result.learned.items():
            if isinstance(values, dict):
                rows += [{**origin, "metric": name, "token": token, "value": value} for token, value in values.items()]
    return rows


def _densities(cell: RecordedCell) -> list[dict[str, Any]]:
    """The density of a bound's diffusion loss, one row per bin."""
    rows = []
    for result in cell.results("bound"):
        assert isinstance(result, BoundResult)
        density = result.profile
        if density is None:
            continue

        origin = {"arm": cell.arm, "method": cell.method, "seed": cell.seed}
        origin |= {"along": density.along, "n": density.n, "clusters": density.clusters}
        edges = pairwise(density.edges)
        for (low, high), value, error in zip(edges, density.value, density.standard_error, strict=True):
            deviation = math.nan if error is None else error
            rows.append({**origin, "low": low, "high": high, "value": value, "standard_error": deviation})
    return rows
