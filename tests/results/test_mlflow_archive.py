"""A record out of an MLflow store is the record in the folders, and the tidy table survives its file."""

import json
import os
import shutil

import pandas as pd
import pyarrow.parquet
import pytest
from mlflow import MlflowClient

import bench
from bench.cli.main import main
from bench.engine.storage import read_suite
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.results import mlflow_archive as archive
from bench.results import tidy_parquet as tidy
from bench.results.suite_record import read
from tests.conftest import TINY
from tests.support.changed_records import rewrite


def run(*words) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A suite whose MDLM fails, run whole: a record with numbers, control texts and a failure."""
    folder = tmp_path_factory.mktemp("mirror")
    arms = (
        "  - {label: AR, method: ar}\n  - {label: MDLM, method: mdlm, training: {learning_rate: 1.0e+30, clip: null}}\n"
    )
    text = TINY[: TINY.index("  - {label: AR")] + arms + TINY[TINY.index("seeds:") :]
    text = text.replace("calls: 4}\n", "calls: 4}\n  quality: {copied: 8}\n")
    (folder / "tiny.yaml").write_text(text)
    assert run("run", folder / "tiny.yaml", "--runs", folder / "runs") == FAILED
    return folder


def uri_of(folder) -> str:
    return f"sqlite:///{folder / 'runs' / 'mlflow.db'}"


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_report_from_the_store_has_the_bytes_of_one_from_the_folders(ran, tmp_path):
    assert run("report", "tiny", "--runs", ran / "runs") == FAILED
    assert run("report", "tiny", "--runs", tmp_path, "--from-mlflow", uri_of(ran)) == FAILED
    from_folders = files(ran / "runs" / "reports" / "tiny")
    assert files(tmp_path / "reports" / "tiny") == from_folders
    assert {"tidy.parquet", "tidy.csv", "index.html", "table.tex"} <= set(from_folders)
    assert b"non-finite loss" in from_folders["index.html"]


def test_control_texts_are_one_run_whose_metrics_name_their_kind(ran):
    client = MlflowClient(uri_of(ran))
    tracked = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    by_arm = {run.data.tags["bench.arm"]: run for run in tracked if "bench.arm" in run.data.tags}
    assert len(tracked) - 1 == len(by_arm) == len({"AR", "MDLM", "controls"} & set(by_arm))
    metrics = by_arm["controls"].data.metrics
    assert {"quality/data/unigram_entropy", "quality/shuffled text/unigram_entropy"} <= set(metrics)


def test_what_changes_of_a_record_reaches_the_store(ran):
    record = ran / "runs" / "suites" / "tiny.json"
    before = record.read_text()
    changed = json.loads(before) | {"question": "Does it still hold?"}
    try:
        rewrite(record, changed)
        assert archive.read(uri_of(ran), "tiny").question == "Does it hold?"
        assert run("sync", "tiny", "--runs", ran / "runs") == DONE
        assert archive.read(uri_of(ran), "tiny").question == "Does it still hold?"
    finally:
        record.write_text(before)
        run("sync", "tiny", "--runs", ran / "runs")


def test_a_store_that_was_lost_is_written_again(ran, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    monkeypatch.chdir(tmp_path)
    assert run("sync", "tiny", "--runs", ran / "runs") == DONE
    archived, recorded = archive.read(os.environ["MLFLOW_TRACKING_URI"], "tiny"), read(ran / "runs", "tiny")
    pd.testing.assert_frame_equal(archived.table, recorded.table)
    pd.testing.assert_frame_equal(archived.pairs, recorded.pairs)


def test_what_a_store_lacks_is_told_with_the_way_out(ran, tmp_path, capsys):
    assert run("report", "other", "--runs", tmp_path, "--from-mlflow", uri_of(ran)) == USAGE_ERROR
    assert 'holds no record of suite "other"; write it there with: bench sync' in capsys.readouterr().err


def test_a_file_that_is_not_what_was_uploaded_is_not_read(ran, tmp_path, capsys):
    (artifact,) = (ran / "runs" / "mlartifacts").rglob("train/result.json")
    before = artifact.read_bytes()
    try:
        artifact.write_bytes(before.replace(b"seconds", b"minutes"))
        assert run("report", "tiny", "--runs", tmp_path, "--from-mlflow", uri_of(ran)) == USAGE_ERROR
        assert "train/result.json of MLflow run" in capsys.readouterr().err
    finally:
        artifact.write_bytes(before)


def test_the_tidy_table_survives_its_file(ran, tmp_path):
    table = bench.load(ran / "runs")
    tidy.write(table, tmp_path / "one.parquet")
    tidy.write(table, tmp_path / "other.parquet")
    pd.testing.assert_frame_equal(tidy.read(tmp_path / "one.parquet"), table)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()


def test_a_table_of_another_schema_is_refused(ran, tmp_path, monkeypatch):
    table, path = bench.load(ran / "runs"), tmp_path / "tidy.parquet"
    table.to_parquet(path)
    with pytest.raises(tidy.WrongSchema, match="is no tidy table"):
        tidy.read(path)
    monkeypatch.setattr(tidy, "SCHEMA", tidy.SCHEMA + 1)
    tidy.write(table, path)
    monkeypatch.undo()
    with pytest.raises(tidy.WrongSchema, match=f"is of schema {tidy.SCHEMA + 1}, and this version reads"):
        tidy.read(path)
    assert pyarrow.parquet.read_schema(path).metadata[tidy.KEY] == str(tidy.SCHEMA + 1).encode()


@pytest.mark.parametrize("name", ["heartbeat.json", "train/sequences.npz"])
def test_nothing_behind_a_link_is_uploaded(name, ran, tmp_path):
    shutil.copytree(ran / "runs" / "suites", tmp_path / "suites")
    shutil.copytree(ran / "runs" / "cells", tmp_path / "cells")
    (tmp_path / "private").write_text("precious")
    stored = read_suite(tmp_path, "tiny")
    cell = next(cell for cell in stored.cells if cell.arm == "AR")
    folder = tmp_path / "cells" / cell.id
    (folder / "train" / "result.json").unlink()  # with its checkpoint, it was interrupted

    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "private")
    assert name not in archive.files_of_cell(tmp_path, cell)
    (folder / name).unlink()
    (folder / name).write_text("x")
    assert name in archive.files_of_cell(tmp_path, cell)
