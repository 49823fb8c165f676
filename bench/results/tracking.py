"""MLflow, the page where people look: experiment = suite, run = cell. The driver is the only writer. The folders of the
cells are the truth; whatever the store lacks is written from them."""

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

from bench.engine.storage import cell_folder, read_suite
from bench.results.mlflow_archive import NEWEST, RECORD, files_of_cell, files_of_suite, upload

Folders = dict[tuple[str, str], list[Path]]  # of a cell and a stage

METRICS_A_CALL = 1000  # MLflow's limit for log_batch
SPOKEN = {"␣": "space", "\\": "backslash"}  # signs in the names of tokens that Unicode names otherwise


def store(runs: Path) -> str:
    """Where runs are tracked: MLFLOW_TRACKING_URI, or an SQLite file under `runs`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(runs / 'mlflow.db').resolve()}"


def page(runs: Path, port: int) -> int:
    """MLflow's own page on the store, until it is stopped; returns its exit code."""
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", store(runs), "--port", str(port)]
    try:
        return subprocess.call(command)
    except KeyboardInterrupt:
        return 0


def track(runs: Path, suite: str, table: pd.DataFrame) -> None:
    """Brings the store up to date with rows of a suite's tidy table; what it holds already is left alone."""
    from mlflow import MlflowClient

    client = MlflowClient(store(runs))
    experiment = _experiment(client, runs, suite)
    runs_held = client.search_runs([experiment], max_results=NEWEST)
    held = {(run.data.tags.get("bench.cell"), run.data.tags.get("bench.arm")): run for run in runs_held}
    stored = read_suite(runs, suite)
    assert stored is not None, f"suite {suite} has no record under {runs}"
    folders: Folders = {}
    for cell in stored.cells:
        for stage in cell.stages:
            name = "quality" if stage.name == "controls" else stage.name
            folders.setdefault((cell.id, name), []).append(cell_folder(runs, cell.id) / stage.folder)
    record = next((run for run in runs_held if RECORD.items() <= run.data.tags.items()), None)
    upload(client, record or _record(client, experiment), files_of_suite(runs, suite))
    planned = {(cell.arm, cell.id): cell for cell in stored.cells}
    for (arm, id), rows in _gather(table).groupby(["arm", "cell"], sort=False):
        run = held.get((str(id), str(arm))) or _create(client, experiment, rows)
        _update(client, folders, run, rows)
        upload(client, run, files_of_cell(runs, planned[str(arm), str(id)]))


def _gather(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all kinds of control texts under the one cell that they are, told apart by their way."""
    is_control = table["role"] == "control"
    return table.assign(way=table["way"].mask(is_control, table["arm"]), arm=table["arm"].mask(is_control, "controls"))


def _experiment(client: Any, runs: Path, suite: str) -> str:
    found = client.get_experiment_by_name(suite)
    if found:
        return str(found.experiment_id)
    local = None if os.environ.get("MLFLOW_TRACKING_URI") else (runs / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(suite, artifact_location=local))


def _record(client: Any, experiment: str) -> Any:
    """The run that holds the suite itself."""
    run = client.create_run(experiment, tags=RECORD, run_name="record")
    client.set_terminated(run.info.run_id, "FINISHED")
    return run


def _create(client: Any, experiment: str, rows: pd.DataFrame) -> Any:
    first = rows.iloc[0]
    tags = {"bench.cell": first["cell"], "bench.arm": first["arm"]}
    run = client.create_run(experiment, tags=tags, run_name=f"{first['arm']} seed {first['seed']}")
    for name in ("arm", "method", "seed", "data", "network"):
        client.log_param(run.info.run_id, name, first[name])
    return run


def _update(client: Any, folders: Folders, run: Any, rows: pd.DataFrame) -> None:
    """Logs each stage whose result is not the one that was logged last, and the state of the cell."""
    id = run.info.run_id
    for stage, of_stage in rows.groupby("stage", sort=False):
        there = [folder / "result.json" for folder in folders[str(rows["cell"].iloc[0]), str(stage)]]
        results = [result for result in there if result.exists()]
        of_stage = of_stage[of_stage["status"].isin(["done", "stale"])]
        if of_stage.empty:
            continue
        content = hashlib.sha256(b"".join(result.read_bytes() for result in results)).hexdigest()
        tag = f"bench.{stage}"
        if run.data.tags.get(tag) == content:
            continue
        metrics = _metrics(of_stage)
        for start in range(0, len(metrics), METRICS_A_CALL):
            client.log_batch(id, metrics=metrics[start : start + METRICS_A_CALL])
        client.set_tag(id, tag, content)
    states = set(rows["status"])
    if "failed" in states:
        client.set_tag(id, "bench.reason", rows.loc[rows["status"] == "failed", "reason"].iloc[0])
    elif "bench.reason" in run.data.tags:
        client.delete_tag(id, "bench.reason")
    whole = states <= {"done", "stale"}
    client.set_terminated(id, "FAILED" if "failed" in states else "FINISHED" if whole else "KILLED")


def _metrics(rows: pd.DataFrame) -> list[Any]:
    """Every finite number of the rows with its errors, at the tokens seen; under its way where texts were drawn in
    several."""
    from mlflow.entities import Metric

    metrics, now = [], int(time.time() * 1000)  # of equal steps MLflow shows the latest
    several = rows["way"].nunique() > 1 or (rows["stage"] == "estimate").any()
    for row in rows.to_dict("records"):
        way = [re.sub(r"[^\w .-]", "", row["way"])] if several else []
        name = "/".join([row["split"] or row["stage"], *way, spell(row["metric"])])
        for suffix in ("value", "standard_error", "monte_carlo_error"):
            if math.isfinite(row[suffix]):
                key = name if suffix == "value" else f"{name}/{suffix}"
                metrics.append(Metric(key, float(row[suffix]), now, int(row["tokens"])))
    return metrics


def spell(metric: str) -> str:
    """The metric in the signs that MLflow allows: `power[a]` is power/a, and `power[!]` is power/:exclamation mark:."""
    name, _, token = metric.removesuffix("]").partition("[")
    spelt = re.sub(r"[^\w -]", lambda found: f":{SPOKEN.get(found[0]) or unicodedata.name(found[0]).lower()}:", token)
    return f"{name}/{spelt}" if token else name
