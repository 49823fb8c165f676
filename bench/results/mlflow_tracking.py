"""Tracking in MLflow: an experiment per suite, a run per cell.

The driver is the only writer. The folders of the cells are authoritative; the store is brought up to date from them.
"""

import hashlib
import math
import os
import re
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine.records import StoredSuite
from bench.engine.storage import cell_folder, read_suite
from bench.results.mlflow_archive import MAX_RUNS, RECORD, files_of_cell, files_of_suite, upload

Folders = dict[tuple[str, str], list[Path]]  # of stages, by cell and name of the stage

MAX_BATCH = 1000  # metrics per call of log_batch: MLflow's limit
CHARACTER_NAMES = {"␣": "space", "\\": "backslash"}  # in names of tokens; Unicode has other names for these


def tracking_uri(runs: Path) -> str:
    """The tracking store: MLFLOW_TRACKING_URI, or an SQLite file under `runs`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(runs / 'mlflow.db').resolve()}"


def open_ui(runs: Path, port: int) -> int:
    """Serve MLflow's own page of the store until it is stopped; returns its exit code."""
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", tracking_uri(runs), "--port", str(port)]
    try:
        return subprocess.call(command)
    except KeyboardInterrupt:
        return 0


def track(runs: Path, suite: str, table: pd.DataFrame) -> None:
    """Bring the store up to date with rows of a suite's tidy table; what it already holds is left as it is."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri(runs))
    experiment = _experiment(client, runs, suite)
    stored = read_suite(runs, suite)
    assert stored is not None, f"suite {suite} has no record under {runs}"

    tracked = client.search_runs([experiment], max_results=MAX_RUNS)
    record = next((run for run in tracked if RECORD.items() <= run.data.tags.items()), None)
    upload(client, record or _create_record(client, experiment), files_of_suite(runs, suite))

    run_of_cell = {(run.data.tags.get("bench.cell"), run.data.tags.get("bench.arm")): run for run in tracked}
    planned = {(cell.arm, cell.id): cell for cell in stored.cells}
    folders = _folders(runs, stored)
    for (arm, id), rows in _merge_controls(table).groupby(["arm", "cell"], sort=False):
        run = run_of_cell.get((str(id), str(arm))) or _create(client, experiment, rows)
        _update(client, folders, run, rows)
        upload(client, run, files_of_cell(runs, planned[str(arm), str(id)]))


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


def _experiment(client: Any, runs: Path, suite: str) -> str:
    """The id of the suite's experiment, which is created if it is missing."""
    experiment = client.get_experiment_by_name(suite)
    if experiment:
        return str(experiment.experiment_id)
    local = None if os.environ.get("MLFLOW_TRACKING_URI") else (runs / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(suite, artifact_location=local))


def _create_record(client: Any, experiment: str) -> Any:
    """Create the run that holds the suite itself."""
    run = client.create_run(experiment, tags=RECORD, run_name="record")
    client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _create(client: Any, experiment: str, rows: pd.DataFrame) -> Any:
    """Create the run of a cell."""
    first = rows.iloc[0]
    tags = {"bench.cell": first["cell"], "bench.arm": first["arm"]}
    run = client.create_run(experiment, tags=tags, run_name=f"{first['arm']} seed {first['seed']}")
    for name in ("arm", "method", "seed", "data", "network"):
        client.log_param(run.info.run_id, name, first[name])
    return run


def _update(client: Any, folders: Folders, run: Any, rows: pd.DataFrame) -> None:
    """Log each stage whose result differs from the one that was logged last, and the status of the cell."""
    id, cell = run.info.run_id, str(rows["cell"].iloc[0])
    for stage, stage_rows in rows.groupby("stage", sort=False):
        finished = stage_rows[stage_rows["status"].isin(["done", "stale"])]
        if finished.empty:
            continue

        tag, digest = f"bench.{stage}", _results_digest(folders[cell, str(stage)])
        if run.data.tags.get(tag) == digest:
            continue

        metrics = _metrics(finished)
        for start in range(0, len(metrics), MAX_BATCH):
            client.log_batch(id, metrics=metrics[start : start + MAX_BATCH])
        client.set_tag(id, tag, digest)
    _set_status(client, run, rows)


def _results_digest(folders: list[Path]) -> str:
    """SHA-256 of all results in the folders of a stage."""
    paths = [folder / "result.json" for folder in folders]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths if path.exists())).hexdigest()


def _set_status(client: Any, run: Any, rows: pd.DataFrame) -> None:
    """Set the status of a cell's run, and the reason if a stage failed."""
    id, states = run.info.run_id, set(rows["status"])
    if "failed" in states:
        client.set_tag(id, "bench.reason", rows.loc[rows["status"] == "failed", "reason"].iloc[0])
    elif "bench.reason" in run.data.tags:
        client.delete_tag(id, "bench.reason")

    status = "KILLED"  # some stage is missing
    if "failed" in states:
        status = "FAILED"
    elif states <= {"done", "stale"}:
        status = "FINISHED"
    client.set_terminated(id, status)


def _metrics(rows: pd.DataFrame) -> list[Any]:
    """Every finite number of the rows with its errors, at the tokens seen.

    Names contain the way if samples were drawn in several ways.
    """
    from mlflow.entities import Metric

    metrics, now = [], int(time.time() * 1000)  # of equal steps MLflow shows the latest
    has_ways = rows["way"].nunique() > 1 or (rows["stage"] == "estimate").any()
    for row in rows.to_dict("records"):
        way = [re.sub(r"[^\w .-]", "", row["way"])] if has_ways else []
        name = "/".join([row["split"] or row["stage"], *way, metric_name(row["metric"])])
        for suffix in ("value", "standard_error", "monte_carlo_error"):
            if math.isfinite(row[suffix]):
                key = name if suffix == "value" else f"{name}/{suffix}"
                metrics.append(Metric(key, float(row[suffix]), now, int(row["tokens"])))
    return metrics


def metric_name(metric: str) -> str:
    """The metric in characters that MLflow allows: `power[a]` is power/a, `power[!]` is power/:exclamation mark:."""
    name, _, token = metric.removesuffix("]").partition("[")
    return name + "/" + re.sub(r"[^\w -]", _spell, token) if token else name


def _spell(character: re.Match[str]) -> str:
    """A character as its name between colons."""
    return f":{CHARACTER_NAMES.get(character[0]) or unicodedata.name(character[0]).lower()}:"
