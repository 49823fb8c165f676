"""Every table of a report as LaTeX, in a real TeX."""

from dataclasses import replace
from pathlib import Path

import pytest

import reports
from bench.results.suite_record import SuiteRecord
from bench.results.tidy_table import COLUMNS
from reports.formats.latex import begin_row, escape_latex, format_number
from reports.page.dataset_comparison import write_across
from reports.tables.report_tables import build_tables
from tests.reports.test_differences import make_pairs, make_seeds, with_pairs
from tests.reports.test_quality_table import FLAT, GOOD, make_controls, make_way
from tests.reports.test_tuning import make_tuned, make_tuning
from tests.support.latex import compile_latex
from tests.support.report_records import Rows, make_arm, make_record

BASE, OTHER = "A_1 & 50 % {of} it", "worse #1 ~ $x^2$"
KINDS = {"table", "deltas", "estimators", "samplers", "tuning", "quality", "fairness", "breakdown"}
OPTIONS = {OTHER: {"schedule": "cosine"}}


def estimate(arm: str) -> Rows:
    """What estimating the bound of an arm took."""
    values = {"nats_per_token": 2.1, "estimator_sd": 0.2, "network_calls": 16.0}
    common = {**COLUMNS, "arm": arm, "method": "mdlm", "status": "done", "stage": "bound", "n": 58, "kind": "bound"}
    return [{**common, "metric": name, "value": value, "standard_error": 0.01} for name, value in values.items()]


@pytest.fixture
def record() -> SuiteRecord:
    """Arms with a base, schedules that differ, several ways of drawing whose quality is measured, with tuning, an arm
    that failed, and names that TeX would misread."""
    arms = (make_seeds(BASE, 3.07, 3), make_seeds(OTHER, 3.19, 3), make_arm("lost", 3.0, failures={"train": "nan_x"}))
    ways = (make_way(BASE, GOOD, 8), make_way(BASE, GOOD, 32), make_way(OTHER, FLAT, 8))
    tuning = make_tuning("lost", **{BASE: make_tuned(2.9, 2.7), OTHER: make_tuned(3.2, None)})
    record = make_record(*arms, *map(estimate, (BASE, OTHER)), *ways, make_controls(), tuning=tuning, options=OPTIONS)
    is_drawn = record.table["stage"] == "samples"
    record = replace(
        record, table=record.table.assign(protocol=record.table["protocol"].mask(is_drawn, record.table["way"]))
    )
    return with_pairs(record, make_pairs(OTHER, BASE, 0.120, 0.123, 0.126))


def format_tables(record: SuiteRecord) -> dict[str, str]:
    """The tables of a report as LaTeX, by name."""
    texts = reports.format_texts(build_tables(record))
    return {name.removesuffix(".tex"): text for name, text in texts.items() if name.endswith(".tex")}


def test_tex_takes_every_table_of_a_report_and_none_is_wider_than_the_page(record: SuiteRecord, tmp_path: Path) -> None:
    tables = format_tables(record)
    assert set(tables) == KINDS
    compile_latex(tmp_path, *tables.values())


def test_tex_takes_the_table_across_data_sets(record: SuiteRecord, tmp_path: Path) -> None:
    across = write_across({"one": record, "other_set": record}, tmp_path)
    compile_latex(tmp_path, *(path.read_text(encoding="utf-8") for path in across if path.suffix == ".tex"))


def test_tex_takes_every_label(tmp_path: Path) -> None:
    tables: list[str] = []
    for label in ("[x] first", "*starred", "β₂ → 0.9, σ²", "a − b ≥ 1 “c”", "日本語 🙂", "naïve Ångström ą"):
        failed = make_arm(f"lost, {label}", 3.0, failures={"train": label})
        record = make_record(make_arm("AR", 2.7, "exact"), make_arm(label, 3.0), failed)
        tables += format_tables(record).values()
    compile_latex(tmp_path, *tables)


def test_every_letter_is_one_that_tex_has(tmp_path: Path) -> None:
    letters = [chr(place) for place in (*range(0x21, 0x500), *range(0x2010, 0x2300))]
    (tmp_path / "letters").mkdir()
    compile_latex(tmp_path / "letters", "\n\n".join(map(escape_latex, letters)))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("[x]", "{}[x]"),
        ("*x", "{}*x"),
        ("λ_1", r"$\lambda$\_1"),
        ("x₁", "x$_{1}$"),
        ("日", "U+65E5"),
        ("<= 1", r"$\le$ 1"),
    ],
)
def test_a_label_keeps_its_letters(text: str, written: str) -> None:
    assert begin_row(text) == written


@pytest.mark.parametrize(
    ("text", "written"), [("-0.18", "$-$0.18"), ("[-0.65, 0.2]", "[$-$0.65, 0.2]"), ("1-4", "1--4"), ("1e-05", "1e-05")]
)
def test_a_minus_is_as_long_as_one(text: str, written: str) -> None:
    assert format_number(text) == written
