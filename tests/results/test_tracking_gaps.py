"""The note on what a store lacks: a broken one is told as a gap, stops no command, and leads nowhere."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.engine.storage import read_suite, suite_file, write_record
from bench.launch.exit_codes import DONE, INCOMPLETE, USAGE_ERROR
from bench.results.tracker import Tracker
from bench.results.tracking_gaps import close_gap, read_gap, write_gap
from tests.conftest import TINY

BROKEN = "may lack results, since the note on it is broken (tracking/tiny.json)"
DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda path: path.write_text('{"prob'),
    "empty": lambda path: path.write_text(""),
    "of another kind": lambda path: path.write_text("[1]"),
    "folder": lambda path: path.mkdir(),
    "link": lambda path: path.symlink_to("../../outside.json"),
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny suite and its results."""
    folder = tmp_path_factory.mktemp("gaps")
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "outside.json").write_text("precious")
    assert main(["run", str(folder / "tiny.yaml"), "--runs", str(folder / "runs")]) == DONE
    (folder / "runs" / "tracking").mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_note_stops_no_command_and_sync_mends_it(
    damage: str, ran: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ran / "runs"
    DAMAGES[damage](runs / "tracking" / "tiny.json")
    assert read_gap(runs, "tiny") == BROKEN
    for command in ("status", "report"):
        assert main([command, str(ran / "tiny.yaml"), "--runs", str(runs)]) == DONE
    assert BROKEN in (runs / "reports" / "tiny" / "table.md").read_text()

    assert main(["sync", str(ran / "tiny.yaml"), "--runs", str(runs)]) == DONE
    assert "write it again with: bench report" in capsys.readouterr().err
    assert read_gap(runs, "tiny") == ""
    assert (ran / "outside.json").read_text() == "precious"


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_note_is_written_again(damage: str, tmp_path: Path) -> None:
    runs = tmp_path / "a" / "runs"
    (runs / "tracking").mkdir(parents=True)
    DAMAGES[damage](runs / "tracking" / "tiny.json")
    write_gap(runs, "tiny", "is away")
    assert read_gap(runs, "tiny") == "is away"
    assert close_gap(runs, "tiny")
    assert read_gap(runs, "tiny") == ""


def test_a_run_neither_removes_nor_writes_a_file_behind_a_linked_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (outside := tmp_path / "outside").mkdir()
    (outside / "tiny.json").write_text("precious")
    (runs := tmp_path / "runs").mkdir()
    (runs / "tracking").symlink_to(outside)
    tracker = Tracker(runs)
    tracker.close("tiny")
    tracker.track("tiny")  # of which there is no record, so that it cannot be tracked
    assert tracker.untracked == ["tiny"]
    assert caplog.text.count("tracking is a symbolic link") == 2
    assert (outside / "tiny.json").read_text() == "precious"
    with pytest.raises(ValueError, match="remove it"):
        close_gap(runs, "tiny")
    assert main(["sync", "tiny", "--runs", str(runs)]) == USAGE_ERROR


@pytest.mark.parametrize("damage", ["never run", "broken"])
def test_sync_tells_of_a_data_set_that_it_could_not_write(
    damage: str, ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ran / "runs", runs := tmp_path / "runs")
    source = next(line for line in TINY.splitlines() if line.startswith("data:")).removeprefix("data: {")
    sets = "".join(f"  - {{label: {label}, {source}\n" for label in ("one", "two"))
    suite = tmp_path / "both.yaml"
    suite.write_text(TINY.replace(f"data: {{{source}\n", f"data:\n{sets}"))
    record = read_suite(runs, "tiny")
    assert record is not None
    write_record(suite_file(runs, "both-one"), record.model_copy(update={"suite": "both-one"}))
    if damage == "broken":
        suite_file(runs, "both-two").write_text("{")

    assert main(["sync", str(suite), "--runs", str(runs)]) == INCOMPLETE
    output = capsys.readouterr()
    assert "holds the record of both-one" in output.out
    assert (
        "both-two.json is not a whole record" if damage == "broken" else 'suite "both-two" was never run'
    ) in output.err
