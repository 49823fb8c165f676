"""The law of records' names: in a folder of results, a name belongs to one suite file."""

import json
import re
import shutil
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.results.compare.compared_results import CompareError, find_side
from bench.results.find_cell import find
from bench.results.record_names import AmbiguousName, find_record, record_name, stored_path
from bench.results.suite_record import NoRecord
from bench.suite.suite import read
from tests.conftest import TINY

NAMES = ("suite", "suite-quick", "suite-order-2", "suite-quick-order-2", "suite-trials")  # plain, scale, data, ...


def make_file(folder: Path, name: str = "suite.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(TINY)
    return folder / name


def record(runs: Path, file: Path, name: str) -> str:
    """Leave the record that a run of the suite `name` in `file` leaves; return what it is called."""
    recorded = record_name(runs, file, name)
    (runs / "suites").mkdir(parents=True, exist_ok=True)
    content = {"suite": recorded, "file": stored_path(runs, file), "cells": []}
    (runs / "suites" / f"{recorded}.json").write_text(json.dumps(content))
    return recorded


@pytest.mark.parametrize("name", NAMES)
def test_a_name_belongs_to_the_first_file_and_others_get_a_tag_behind_it(name, tmp_path):
    runs, first, second, third = tmp_path / "runs", *(make_file(tmp_path / folder) for folder in "abc")
    assert record(runs, first, name) == name
    tagged = record(runs, second, name)
    assert re.fullmatch(r"suite~[0-9a-f]{4}" + name.removeprefix("suite"), tagged)
    assert len({name, tagged, record(runs, third, name)}) == 3
    assert (record_name(runs, first, name), record_name(runs, second, name)) == (name, tagged)
    for again in NAMES:  # a file keeps its tag at every scale, on all data
        tag = re.findall("~....", tagged)[0]
        assert record_name(runs, first, again) == again
        assert record_name(runs, second, again) == f"suite{tag}{again.removeprefix('suite')}"


def test_symbolic_links_lead_to_one_record(tmp_path):
    runs, file = tmp_path / "runs", make_file(tmp_path / "a")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert record(runs, file, "suite") == record_name(runs, tmp_path / "link" / "suite.yaml", "suite") == "suite"


def test_a_checkout_that_moves_finds_its_records(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    for runs, folder in ((old / "runs", old), (tmp_path / "runs", old)):  # results inside, and elsewhere
        record(runs, make_file(folder / "suites"), "suite")
    tagged = record(old / "runs", make_file(old / "more"), "suite")
    shutil.move(old, new)
    assert record_name(new / "runs", new / "suites" / "suite.yaml", "suite") == "suite"
    assert record_name(new / "runs", new / "more" / "suite.yaml", "suite") == tagged
    assert record_name(tmp_path / "runs", new / "suites" / "suite.yaml", "suite") == "suite"
    assert record(tmp_path / "runs", new / "suites" / "suite.yaml", "suite-quick") == "suite-quick"


def test_of_several_files_that_are_gone_none_is_replaced(tmp_path):
    runs, files = tmp_path / "runs", [make_file(tmp_path / folder) for folder in "ab"]
    names = {record(runs, file, "suite") for file in files}
    for file in files:
        file.unlink()
    assert record_name(runs, make_file(tmp_path / "c"), "suite") not in names


def test_a_record_without_a_path_belongs_to_the_first_file_that_runs(tmp_path):
    runs, first, second = tmp_path / "runs", *(make_file(tmp_path / folder) for folder in "ab")
    (runs / "suites").mkdir(parents=True)
    (runs / "suites" / "suite.json").write_text('{"suite": "suite", "cells": []}')
    assert record_name(runs, second, "suite") == "suite"
    assert record(runs, first, "suite") == "suite"
    assert record_name(runs, second, "suite") != "suite"


def test_a_scale_and_a_file_of_that_name_are_told_apart(tmp_path):
    runs, file, scaled = tmp_path / "runs", make_file(tmp_path), make_file(tmp_path, "suite-quick.yaml")
    assert record(runs, scaled, "suite-quick") == "suite-quick"
    assert re.fullmatch(r"suite~[0-9a-f]{4}-quick", record(runs, file, "suite-quick"))
    assert record(runs, file, "suite") == "suite"


@pytest.mark.parametrize("name", NAMES)
def test_a_bare_name_is_ambiguous_while_several_files_have_it(name, tmp_path):
    runs, first, second = tmp_path / "runs", *(make_file(tmp_path / folder) for folder in "ab")
    assert find_record(runs, name) == name  # nothing is there: so it is called in the error that follows
    record(runs, first, name)
    assert find_record(runs, name) == name
    tagged = record(runs, second, name)
    with pytest.raises(AmbiguousName) as error:
        find_record(runs, name)
    listed = re.findall(r"(\S+) \((\S+?)\)", str(error.value))
    assert [(tmp_path / "x" / place).name for _, place in listed] == ["suite.yaml"] * 2
    assert {find_record(runs, alias) for alias, _ in listed} == {name, tagged}  # the first has a tagged name too
    with pytest.raises(AmbiguousName):
        record_name(runs, Path(name), name)  # such as: bench report suite
    (runs / "suites" / f"{name}.json").unlink()
    assert find_record(runs, name) == tagged


def test_commands_refuse_an_ambiguous_name_and_take_those_of_the_error(tmp_path, capsys):
    runs, first, second = tmp_path / "runs", *(make_file(tmp_path / folder) for folder in "ab")
    second.write_text(TINY.replace("seeds: [0]", "seeds: [5]"))
    for file in (first, second):
        submit(runs, plan(read(file)))
    records = sorted(path.stem for path in (runs / "suites").glob("*.json"))
    assert len(records) == 2
    for look_up in (find, find_side):
        with pytest.raises(AmbiguousName):
            look_up(runs, "suite/AR")
    with pytest.raises(CompareError) as several:
        find_side(tmp_path, str(runs))
    suites = str(several.value).partition("name one: ")[2].split(", ")
    assert {find_record(runs, suite) for suite in suites} == set(records)
    with pytest.raises(NoRecord) as unknown:
        find(runs, "nothing/AR")
    names = re.findall(r"^  (\S+/\d+)  \w+$", str(unknown.value), re.MULTILINE)
    assert len(names) == 4
    assert len({find(runs, name) for name in names}) == 4, "each name in the list can be given"
    assert find(runs, f"{records[0]}/AR" if "~" in records[0] else f"{records[1]}/AR").is_dir()
    for command in (["compare", "suite/AR", "suite/AR"], ["sample", "suite/AR"], ["report", "suite"]):
        assert main([*command, "--runs", str(runs)]) == USAGE_ERROR
        error = capsys.readouterr().err
        assert "ambiguous" in error
        assert str(first) in error or "a/suite.yaml" in error
    for file in (first, second):
        assert main(["status", str(file), "--runs", str(runs)]) != USAGE_ERROR
    assert main(["plan", str(first), "--runs", str(runs)]) == DONE
