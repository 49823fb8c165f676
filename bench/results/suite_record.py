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
from bench.engine.records import (
    BoundResult,
    ControlsResult,
    DataFacts,
    SamplesResult,
    StoredSuite,
    TrainResult,
    TrajectoriesResult,
    Trajectory,
)
from bench.results.recorded_cell import RecordedCell, recorded_cells
from bench.results.statistics.paired_differences import COLUMNS as PAIRED
from bench.results.statistics.paired_differences import pair
from bench.results.suite_certificates import Certification, certifications
from bench.results.tidy_table import COLUMNS, make_rows

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
    samples: dict[str, list[str]]  # by arm, from its first seed and way of sampling; then control texts by kind
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


class NoRecord(ValueError):
    """No results are recorded under a name."""


def load(runs: Path | str) -> pd.DataFrame:
    """The tidy table of every suite under `runs`. Raises NoRecord if there is none."""
    names = sorted(path.stem for path in (Path(runs) / "suites").glob("*.json"))
    if not names:
        raise NoRecord(f'no suite was run under "{runs}"; run one with: bench run suites/quickstart.yaml')
    return pd.concat([read(Path(runs), name).table for name in names], ignore_index=True)


def read(runs: Path, suite: str, only: str | None = None) -> SuiteRecord:
    """Read the record of a suite, or of one of its cells. Raises NoRecord if the suite was never run."""
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
        samples=_texts(cells),
        data=stored.facts,
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
    )


def _arms(runs: Path, suite: StoredSuite) -> list[RecordedCell]:
    return [cell for cell in recorded_cells(runs, suite) if cell.role == "arm"]


def _texts(cells: Sequence[RecordedCell]) -> dict[str, list[str]]:
    """The samples of each arm's first seed and way of sampling; then the control texts."""
    samples: dict[str, list[str]] = {}
    controls: dict[str, list[str]] = {}
    for cell in cells:
        for result in cell.results("samples"):
            assert isinstance(result, SamplesResult)
            samples.setdefault(cell.arm, result.texts)
        for result in cell.results("controls"):
            assert isinstance(result, ControlsResult)
            for name, control in result.controls.items():
                controls.setdefault(name, control.texts)
    return samples | {name: texts for name, texts in controls.items() if name not in samples}


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
