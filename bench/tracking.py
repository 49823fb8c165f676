"""MLflow, the page where people look: experiment = suite, run = cell. This is its only import, and the driver the only
writer. The folders of the cells are the truth; whatever the store lacks is written from them."""

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

METRICS_A_CALL = 1000  # MLflow's limit for log_batch


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
    runs_held = client.search_runs([experiment], max_results=50_000)
    held = {(run.data.tags.get("bench.cell"), run.data.tags.get("bench.arm")): run for run in runs_held}
    for (arm, id), rows in table.groupby(["arm", "cell"], sort=False):
        run = held.get((str(id), str(arm))) or _create(client, experiment, rows)
        _update(client, runs / "cells" / str(id), run, rows)


def _experiment(client: Any, runs: Path, suite: str) -> str:
    found = client.get_experiment_by_name(suite)
    if found:
        return str(found.experiment_id)
    local = None if os.environ.get("MLFLOW_TRACKING_URI") else (runs / "mlartifacts").resolve().as_uri()
    return str(client.create_experiment(suite, artifact_location=local))


def _create(client: Any, experiment: str, rows: pd.DataFrame) -> Any:
    first = rows.iloc[0]
    tags = {"bench.cell": first["cell"], "bench.arm": first["arm"]}
    run = client.create_run(experiment, tags=tags, run_name=f"{first['arm']} seed {first['seed']}")
    for name in ("arm", "method", "seed", "data", "network"):
        client.log_param(run.info.run_id, name, first[name])
    return run


def _update(client: Any, folder: Path, run: Any, rows: pd.DataFrame) -> None:
    """Logs each stage that is done and not logged yet, and the state of the cell."""
    id = run.info.run_id
    for stage, of_stage in rows.groupby("stage", sort=False):
        state = of_stage["status"].iloc[0]
        tag = f"bench.{stage}"
        if state not in ("done", "stale") or run.data.tags.get(tag) == "logged":
            continue
        metrics = _metrics(of_stage)
        for start in range(0, len(metrics), METRICS_A_CALL):
            client.log_batch(id, metrics=metrics[start : start + METRICS_A_CALL])
        for path in sorted(folder.glob(f"{stage}*/result.json")):
            client.log_artifact(id, str(path), artifact_path=path.parent.name)
        client.set_tag(id, tag, "logged")
    states = set(rows["status"])
    if "failed" in states:
        client.set_tag(id, "bench.reason", rows.loc[rows["status"] == "failed", "reason"].iloc[0])
    whole = states <= {"done", "stale"}
    client.set_terminated(id, "FAILED" if "failed" in states else "FINISHED" if whole else "KILLED")


def _metrics(rows: pd.DataFrame) -> list[Any]:
    """Every finite number of the rows with its errors, at the tokens seen."""
    from mlflow.entities import Metric

    metrics = []
    for row in rows.to_dict("records"):
        name = f"{row['split'] or row['stage']}/{row['metric']}"
        for suffix in ("value", "standard_error", "monte_carlo_error"):
            if math.isfinite(row[suffix]):
                key = name if suffix == "value" else f"{name}/{suffix}"
                metrics.append(Metric(key, float(row[suffix]), 0, int(row["tokens"])))
    return metrics
