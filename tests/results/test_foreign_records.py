"""A record from anybody's store: ids and names of files that are no such names are refused, and nothing is written."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pydantic import ValidationError

from bench.cli.main import main
from bench.engine.record_files import DIGEST, BrokenRecord
from bench.engine.records import Stage, StoredCell, StoredSuite
from bench.engine.storage import cell_folder
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.results import mlflow_archive
from tests.conftest import TINY

Record = dict[str, Any]
Change = Callable[[Record], object]

PATHS = ["../../../outside", "/srv/outside", "..", ".", "", "a/b", "C:\\outside", "0123456789ab/..", "0123456789ab\n"]
ID = "0123456789ab"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a tiny suite, with a store."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "tiny.yaml").write_text(TINY)
    assert main(["run", str(folder / "tiny.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


def write_foreign(runs: Path, record: Record, manifest: dict[str, bytes]) -> str:
    """Add an experiment "foreign" to the store: a record, and for each of its cells a run with files of any name."""
    uri = f"sqlite:///{runs / 'mlflow.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("foreign", artifact_location=(runs / "foreign").as_uri())
    content = json.dumps(record).encode()
    put(client, experiment, {"bench.role": "record"}, {"suites/foreign.json": content})
    for cell in record["cells"]:
        put(client, experiment, {"bench.cell": cell["id"], "bench.arm": cell["arm"]}, manifest)
    return uri


def put(client: MlflowClient, experiment: str, tags: dict[str, str], files: dict[str, bytes]) -> None:
    """A run whose manifest names these files; a file is uploaded under the last part of its name."""
    id = client.create_run(experiment, tags=tags).info.run_id
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            path = Path(folder) / Path(name).name
            path.write_bytes(content)
            client.log_artifact(id, str(path), "suites" if name.startswith("suites/") else None)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    client.log_text(id, json.dumps(digests), "manifest.json")
    client.set_tag(id, "bench.manifest", "x")


def list_files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "foreign" not in path.parts and path.name != "mlflow.db"}


CHANGES: dict[str, Change] = {
    "id of a cell": lambda record: record["cells"][0].update(id="../../../outside"),
    "absolute id of a cell": lambda record: record["cells"][0].update(id="/srv/outside"),
    "folder of a stage": lambda record: record["cells"][0]["stages"][0].update(folder="../../outside"),
    "id of a stage": lambda record: record["cells"][0]["stages"][1].update(id="../../outside", folder=""),
    "samples of a stage": lambda record: record["cells"][0]["stages"][0]["settings"].update(samples="../outside"),
    "name of the suite": lambda record: record.update(suite="../outside"),
    "another suite": lambda record: record.update(suite="other"),
}
MANIFESTS = ["../../outside.json", "/srv/outside.json", ".bashrc", "train/checkpoint.pt", "train\\..\\result.json"]


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_with_a_path_for_an_id_is_refused(
    change: str, ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = read_record(ran)
    CHANGES[change](record)
    assert_refused(ran, tmp_path, record, {"train/result.json": b"{}"})
    words = capsys.readouterr().err
    assert "is not a record of this version" in words or "holds another record" in words


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_with_a_file_of_another_name_is_refused(
    name: str, ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(ran, tmp_path, read_record(ran), {name: b"echo outside"})
    assert f"names {name!r}, which is no file of this record" in capsys.readouterr().err


def read_record(runs: Path) -> Record:
    record: Record = json.loads((runs / "suites" / "tiny.json").read_text()) | {"suite": "foreign"}
    del record[DIGEST]  # who changes a record can leave it out
    return record


def assert_refused(ran: Path, folder: Path, record: Record, manifest: dict[str, bytes]) -> None:
    """Assert that no report is made from such a store, and that no file is left anywhere."""
    runs = folder / "runs"
    runs.mkdir()
    shutil.copy(ran / "mlflow.db", runs)
    uri = write_foreign(runs, record, manifest)
    before = list_files(folder)
    words = ["report", "foreign", "--from-mlflow", uri, "--runs", str(runs), "--allow-incomplete"]
    assert main(words) == USAGE_ERROR
    assert list_files(folder) == before


@pytest.mark.parametrize("name", [path for path in PATHS if "/" in path or path in ("..", ".", "")])
def test_a_suite_of_a_store_has_a_name_that_names_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenRecord, match="is no name of a suite's record"):
        mlflow_archive.fetch("sqlite:///nothing.db", name, tmp_path)


@pytest.mark.parametrize("path", PATHS)
def test_ids_and_folders_are_never_paths(path: str, tmp_path: Path) -> None:
    stage = {"name": "train", "id": ID, "folder": "train"}
    cell = {"id": ID, "arm": "A", "seed": 0, "stages": [stage]}
    assert StoredCell.model_validate(cell).stages[0].folder == "train"
    wrong: list[Callable[[], object]] = [
        lambda: StoredCell.model_validate(cell | {"id": path}),
        lambda: Stage.model_validate(stage | {"id": path}),
        lambda: Stage.model_validate(stage | {"name": path}),
        lambda: Stage.model_validate(stage | {"settings": {"samples": path}}),
        lambda: Stage.model_validate(stage | {"settings": {"scorer": path}}),
    ]
    if path:  # an empty folder is that of the stage's name
        wrong.append(lambda: Stage.model_validate(stage | {"folder": path}))
    for make in wrong:
        with pytest.raises(ValidationError):
            make()
    with pytest.raises(BrokenRecord, match="is not the id of a cell"):
        cell_folder(tmp_path, path)


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "/srv/outside", "a\nb"])
def test_names_of_suites_are_never_paths(name: str) -> None:
    suite = {"suite": "tiny", "facts": {"source": "markov", "length": 4, "vocab_size": 3}, "cells": []}
    assert StoredSuite.model_validate(suite).suite == "tiny"
    with pytest.raises(ValidationError, match="cannot name a file"):
        StoredSuite.model_validate(suite | {"suite": name})


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir(), outside.mkdir()
    (inside / "train").symlink_to(outside)
    (inside / "result.json").symlink_to(outside / "result.json")
    for name in ("train/result.json", "result.json"):
        with pytest.raises(BrokenRecord, match="leads out of"):
            mlflow_archive._write_inside(inside, name, b"x")
    assert list(outside.iterdir()) == []
