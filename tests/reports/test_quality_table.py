"""The table of quality, on records made by hand: arms as good as their texts, and adversaries that win one column."""

import math
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from rich.console import Console

import reports
from bench.engine.data import DataSpec, load
from bench.engine.quality import QualitySpec
from bench.engine.quality.evaluator import QualityEvaluator
from bench.results.suite_record import SuiteRecord
from bench.results.tidy_table import COLUMNS
from reports.figures.curves import tabulate_curves
from reports.formats import text as formats
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.page.html_page import answer
from reports.tables.arms import split_arms, warn_incomplete
from reports.tables.breakdown import BREAKDOWN
from reports.tables.fairness import FAIRNESS
from reports.tables.main_table import build_main
from reports.tables.quality import build_quality
from reports.tables.samplers import build_samplers
from reports.tables.table_model import Entry, Table, build_table
from tests.support.report_records import Rows, make_arm, make_record

PROTOCOL = (
    "64 texts of 128 tokens; perplexity under tiny-gpt; MAUVE of features of tiny-gpt beside 64 sequences of valid"
)
REAL = {
    "gen_ppl": 20.0,
    "unigram_entropy": 4.0,
    "rep_4": 0.02,
    "js_2": 0.10,
    "js_4": 0.30,
    "mauve": 0.95,
    "copied": 0.01,
}
CONTROLS = {  # each wins some column and pays for it in another
    "data": REAL,
    "shuffled text": REAL | {"gen_ppl": 900.0, "js_2": 0.60, "js_4": 0.98, "mauve": 0.02, "rep_4": 0.0},
    "n-gram model": REAL | {"gen_ppl": 24.0, "unigram_entropy": 3.9, "js_2": 0.11, "js_4": 0.32, "mauve": 0.30},
    "copied text": REAL | {"copied": 1.0},
}
GOOD = REAL | {"gen_ppl": 30.0, "unigram_entropy": 3.9, "rep_4": 0.03, "js_2": 0.15, "js_4": 0.45, "mauve": 0.8}
FLAT = GOOD | {"gen_ppl": 12.0, "unigram_entropy": 2.1, "rep_4": 0.40, "js_2": 0.4, "js_4": 0.7, "mauve": 0.3}


def make_texts(label: str, values: dict[str, float], error: float = 0.02, **common: Any) -> Rows:
    """The rows of one way of drawing, or of a control; errors are a share of the values."""
    base = {**COLUMNS, "suite": "toy", "arm": label, "method": "mdlm", "status": "done", "texts": "64 x 128"} | common
    costs = {name: values[name] for name in ("network_calls", "seconds_per_sequence") if name in values}
    measured = {"stage": "quality", "n": 64, "protocol": PROTOCOL, "monte_carlo_error": math.nan} | common
    return [{**base, "stage": "samples", "metric": name, "value": value} for name, value in costs.items()] + [
        {**base, **measured, "metric": name, "value": value, "standard_error": error * abs(value)}
        for name, value in values.items()
        if name not in costs
    ]


def make_controls(controls: dict[str, dict[str, float]] = CONTROLS) -> Rows:
    return [row for name, values in controls.items() for row in make_texts(name, values, role="control", method="")]


def make_seeds(label: str, values: dict[str, float], count: int = 12, **common: Any) -> Rows:
    """The texts of several seeds, which agree."""
    return [row for seed in range(count) for row in make_way(label, values, seed=seed, **common)]


def make_way(label: str, values: dict[str, float], calls: int = 64, **common: Any) -> Rows:
    """The texts of an arm, drawn in so many calls at a temperature."""
    policy, heat = common.setdefault("policy", "ancestral"), common.setdefault("temperature", 1.0)
    way = f"{policy}, {calls} calls" + f", temperature {heat:g}" * (heat != 1)
    costs = {"network_calls": float(calls), "seconds_per_sequence": calls / 500}
    return make_texts(label, values | costs, way=way, **common)


@pytest.fixture
def record() -> SuiteRecord:
    """Two arms, one of which repeats itself and so has the lowest generative perplexity."""
    arms = [make_arm(label, bits) for label, bits in (("MDLM", 3.07), ("MD4", 3.05))]
    arms = [[row for row in arm if row["stage"] != "samples"] for arm in arms]
    return make_record(*arms, make_way("MDLM", GOOD), make_way("MD4", FLAT), make_controls())


def table_of(record: SuiteRecord, *, every_column: bool = False) -> Table:
    table = build_quality(record, every_column=every_column)
    assert table is not None
    return table


def column(table: Table, metric: str) -> dict[str, Entry]:
    """The cells of a column by the row's label up to its way."""
    (index,) = (index for index, header in enumerate(table.columns) if header.metric == metric)
    return {row.label.split(":")[0]: row.entries[index] for row in table.rows + table.references}


def heads(table: Table) -> dict[str, str]:
    return {header.metric: f"{header.title} {header.unit}" for header in table.columns}


def write(table: Table, form: str) -> str:
    """The table in one of the formats."""
    if form == "terminal":
        out = StringIO()
        formats.print_table(table, Console(file=out, width=300, force_terminal=True, color_system=None))
        return out.getvalue()
    forms = {"markdown": format_markdown, "latex": format_latex, "html": format_html}
    return str(forms[form](table))


def test_arms_stand_above_controls(record: SuiteRecord) -> None:
    table = table_of(record)
    assert [row.label for row in table.rows] == ["MDLM: ancestral, 64 calls", "MD4: ancestral, 64 calls"]
    assert [row.label for row in table.references] == list(CONTROLS)


def test_the_best_arm_is_bold_in_each_direction() -> None:
    table = table_of(make_record(make_seeds("MDLM", GOOD), make_seeds("MD4", FLAT), make_controls()), every_column=True)
    best = {c.metric: {label for label, cell in column(table, c.metric).items() if cell.best} for c in table.columns}
    assert best["gen_ppl"] == {"MD4"}  # lower
    assert best["mauve"] == {"MDLM"}  # higher
    assert best["unigram_entropy"] == best["rep_4"] == {"MDLM"}  # nearer to the row data
    assert best["network_calls"] == best["unlike_data"] == set()


def test_nearer_counts_from_both_sides() -> None:
    above, below = GOOD | {"unigram_entropy": 4.2}, GOOD | {"unigram_entropy": 3.7}
    table = table_of(make_record(make_seeds("above", above), make_seeds("below", below), make_controls()))
    assert [cell.best for cell in column(table, "unigram_entropy").values()][:2] == [True, False]
    near = table_of(make_record(make_way("above", above), make_way("near", GOOD | {"unigram_entropy": 3.85})))
    assert not any(cell.best for cell in column(near, "unigram_entropy").values())  # there is no row data


def test_ties_with_the_best_are_marked() -> None:
    ways = [make_seeds(label, GOOD | {"gen_ppl": value}) for label, value in (("a", 30.0), ("b", 31.0), ("c", 40.0))]
    cells = column(table_of(make_record(*ways, make_controls())), "gen_ppl")
    assert [("~" in cells[label].marks, cells[label].best) for label in "abc"] == [
        (False, True),
        (True, False),  # 1.96 x 0.02 x sqrt(30^2 + 31^2) = 1.7
        (False, False),
    ]


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "html"])
def test_a_column_that_an_adversary_wins_is_marked_and_names_it(form: str) -> None:
    only = {name: CONTROLS[name] for name in ("data", "n-gram model")}
    adversaries = only | {"n-gram model": CONTROLS["n-gram model"] | {"unigram_entropy": 2.0, "js_2": 0.2, "js_4": 0.9}}
    table = table_of(make_record(make_way("MDLM", GOOD), make_way("MD4", GOOD), make_controls(adversaries)))
    marked = {metric for metric, title in heads(table).items() if "‡" in title}
    assert marked == {"gen_ppl", "rep_4"}
    notes = dict(table.footnotes)
    assert notes["‡"] == "won by an adversary, so meaningless on its own: gen ppl, rep 4 by the n-gram model"
    text = write(table, form)
    assert text.count(r"\ddagger" if form == "latex" else "‡") == 3
    assert "gen ppl, rep 4 by the n-gram model" in text


def test_winners_of_the_same_columns_stand_together(record: SuiteRecord) -> None:
    assert dict(table_of(record).footnotes)["‡"].partition(": ")[2] == (
        "unigram entropy by the shuffled text and the copied text; rep 4, js 2, js 4 by the n-gram model and the copied"
        " text; mauve by the copied text"
    )


def test_held_out_text_is_no_adversary() -> None:
    table = table_of(make_record(make_way("MDLM", GOOD), make_controls({"data": REAL})))
    assert not any("‡" in title for title in heads(table).values())


def test_an_adversary_that_an_arm_beats_wins_nothing(record: SuiteRecord) -> None:
    losing = {
        "data": REAL,
        "n-gram model": dict.fromkeys(REAL, 0.0) | {"gen_ppl": 99.0, "js_2": 1, "js_4": 1, "rep_4": 1},
    }
    losing["n-gram model"]["copied"] = 1.0
    assert not any(
        "‡" in title for title in heads(table_of(make_record(make_way("A", GOOD), make_controls(losing)))).values()
    )


def test_each_adversary_loses_on_the_whole_table(record: SuiteRecord) -> None:
    unlike = column(table_of(record), "unlike_data")
    values = {label: unlike[label].value for label in CONTROLS}
    assert values["data"] == ""
    assert re.fullmatch(r"1 of 7: copied \(\d+\)", values["copied text"])
    assert values["shuffled text"].startswith("5 of 7: ")
    assert re.fullmatch(r"\d of 7: mauve \(\d+\)", values["n-gram model"])
    assert re.fullmatch(r"6 of 7: rep 4 \(\d+\)", unlike["MD4"].value)


def test_texts_of_the_right_law_are_like_data_and_every_adversary_is_not(tmp_path: Path) -> None:
    """On a chain of order 2, whose own texts stand for those of a perfect arm; n-grams of order 2 know too little."""
    block = {"source": "markov", "order": 2, "alphabet": 8, "length": 48, "train": 4000, "valid": 1500, "test": 600}
    data = load(TypeAdapter(DataSpec).validate_python(block), tmp_path, tmp_path)
    evaluator, count = QualityEvaluator(QualitySpec(ngram=2), data, None), 200
    perfect = torch.from_numpy(data.chain.sample(count, 48, np.random.default_rng(7)).astype(np.int64))
    results = {"arm": evaluator.evaluate(perfect), **evaluator.evaluate_controls(count, 48)}
    rows = [
        {**COLUMNS, "arm": name, "method": "mdlm", "role": "arm" if name == "arm" else "control"}
        | {"status": "done", "stage": "quality", "metric": metric}
        | {key: getattr(measurement, key) for key in ("value", "standard_error", "n")}
        for name, result in results.items()
        for metric, measurement in result.measures.items()
    ]
    unlike = {label: cell.value for label, cell in column(table_of(make_record(rows)), "unlike_data").items()}
    assert unlike["arm"].startswith("0 of 16")
    assert re.fullmatch(r"1 of 16: copied \((\d+|over 100)\)", unlike["copied text"])
    assert re.fullmatch(r"\d+ of 16: (js \d|sample nats per token) \((\d+|over 100)\)", unlike["shuffled text"])
    assert int(unlike["n-gram model"].split(" of ")[0]) > 1


def test_unlike_data_counts_only_what_errors_leave() -> None:
    wide = make_record(make_texts("A", GOOD, error=0.5, way="w"), make_controls())
    assert column(table_of(wide), "unlike_data")["A"].value == "0 of 7"


@pytest.mark.parametrize("error", [0.0, 1e-17, math.nan])
@pytest.mark.parametrize(
    ("metric", "real", "value", "expected"),
    [  # steps of 1 / (64 x 128) tokens, or of 1 / 64 texts, in either number
        ("distinct_1", 27 / 8192, 26 / 8192, "0 of 1"),
        ("distinct_1", 27 / 8192, 17 / 8192, "1 of 1: distinct 1 (7.1)"),
        ("copied", 0.0, 1 / 8192, "0 of 1"),
        ("copied", 0.0, 1.0, "1 of 1: copied (over 100)"),
        ("longest_repeat", 5.0, 5.0 + 1 / 64, "0 of 1"),
        ("longest_repeat", 5.0, 6.0, "1 of 1: longest repeat (45)"),
        ("gen_ppl", 20.0, 20.001, "0 of 1"),
        ("mauve", 0.95, 0.94, "0 of 1"),
    ],
)
def test_no_text_is_known_better_than_its_metric_resolves(
    metric: str, real: float, value: float, expected: str, error: float
) -> None:
    """An error that is zero, or that is left by rounding, does not make any difference significant."""
    arm, data = make_way("A", {metric: value}), make_texts("data", {metric: real}, role="control")
    record = make_record(arm, data)
    table = table_of(replace(record, table=record.table.assign(standard_error=error)), every_column=True)
    assert column(table, "unlike_data")["A"].value == expected
    assert any("An error is at least the metric's resolution" in note for _, note in table.footnotes)


def test_the_title_of_mauve_names_where_its_features_come_from(record: SuiteRecord) -> None:
    assert heads(table_of(record))["mauve"].startswith("MAUVE tiny-gpt ↑")


def test_notes_say_how_many_texts_and_the_protocol(record: SuiteRecord) -> None:
    notes = [note for _, note in table_of(record).footnotes]
    assert "Each row: 64 texts." in notes
    assert f"Protocol: {PROTOCOL}." in notes
    fewer = make_record(make_way("MDLM", GOOD), make_texts("data", REAL, role="control", n=20))
    assert "Texts: 64 (MDLM: ancestral, 64 calls); 20 (data)." in [note for _, note in table_of(fewer).footnotes]


def test_every_number_is_in_the_csv(record: SuiteRecord, tmp_path: Path) -> None:
    reports.write_report(record, tmp_path)
    read: Any = pd.read_csv(tmp_path / "quality.csv").set_index(["arm", "metric"])
    assert read.loc[("n-gram model", "js_2"), "value"] == 0.11
    assert read.loc[("MDLM: ancestral, 64 calls", "js_2"), ["standard_error", "n"]].tolist() == [0.02 * 0.15, 64]
    assert read.loc[("MDLM: ancestral, 64 calls", "seconds_per_sequence"), "value"] == 64 / 500
    assert {"quality.md", "quality.tex", "quality.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert 'id="quality"' in (tmp_path / "index.html").read_text()


def test_no_quality_no_table(tmp_path: Path) -> None:
    plain = make_record(make_arm("AR", 2.7, "exact"))
    assert build_quality(plain) is None
    reports.write_report(plain, tmp_path)
    assert not list(tmp_path.glob("quality*"))
    assert 'id="quality"' not in (tmp_path / "index.html").read_text()


def test_seeds_are_pooled() -> None:
    seeds = [make_way("A", GOOD | {"gen_ppl": value}, seed=seed) for seed, value in enumerate((30.0, 32.0))]
    cell = column(table_of(make_record(*seeds, make_controls())), "gen_ppl")["A"]
    assert cell.estimate
    assert cell.estimate.value == pytest.approx(math.sqrt(30.0 * 32.0))  # of all tokens together
    assert cell.estimate.seeds == 2


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "html"])
def test_failures_are_rows(form: str) -> None:
    lost = {"status": "failed", "reason": "the scorer has no file model.safetensors", "stage": "quality"}
    drawn = make_way("MDLM", GOOD)
    arm = [row for row in drawn if row["stage"] == "samples"] + [{**drawn[0], **lost, "metric": "", "value": math.nan}]
    control = [{**COLUMNS, "arm": "controls", "role": "control"} | lost]
    table = table_of(make_record(arm, control, make_way("MD4", GOOD), state="incomplete"))
    assert [row.status for row in (*table.rows, *table.references)] == ["failed", "done", "failed"]
    assert write(table, form).replace("\n", " ").count("has no file") == 2
    assert "2 failed" in table.warning


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "html"])
def test_a_failure_of_the_controls_alone_has_its_reason(form: str) -> None:
    control = {**COLUMNS, "arm": "controls", "role": "control", "stage": "quality", "status": "failed", "reason": "why"}
    table = table_of(make_record(make_way("MDLM", GOOD), [control]))
    text = write(table, form)
    assert "failed: why (quality, seed 0)" in text
    assert form not in ("terminal", "markdown") or "Status" in text


def make_others() -> list[Rows]:
    """A scorer with a score better than any arm's, and controls."""
    return [make_arm("scorer", 1.0, "exact", role="scorer"), make_controls()]


def test_a_scorer_and_controls_are_no_arms() -> None:
    arms = [make_arm("AR", 2.7, "exact"), make_arm("MDLM", 3.07)]
    with_others, without = make_record(*arms, *make_others()), make_record(*arms)
    assert list(split_arms(with_others)) == ["AR", "MDLM"]
    assert write(build_main(with_others), "markdown") == write(build_main(without), "markdown")
    assert answer(build_main(with_others)) == answer(build_main(without))
    assert build_samplers(with_others) is None
    assert set(tabulate_curves(with_others)["arm"]) == {"AR", "MDLM"}
    fairness, breakdown = (build_table(with_others, columns, "") for columns in (FAIRNESS, BREAKDOWN))
    assert [row.label for row in fairness.rows + breakdown.rows] == ["AR", "MDLM"] * 2


@pytest.mark.parametrize("role", ["scorer", "control"])
def test_a_failed_cell_that_is_no_arm_is_still_told(role: str) -> None:
    cell = [{**COLUMNS, "arm": "x", "role": role, "stage": "train", "status": "failed", "reason": "out of memory"}]
    broken = make_record(make_arm("AR", 2.7, "exact"), cell, state="incomplete")
    assert warn_incomplete(broken) == "Incomplete: 1 of 2 cells are done, 1 failed."
    whose = {"control": "control texts", "scorer": "scorer"}[role]
    note = f"The cell of the {whose}: failed: out of memory (train, seed 0)."
    assert ("", note) in build_main(broken).footnotes
    assert [row.label for row in build_main(broken).rows] == ["AR"]
