"""What a report says of tuning: its cost, its winners, and how good the best of k trials is to be expected."""

import itertools
import math
import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

import reports
from bench.cli.main import main
from bench.launch.exit_codes import DONE
from bench.results.statistics.expected_best import expected_best, expected_best_deviation
from bench.results.suite_record import SuiteRecord
from bench.results.suite_record import read as read_record
from bench.suite.suite import read
from bench.suite.tuning.lock_file import Lock, TrialResult, TunedArm
from bench.suite.tuning.lock_file import read as read_lock
from bench.tune.tuned_suite import lock_path, read_tuned
from reports.figures.expected_best import list_scores, plot_expected_best, tabulate_expected_best
from reports.formats import text as formats
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.page.html_page import render
from reports.tables.main_table import build_main
from reports.tables.report_tables import build_tables
from reports.tables.table_model import Table
from reports.tables.tuning import build_tuning
from tests.reports.test_reports import FORMATS
from tests.support.report_records import make_arm, make_record
from tests.support.tuning import write_suite

SCORES = [3.1, 2.7, 2.9, 2.7, 3.6]


@pytest.mark.parametrize("k", range(1, 6))
def test_the_expected_best_is_the_mean_over_all_sets_of_k_trials(k):
    lowest = [min(chosen) for chosen in itertools.combinations(SCORES, k)]
    assert expected_best(SCORES, k) == pytest.approx(sum(lowest) / len(lowest), rel=1e-12)


@pytest.mark.parametrize("k", range(1, 6))
def test_its_spread_is_that_of_the_best_of_k_draws(k):
    lowest = [min(drawn) for drawn in itertools.product(SCORES, repeat=k)]
    mean = sum(lowest) / len(lowest)
    variance = sum((value - mean) ** 2 for value in lowest) / len(lowest)
    assert expected_best_deviation(SCORES, k) == pytest.approx(math.sqrt(variance), rel=1e-9)


def test_a_failed_trial_counts_as_the_worst(record):
    assert list_scores(record.tuning["arms"]["MDLM"]) == [3.2, 3.1, 3.2]
    nothing = {"tried": [{"score": None}, {"score": None}]}
    assert list_scores(nothing) == []


def make_tuned(*scores: float | None, **values: Any) -> TunedArm:
    tried = [
        TrialResult(
            values={**values, "training.learning_rate": 0.001 * (number + 1)},
            score=score,
            standard_error=None if score is None else 0.02,
            reason="" if score is not None else "loss is nan",
            cells=[f"{scores} {number}"],
            tokens=1000,
            flops=2e9,
            seconds=1.5,
        )
        for number, score in enumerate(scores)
    ]
    return TunedArm.of("0123456789ab", tried)


def make_tuning(untuned: str, **arms: TunedArm) -> dict[str, Any]:
    """The tuning of a suite in which these arms were tuned, and one was not."""
    settings = {
        "metric": "bits_per_char",
        "split": "valid",
        "seeds": [100],
        "sampler": "sobol",
        "budget": {"steps": 4000},
    }
    return {**Lock(suite="toy", arms=arms, **settings).model_dump(mode="json"), "untuned": {untuned: "as published"}}


@pytest.fixture
def record() -> SuiteRecord:
    """Two arms that were tuned with three trials each, of which one failed, and an arm that was not."""
    arms = {"AR": make_tuned(2.9, 2.7, 2.8), "MDLM": make_tuned(3.2, 3.1, None, **{"options.schedule": "cosine"})}
    tuning = make_tuning("MD4", **arms)
    return replace(
        make_record(make_arm("AR", 2.7134, "exact"), make_arm("MDLM", 3.07), make_arm("MD4", 3.05)), tuning=tuning
    )


def table_of(record: SuiteRecord) -> Table:
    table = build_tuning(record)
    assert table is not None
    return table


def print_table(record: SuiteRecord, form: str) -> str:
    if form == "terminal":
        out = StringIO()
        formats.print_table(table_of(record), Console(file=out, width=300, color_system=None))
        return out.getvalue()
    write = {"markdown": format_markdown, "latex": format_latex, "html": format_html}[form]
    return str(write(table_of(record)))


def test_the_table_tells_trials_failures_cost_and_winner_of_each_arm(record):
    cells = {row.label: [cell.value for cell in row.entries] for row in table_of(record).rows}
    assert cells["AR"] == ["3", "0", "3000", "6.0e09", "4.5", "48.2", "0.1", "2.700", "learning_rate 0.002"]
    assert cells["MDLM"][:2] == ["3", "1"]
    assert cells["MDLM"][-1] == "schedule cosine, learning_rate 0.002"
    assert cells["MD4"] == ["untuned", "—", "—", "—", "—", "48.2", "—", "—", "—"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_formats_say_the_same(record, form):
    text = print_table(record, form).replace("\\_", "_")
    for said in ("2.700", "schedule cosine, learning_rate 0.002", "3 trials of 4,000 steps", "as published"):
        assert said in text, said


def test_budgets_in_flops_and_the_order_of_tpe_are_told(record):
    other = replace(record, tuning=record.tuning | {"budget": {"flops": 2.5e15}, "sampler": "tpe"})
    notes = "\n".join(note for _, note in table_of(other).footnotes)
    assert "3 trials of 2.5e+15 FLOPs, proposed by tpe" in notes
    assert "a failed one counts as the worst of the others (TPE's trials depend on earlier ones" in notes


def test_the_main_table_names_the_trials_and_what_was_not_tuned(record):
    notes = "\n".join(note for _, note in build_main(record).footnotes)
    assert "Tuned: 3 trials per arm on the valid split, 6,000 tokens in total." in notes
    assert "MD4 was not tuned: as published." in notes
    assert "Tuned:" not in "".join(note for _, note in build_main(replace(record, tuning={})).footnotes)


def test_curves_begin_at_the_mean_and_end_at_the_best(record):
    best = tabulate_expected_best(record).set_index(["arm", "k"])["expected"]
    assert best["AR", 1] == pytest.approx(2.8)
    assert best["AR", 3] == pytest.approx(2.7)
    assert best["MDLM", 3] == pytest.approx(3.1)


@pytest.mark.usefixtures("every_format")
def test_the_figure_and_every_trial_are_written_and_stand_on_the_page(record, tmp_path):
    written = {path.name for path in reports.write_report(record, tmp_path)}
    assert {"tuning.svg", "tuning.png", "tuning.pdf", "tuning.csv", "tuning.md", "tuning.tex", "trials.csv"} <= written
    trials = (tmp_path / "trials.csv").read_text().splitlines()
    assert len(trials) == 1 + 6
    assert "loss is nan" in trials[6]
    page = (tmp_path / "index.html").read_text()
    assert '<section id="tuning">' in page
    assert re.search(r"<svg[^>]*Expected best of k trials", page)


def test_a_suite_that_was_not_tuned_has_nothing_of_it(record, tmp_path):
    plain = replace(record, tuning={})
    assert build_tuning(plain) is None
    assert plot_expected_best(plain, tmp_path) == []
    assert "tuning" not in render(plain, build_tables(plain), {}).replace("fine-tuning", "")
    lost = replace(record, tuning=record.tuning | {"arms": {"AR": make_tuned(None, None).model_dump(mode="json")}})
    assert plot_expected_best(lost, tmp_path) == []
    assert table_of(lost).rows[0].entries[7].value == "every trial failed"


@pytest.fixture
def at_hand(monkeypatch):
    """Cells are run in this process, which takes no time to start."""
    from bench.launch import worker

    def start(folder, cell, hang_timeout):
        worker.Worker(folder).run()

    monkeypatch.setattr("bench.launch.local_launcher.start", start)
    monkeypatch.setattr("bench.results.tracker.Tracker.track", lambda *arguments: None)


def test_what_was_tuned_is_run_with_its_winners_and_reported(tmp_path, at_hand, capsys):
    path, runs = (
        write_suite(tmp_path, ("{low: 1.0e-4, high: 1.0e-2, log: true}", "[0.01, 1.0e+30]")),
        tmp_path / "runs",
    )
    assert main(["tune", str(path), "--runs", str(runs)]) == DONE
    lock = read_lock(lock_path(read(path)))
    assert lock is not None
    assert [arm.trials for arm in lock.arms.values()] == [3, 3]
    assert all(
        arm.failed > 0 for arm in lock.arms.values()
    )  # of two points each half has one, and one rate leads to nan
    assert all(each.reason or each.tokens == 384 for arm in lock.arms.values() for each in arm.tried)
    assert main(["run", str(path), "--runs", str(runs), "--verbose"]) == DONE
    assert "tiny: tuning" in capsys.readouterr().out
    rates = [arm.training.learning_rate for arm in read_tuned(path)[0].spec.arms]
    assert rates == [arm.winner["training.learning_rate"] for arm in lock.arms.values() if arm.winner]
    record = read_record(runs, "tiny")
    assert record.tuning["arms"]["AR"] == lock.arms["AR"].model_dump(mode="json")
    assert main(["report", str(path), "--runs", str(runs), "--verbose"]) == DONE
    assert "tiny: tuning" in capsys.readouterr().out
    trials = read_record(runs, "tiny-trials")
    assert len(trials.table["arm"].unique()) == 6


@pytest.mark.parametrize(("seeds", "meaning"), [([100], "scored text only"), ([100, 101], "over the seeds of tuning")])
def test_the_error_of_a_winner_is_over_what_tuning_saw(record, seeds, meaning):
    notes = [text for _, text in table_of(replace(record, tuning=record.tuning | {"seeds": seeds})).footnotes]
    assert any(f"±: {meaning}" in text or f"±: one standard error {meaning}" in text for text in notes)


@pytest.mark.parametrize("sampler", ["sobol", "tpe"])
def test_trials_that_were_made_in_another_precision_are_told(sampler, tmp_path, at_hand, capsys):
    path, runs = write_suite(tmp_path, ("  seeds: [100]", f"  sampler: {sampler}\n  seeds: [100]")), tmp_path / "runs"
    assert main(["tune", str(path), "--runs", str(runs)]) == DONE
    path.write_text(path.read_text().replace("{device: cpu}", "{device: cpu, precision: bfloat16}"))
    capsys.readouterr()
    for command in ("tune", "run"):
        assert main([command, str(path), "--runs", str(runs)]) == DONE
        errors = capsys.readouterr().err
        assert errors.count("made in float32, this suite asks for bfloat16") == 1, errors
