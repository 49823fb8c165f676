"""A complete copy of a suite's record in an MLflow store: reports can be made from it, byte for byte.

The run of each cell holds the files of its stages; one more run, named "record", holds the suite and its certificates.
A file `manifest.json` in each run lists the files with their SHA-256, so that a partial upload is never read. A store
may be anybody's: nothing is read from it but files that a record has, by their names, into the folders that are theirs.
"""

import hashlib
import json
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from bench.engine import heartbeat, storage
from bench.engine.identifiers import SuiteName
from bench.engine.record_files import BrokenRecord, is_plain_file
from bench.engine.records import Stage, StoredCell
from bench.engine.storage import cell_folder, read_failure, read_result, read_suite, suite_file
from bench.results.mlflow_errors import StoreError
from bench.results.mlflow_store import StoreClient

if TYPE_CHECKING:
    from bench.results.suite_record import SuiteRecord

MANIFEST = "manifest.json"
STAGE_FILES = ("result.json", "failure.json", "sequences.npz")  # the weights stay in the folder of results
CERTIFICATE = re.compile(r"certificates/[\w.+=-]+\.json")
RECORD = {"bench.role": "record"}  # the tag of the run that holds the suite
MAX_RUNS = 50_000  # per search of an experiment: MLflow's limit
REPAIR = "write it there again with: bench sync"

CellKey = tuple[str | None, str | None]  # the id and the arm of a run's cell; None for the run that holds the suite


class IncompleteArchive(ValueError):
    """A store that lacks a part of a suite's record."""


def find_experiment(client: StoreClient, suite: str) -> str | None:
    """The id of a suite's experiment, if there is one. Raises StoreError, also if it was deleted."""
    experiment = client.get_experiment_by_name(suite)
    if experiment is None:
        return None
    if experiment.name != suite or not experiment.experiment_id:
        raise StoreError(client.uri, "gives an answer that is not one of MLflow's", "check the address")
    if experiment.lifecycle_stage != "active":
        restore = f"mlflow experiments restore --experiment-id {experiment.experiment_id}"
        advice = f"restore it with: {restore} (MLFLOW_TRACKING_URI names the store), or name another store there"
        raise StoreError(client.uri, f'has deleted experiment "{suite}"', advice)
    return str(experiment.experiment_id)


def cell_key(run: Any) -> CellKey:
    """The cell that a run of MLflow belongs to."""
    return run.data.tags.get("bench.cell"), run.data.tags.get("bench.arm")


def find_record_runs(runs: Iterable[Any]) -> list[Any]:
    """The runs that hold a suite; more than one only if a creation was answered too late and made again."""
    return [run for run in runs if RECORD.items() <= run.data.tags.items()]


def prefer_archived(runs: Iterable[Any]) -> dict[CellKey, Any]:
    """A run for each cell: the first one that was uploaded whole, or else the first one."""
    by_cell: dict[CellKey, Any] = {}
    for run in sorted(runs, key=lambda run: ("bench.manifest" not in run.data.tags, run.info.start_time or 0)):
        by_cell.setdefault(cell_key(run), run)
    return by_cell


def files_of_suite(runs: Path, suite: str) -> dict[str, Path]:
    """The files of a record beside its cells, by their path under `runs`."""
    certificates = [path for path in sorted((runs / "certificates").glob("*.json")) if is_plain_file(path)]
    paths = [suite_file(runs, suite), *certificates]
    return {path.relative_to(runs).as_posix(): path for path in paths}


def files_of_cell(runs: Path, cell: StoredCell) -> dict[str, Path]:
    """The existing files of a planned cell's stages, by their path under its folder; broken records are left out.

    The last sign of life of a worker that was interrupted is among them; that of one at work changes all the time.
    """
    folder = cell_folder(runs, cell.id)
    paths = [folder / stage.folder / name for stage in cell.stages for name in STAGE_FILES if is_whole(folder, stage)]
    if any(storage.status(folder, stage.folder)[0] == "interrupted" for stage in cell.stages):
        paths.append(folder / heartbeat.NAME)
    return {path.relative_to(folder).as_posix(): path for path in paths if is_plain_file(path)}


def is_whole(cell: Path, stage: Stage) -> bool:
    """Whether the records of a stage, if there are any, can be read and believed."""
    try:
        read_result(cell, stage.folder)
        read_failure(cell, stage.folder)
    except BrokenRecord:
        return False
    return True


def upload(client: StoreClient, run: Any, files: dict[str, Path], verify: bool) -> int:
    """Bring the files of a run up to date, and return how many were written.

    The manifest comes last, and its digest becomes the tag `bench.manifest`. If that is up to date, the store is taken
    to hold the files, unless `verify` looks at each of them.
    """
    id, digests = run.info.run_id, {name: _digest(path.read_bytes()) for name, path in files.items()}
    manifest = json.dumps(digests, indent=1, sort_keys=True)
    is_noted = run.data.tags.get("bench.manifest") == _digest(manifest.encode())
    if is_noted and not verify:
        return 0

    uploaded = _list_uploaded(client, run, files, verify)
    outdated = [name for name in files if uploaded.get(name) != digests[name]]
    for name in outdated:
        parent = Path(name).parent.as_posix()
        client.log_artifact(id, str(files[name]), artifact_path=None if parent == "." else parent)

    if not is_noted or uploaded.get(MANIFEST) != _digest(manifest.encode()):
        client.log_text(id, manifest, MANIFEST)
        client.set_tag(id, "bench.manifest", _digest(manifest.encode()))
        return len(outdated) + 1
    return len(outdated)


def _list_uploaded(client: StoreClient, run: Any, names: Iterable[str], verify: bool) -> dict[str, str]:
    """The SHA-256 of a run's files in the store: what its manifest says, or with `verify` what they are."""
    if "bench.manifest" not in run.data.tags:
        return {}
    digests: dict[str, str] = {}
    for name in (MANIFEST, *names) if verify else (MANIFEST,):
        try:
            content = _artifact(client, run.info.run_id, name)
            digests |= {name: _digest(content)} if verify else _parse_manifest(content)
        except IncompleteArchive:
            continue  # it is uploaded again
    return digests


def fetch(uri: str, suite: str, runs: Path) -> None:
    """Download the record of a suite from an MLflow store into the folder of results `runs`.

    Raises NoRecord if the store lacks the suite, IncompleteArchive if a file is missing or differs from its manifest,
    BrokenRecord if the record is not one of a suite, StoreError.
    """
    from bench.results.suite_record import NoRecord

    _check_suite_name(suite)
    client = StoreClient(uri, reads_only=True)
    experiment = find_experiment(client, suite)
    tracked = client.search_runs([experiment], max_results=MAX_RUNS) if experiment else []
    archived = [run for run in tracked if "bench.manifest" in run.data.tags]
    records = find_record_runs(archived)
    if not records:
        raise NoRecord(f'{client.address} holds no record of suite "{suite}"; write it there with: bench sync')

    _download(client, records[0], runs, {f"suites/{suite}.json"}, CERTIFICATE)
    stored = read_suite(runs, suite)
    if stored is None or stored.suite != suite:
        raise IncompleteArchive(f'{client.address} holds another record under the name of suite "{suite}"; {REPAIR}')

    by_arm = prefer_archived(archived)
    for cell in stored.cells:
        run = by_arm.get((cell.id, cell.arm))
        if run is not None:  # a cell that never ran has none, and is missing from the record too
            names = {f"{stage.folder}/{name}" for stage in cell.stages for name in STAGE_FILES} | {heartbeat.NAME}
            _download(client, run, cell_folder(runs, cell.id), names)


def read(uri: str, suite: str) -> "SuiteRecord":
    """Read the record of a suite from an MLflow store; it equals the record of the folders that it was written from.

    Raises what `fetch` raises.
    """
    from bench.results.suite_record import read as read_folders

    with tempfile.TemporaryDirectory() as folder:
        fetch(uri, suite, Path(folder))
        return read_folders(Path(folder), suite)


def _check_suite_name(suite: str) -> None:
    """Raise BrokenRecord if a name of a record could not be the name of a file."""
    try:
        TypeAdapter(SuiteName).validate_python(suite)
    except ValidationError:
        raise BrokenRecord(f"{suite!r} is no name of a suite's record; it names a file, so it has no /") from None


def _download(
    client: StoreClient, run: Any, folder: Path, names: set[str], pattern: re.Pattern[str] | None = None
) -> None:
    """Download the files in a run's manifest into a folder; each is one of `names`, or of the `pattern`."""
    id = run.info.run_id
    for name, digest in _parse_manifest(_artifact(client, id, MANIFEST)).items():
        if name not in names and not (pattern and pattern.fullmatch(name)):
            raise BrokenRecord(
                f"{MANIFEST} of MLflow run {id} names {name!r}, which is no file of this record; {REPAIR}"
            )
        content = _artifact(client, id, name)
        if _digest(content) != digest:
            raise IncompleteArchive(f"{name} of MLflow run {id} is not what its manifest says; {REPAIR}")
        _write_inside(folder, name, content)


def _write_inside(folder: Path, name: str, content: bytes) -> None:
    """Write a file below a folder. Raises BrokenRecord if its path leads out, by its name or by a link."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or not path.parent.resolve().is_relative_to(folder.resolve()):
        raise BrokenRecord(f"{name!r} leads out of {folder}, so it is not written")
    path.write_bytes(content)


def _parse_manifest(content: bytes) -> dict[str, str]:
    """The digests of files by their names. Raises IncompleteArchive."""
    try:
        return TypeAdapter(dict[str, str]).validate_json(content)
    except ValidationError:
        raise IncompleteArchive(f"{MANIFEST} of a run is not whole; {REPAIR}") from None


def _artifact(client: StoreClient, id: str, name: str) -> bytes:
    """The content of a run's file. Raises IncompleteArchive if there is no such file, StoreError."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            path = Path(client.download_artifacts(id, name, folder))
        except StoreError as error:
            if not error.is_missing or _is_listed(client, id, name):
                raise
            raise IncompleteArchive(f"{client.address} lacks {name} of MLflow run {id}; {REPAIR}") from None
        if not path.is_file():
            raise IncompleteArchive(f"{client.address} has a folder instead of {name} of MLflow run {id}; {REPAIR}")
        return path.read_bytes()


def _is_listed(client: StoreClient, id: str, name: str) -> bool:
    """Whether a run lists a file; MLflow reports every download that fails, for whatever reason, as a missing file."""
    parent = Path(name).parent.as_posix()
    files = client.list_artifacts(id, None if parent == "." else parent)
    return name in {file.path for file in files}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
