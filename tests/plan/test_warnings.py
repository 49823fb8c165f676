"""Plans and runs warn once of what is hardly meant, with the number; no suite that ships is warned of."""

import json
import re

import numpy as np
import pytest

from bench.cli.main import main
from bench.engine.storage import read_suite
from bench.launch.exit_codes import DONE, INCOMPLETE
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.plan.warnings import find_warnings, texts_to_record
from bench.results.suite_record import read as read_record
from bench.suite.suite import read, read_all
from bench.suite.yaml_file import load
from bench.tune.trials import plan_all_trials
from reports.tables.main_table import build_main
from tests.conftest import ROOT, TINY
from tests.support.tuning import Fake

SUITES = sorted((ROOT / "suites").rglob("*.yaml"), key=str)
LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz "))
TEXT = "{source: text-file, path: text.txt, length: 16}"


def write(folder, *edits, text=None, more=""):
    """The tiny suite with edits (pattern, replacement), and a text beside it."""
    content = TINY
    for pattern, replacement in edits:
        content, count = re.subn(pattern, replacement, content, flags=re.MULTILINE)
        assert count == 1, pattern
    if text is not None:
        content = re.sub("^data: .*", f"data: {TEXT}", content, flags=re.MULTILINE)
        (folder / "text.txt").write_bytes(text.encode())
    path = folder / "suite.yaml"
    path.write_text(content + more)
    return path


def messages(path):
    return [warning.message for warning in find_warnings(plan(read(path)))]


def draw_text(count, alphabet=LETTERS):
    """Text without any repetition to speak of."""
    return "".join(np.random.default_rng(0).choice(alphabet, count))


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_no_suite_that_ships_is_warned_of(path, nothing_fetched):
    for scale in (None, *load(path).scales):
        for suite in read_all(path, scale):
            plans = [plan(suite), *([plan_all_trials(suite)] if suite.tune else [])]
            assert [warning for one in plans for warning in find_warnings(one)] == []


def test_the_tiny_suite_is_sound(tmp_path):
    assert messages(write(tmp_path)) == []
    assert messages(write(tmp_path, text=draw_text(8000))) == []


BUDGET = r"^budget: .*"
TRAINING = "batch_size: 8"
SETTINGS = {  # edits; about, number, message
    "a warm-up longer than training": (
        [(TRAINING, f"{TRAINING}, warmup_steps: 2500, learning_rate: 0.01"), (BUDGET, "budget: {steps: 20}")],
        ("training.warmup_steps", 0.01 * 20 / 2501),
        "20 steps of a 2,500-step warm-up reach a learning rate of 8e-05 of the 0.01 that is asked for",
    ),
    "a warm-up as long as training": (
        [(TRAINING, f"{TRAINING}, warmup_steps: 6, decay: cosine")],
        ("training.warmup_steps", 3e-4 * 6 / 7),
        "6 steps of a 6-step warm-up reach a learning rate of 0.00026 of the 0.0003 that is asked for",
    ),
    "a learning rate too high": (
        [(TRAINING, f"{TRAINING}, learning_rate: 3.0")],
        ("training.learning_rate", 3),
        "a learning rate of 3 is too high for AdamW, whose steps are about that long",
    ),
    "a learning rate too low": (
        [(TRAINING, f"{TRAINING}, learning_rate: 3.0e-10")],
        ("training.learning_rate", 3e-10),
        "a learning rate of 3e-10 is too low for AdamW, whose steps are about that long",
    ),
    "decay that takes weights away": (
        [(TRAINING, f"{TRAINING}, learning_rate: 0.01, weight_decay: 20")],
        ("training.weight_decay", 0.2),
        "weight decay 20 at learning rate 0.01 takes 20% of each weight away in a step",
    ),
    "a batch larger than training": (
        [(TRAINING, "batch_size: 65")],
        ("training.batch_size", 65),
        "a batch of 65 sequences is larger than its training text, which holds 64",
    ),
    "many passes over a small text": (
        [(BUDGET, "budget: {steps: 1600}")],
        ("data.tokens", 200),
        "training passes 200 times over the 768 tokens of its text",
    ),
    "a budget less than a step": (
        [(BUDGET, "budget: {tokens: 10}"), ("validations: 2", "validations: 1")],
        ("budget", 9.6),
        "a budget of 10 tokens becomes 1 step of 96 in all, 9.6 times as much",
    ),
    "more validations than steps": (
        [("validations: 2", "validations: 10")],
        ("training.validations", 10),
        "10 validations do not fit into 6 steps; each step has at most one",
    ),
    "more sequences than there are": (
        [("replicates: 2", "replicates: 2, sequences: 5000")],
        ("evaluation.bound.sequences", 5000),
        "5,000 sequences are asked of the test split; it holds 16, and all are used",
    ),
    "a bound on few sequences": (
        [("replicates: 2", "replicates: 2, sequences: 1, split: valid")],
        ("evaluation.bound.sequences", 1),
        "bounds are measured on 1 sequence of the validation split; their errors mean little",
    ),
    "a small test split": (
        [("test: 16", "test: 4")],
        ("evaluation.bound.sequences", 4),
        "bounds are measured on 4 sequences of the test split; their errors mean little",
    ),
    "quality of few texts": (
        [("calls: 4}", "calls: 4}\n  quality: {copied: 4}")],
        ("evaluation.samples.count", 2),
        "quality is measured on 2 texts of an arm; its errors mean little",
    ),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_a_setting_that_is_hardly_meant_is_told_with_its_number(case, tmp_path, capsys):
    edits, (about, number), message = SETTINGS[case]
    path = write(tmp_path, *edits)
    (warning,) = find_warnings(plan(read(path)))
    assert (warning.about, warning.message, warning.arms) == (about, message, ())
    assert warning.number == pytest.approx(number, rel=1e-9)

    assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == DONE
    assert " ".join(capsys.readouterr().out.split()).count(f"warning: {message}") == 1
    assert main(["plan", str(path), "--runs", str(tmp_path / "runs"), "--json"]) == DONE
    (listed,) = json.loads(capsys.readouterr().out)["warnings"]
    assert listed == {"about": about, "message": message, "number": warning.number, "arms": []}


DATA = {  # text; message
    "a text that is there twice": (
        draw_text(8000) * 2,
        "50 of 50 test sequences also occur in the training text",
    ),
    "a test split that repeats itself": (
        draw_text(15_200) + draw_text(100, LETTERS[::-1]) * 8,
        "50 of 50 test sequences occur more than once in the test split, which makes errors over sequences too small",
    ),
    "Windows line ends": (
        "\r\n".join(draw_text(16_000)[start : start + 100] for start in range(0, 16_000, 100)),
        "159 carriage returns in the text are tokens; convert the line ends to those of Unix unless they are meant",
    ),
    "a byte-order mark inside": (
        f"{draw_text(8000)}\ufeff{draw_text(8000, LETTERS[::-1])}",
        "1 byte-order mark in the text is a token; such marks belong at the start of a file only",
    ),
    "letters of another alphabet in the test split": (
        draw_text(15_500) + draw_text(500, np.array(list("абвгд"))),
        "500 of 800 test tokens are symbols that the training text does not hold",
    ),
    "symbols that occur once": (
        draw_text(15_000) + "".join(map(chr, range(0x4E00, 0x4E00 + 300))) + draw_text(3000, LETTERS[::-1]),
        "300 of 327 symbols occur only once in the text; level: byte makes do with 256",
    ),
}


@pytest.mark.parametrize("case", DATA)
def test_what_spoils_the_data_is_told_with_its_number(case, tmp_path):
    text, message = DATA[case]
    assert message in messages(write(tmp_path, text=text))


def test_a_warning_names_the_arms_that_it_is_about_unless_these_are_all(tmp_path):
    arms = (r"method: mdlm\}", "method: mdlm, training: {warmup_steps: 100}}")
    (warning,) = find_warnings(plan(read(write(tmp_path, arms))))
    assert warning.arms == ("MDLM",)
    assert warning.message.startswith("MDLM: 6 steps of a 100-step warm-up")

    path = write(tmp_path, more="ablate: {base: MDLM, grid: {training.warmup_steps: [7, 8, 1]}}\n")
    (warning,) = find_warnings(plan(read(path)))
    assert warning.message.endswith("0.0003 that is asked for (and 1 more like this)")
    assert len(warning.arms) == 2


def test_arms_may_have_budgets_too_short_for_the_warm_up_of_all(tmp_path):
    path = write(
        tmp_path,
        (TRAINING, f"{TRAINING}, warmup_steps: 4"),
        (r"method: mdlm\}", "method: mdlm, budget: {steps: 3}}"),
    )
    (warning,) = find_warnings(plan(read(path)))
    assert warning.message.startswith("MDLM: 3 steps of a 4-step warm-up")


def test_trials_are_looked_at_like_cells(tmp_path, capsys, monkeypatch):
    tune = "tune: {trials: 2, seeds: [7], budget: {steps: 3}, search: {training.learning_rate: [0.001, 0.01]}}\n"
    path = write(tmp_path, (TRAINING, f"{TRAINING}, warmup_steps: 4"), more=tune)
    assert messages(path) == []
    assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == DONE
    assert "3 steps of a 4-step warm-up" in " ".join(capsys.readouterr().out.split())

    monkeypatch.setattr("bench.tune.tuner.run", Fake())
    assert main(["tune", str(path), "--runs", str(tmp_path / "runs")]) == DONE
    assert capsys.readouterr().err.count("warning: 3 steps of a 4-step warm-up") == 1


def test_the_scorer_is_looked_at_with_the_text_that_it_trains_on(tmp_path):
    scorer = r"calls: 4}\n  quality: {copied: 4, scorer: {kind: trained, seed: 9}}"
    path = write(tmp_path, (r"calls: 4\}", scorer), ("count: 2", "count: 10"), ("test: 16", "test: 16, reserve: 0.1"))
    (warning,) = find_warnings(plan(read(path)))
    assert warning.message.endswith("a batch of 8 sequences is larger than its training text, which holds 6")
    assert len(warning.arms) == 1


def test_draws_from_a_known_distribution_repeat_by_chance(tmp_path):
    path = write(tmp_path, ("alphabet: 3", "alphabet: 2"), ("length: 12", "length: 2"))
    facts = read(path).facts
    assert facts.sequences_in_training["test"] == facts.sequences["test"]
    assert messages(path) == []


def test_data_that_are_not_here_yet_are_not_judged(tmp_path, nothing_fetched):
    path = write(tmp_path, ("^data: .*", "data: {source: text8, length: 16}"))
    assert [message for message in messages(path) if "occur" in message] == []


def test_a_run_warns_before_it_starts_and_its_report_repeats_each_once(tmp_path, capsys, monkeypatch):
    text, runs = draw_text(8000) * 2, tmp_path / "runs"
    path = write(tmp_path, (TRAINING, f"{TRAINING}, warmup_steps: 2500"), text=text)
    planned = plan(read(path))
    submit(runs, planned)
    assert read_suite(runs, "suite").warnings == texts_to_record(planned)
    record = read_record(runs, "suite")
    notes = [note for _, note in build_main(record).footnotes]
    for message in [warning.message for warning in find_warnings(planned)]:
        assert sum(message in note for note in notes) == 1, message

    monkeypatch.setattr("bench.launch.local_launcher.run", lambda runs, planned, *rest: submit(runs, planned))
    assert main(["run", str(path), "--runs", str(tmp_path / "first")]) == INCOMPLETE  # nothing was trained here
    assert capsys.readouterr().err.count("warning: 50 of 50 test sequences also occur in the training text\n") == 1
