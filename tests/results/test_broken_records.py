"""Broken records: each is a failed cell with its reason and the command that mends it; it hides no other."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import bench
from bench.cli.main import main
from bench.engine import storage
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from tests.conftest import TINY

TWO_ARMS = TINY.replace("  samples: {count: 2, calls: 4}\n", "").replace("method: mdlm}", "method: mdlm, base: AR}")
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite and its results: two arms, the second compared with the first."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "two.yaml").write_text(TWO_ARMS)
    with pytest.MonkeyPatch.context() as patch:
        leave_out_reports(patch)
        assert main(["run", str(folder / "two.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder


def leave_out_reports(patch: pytest.MonkeyPatch) -> None:
    """Runs neither write reports nor track, which takes most of their time."""
    patch.setattr("bench.results.tracker.Tracker.track", lambda *names: None)
    patch.setattr("bench.cli.suite_commands.write_reports", lambda records, args: None)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No reason is wrapped."""
    monkeypatch.setenv("COLUMNS", "400")


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A copy of these, to damage."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    return folder


def file_of(folder: Path, name: str, method: str = "mdlm") -> Path:
    """A file of a cell by its name: "train/result.json" or "bound/sequences.npz"."""
    jobs = (folder / "runs" / "cells").glob("*/job.json")
    cell = next(path.parent for path in jobs if json.loads(path.read_text())["method"] == method)
    stage, _, file = name.rpartition("/")
    return (next(cell.glob(f"{stage}*")) if stage else cell) / file


def change_digit(path: Path) -> None:
    content = path.read_bytes()
    place = list(re.finditer(rb"[1-8]", content))[-1]
    last = content[place.end() - 1]
    path.write_bytes(content[: place.end() - 1] + bytes([last + 1]) + content[place.end() :])


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_link(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "changed digit": (change_digit, "was changed after it was written"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:100]), "is not a whole record"),
    "empty": (lambda path: path.write_bytes(b""), "is not a whole record"),
    "an object of nothing": (lambda path: path.write_text("{}"), "is not a record of this"),
    "a list": (lambda path: path.write_text("[]"), "is not a record of this"),
    "null": (lambda path: path.write_text("null"), "is not a whole record"),
    "not UTF-8": (lambda path: path.write_bytes(b'{"a": "\xff"}'), "is not a whole record"),
    "NaN": (lambda path: path.write_text('{"steps": NaN}'), "is not a whole record"),
    "nested too deep": (lambda path: path.write_text("[" * 100_000), "is not a whole record"),
    "folder": (make_folder, "is not a regular file"),
    "link": (make_link, "is a symbolic link"),
    "pipe": (make_pipe, "is not a regular file"),
}


@pytest.fixture
def without_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs do only what is missing."""
    leave_out_reports(monkeypatch)


def run(capsys: pytest.CaptureFixture[str], folder: Path, command: str, *options: str) -> tuple[int, str]:
    """The exit code of a command on the suite, and all that it says, in one line."""
    capsys.readouterr()
    code = main([command, str(folder / "two.yaml"), "--runs", str(folder / "runs"), *options])
    captured = capsys.readouterr()
    return code, " ".join((captured.out + captured.err).split())


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["train/result.json", "bound/result.json"])
def test_a_broken_result_is_a_failed_cell_among_whole_ones(
    name: str, damage: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(copy, name)
    breaks, problem = DAMAGES[damage]
    breaks(path)
    table = bench.load(copy / "runs")
    failed = table[table["status"] == "failed"]
    assert set(failed["arm"]) == {"MDLM"}
    (reason,) = set(failed["reason"])
    assert reason.startswith(f"cells/{path.parents[1].name}/{path.parent.name}/result.json {problem}")
    assert reason.endswith("bench run --retry-failed makes it again")
    assert set(table[(table["arm"] == "AR") & (table["status"] == "done")]["stage"]) == {"train", "bound"}
    assert "Result" not in reason

    code, output = run(capsys, copy, "status")
    assert code == FAILED
    assert "AR" in output
    assert problem.split()[0] in output
    command = f"bench run {copy / 'two.yaml'} --runs {copy / 'runs'} --retry-failed"
    assert command in output
    main(["status", "two", "--runs", str(copy / "runs")])  # by the name of its record
    assert command in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("train/result.json", "truncated"),
        ("bound/result.json", "folder"),
        ("bound/sequences.npz", "link"),
        ("train/failure.json", "folder"),
        ("train/failure.json", "empty"),
    ],
)
@pytest.mark.usefixtures("without_reports")
def test_the_command_that_is_named_mends_it(
    name: str, damage: str, copy: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(copy, name)
    if path.name == "failure.json":
        path.write_text('{"reason": "it burst"}')
        path.with_name("result.json").unlink()
    DAMAGES[damage][0](path)
    assert run(capsys, copy, "run")[0] == FAILED
    code, _ = run(capsys, copy, "run", "--retry-failed")
    assert code == DONE
    columns = ["arm", "stage", "metric", "value", "standard_error"]
    numbers = [bench.load(folder / "runs")[columns] for folder in (copy, finished)]
    is_clock = numbers[0]["metric"].isin(["seconds", "tokens_per_second", "peak_memory_bytes"])
    assert numbers[0][~is_clock].equals(numbers[1][~is_clock])


@pytest.mark.parametrize("damage", ["empty", "truncated", "changed digit", "folder", "link", "missing"])
def test_broken_values_of_sequences_are_told_by_every_command(
    damage: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(copy, "bound/sequences.npz")
    if damage == "missing":
        path.unlink()
    else:
        DAMAGES[damage][0](path)
    code, output = run(capsys, copy, "status")
    assert (code, "sequences.npz" in output) == (FAILED, True)
    assert run(capsys, copy, "report")[0] == FAILED
    assert "sequences.npz" in (copy / "runs" / "reports" / "two" / "table.csv").read_text()
    runs = ["--runs", str(copy / "runs")]
    assert main(["compare", "two/AR", "two/MDLM", *runs]) in (DONE, USAGE_ERROR)
    assert "sequences.npz" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("damage", ["changed digit", "truncated", "an object of nothing", "folder", "link"])
@pytest.mark.usefixtures("without_reports")
def test_a_broken_record_of_a_suite_is_named_and_the_next_run_writes_it_again(
    damage: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = copy / "runs" / "suites" / "two.json"
    shutil.copy(path, path.with_name("whole.json"))
    DAMAGES[damage][0](path)
    for command in ("status", "report", "sync"):
        code, output = run(capsys, copy, command)
        assert code == USAGE_ERROR
        assert f"{path} is" in output or f"{path} was changed" in output
        assert "bench run writes it again" in output
    table = bench.load(copy / "runs")
    assert set(table[table["status"] == "done"]["arm"]) == {"AR", "MDLM"}  # of the copy under another name
    assert path.name in " ".join(table[table["status"] == "failed"]["reason"])

    assert main(["compare", "two/AR", "two/MDLM", "--runs", str(copy / "runs")]) == USAGE_ERROR
    assert str(path) in capsys.readouterr().err
    path.with_name("whole.json").unlink()
    assert run(capsys, copy, "run")[0] == DONE
    assert run(capsys, copy, "status")[0] == DONE


@pytest.mark.parametrize("damage", ["changed digit", "empty", "folder", "link", "missing"])
@pytest.mark.usefixtures("without_reports")
def test_a_broken_job_hides_no_number_and_the_next_run_writes_it_again(
    damage: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(copy, "job.json")
    if damage == "missing":
        path.unlink()
    else:
        DAMAGES[damage][0](path)
    assert run(capsys, copy, "status")[0] == DONE
    runs = ["--runs", str(copy / "runs")]
    main(["compare", "two/AR", "two/MDLM", *runs])
    assert "job.json" in capsys.readouterr().out
    assert main(["sample", str(path.parent), *runs]) == USAGE_ERROR
    capsys.readouterr()
    assert run(capsys, copy, "run")[0] == DONE
    assert storage.read_job(path.parent) is not None


@pytest.mark.usefixtures("without_reports")
def test_links_to_folders_are_not_followed(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = file_of(copy, "job.json").parent
    elsewhere = copy / "elsewhere"
    cell.rename(elsewhere)
    cell.symlink_to(elsewhere)
    before = {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()}
    assert run(capsys, copy, "run")[0] == FAILED
    code, output = run(capsys, copy, "status")
    assert code == FAILED
    assert "links are not followed" in output
    assert run(capsys, copy, "run", "--retry-failed")[0] == DONE
    assert {path: path.read_bytes() for path in elsewhere.rglob("*") if path.is_file()} == before


@pytest.mark.usefixtures("without_reports")
def test_a_damaged_checkpoint_is_told_and_trained_again_from_the_one_before(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(copy, "train/checkpoint.pt")
    shutil.copy(path, path.with_name("checkpoint.previous.pt"))
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    assert run(capsys, copy, "status")[0] == DONE  # checkpoints are read by what needs the weights
    assert main(["sample", "two/MDLM", "--runs", str(copy / "runs")]) == USAGE_ERROR
    assert "is not a whole checkpoint" in capsys.readouterr().err
    assert run(capsys, copy, "run", "--retry-failed")[0] == DONE
    output = run(capsys, copy, "status")[1]
    assert "MDLM, seed 0: a damaged checkpoint was replaced by the one before, of step 6" in output
    assert main(["sample", "two/MDLM", "--runs", str(copy / "runs"), "--calls", "2"]) == DONE


@pytest.mark.usefixtures("without_reports")
def test_a_training_without_a_whole_checkpoint_fails_and_begins_anew_when_asked(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = file_of(copy, "train/checkpoint.pt")
    path.write_bytes(b"half a file")
    path.with_name("checkpoint.previous.pt").write_bytes(b"")
    path.with_name("result.json").unlink()
    assert run(capsys, copy, "run")[0] == FAILED
    output = run(capsys, copy, "status")[1]
    assert "checkpoint.pt is not a whole checkpoint" in output
    assert "checkpoint.previous.pt is not a whole checkpoint" in output
    assert run(capsys, copy, "run", "--retry-failed")[0] == DONE
    assert run(capsys, copy, "status")[0] == DONE


def test_links_are_replaced_and_never_written_through(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.results.tracker.Tracker.track", lambda *names: None)
    precious, runs = copy / "precious.txt", copy / "runs"
    precious.write_text("precious")
    (runs / "reports" / "two").mkdir(parents=True)
    links = [runs / name for name in ("speeds.jsonl", "suites/two.json", "reports/two/index.html")]
    links += [file_of(copy, name) for name in ("job.json", "train/result.json", "train/checkpoint.pt")]
    links += [file_of(copy, "bound/sequences.npz"), file_of(copy, "bound/failure.json")]
    for path in links:
        path.unlink(missing_ok=True)
        path.symlink_to(precious)
    assert run(capsys, copy, "run", "--retry-failed")[0] == DONE
    assert precious.read_text() == "precious"
    assert not any(path.is_symlink() for path in links)
    assert run(capsys, copy, "status")[0] == DONE


@pytest.mark.usefixtures("without_reports")
def test_a_link_in_the_place_of_all_cells_is_left_to_people(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = copy / "runs" / "cells"
    cells.rename(copy / "elsewhere")
    cells.symlink_to(copy / "elsewhere")
    before = {path: path.read_bytes() for path in (copy / "elsewhere").rglob("*") if path.is_file()}
    for options in ([], ["--retry-failed"]):
        assert run(capsys, copy, "run", *options)[0] == FAILED
    assert "put the folder that it leads to in its place" in run(capsys, copy, "status")[1]
    assert {path: path.read_bytes() for path in (copy / "elsewhere").rglob("*") if path.is_file()} == before


def test_results_of_an_earlier_version_are_read_and_said_to_be_unverified(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (copy / "runs" / "cells").glob("*/*/result.json"):
        content = json.loads(path.read_text())
        del content["digest"], content["files"]
        path.write_text(json.dumps(content))
    for command in ("status", "report"):
        code, output = run(capsys, copy, command)
        assert code == DONE
        assert output.count("4 results are of an earlier version") == 1


def test_what_cannot_be_read_for_want_of_permission_is_a_failed_cell(
    copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(copy, "bound/result.json")
    opens = os.open

    def refuse(name: object, *arguments: int, **options: int) -> int:
        if name == path:
            raise PermissionError(13, "Permission denied", str(path))
        return opens(name, *arguments, **options)  # type: ignore[arg-type]

    path.write_text(path.read_text() + "\n")  # so that it is read anew
    monkeypatch.setattr(os, "open", refuse)
    code, output = run(capsys, copy, "status")
    assert code == FAILED
    assert "cannot be read (Permission denied)" in output
