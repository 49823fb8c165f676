"""Results that were made in another way than the suite asks for are named, with both values; nothing is substituted."""

import json
from pathlib import Path

import pytest

from bench.cli.main import main as bench
from bench.engine.environment import Execution, merge_environments
from bench.engine.records import RESULTS
from bench.engine.storage import write_record
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.results.execution_settings import (
    describe_mix,
    find_varying,
    format_made,
    join_made,
    list_asked,
    parse_made,
    read_made,
)
from bench.suite.suite import read
from tests.conftest import TINY

ADVICE = "another folder of results (--runs)"
IN_ARMS = f"{ADVICE}, or `precision: bfloat16` in the arms"
MADE = {
    "device": "cpu",
    "threads": "1",
    "precision": "float32",
    "attention": "sdpa",
    "compile": "no",
    "accumulate": "1",
    "tf32": "no",
    "deterministic": "yes",
}


def finish(runs: Path, suite: Path, stages: tuple[str, ...] = ("train", "bound", "samples"), **changes: str) -> None:
    """Results of these stages of every cell, made in an environment that is changed in some settings."""
    environment = {name: value for name, value in (MADE | changes).items() if value}
    for cell in plan(read(suite)).cells:
        for stage in cell.stages:
            if stage.name in stages:
                folder = folder_of(runs, cell) / stage.folder
                folder.mkdir(parents=True, exist_ok=True)
                write_record(folder / "result.json", RESULTS[stage.name](environment=environment))


def plan_lines(suite: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert bench(["plan", str(suite), "--runs", str(suite.parent / "runs")]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "made", "words", "advice"),
    [
        ("precision: bfloat16", {}, "made in float32, this suite asks for bfloat16", IN_ARMS),
        ("compile: true", {}, "made with compile: no, this suite asks for compile: yes", ADVICE),
        ("accumulate: 2", {}, "made with accumulate: 1, this suite asks for accumulate: 2", ADVICE),
        ("attention: flash", {}, "made with attention: sdpa, this suite asks for attention: flash", ADVICE),
        ("device: cuda, precision: float32", {}, "made on cpu, this suite asks for device: cuda", ADVICE),
        ("device: cpu", {"device": "NVIDIA H200"}, "made on cuda, this suite asks for device: cpu", ADVICE),
        ("device: cpu", {"tf32": "high"}, "made with tf32: high, here this suite runs with tf32: no", ADVICE),
        (
            "device: cpu",
            {"deterministic": "no"},
            "made with deterministic: no, here this suite runs with deterministic: yes",
            ADVICE,
        ),
        (
            "device: cpu",
            {"precision": "float32, then bfloat16"},
            "made in float32, then bfloat16, here this suite runs with float32",
            ADVICE,
        ),
    ],
)
def test_a_plan_says_what_was_made_and_what_is_asked(asked, made, words, advice, tiny, capsys):
    finish(tiny.parent / "runs", tiny, **made)
    tiny.write_text(TINY.replace("{device: cpu}", f"{{{asked}}}"))
    lines = plan_lines(tiny, capsys).splitlines()
    (line,) = [line for line in lines if "nothing is substituted" in line]
    assert f"2 finished cells were {words}; nothing is substituted. To run them " in line
    assert advice in line
    assert lines[lines.index(line) - 1] == "nothing is left to run"


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ("{device: cpu}", {}),
        ("{device: cpu, precision: float32, evaluation_batch: 3, checkpoint_seconds: 1}", {"threads": "8"}),
        ("{device: cpu}", {"tf32": "", "deterministic": "", "accumulate": ""}),  # a record of an earlier version
    ],
)
def test_what_changes_no_number_and_what_is_unknown_is_no_difference(asked, made, tiny, capsys):
    finish(tiny.parent / "runs", tiny, **made)
    tiny.write_text(TINY.replace("{device: cpu}", asked))
    assert "substituted" not in plan_lines(tiny, capsys)


def test_settings_of_training_alone_are_not_compared_with_an_evaluation(tiny, capsys):
    finish(tiny.parent / "runs", tiny, ("train",))
    finish(tiny.parent / "runs", tiny, ("bound", "samples"), compile="yes", accumulate="2")
    assert "substituted" not in plan_lines(tiny, capsys)


def test_what_is_left_of_a_partly_finished_suite_is_named_too(tiny, capsys):
    finish(tiny.parent / "runs", tiny, ("train",))
    tiny.write_text(TINY.replace("{device: cpu}", "{device: cpu, precision: bfloat16}"))
    text = plan_lines(tiny, capsys)
    assert "2 partly finished cells were made in float32, this suite asks for bfloat16; nothing is substituted" in text
    assert "what is left to run is made as the suite asks; reports mark the rows" in text


def test_a_plan_in_json_holds_the_difference(tiny, capsys):
    finish(tiny.parent / "runs", tiny)
    tiny.write_text(TINY.replace("{device: cpu}", "{device: cpu, precision: bfloat16}"))
    assert bench(["plan", str(tiny), "--json", "--runs", str(tiny.parent / "runs")]) == 0
    content = json.loads(capsys.readouterr().out)
    (difference,) = content["execution_differences"]
    assert (difference["made"], difference["asked"]) == ({"precision": "float32"}, {"precision": "bfloat16"})
    assert (difference["cells"], difference["arms"], difference["finished"]) == (2, ["AR", "MDLM"], True)
    assert "nothing is substituted" in difference["message"]

    amounts = [content["total"][name] for name in ("flops", "flops_left")]
    amounts += [part["flops"] for cell in content["cells"] for part in (cell, *cell["stages"])]
    assert {type(amount) for amount in amounts} == {float}


def test_run_and_status_say_it_and_a_report_marks_what_was_added(tiny, capsys):
    runs = ["--runs", str(tiny.parent / "runs")]
    bare = TINY.replace("  samples: {count: 2, calls: 4}\n", "")
    tiny.write_text(bare.replace("  - {label: MDLM, method: mdlm}\n", ""))
    assert bench(["run", str(tiny), *runs]) == 0
    tiny.write_text(bare.replace("{device: cpu}", "{device: cpu, precision: bfloat16}"))
    capsys.readouterr()

    assert bench(["run", str(tiny), *runs]) == 0
    output = capsys.readouterr()
    sentence = "1 finished cell was made in float32, this suite asks for bfloat16; nothing is substituted"
    assert sentence in output.err
    assert "made in float32: AR; in bfloat16: MDLM" in output.out
    for name in ("table.md", "index.html"):
        assert "made in float32: AR; in bfloat16: MDLM" in (tiny.parent / "runs/reports/tiny" / name).read_text()
    assert "precision float32; device cpu" in (tiny.parent / "runs/reports/tiny/table.csv").read_text()

    assert bench(["status", str(tiny), *runs]) == 0
    assert sentence in capsys.readouterr().out


def test_a_resumed_run_has_every_setting_that_some_process_recorded():
    old, new = {"precision": "float32", "device": "cpu"}, {"precision": "bfloat16", "device": "cpu", "tf32": "no"}
    merged = merge_environments([old, new, new])
    assert merged == {"precision": "float32, then bfloat16", "device": "cpu", "tf32": "no"}


def test_every_setting_of_execution_is_compared_or_known_to_change_no_number():
    harmless = {"evaluation_batch", "checkpoint_seconds"}
    assert Execution.model_fields.keys() - harmless <= list_asked(Execution()).keys()


def test_settings_are_read_back_from_the_tidy_table():
    made = read_made("train", MADE | {"device": "cpu, then NVIDIA H200"})
    assert parse_made(format_made(made)) == made
    assert made["device"] == "cpu, then cuda"
    assert parse_made("") == {}


def test_seeds_made_in_two_ways_are_a_mix_of_their_own():
    texts = ["precision float32; device cpu", "precision bfloat16; device cpu", "precision float32"]
    joined = parse_made(join_made(texts))
    assert joined == {"precision": "float32 and bfloat16", "device": "cpu"}
    assert describe_mix([joined, parse_made(texts[0])]) == ["in float32 and bfloat16", "in float32"]
    assert find_varying([joined]) == ["precision"]


def test_determinism_follows_the_device_and_is_not_listed_beside_it():
    ways = [{"device": "cpu", "deterministic": "yes"}, {"device": "cuda", "deterministic": "no"}]
    assert describe_mix(ways) == ["on cpu", "on cuda"]
    assert describe_mix(ways[:1]) == [""]
