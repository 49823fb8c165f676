"""How far a worker is: its signs of life, and what is known of a stage that has neither a result nor a failure."""

import errno
import logging
import os
import shutil
import time
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.engine import heartbeat, lock, storage
from bench.engine.heartbeat import Heartbeat
from bench.engine.records import RESULTS
from bench.launch import pulse, signs_of_life
from bench.launch.exit_codes import FAILED, INCOMPLETE
from bench.launch.job_files import submit
from bench.launch.pulse import Pulse
from bench.launch.signs_of_life import SignsOfLife
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.results.mlflow_archive import files_of_cell
from bench.suite.suite import read


@pytest.fixture
def cell(tiny: Path, tmp_path: Path) -> Path:
    """The folder of the first cell of the tiny suite, whose worker has not started."""
    planned = plan(read(tiny))
    submit(tmp_path / "runs", planned)
    return folder_of(tmp_path / "runs", planned.cells[0])


def beat(cell: Path, stage: str = "train", step: int = 3, total: int = 6) -> None:
    heartbeat.write(
        cell,
        Heartbeat(stage=stage, step=step, total=total, tokens_per_second=12.4, time=time.time(), pid=1, host="here"),
    )


def status_while_held(cell: Path) -> tuple[str, str]:
    with lock.at_work(cell):
        return storage.status(cell, "train")


def test_a_stage_is_missing_until_a_worker_begins_it(cell):
    assert storage.status(cell, "train") == ("missing", "")
    assert status_while_held(cell) == ("running", "")
    beat(cell)
    assert status_while_held(cell) == ("running", "at step 3 of 6, 12 tokens/s, last sign of life 0 s ago")
    assert storage.status(cell, "train") == ("interrupted", "at step 3 of 6")
    assert storage.status(cell, "bound-0") == ("missing", "")


@pytest.mark.parametrize(
    ("stage", "total", "reason"),
    [("train", 0, "before its first step"), ("bound-0", 6, "at item 3 of 6")],
)
def test_where_a_stage_was_interrupted_is_told(stage, total, reason, cell):
    beat(cell, stage, total=total)
    assert storage.status(cell, stage) == ("interrupted", reason)


def test_a_checkpoint_without_a_sign_of_life_was_interrupted_too(cell):
    (cell / "train").mkdir()
    (cell / "train" / "checkpoint.pt").touch()
    assert storage.status(cell, "train") == ("interrupted", "after its last checkpoint")


def test_results_and_failures_outweigh_signs_of_life(cell):
    beat(cell)
    storage.fail(cell / "train", "out of memory", "")
    assert storage.status(cell, "train") == ("failed", "out of memory")
    storage.succeed(cell / "train", RESULTS["train"]())
    assert storage.status(cell, "train") == ("done", "")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"stage": "train"}'])
def test_a_broken_sign_of_life_is_none(content, cell):
    (cell / "heartbeat.json").write_text(content)
    assert heartbeat.read(cell) is None
    assert storage.status(cell, "train") == ("missing", "")


@pytest.mark.parametrize(("command", "code"), [("status", INCOMPLETE), ("plan", 0), ("report", INCOMPLETE)])
def test_every_command_tells_where_a_cell_was_interrupted(command, code, cell, tiny, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    beat(cell)
    assert main([command, str(tiny), "--runs", str(cell.parents[1])]) == code
    assert "interrupted at step 3 of 6" in capsys.readouterr().out


def test_a_cell_whose_lock_is_a_link_is_a_failed_row_and_the_others_are_told(cell, tiny, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    (cell / "lock").symlink_to(tiny)
    before = tiny.read_text()
    assert main(["status", str(tiny), "--runs", str(cell.parents[1])]) == FAILED
    output = capsys.readouterr().out
    assert "lock is a symbolic link" in output
    assert "missing" in output
    assert tiny.read_text() == before


def test_signs_of_life_are_written_every_few_seconds_and_end_with_the_stage(cell, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: clock[0])
    sign = Pulse(cell, "train")
    assert heartbeat.read(cell).describe() == "before its first step"  # type: ignore[union-attr]
    for seconds, step, written in ((0.1, 1, 1), (1.0, 2, 1), (1.0, 3, 3), (0.1, 4, 3)):
        clock[0] += seconds
        sign.reach(step, 6, 10.0)
        assert heartbeat.read(cell).step == written  # type: ignore[union-attr]
    sign.flush()
    assert heartbeat.read(cell).describe() == "at step 4 of 6"  # type: ignore[union-attr]

    resumed = Pulse(cell, "train")
    assert heartbeat.read(cell).describe() == "at step 4 of 6"  # type: ignore[union-attr]
    resumed.end()
    assert heartbeat.read(cell) is None


def test_a_full_disk_stops_no_work_for_a_sign_of_life(cell, monkeypatch):
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(heartbeat.os, "write", refuse)
    Pulse(cell, "train").reach(1, 6, 10.0)
    assert [path.name for path in cell.iterdir()] == ["job.json"]


def test_the_driver_tells_of_silence_at_growing_intervals_and_kills_only_if_asked(cell, monkeypatch, caplog):
    clock = [100.0]
    monkeypatch.setattr(signs_of_life.time, "monotonic", lambda: clock[0])
    patient, strict = SignsOfLife(cell, None), SignsOfLife(cell, 600)
    messages = []
    with caplog.at_level(logging.WARNING):
        for second in range(0, 700, 10):
            clock[0] = 100.0 + second
            if second == 300:
                beat(cell, step=5)
            assert patient.check(7) == ""
            messages += [(second, record.getMessage()) for record in caplog.records]
            caplog.clear()
    assert [second for second, _ in messages] == [30, 60, 120, 240, 330, 360, 420, 540]
    assert messages[0][1] == (
        "no sign of life from process 7 for 30 s, before its first stage; --hang-timeout SECONDS ends such a worker"
    )
    assert "for 30 s, in train, at step 5 of 6;" in messages[4][1]

    assert strict.check(7) == ""  # the sign came since the last look
    clock[0] += 600
    assert strict.check(7) == "no sign of life for 600 s, in train, at step 5 of 6; ended by --hang-timeout 600"


def test_the_files_that_are_archived_tell_where_a_cell_was_interrupted(cell, tiny, tmp_path):
    runs, copy = cell.parents[1], tmp_path / "copy"
    stored = storage.read_suite(runs, "tiny")
    assert stored is not None
    assert list(files_of_cell(runs, stored.cells[0])) == []
    beat(cell)
    for name, path in files_of_cell(runs, stored.cells[0]).items():
        copy.mkdir()
        shutil.copy(path, copy / name)
    assert storage.status(copy, "train") == storage.status(cell, "train") == ("interrupted", "at step 3 of 6")
    with lock.at_work(cell):
        assert list(files_of_cell(runs, stored.cells[0])) == []


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_something_else_in_the_place_of_a_sign_of_life_stops_no_work(kind, cell, tmp_path):
    (tmp_path / "outside").write_text("precious")
    if kind == "folder":
        (cell / heartbeat.NAME / "inside").mkdir(parents=True)
    else:
        (cell / heartbeat.NAME).symlink_to(tmp_path / "outside")
    Pulse(cell, "train").end()
    assert not os.path.lexists(cell / heartbeat.NAME)
    assert (tmp_path / "outside").read_text() == "precious"
