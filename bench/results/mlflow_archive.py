"""The record of a suite in an MLflow store, whole: what a report is made from can be fetched from there, byte for byte.

Each run of a cell holds the files of its stages, and one more run, named "record", the suite and its certificates. A
file `manifest.json` beside them lists the files with their SHA-256, so that nothing half uploaded is ever read.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.engine.records import StoredCell
from bench.engine.storage import cell_folder, read_suite, suite_file

if TYPE_CHECKING:
    from bench.results.suite_record import Record

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # a server that is away is told of soon

MANIFEST = "manifest.json"
KEPT = ("result.json", "failure.json", "sequences.npz")  # of a stage; the weights stay where they were trained
RECORD = {"bench.role": "record"}  # the tag of the run that holds the suite
NEWEST = 50_000  # runs that are looked at in an experiment: MLflow's limit for a call


class NotMirrored(ValueError):
    """A store that does not hold the whole record of a suite."""


def files_of_suite(runs: Path, suite: str) -> dict[str, Path]:
    """What a record consists of beside its cells, by the path under `runs`."""
    there = [suite_file(runs, suite), *sorted((runs / "certificates").glob("*.json"))]
    return {path.relative_to(runs).as_posix(): path for path in there}


def files_of_cell(runs: Path, cell: StoredCell) -> dict[str, Path]:
    """What is there of the stages of a planned cell, by the path under its folder."""
    folder = cell_folder(runs, cell.id)
    there = [folder / stage.folder / name for stage in cell.stages for name in KEPT]
    return {path.relative_to(folder).as_posix(): path for path in there if path.is_file()}


def upload(client: Any, run: Any, files: dict[str, Path]) -> None:
    """Brings the files of a run up to date; the manifest goes last, and its digest becomes the tag `bench.manifest`."""
    id, digests = run.info.run_id, {name: _digest(path) for name, path in files.items()}
    manifest = json.dumps(digests, indent=1, sort_keys=True)
    mark = hashlib.sha256(manifest.encode()).hexdigest()
    if run.data.tags.get("bench.manifest") == mark:
        return
    held = _manifest(client, id) if "bench.manifest" in run.data.tags else {}
    for name, path in files.items():
        if held.get(name) != digests[name]:
            parent = Path(name).parent.as_posix()
            client.log_artifact(id, str(path), artifact_path=None if parent == "." else parent)
    client.log_text(id, manifest, MANIFEST)
    client.set_tag(id, "bench.manifest", mark)


def fetch(uri: str, suite: str, runs: Path) -> None:
    """Writes the record of a suite that an MLflow store holds into the folder of results `runs`.

    Raises NoRecord where the store lacks the suite, NotMirrored where it holds a file that is not whole.
    """
    from mlflow import MlflowClient

    from bench.results.suite_record import NoRecord

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(suite)
    held = client.search_runs([experiment.experiment_id], max_results=NEWEST) if experiment else []
    kept = [run for run in held if "bench.manifest" in run.data.tags]
    records = [run for run in kept if run.data.tags.get("bench.role") == RECORD["bench.role"]]
    if not records:
        raise NoRecord(f'{uri} holds no record of suite "{suite}"; write it there with: bench sync')
    _download(client, records[0], runs)
    by_arm = {(run.data.tags.get("bench.cell"), run.data.tags.get("bench.arm")): run for run in kept}
    stored = read_suite(runs, suite)
    assert stored is not None, f"the record of suite {suite} was not fetched"
    for cell in stored.cells:
        run = by_arm.get((cell.id, cell.arm))
        if run is not None:  # a cell that was never at work has none, and is missing from the record too
            _download(client, run, cell_folder(runs, cell.id))


def read(uri: str, suite: str) -> "Record":
    """The record of a suite that an MLflow store holds; the same as that of the folders that it was written from.

    Raises NoRecord and NotMirrored as `fetch` does.
    """
    from bench.results.suite_record import read as read_folders

    with tempfile.TemporaryDirectory() as folder:
        fetch(uri, suite, Path(folder))
        return read_folders(Path(folder), suite)


def _download(client: Any, run: Any, folder: Path) -> None:
    """The files that the run's manifest names, into the folder."""
    for name, digest in _manifest(client, run.info.run_id).items():
        content = _artifact(client, run.info.run_id, name)
        if hashlib.sha256(content).hexdigest() != digest:
            told = f"{name} of MLflow run {run.info.run_id} is not what its manifest says"
            raise NotMirrored(f"{told}; write it there again with: bench sync")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _manifest(client: Any, id: str) -> dict[str, str]:
    return dict(json.loads(_artifact(client, id, MANIFEST)))


def _artifact(client: Any, id: str, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(id, name, folder)).read_bytes()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
