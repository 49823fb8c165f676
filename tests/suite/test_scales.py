"""Suites that extend others, and the scales at which one can be run."""

import re
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.engine import storage as record
from bench.launch.exit_codes import DONE, INCOMPLETE, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.suite.suite import read, with_data
from tests.conftest import TINY
from tests.support.ablations import ablate, labels, told, write

CHILD = """\
extends: sub/parent.yaml
question: And now?
training: {batch_size: 4}
arms:
  - {label: MD4, method: md4}
"""


def family(folder: Path, child: str = CHILD, parent: str = TINY) -> Path:
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "parent.yaml").write_text(parent)
    (folder / "child.yaml").write_text(child)
    return folder / "child.yaml"


def test_a_suite_is_laid_over_the_one_that_it_extends(tmp_path):
    spec, parent = read(family(tmp_path)).spec, read(tmp_path / "sub" / "parent.yaml").spec
    assert (spec.question, [arm.label for arm in spec.arms]) == ("And now?", ["MD4"])
    assert spec.training == parent.training.model_copy(update={"batch_size": 4})
    assert (spec.data, spec.network, spec.evaluation) == (parent.data, parent.network, parent.evaluation)


def test_blocks_of_alternatives_are_replaced_whole(tmp_path):
    child = CHILD + "budget: {tokens: 960}\ndata: {source: pydoc, length: 24}\n"
    spec = read(family(tmp_path, child)).spec
    assert (spec.budget.steps, spec.budget.tokens) == (None, 960)
    assert spec.data.source == "pydoc"
    same = read(family(tmp_path, CHILD + "data: {length: 24}\n")).spec
    assert (same.data.length, same.data.alphabet) == (24, 3)


def test_a_grandparent_is_inherited_too(tmp_path):
    path = family(tmp_path)
    (tmp_path / "last.yaml").write_text("extends: child.yaml\nseeds: [3, 4]\n")
    last, child = read(tmp_path / "last.yaml"), read(path)
    assert last.spec.seeds == [3, 4]
    assert last.spec.arms == child.spec.arms
    assert all(text in last.source for text in ("seeds: [3, 4]", "question: And now?", "question: Does it hold?"))


def test_a_fault_in_an_inherited_part_is_told_at_its_place_in_the_parent(tmp_path):
    path = family(tmp_path, parent=TINY.replace("width: 16", "widht: 16").replace("{draws: 2", "{draws: 3"))
    parent = tmp_path / "sub" / "parent.yaml"
    lines = told(path).splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{parent}:3:37", f"{parent}:11:11"]
    both = told(family(tmp_path, CHILD.replace("batch_size", "batch"), TINY.replace("seeds: [0]", "seeds: [0, 0]")))
    assert [line.split(": ")[0] for line in both.splitlines()] == [f"{path}:3:12", f"{parent}:9:1"]


def test_files_that_extend_in_a_circle_or_what_is_not_there_are_told(tmp_path):
    path = family(tmp_path, parent="extends: ../child.yaml\n" + TINY)
    parent = tmp_path / "sub" / "parent.yaml"
    assert told(path) == f"{parent}:1:1: a suite cannot extend itself: {path} extends {parent} extends {path}"
    path.write_text("extends: child.yaml\n")
    assert told(path).startswith(f"{path}:1:1: a suite cannot extend itself")
    path.write_text("question: Why?\nextends: nowhere.yaml\n")
    assert told(path).startswith(
        f'{path}:2:1: there is no file "nowhere.yaml" to extend: {tmp_path}/nowhere.yaml: there is no'
    )
    path.write_text("extends: [a, b]\n")
    assert told(path).startswith(f"{path}:1:1: extends is ['a', 'b']: it names one suite file")
    broken = family(tmp_path, parent="a: [")
    assert told(broken).startswith(f"{parent}:")


def test_paths_of_an_inherited_block_start_at_the_folder_of_its_file(tmp_path):
    own = "{source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}"
    parent = TINY.replace(own, "{source: text-file, length: 12, path: words.txt}")
    path = family(tmp_path, parent=parent)
    (tmp_path / "sub" / "words.txt").write_text("a few words and no more\n" * 100)
    inherited = plan(read(path)).cells[0]
    assert inherited.id == plan(read(family(tmp_path, CHILD + "data: {path: sub/words.txt}\n", parent))).cells[0].id
    moved = read(family(tmp_path, CHILD + "scales: {other: {data: {path: sub/words.txt}}}\n", parent), "other")
    assert moved.spec.data.path == "sub/words.txt"


SCALES = """\
scales:
  quick: {budget: {steps: 2}, arms: [{label: MD4, method: md4}], evaluation: {samples: null}}
  full: {seeds: [0, 1]}
  as-it-is:
"""


def test_a_scale_is_laid_over_the_suite_and_has_a_record_of_its_own(tmp_path):
    path = write(tmp_path, SCALES)
    quick, full, written = read(path, "quick"), read(path, "full"), read(path)
    assert [suite.name for suite in (quick, full, written)] == ["suite-quick", "suite-full", "suite"]
    assert (quick.spec.budget.steps, quick.spec.evaluation.samples) == (2, ())
    assert labels(path, "quick") == ["MD4"]
    assert (full.spec.seeds, written.spec.seeds) == ([0, 1], [0])
    assert read(path, "as-it-is").spec == written.spec
    assert {cell.id for cell in plan(written).cells} < {cell.id for cell in plan(full).cells}


def test_an_unknown_scale_is_told_with_the_nearest(tmp_path, capsys):
    path = write(tmp_path, SCALES)
    message = f'{path}:14:1: there is no scale "quik"; did you mean "quick"? known: quick, full, as-it-is'
    assert told(path, "quik").startswith(message)
    for command in ("plan", "run", "status", "report"):
        assert main([command, str(path), "--runs", str(tmp_path / "runs"), "--scale", "quik"]) == USAGE_ERROR
        assert capsys.readouterr().err.startswith(message)
    assert main(["certify", "--suite", str(path), "--scale", "quik"]) == USAGE_ERROR
    assert 'there is no scale "quick"; known: none' in told(write(tmp_path), "quick")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{quick: {bugdet: {steps: 2}}}", r'14:18: unknown key "bugdet"; did you mean "budget"\?'),
        ("{quick: {training: {batch: 2}}}", r'14:29: unknown key "batch"; did you mean "batch_size"\?'),
        ("{quick: {data: {alphabt: 2}}}", r'14:25: unknown key "alphabt"; did you mean "alphabet"\?'),
        ("{quick: {scales: {}}}", r"14:18: scales belongs at the top of a suite"),
        ("{quick: 5}", r"14:10: scales.quick: give a mapping"),
        ("[quick]", r"14:1: scales: give named blocks"),
        ("{1: {seeds: [2]}}", r"14:10: key 1 is a number, not text; quote it"),
        ("{a/b: {seeds: [2]}}", r"14:10: scale 'a/b' is not allowed"),
    ],
)
def test_faults_of_a_scale_are_told_even_where_it_is_not_asked_for(block, message, tmp_path):
    path = write(tmp_path, f"scales: {block}\n")
    found = told(path)
    assert re.fullmatch(re.escape(f"{path}:") + message + ".*", found), found


def test_a_scale_goes_from_plan_to_report_under_its_own_name(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.launch.local_launcher.run", lambda runs, plan, retry, finished: submit(runs, plan))
    path = write(
        tmp_path, SCALES.replace("arms: [{label: MD4, method: md4}], ", "") + ablate("  grid: {method: [md4]}")
    )
    asked = [str(path), "--runs", "runs", "--scale", "quick"]
    assert main(["plan", *asked]) == DONE
    for command in ("run", "status", "report"):
        assert main([command, *asked]) == INCOMPLETE
    assert "changed since it was run" not in capsys.readouterr().err
    written = record.read_json(tmp_path / "runs" / "suites" / "suite-quick.json")
    assert [(cell["arm"], cell["base"], cell["steps"]) for cell in written["cells"]] == [
        ("AR", None, 2),
        ("MDLM", None, 2),
        ("MDLM, md4", "MDLM", 2),
    ]
    assert (tmp_path / "runs" / "reports" / "suite-quick").is_dir()
    assert main(["status", str(path), "--runs", "runs"]) == USAGE_ERROR  # as it is written it was not run
    path.write_text(path.read_text() + "\n# changed\n")
    main(["status", *asked])
    assert "changed since it was run" in capsys.readouterr().err


def test_a_change_of_the_parent_is_told_too(tmp_path, capsys):
    path = family(tmp_path)
    submit(tmp_path / "runs", plan(with_data(read(path))))
    asked = ["status", str(path), "--runs", str(tmp_path / "runs")]
    main(asked)
    assert "changed since it was run" not in capsys.readouterr().err
    family(tmp_path, parent=TINY + "\n# changed\n")
    main(asked)
    assert "changed since it was run" in capsys.readouterr().err
