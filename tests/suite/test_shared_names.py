"""Names of records and lock files that two things of one suite, or two suites, would share."""

from pathlib import Path

import pytest

from bench.cli.main import main
from bench.launch.exit_codes import USAGE_ERROR
from bench.suite.suite import read_all
from tests.conftest import TINY
from tests.support.ablations import told
from tests.support.tuning import TUNE

CLASHES = {  # more of the suite -> the place and the record
    "scales: {trials: {seeds: [1]}}\n": r"22:10: the record tiny-trials is called like that of the trials of tuning",
    "scales: {quick: {}, quick-trials: {}}\n": "22:21: the record tiny-quick-trials is called like",
}


@pytest.mark.parametrize(("more", "message"), CLASHES.items())
def test_no_scale_and_no_data_set_takes_the_record_of_the_trials(more: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + TUNE + more)
    assert message in told(path)
    path.write_text(TINY + more)
    assert read_all(path), "without tuning there are no trials"


@pytest.mark.parametrize(("name", "arguments"), [("tiny-quick.yaml", ["--scale", "quick"]), ("tiny.yml", [])])
def test_no_two_suites_share_a_lock_file(
    name: str, arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, namesake = tmp_path / "tiny.yaml", tmp_path / name
    path.write_text(TINY + TUNE + "scales: {quick: {question: Is it quick?}}\n")
    namesake.write_text(TINY + TUNE)
    assert main(["tune", str(path), *arguments, "--runs", str(tmp_path / "runs")]) == USAGE_ERROR
    assert f"would be that of {name} too; rename the file or the scale" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.lock"))


LONG_LABEL = TINY.replace(
    "data: {", "data:\n  - {source: markov, length: 12, label: b}\n  - {label: " + 170 * "y" + ", "
)


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("n" * 161, TINY, ":1:1: "),
        ("é" * 81, TINY, ":1:1: "),
        ("tiny", f"{TINY}scales: {{{'s' * 170}: {{}}}}\n", ":14:10: "),
        ("tiny", LONG_LABEL, ":4:6: "),
    ],
    ids=["file", "bytes count", "scale", "data set"],
)
def test_a_name_that_is_too_long_for_a_file_is_refused_before_anything_runs(
    name: str, content: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite, runs = tmp_path / f"{name}.yaml", tmp_path / "runs"
    suite.write_text(content)

    assert main(["run", str(suite), "--runs", str(runs)]) == USAGE_ERROR
    assert f"{suite}{place}the name of the record, " in capsys.readouterr().err
    assert not runs.exists()


def test_the_longest_name_is_taken(tmp_path: Path) -> None:
    suite = tmp_path / f"{'n' * 160}.yaml"
    suite.write_text(TINY)
    assert [part.name for part in read_all(suite)] == ["n" * 160]
