"""What a name on the command line means: one thing, or it is refused with a name for each thing that it may mean."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench.cli.main import main
from bench.engine.record_files import read_json
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.results import tidy_parquet
from bench.results.compare.compared_results import CompareError, find_side
from bench.results.find_cell import find
from bench.results.record_names import AmbiguousName
from bench.results.tidy_csv import NotTidy
from bench.results.tidy_csv import read as read_csv
from bench.suite.suite import read as read_suite
from tests.conftest import TINY
from tests.support.changed_records import rewrite
from tests.support.report_records import make_arm, make_record

LABELS = [
    "1e-4",
    "0.0001",
    "0.10",
    "0.1",
    "007",
    "7",
    "NA",
    "nan",
    "NaN",
    "null",
    "None",
    "True",
    "1.0",
    "1",
    "inf",
    "-",
]
LABELS += ["N/A", "é", "自己回帰", "a, b", 'say "x"', "a//b", "./a", "1e5", "100000.0", "2024-01-01", "0x1F", "<NA>"]
MEANINGS = {  # a name -> the things that it means in the suites s and t
    "s/MDLM/1": ['arm "MDLM", seed 1, of suite s', 'arm "MDLM/1" of suite s'],
    "s/AR": ['arm "AR" of suite s', 'arm "s/AR" of suite t'],
    "t": ["suite t", 'arm "t" of suite s'],
}


def write_suite(folder: Path, name: str, *labels: str, seeds: str = "[0]") -> Path:
    """A tiny suite with these arms, whose options make each a cell of its own."""
    arms = "".join(
        f'  - {{label: "{label}", method: mdlm, options: {{steps: {10 + number + len(name)}}}}}\n'
        for number, label in enumerate(labels)
    )
    path = folder / f"{name}.yaml"
    path.write_text(re.sub("arms:\n(  - .*\n)+", f"arms:\n{arms}", TINY).replace("[0]", seeds), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records of two suites whose cells nobody has trained."""
    folder = tmp_path_factory.mktemp("names")
    for path in (
        write_suite(folder, "s", "AR", "MDLM", "MDLM/1", "t", seeds="[0, 1]"),
        write_suite(folder, "tt", "a"),
        write_suite(folder, "t", "s/AR", "MD4"),
    ):
        submit(folder / "runs", plan(read_suite(path)))
    return folder / "runs"


@pytest.mark.parametrize(("name", "meanings"), MEANINGS.items())
def test_a_name_of_several_things_is_refused_with_a_way_to_each(name: str, meanings: list[str], runs: Path) -> None:
    with pytest.raises(AmbiguousName) as error:
        find_side(runs, name)
    assert f'"{name}" is ambiguous' in str(error.value)
    ways = dict(re.findall(r"^  (.*): (\S+)$", str(error.value).replace(", ", ", "), re.MULTILINE))
    assert [meaning for meaning in meanings if meaning in str(error.value)] == meanings
    for way in ways.values():
        assert find_side(runs, way).arms, "what the error offers can be given"


def test_the_cells_of_an_ambiguous_name_are_told_by_id(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["sample", "s/MDLM/1"], ["compare", "s/MDLM/1", "s/AR/0"], ["compare", "s/MDLM/0", "s/MDLM/1"]):
        assert main([*command, "--runs", str(runs)]) == USAGE_ERROR
        error = capsys.readouterr().err
        assert '"s/MDLM/1" is ambiguous' in error
    seed, *arm = re.findall(r"\b[0-9a-f]{12}\b", error)
    cells = {(cell["arm"], cell["seed"]): cell["id"] for cell in read_json(runs / "suites" / "s.json")["cells"]}
    assert [seed, *arm] == [cells["MDLM", 1], cells["MDLM/1", 0], cells["MDLM/1", 1]]
    assert [find(runs, id).name for id in (seed, *arm)] == [seed, *arm]
    assert [find(runs, name).name for name in ("s/MDLM/1/0", "s/MDLM/1/1", "s/MDLM", "s/MDLM/0")] == [
        *arm,
        cells["MDLM", 0],
        cells["MDLM", 0],
    ]


def test_the_beginning_of_an_id_may_be_the_label_of_an_arm(runs: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(runs, tmp_path / "runs")
    record = read_json(copy / "suites" / "tt.json")
    id = read_json(copy / "suites" / "s.json")["cells"][0]["id"]
    record["cells"] = [cell | {"arm": id[:5]} for cell in record["cells"]]
    rewrite(copy / "suites" / "tt.json", record)
    with pytest.raises(AmbiguousName, match=rf'cell {id}: {id}|arm "{id[:5]}" of suite tt: tt/{id[:5]}'):
        find_side(copy, id[:5])
    assert find_side(copy, f"tt/{id[:5]}").arms == [id[:5]]
    assert find_side(copy, id[:6]).cells[0].id == id


def test_a_path_that_is_also_a_name_is_refused(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s").mkdir()
    id = next((runs / "cells").iterdir()).name
    shutil.copytree(runs / "cells" / id, tmp_path / "s" / "AR")
    for command in (["sample", "s/AR"], ["compare", "s/AR", "t/MD4"]):
        assert main([*command, "--runs", str(runs)]) == USAGE_ERROR
        assert 'the path "s/AR": ./s/AR' in capsys.readouterr().err
    assert find(runs, "./s/AR") == (tmp_path / "s" / "AR").resolve()


def test_a_label_in_another_normal_form_is_found(tmp_path: Path) -> None:
    submit(tmp_path / "runs", plan(read_suite(write_suite(tmp_path, "s", "caf\u00e9"))))
    assert find(tmp_path / "runs", "s/cafe\u0301") == find(tmp_path / "runs", "s/caf\u00e9")
    record = read_json(tmp_path / "runs" / "suites" / "s.json")  # such as an older version wrote it
    record["cells"] = [cell | {"arm": "cafe\u0301  "} for cell in record["cells"]]
    rewrite(tmp_path / "runs" / "suites" / "s.json", record)
    assert find_side(tmp_path / "runs", "s").arms == ["cafe\u0301  "]
    assert find(tmp_path / "runs", "s/caf\u00e9  ").is_dir()


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_labels_in_results_files_stay_what_they_are(form: str, tmp_path: Path) -> None:
    table = make_record(*(make_arm(label, 2.0 + number) for number, label in enumerate(LABELS))).table
    path = tmp_path / f"tidy.{form}"
    if form == "csv":
        table.to_csv(path, index=False)
        pd.testing.assert_frame_equal(read_csv(path), table, check_dtype=False)
        assert read_csv(path).dtypes.to_dict() == table.dtypes.to_dict()
    else:
        tidy_parquet.write(table, path)
    side = find_side(tmp_path, str(path))
    assert side.arms == LABELS
    for number, label in enumerate(LABELS):
        side = find_side(tmp_path, f"{path}/{label}")
        assert side.arms == [label]
        bits = side.rows(label, "bound").set_index("metric")["value"]["bits_per_char"]
        assert (bits, side.table["seed"].unique().tolist()) == (2.0 + number, [0])
        assert find_side(tmp_path, f"{path}/toy/{label}").arms == [label]


def test_a_results_file_of_several_suites_names_them(tmp_path: Path) -> None:
    arms = (make_arm("AR", 2.0, suite="one"), make_arm("AR", 3.0, suite="two"), make_arm("B", 4.0, suite="two"))
    path = tmp_path / "tidy.csv"
    make_record(*arms).table.to_csv(path, index=False)
    with pytest.raises(CompareError, match=rf'several suites with an arm "AR"; name one: {path}/one, {path}/two'):
        find_side(tmp_path, str(path))
    with pytest.raises(CompareError, match="is an arm of 2 suites; say which: one/AR, two/AR"):
        find_side(tmp_path, f"{path}/AR")
    assert (find_side(tmp_path, f"{path}/two").arms, find_side(tmp_path, f"{path}/B").arms) == (["AR", "B"], ["B"])
    assert find_side(tmp_path, f"{path}/two/AR").rows("AR", "bound")["value"].iloc[0] == 3.0
    doubled = [row | {"cell": cell} for cell in ("0abc", "1abc") for row in make_arm("AR", 2.0)]
    make_record(doubled).table.to_csv(path, index=False)
    with pytest.raises(CompareError, match='two cells of arm "AR", seed 0: 0abc and 1abc'):
        find_side(tmp_path, str(path))


def test_what_is_no_number_is_told_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "tidy.csv"
    make_record(make_arm("AR", 2.0)).table.astype({"seed": str}).assign(seed="one").to_csv(path, index=False)
    with pytest.raises(NotTidy, match='row 1: seed is "one", which is no number'):
        read_csv(path)
    assert main(["compare", str(path), str(path)]) == USAGE_ERROR


@pytest.mark.parametrize("has_runs", [False, True])
@pytest.mark.parametrize(
    ("command", "sentence"),
    {
        "compare nofile.csv other.csv": 'there is no file "nofile.csv"',
        "compare there.csv nofile.csv": 'there is no file "nofile.csv"',
        "compare nofile.csv/MDLM there.csv": 'there is no file "nofile.csv"',
        "compare no/file.parquet there.csv": 'there is no file "no/file.parquet"',
        "compare ./none ./none": 'there is no file or folder "./none"',
        "compare empty there.csv": 'the folder "empty" is empty',
        "compare full there.csv": 'the folder "full" holds no results',
        "compare text.txt there.csv": '"text.txt" is no results file',
        "sample nofile.csv": 'there is no file "nofile.csv"',
        "sample ./none": 'there is no file or folder "./none"',
        "sample empty": 'the folder "empty" is empty',
        "status nofile.yaml": 'there is no file "nofile.yaml"',
        "report nofile.yaml": 'there is no file "nofile.yaml"',
        "sync no/file.yaml": 'there is no file "no/file.yaml"',
        "status full": '"full" is a folder, not a suite file',
        "report full": '"full" is a folder, not a suite file',
        "plan nofile.yaml": "nofile.yaml: cannot be read: No such file",
        "plan full": "full: is a folder; name a file",
        "run nofile.yaml": "nofile.yaml: cannot be read: No such file",
    }.items(),
)
def test_a_missing_file_is_named(
    command: str,
    sentence: str,
    has_runs: bool,
    runs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if has_runs:
        (tmp_path / "runs").symlink_to(runs)
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    for name in ("text.txt", "full/text.txt"):
        (tmp_path / name).write_text("text")
    make_record(make_arm("AR", 2.0)).table.to_csv("there.csv", index=False)
    assert main(command.split()) == USAGE_ERROR
    assert sentence in capsys.readouterr().err
    assert main(["compare", "there.csv", "there.csv"]) == DONE
