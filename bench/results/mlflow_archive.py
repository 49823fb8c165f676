"""A complete copy of a suite's record in an MLflow store: reports can be made from it, byte for byte.

The run of each cell holds the files of its stages; one more run, named "record", holds the suite and its certificates.
A file `manifest.json` in each run lists the files with their SHA-256, so that a partial upload is never read.
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
    from bench.results.suite_record import SuiteRecord

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # an unreachable server is reported soon

MANIFEST = "manifest.json"
STAGE_FILES = ("result.json", "failure.json", "sequences.npz")  # the weights stay in the folder of results
RECORD = {"bench.role": "record"}  # the tag of the run that holds the suite
MAX_RUNS = 50_000  # per search of an experiment: MLflow's limit


class IncompleteArchive(ValueError):
    """A store that lacks a part of a suite's record."""


def files_of_suite(runs: Path, suite: str) -> dict[str, Path]:
    """The files of a record beside its cells, by their path under `runs`."""
    paths = [suite_file(runs, suite), *sorted((runs / "certificates").glob("*.json"))]
    return {path.relative_to(runs).as_posix(): path for path in paths}


def files_of_cell(runs: Path, cell: StoredCell) -> dict[str, Path]:
    """The existing files of a planned cell's stages, by their path under its folder."""
    folder = cell_folder(runs, cell.id)
    paths = [folder / stage.folder / name for stage in cell.stages for name in STAGE_FILES]
    return {path.relative_to(folder).as_posix(): path for path in paths if path.is_file()}


def upload(client: Any, run: Any, files: dict[str, Path]) -> None:
    """Bring the files of a run up to date; the manifest comes last, and its digest becomes the tag `bench.manifest`."""
    id, digests = run.info.run_id, {name: _digest(path) for name, path in files.items()}
    manifest = json.dumps(digests, indent=1, sort_keys=True)
    manifest_digest = hashlib.sha256(manifest.encode()).hexdigest()
    if run.data.tags.get("bench.manifest") == manifest_digest:
        return

    uploaded = _manifest(client, id) if "bench.manifest" in run.data.tags else {}
    for name, path in files.items():
        if uploaded.get(name) != digests[name]:
            parent = Path(name).parent.as_posix()
            client.log_artifact(id, str(path), artifact_path=None if parent == "." else parent)

    client.log_text(id, manifest, MANIFEST)
    client.set_tag(id, "bench.manifest", manifest_digest)


def fetch(uri: str, suite: str, runs: Path) -> None:
    """Download the record of a suite from an MLflow store into the folder of results `runs`.

    Raises NoRecord if the store lacks the suite, IncompleteArchive if a file differs from its manifest.
    """
    from mlflow import MlflowClient

    from bench.results.suite_record import NoRecord

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(suite)
    tracked = client.search_runs([experiment.experiment_id], max_results=MAX_RUNS) if experiment else []
    archived = [run for run in tracked if "bench.manifest" in run.data.tags]
    records = [run for run in archived if run.data.tags.get("bench.role") == RECORD["bench.role"]]
    if not records:
        raise NoRecord(f'{uri} holds no record of suite "{suite}"; write it there with: bench sync')

    _download(client, records[0], runs)
    by_arm = {(run.data.tags.get("bench.cell"), run.data.tags.get("bench.arm")): run for run in archived}
    stored = read_suite(runs, suite)
    assert stored is not None, f"the record of suite {suite} was not fetched"
    for cell in stored.cells:
        run = by_arm.get((cell.id, cell.arm))
        if run is not None:  # a cell that never ran has none, and is missing from the record too
            _download(client, run, cell_folder(runs, cell.id))


def read(uri: str, suite: str) -> "SuiteRecord":
    """Read the record of a suite from an MLflow store; it equals the record of the folders that it was written from.

    Raises NoRecord and IncompleteArchive as `fetch` does.
    """
    from bench.results.suite_record import read as read_folders

    with tempfile.TemporaryDirectory() as folder:
        fetch(uri, suite, Path(folder))
        return read_folders(Path(folder), suite)


def _download(client: Any, run: Any, folder: Path) -> None:
    """Download the files in a run's manifest into a folder."""
    for name, digest in _manifest(client, run.info.run_id).items():
        content = _artifact(client, run.info.run_id, name)
        if hashlib.sha256(content).hexdigest() != digest:
            problem = f"{name} of MLflow run {run.info.run_id} is not what its manifest says"
            raise IncompleteArchive(f"{problem}; write it there again with: bench sync")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _manifest(client: Any, id: str) -> dict[str, str]:
    return dict(json.loads(_artifact(client, id, MANIFEST)))


def _artifact(client: Any, id: str, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return Path(client.download_artifacts(id, name, folder)).read_bytes()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
