"""No room to write: the file is named, nothing half written is left, what was finished stays, a later run goes on."""

import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.cli.main import main
from bench.engine import record_files
from bench.launch.exit_codes import DONE, STORAGE_FULL, USAGE_ERROR
from tests.conftest import TINY
from tests.support.workers import COVERAGE

pytestmark = pytest.mark.long
LIMIT = 30_000  # bytes of a file: more than any record, less than a checkpoint


class Limited:
    """Stands for the module `subprocess` in the driver: workers may write only small files."""

    DEVNULL, TimeoutExpired = subprocess.DEVNULL, subprocess.TimeoutExpired

    @staticmethod
    def Popen(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":  # noqa: N802
        limits = (LIMIT, LIMIT)
        options["env"].pop(COVERAGE, None)  # its database is larger
        return subprocess.Popen(
            command, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits), **options
        )


@pytest.fixture
def untracked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are not tracked, which takes most of their time."""
    monkeypatch.setattr("bench.results.tracker.Tracker.track", lambda *names: None)


def test_a_run_without_room_stops_with_its_exit_code_and_goes_on_later(
    untracked: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    suite, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    suite.write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bench.launch.worker_process.subprocess", Limited)
        assert main(["run", str(suite), "--runs", str(runs)]) == STORAGE_FULL
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err
    assert "checkpoint.pt" in printed.err
    last = printed.err.strip().splitlines()[-1]
    assert last.startswith(f"no room to write {runs}")
    assert "--retry-failed" in last
    assert not list(tmp_path.rglob("*.partial"))
    assert "failed" in printed.out  # the table says which cell

    table = bench.load(runs)
    assert set(table[table["status"] == "failed"]["arm"]) == {"AR"}  # the driver did not go through the others
    assert table[table["arm"] == "AR"]["reason"].str.contains("no room to write").all()
    monkeypatch.setattr("bench.cli.suite_commands.write_reports", lambda records, args: None)
    assert main(["run", str(suite), "--runs", str(runs), "--retry-failed"]) == DONE


def test_a_report_without_room_leaves_the_earlier_one(
    tiny: Path, untracked: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    assert main(["run", str(tiny), "--runs", str(runs)]) == DONE
    reports = runs / "reports" / "tiny"
    before = {path.name: path.read_bytes() for path in reports.iterdir()}
    capsys.readouterr()

    def refuse(path: Path, *arguments: object, **options: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", refuse)
    assert main(["report", str(tiny), "--runs", str(runs)]) == STORAGE_FULL
    printed = capsys.readouterr()
    assert "MDLM" in printed.out
    assert f"no room to write {reports}" in printed.err
    assert {path.name: path.read_bytes() for path in reports.iterdir()} == before
    assert [path.name for path in reports.parent.iterdir()] == ["tiny"]


def test_a_report_that_cannot_be_written_is_still_printed(
    tiny: Path, untracked: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "reports").write_text("a file where the folder should be")
    assert main(["run", str(tiny), "--runs", str(runs)]) == USAGE_ERROR
    capsys.readouterr()
    assert main(["report", str(tiny), "--runs", str(runs)]) == USAGE_ERROR
    printed = capsys.readouterr()
    assert "MDLM" in printed.out
    assert f"the report was not written to {runs / 'reports' / 'tiny'}" in printed.err


def test_only_what_a_dead_process_left_is_removed(tmp_path: Path) -> None:
    names = (f"a.{os.getpid()}.partial", "b.999999999.partial", "c.partial", f"d.{os.getppid()}.partial", "e.json")
    for name in names:
        (tmp_path / name).write_text("")
    (tmp_path / "report.999999999.partial").mkdir()
    record_files.remove_partials(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"d.{os.getppid()}.partial", "e.json"]
