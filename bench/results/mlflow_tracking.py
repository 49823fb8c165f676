"""Tracking in MLflow: an experiment per suite, a run per cell.

The driver is the only writer. The folders of the cells are authoritative; the store is brought up to date from them,
whatever an interrupted run, or another store, has left there.
"""

import hashlib
import math
import os
import re
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine.records import StoredSuite
from bench.engine.redaction import redact
from bench.engine.storage import cell_folder, read_suite
from bench.results.mlflow_archive import (
    MAX_RUNS,
    RECORD,
    cell_key,
    files_of_cell,
    files_of_suite,
    find_experiment,
    find_record_runs,
    prefer_archived,
    upload,
)
from bench.results.mlflow_store import StoreClient

Folders = dict[tuple[str, str], list[Path]]  # of stages, by cell and name of the stage

MAX_BATCH = 1000  # metrics per call of log_batch: MLflow's limit
CHARACTER_NAMES = {"␣": "space", "\\": "backslash"}  # in names of tokens; Unicode has other names for these


@dataclass
class Written:
    """What was written to a store."""

    runs: int = 0  # that were created
    removed: int = 0  # runs that were there twice
    metrics: int = 0
    files: int = 0

    def describe(self) -> str:
        """What was written, in words."""
        counts = {"run": self.runs, "metric": self.metrics, "file": self.files}
        parts = [f"{count:,} {name}{'s' * (count != 1)}" for name, count in counts.items() if count]
        if self.removed:
            parts.append(f"{self.removed:,} that stood there twice moved to MLflow's trash")
        return f"written: {', '.join(parts)}" if parts else "nothing was missing"


def tracking_uri(runs: Path) -> str:
    """The tracking store: MLFLOW_TRACKING_URI, or an SQLite file under `runs`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(runs / 'mlflow.db').resolve()}"


def tracking_address(runs: Path) -> str:
    """The tracking store as it may be shown: without secrets."""
    uri = tracking_uri(runs)
    return redact(uri, uri)


def track(runs: Path, suite: str, table: pd.DataFrame, verify: bool = False) -> Written:
    """Bring the store up to date with rows of a suite's tidy table, and return what was written.

    What the store already holds is left as it is; with `verify`, each of its files is compared. Raises StoreError.
    """
    client, written = StoreClient(tracking_uri(runs)), Written()
    experiment = find_experiment(client, suite) or _create_experiment(client, runs, suite)
    stored = read_suite(runs, suite)
    assert stored is not None, f"suite {suite} has no record under {runs}"

    tracked = client.search_runs([experiment], max_results=MAX_RUNS)
    records, cells = find_record_runs(tracked), [run for run in tracked if all(cell_key(run))]
    record = next(iter(prefer_archived(records).values()), None) or _create_record(client, experiment, written)
    written.files += upload(client, record, files_of_suite(runs, suite), verify)

    run_of_cell = prefer_archived(cells)
    _remove_duplicates(client, [*records, *cells], [record, *run_of_cell.values()], written)
    planned = {(cell.arm, cell.id): cell for cell in stored.cells}
    folders = _folders(runs, stored)
    for (arm, id), rows in _merge_controls(table).groupby(["arm", "cell"], sort=False):
        run = run_of_cell.get((str(id), str(arm))) or _create(client, experiment, rows, written)
        _update(client, folders, run, rows, written)
        written.files += upload(client, run, files_of_cell(runs, planned[str(arm), str(id)]), verify)
    return written


def _folders(runs: Path, suite: StoredSuite) -> Folders:
    """The folders of all stages of a suite."""
    folders: Folders = {}
    for cell in suite.cells:
        for stage in cell.stages:
            name = "quality" if stage.name == "controls" else stage.name
            folders.setdefault((cell.id, name), []).append(cell_folder(runs, cell.id) / stage.folder)
    return folders


def _merge_controls(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all control texts as one arm, since they are one cell; their kind becomes the way."""
    is_control = table["role"] == "control"
    return table.assign(way=table["way"].mask(is_control, table["arm"]), arm=table["arm"].mask(is_control, "controls"))


def _create_experiment(client: StoreClient, runs: Path, suite: str) -> str:
    """Create the suite's experiment, and return its id."""
    local = None if os.environ.get("MLFLOW_TRACKING_URI") else (runs / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(suite, artifact_location=local))


def _create_record(client: StoreClient, experiment: str, written: Written) -> Any:
    """Create the run that holds the suite itself."""
    run = client.create_run(experiment, tags=RECORD, run_name="record")
    client.set_terminated(run.info.run_id, "FINISHED")
    written.runs += 1
    return run


def _create(client: StoreClient, experiment: str, rows: pd.DataFrame, written: Written) -> Any:
    """Create the run of a cell."""
    first = rows.iloc[0]
    tags = {"bench.cell": first["cell"], "bench.arm": first["arm"]}
    written.runs += 1
    return client.create_run(experiment, tags=tags, run_name=f"{first['arm']} seed {first['seed']}")


def _remove_duplicates(client: StoreClient, runs: list[Any], current: list[Any], written: Written) -> None:
    """Move runs to MLflow's trash that a creation left behind whose answer came too late."""
    for id in {run.info.run_id for run in runs} - {run.info.run_id for run in current}:
        client.delete_run(id)
        written.removed += 1


def _update(client: StoreClient, folders: Folders, run: Any, rows: pd.DataFrame, written: Written) -> None:
    """Log the parameters that a run lacks, and each stage whose result differs from the one that was logged last."""
    id, cell = run.info.run_id, str(rows["cell"].iloc[0])
    for name in ("arm", "method", "seed", "data", "network"):
        if name not in run.data.params:
            client.log_param(id, name, rows.iloc[0][name])

    for stage, stage_rows in rows.groupby("stage", sort=False):
        finished = stage_rows[stage_rows["status"].isin(["done", "stale"])]
        if finished.empty:
            continue

        tag, digest = f"bench.{stage}", _results_digest(folders[cell, str(stage)])
        if run.data.tags.get(tag) == digest:
            continue

        metrics = _metrics(finished, _time_of_logging(client, run, finished))
        for start in range(0, len(metrics), MAX_BATCH):
            client.log_batch(id, metrics=metrics[start : start + MAX_BATCH])
        client.set_tag(id, tag, digest)
        written.metrics += len(metrics)
    _set_status(client, run, rows)


def _time_of_logging(client: StoreClient, run: Any, rows: pd.DataFrame) -> int:
    """Now in milliseconds, or a later time if the clock was set back since these metrics of the run were last logged.

    Of equal steps, MLflow shows the value with the latest time, and of equal times the largest value.
    """
    now = int(time.time() * 1000)
    logged = {metric.key for metric in _metrics(rows, now)} & run.data.metrics.keys()
    history = [entry for key in sorted(logged) for entry in client.get_metric_history(run.info.run_id, key)]
    return max([now, *(entry.timestamp + 1 for entry in history)])


def _results_digest(folders: list[Path]) -> str:
    """SHA-256 of all results in the folders of a stage."""
    paths = [folder / "result.json" for folder in folders]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths if path.is_file())).hexdigest()


def _set_status(client: StoreClient, run: Any, rows: pd.DataFrame) -> None:
    """Set the status of a cell's run, and the reason if a stage failed."""
    id, states = run.info.run_id, set(rows["status"])
    if "failed" in states:
        reason = redact(str(rows.loc[rows["status"] == "failed", "reason"].iloc[0]))
        if run.data.tags.get("bench.reason") != reason:
            client.set_tag(id, "bench.reason", reason)
    elif "bench.reason" in run.data.tags:
        client.delete_tag(id, "bench.reason")

    status = "KILLED"  # some stage is missing
    if "failed" in states:
        status = "FAILED"
    elif states <= {"done", "stale"}:
        status = "FINISHED"
    if run.info.status != status:
        client.set_terminated(id, status)


def _metrics(rows: pd.DataFrame, timestamp: int) -> list[Any]:
    """Every finite number of the rows with its errors, at the tokens seen.

    Names contain the way if samples were drawn in several ways.
    """
    from mlflow.entities import Metric

    metrics = []
    has_ways = rows["way"].nunique() > 1 or (rows["stage"] == "estimate").any()
    for row in rows.to_dict("records"):
        way = [re.sub(r"[^\w .-]", "", row["way"])] if has_ways else []
        name = "/".join([row["split"] or row["stage"], *way, metric_name(row["metric"])])
        for suffix in ("value", "standard_error", "monte_carlo_error"):
            if math.isfinite(row[suffix]):
                key = name if suffix == "value" else f"{name}/{suffix}"
                metrics.append(Metric(key, float(row[suffix]), timestamp, int(row["tokens"])))
    return metrics


def metric_name(metric: str) -> str:
    """The metric in characters that MLflow allows: `power[a]` is power/a, `power[!]` is power/:exclamation mark:."""
    name, _, token = metric.removesuffix("]").partition("[")
    return name + "/" + re.sub(r"[^\w -]", _spell, token) if token else name


def _spell(character: re.Match[str]) -> str:
    """A character as its name between colons."""
    unnamed = f"character {ord(character[0]):x}"  # control characters have no name
    return f":{CHARACTER_NAMES.get(character[0], unicodedata.name(character[0], unnamed).lower())}:"
