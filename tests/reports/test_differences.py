"""Differences from a base in tables, figures and on the page, on records made by hand and on a run."""

import math
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import reports
from bench.results.statistics.paired_differences import COLUMNS
from bench.results.statistics.verdicts import summarize
from bench.results.suite_record import SuiteRecord
from reports.figures.forest import draw_forest, measure_height, plot_forest
from reports.figures.style import STYLES
from reports.formats import text as formats
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.page.html_page import render
from reports.tables.differences import build_deltas, format_delta, list_deltas
from reports.tables.report_tables import build_tables
from reports.tables.table_model import Row, Table
from tests.reports.test_page import find_tags
from tests.support.report_records import EXACT, SAMPLED, Rows, make_arm, make_record

FORMATS = ["terminal", "markdown", "latex", "html"]
UNLIKE = "exact likelihood; of the base: exactly k masked"


def make_pairs(arm: str, base: str, *values: float, error: float = 0.001, **common: Any) -> Rows:
    """The pairs of one arm, a seed for each value in bits per character; nan for one that is not paired."""
    shared = {"arm": arm, "base": base, "method": "md4", "n": 500, "clustered_error": error} | common
    rows: Rows = []
    for seed, value in enumerate(values):
        reason = "" if math.isfinite(value) else "not paired: draws 2, but 4 of base A"
        row = {**COLUMNS, **shared, "seed": seed, "metric": "bits_per_char", "value": value, "reason": reason}
        rows += [row, row | {"metric": "nats_per_token", "value": value * math.log(2)}]
    return rows


def with_pairs(record: SuiteRecord, *pairs: Rows) -> SuiteRecord:
    """The record with these pairs."""
    return replace(record, pairs=pd.DataFrame([row for rows in pairs for row in rows], columns=list(COLUMNS)))


def make_seeds(label: str, bits: float, count: int, **common: Any) -> Rows:
    """An arm of several seeds."""
    return [row for seed in range(count) for row in make_arm(label, bits, seed=seed, **common)]


@pytest.fixture
def record() -> SuiteRecord:
    """A base of three seeds, an arm that is worse, one that is not told apart, and one that failed."""
    lost = make_arm("lost", 3.0, failures={"train": "loss is nan", "bound": "train failed: loss is nan"})
    arms = (make_seeds("A", 3.07, 3), make_seeds("worse", 3.19, 3, method="md4"), make_seeds("near", 3.07, 3), lost)
    return with_pairs(
        make_record(*arms, state="incomplete"),
        make_pairs("worse", "A", 0.120, 0.123, 0.126),
        make_pairs("near", "A", 0.01, -0.012, 0.003, method="mdlm"),
        make_pairs("lost", "A", math.nan, method="mdlm"),
    )


def table_of(record: SuiteRecord) -> Table:
    table = build_deltas(record)
    assert table is not None
    return table


def row_of(record: SuiteRecord, label: str) -> Row:
    return next(row for row in table_of(record).rows if row.label == label)


def texts_of(record: SuiteRecord, label: str) -> list[str]:
    return [cell.value for cell in row_of(record, label).entries]


def notes_of(record: SuiteRecord) -> str:
    return "\n".join(note for _, note in table_of(record).footnotes)


def print_table(record: SuiteRecord, form: str, width: int = 300) -> str:
    """The table of differences in one of the formats, as text."""
    if form == "terminal":
        out = StringIO()
        formats.print_table(table_of(record), Console(file=out, width=width, force_terminal=True, color_system=None))
        return out.getvalue()
    write = {"markdown": format_markdown, "latex": format_latex, "html": format_html}[form]
    return str(write(table_of(record)))


def test_arms_stand_below_their_base_with_delta_interval_pairs_p_and_verdict(record: SuiteRecord) -> None:
    assert [row.label for row in table_of(record).rows] == ["A (base)", "worse", "near", "lost"]
    # Student: 4.303 x 0.003 / sqrt(3) = 0.00745; documents: 1.965 x 0.001; both: 0.00771
    expected = ["+0.1230", "[0.1153, 0.1307]", "3.1900", "500 × 3", "out of reach", "worse", "—"]
    assert texts_of(record, "worse") == expected
    assert texts_of(record, "A (base)")[:3] == ["base", "", "3.0700"]
    assert texts_of(record, "near")[5] == "not told apart"


@pytest.mark.parametrize("form", FORMATS)
def test_the_formats_say_the_same(record: SuiteRecord, form: str) -> None:
    text = print_table(record, form)
    for text_part in ("A (base)", "+0.1230", "[0.1153, 0.1307]", "out of reach", "worse", "not told apart"):
        assert text_part in text.replace("\u2007", ""), text_part
    assert re.search(r"lost(.|\n)*failed: loss is nan \(train, seed 0\)", text)


def test_a_narrow_terminal_cuts_no_number(record: SuiteRecord) -> None:
    for width in (60, 80, 120):
        text = print_table(record, "terminal", width)
        assert "[0.1153, 0.1307]" in text
        assert "…" not in text


def test_what_is_not_told_apart_says_what_could_have_been(record: SuiteRecord) -> None:
    size = float(texts_of(record, "near")[6])
    assert 0.0113 / math.sqrt(3) * 7 < size < 0.0113 / math.sqrt(3) * 9  # 8.04 standard errors: three seeds, two arms
    assert "Detectable: " in notes_of(record)
    alone = with_pairs(record, make_pairs("worse", "A", 0.120, 0.123, 0.126))
    assert "Detectable" not in [column.title for column in table_of(alone).columns]
    assert "Detectable" not in notes_of(alone)
    assert {len(row.entries) for row in table_of(alone).rows} == {len(table_of(alone).columns)}


def test_p_is_printed_only_where_it_can_be_small(record: SuiteRecord) -> None:
    assert "p < 0.05 is out of reach with 3 seeds" in notes_of(record)
    six = with_pairs(record, make_pairs("worse", "A", *(0.12 + 0.001 * seed for seed in range(6))))
    assert texts_of(six, "worse")[4:6] == ["0.031", "worse"]
    assert "out of reach" not in notes_of(six)
    two = with_pairs(six, *(make_pairs(arm, "A", *(0.12 + 0.001 * s for s in range(6))) for arm in ("worse", "near")))
    assert texts_of(two, "worse")[4] == "out of reach"
    assert "with 6 seeds after Holm's correction over 2 arms" in notes_of(two)


def test_where_p_can_be_small_it_has_to_be() -> None:
    """Seven of eight seeds agree to the last digit and one is against them: the interval alone would see a win."""
    record = make_record(make_seeds("A", 3.0, 8), make_seeds("B", 3.1, 8))
    odd = with_pairs(record, make_pairs("B", "A", *[0.1] * 6, -0.05, -0.05))
    assert texts_of(odd, "B")[1].startswith("[0.0")
    assert float(texts_of(odd, "B")[4]) > 0.05
    assert texts_of(odd, "B")[5] == "not told apart"


def test_arms_of_one_table_are_corrected_for_being_several(record: SuiteRecord) -> None:
    """The second arm alone would be worse; as one of two its interval is not sure enough."""
    close = make_pairs("near", "A", 0.010, 0.016, 0.022)
    alone = with_pairs(record, close)
    assert texts_of(alone, "near")[5] == "worse"
    assert "at most one table in 20 has a verdict by chance" in notes_of(alone)
    assert "Holm" not in notes_of(alone)
    both = with_pairs(record, make_pairs("worse", "A", 0.01, -0.012, 0.003), close)
    assert texts_of(both, "near")[5] == "not told apart"
    assert texts_of(both, "near")[1].startswith("[0.0")
    assert "the interval excludes zero after Holm's correction over the arms" in notes_of(both)


def test_pieces_of_a_running_text_are_clustered_and_the_table_says_so(record: SuiteRecord) -> None:
    assert "clustered over" not in notes_of(record)
    cut = with_pairs(record, make_pairs("worse", "A", 0.120, clusters=10))
    assert "their error is clustered over 10 runs of neighbours" in notes_of(cut)
    assert texts_of(cut, "worse")[1] == "[0.1177, 0.1223]"  # 2.262 x 0.001 with ten, 1.965 with 500


def test_one_seed_is_an_interval_over_documents_and_says_so(record: SuiteRecord) -> None:
    single = with_pairs(record, make_pairs("worse", "A", 0.120))
    assert texts_of(single, "worse")[:2] == ["+0.1200", "[0.1180, 0.1220]"]
    assert texts_of(single, "worse")[5] == "no verdict: one seed"
    assert "test text only, over the documents of the one seed" in notes_of(single)
    assert "the interval excludes zero" not in notes_of(single)
    assert row_of(single, "worse").entries[0].marks == ""
    mixed = with_pairs(record, make_pairs("worse", "A", 0.120), make_pairs("near", "A", 0.1, 0.2))
    letter = row_of(mixed, "worse").entries[0].marks
    assert (
        "one seed, test text only: the interval is over documents, and there is no verdict"
        in dict(table_of(mixed).footnotes)[letter]
    )
    assert row_of(mixed, "near").entries[0].marks == ""


def test_arms_that_are_not_paired_stay_with_their_reason(record: SuiteRecord) -> None:
    torn = with_pairs(record, make_pairs("worse", "A", math.nan), make_pairs("near", "A", 0.1, math.nan, 0.2))
    assert texts_of(torn, "worse")[0] == "not paired"
    assert row_of(torn, "worse").reason == "not paired: draws 2, but 4 of base A"
    near = row_of(torn, "near")
    assert near.entries[3].value == "500 × 2 of 3"
    assert "draws 2" in near.reason
    assert "not all seeds are paired" in dict(table_of(torn).footnotes)[near.entries[0].marks]
    missing = with_pairs(record, make_pairs("worse", "nobody", math.nan))
    assert [row.label for row in table_of(missing).rows] == ["nobody", "worse"]


def test_other_estimators_and_other_code_are_marked(record: SuiteRecord) -> None:
    stale = make_record(make_arm("A", 3.0), make_arm("B", 3.1, status="stale", reason="made by other code"))
    marked = with_pairs(stale, make_pairs("B", "A", 0.1, unlike=UNLIKE))
    notes, cells = dict(table_of(marked).footnotes), row_of(marked, "B").entries
    assert UNLIKE in notes[cells[0].marks]
    assert notes[cells[2].marks].startswith("measured by a different version")
    assert "with the same noise" in notes_of(record)
    assert "with the same noise" not in notes_of(marked)


def test_scores_of_other_protocols_are_told_apart_by_letters(record: SuiteRecord) -> None:
    mixed = make_record(make_arm("A", 3.0, "exact"), make_arm("B", 3.1), make_arm("no arm of the table", 3.2))
    mixed = with_pairs(mixed, make_pairs("B", "A", 0.1))
    notes = dict(table_of(mixed).footnotes)
    assert [notes[row.entries[2].marks] for row in table_of(mixed).rows] == [f"protocol: {p}" for p in (EXACT, SAMPLED)]
    assert [row.entries[2].marks for row in table_of(record).rows] == [""] * 4


def test_the_status_says_why_seeds_are_not_paired_also_where_another_stage_of_the_arm_is_lost(
    record: SuiteRecord,
) -> None:
    arms = (make_arm("A", 3.0), make_arm("B", 3.1, failures={"samples": "killed"}))
    torn = with_pairs(make_record(*arms), make_pairs("B", "A", 0.1, math.nan, 0.2))
    row = row_of(torn, "B")
    assert "see the status" in dict(table_of(torn).footnotes)[row.entries[0].marks]
    assert row.reason.startswith("failed: killed (samples, seed 0); not paired: draws 2")


def test_a_difference_of_bounds_is_not_one_of_likelihoods(record: SuiteRecord) -> None:
    caveat = "A difference of bounds is not a difference of likelihoods"
    assert caveat in notes_of(record)
    assert "a certificate" not in notes_of(record)
    exact = make_record(make_arm("A", 3.0, "exact"), make_arm("B", 3.1, "exact"))
    assert caveat not in notes_of(with_pairs(exact, make_pairs("B", "A", 0.1)))
    sure = make_record(make_arm("A", 3.0, "certified"), make_arm("B", 3.1, "certified"))
    assert "a certificate says nothing about tightness" in notes_of(with_pairs(sure, make_pairs("B", "A", 0.1)))


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((0.123, 0.110, 0.136), ("+0.123", "[0.110, 0.136]", 3)),
        ((-0.00001, -0.1, 0.1), ("+0.00", "[-0.10, 0.10]", 2)),
        ((12.5, -3.0, 28.0), ("+12", "[-3, 28]", 0)),
        ((0.12, math.nan, math.nan), ("+0.1200", "", 4)),
        ((0.0, 0.0, 0.0), ("+0.000", "[0.000, 0.000]", 3)),
    ],
)
def test_digits_follow_half_the_interval(numbers: tuple[float, ...], texts: tuple[str, str, int]) -> None:
    delta = pd.Series(dict(zip(("value", "low", "high"), numbers, strict=True)))
    assert format_delta(delta) == texts


def test_the_csv_holds_every_number_in_every_unit(record: SuiteRecord, tmp_path: Path) -> None:
    list_deltas(record).to_csv(tmp_path / "deltas.csv", index=False)
    read: Any = pd.read_csv(tmp_path / "deltas.csv", keep_default_na=False).set_index(["arm", "metric"])
    bits, nats = (read.loc[("worse", metric)] for metric in ("bits_per_char", "nats_per_token"))
    assert float(bits["value"]) * math.log(2) == pytest.approx(float(nats["value"]))
    assert (bits["seeds"], bits["documents"], bits["verdict"], bits["base"]) == (3, 500, "worse", "A")
    assert float(bits["p"]) == 0.25
    assert float(bits["p_holm"]) == 0.5  # two arms were tested
    assert "draws 2" in read.loc[("lost", "bits_per_char"), "reason"]


def test_the_forest_shows_every_arm_a_panel_for_each_base(record: SuiteRecord, tmp_path: Path) -> None:
    several = with_pairs(
        record,
        make_pairs("worse", "A", 0.120, 0.123, 0.126),
        make_pairs("lost", "A", math.nan),
        make_pairs("A", "near", 0.1),
    )
    svg = plot_forest(several, tmp_path)[0].read_text()
    for text_part in ("minus A", "minus near", "+0.1230 [0.1153, 0.1307]", "not paired", "lost", "test text only"):
        assert f">{text_part}" in svg or f"{text_part}<" in svg, text_part
    assert svg.count("negative is better") == 2
    assert {STYLES["md4"].color.lower()} <= set(re.findall(r"#[0-9a-f]{6}", svg.lower()))
    numbers = pd.read_csv(tmp_path / "forest.csv")
    assert numbers["value"].tolist()[0] == pytest.approx(0.123)


def test_long_names_take_several_lines_and_their_room() -> None:
    short, long = pd.DataFrame({"arm": ["A", "B"]}), pd.DataFrame({"arm": ["A", "B, " + "without this " * 5]})
    assert measure_height(long) > measure_height(short) + 2 * 0.15
    figure = draw_forest(summarize(pd.DataFrame(make_pairs(long["arm"][1], "A", 0.1)), "bits_per_char"), "bits")
    assert [label.get_text().count("\n") for label in figure.axes[0].get_yticklabels()] == [2]


@pytest.mark.usefixtures("every_format")
def test_the_same_record_gives_the_same_bytes(
    record: SuiteRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reports.write_report(record, tmp_path / "one")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    second = reports.write_report(record, tmp_path / "two")
    names = {path.name for path in first}
    assert {"deltas.md", "deltas.tex", "deltas.csv", "forest.svg", "forest.pdf", "forest.png", "forest.csv"} <= names
    for path, again in zip(first, second, strict=True):
        assert path.read_bytes() == again.read_bytes(), path.name


def test_the_page_has_the_section_only_where_some_arm_has_a_base(record: SuiteRecord, tmp_path: Path) -> None:
    svg = plot_forest(record, tmp_path)[0].read_text()
    html = render(record, build_tables(record), {"forest": svg, "curves": svg})
    assert html.index('id="results"') < html.index('id="deltas"') < html.index('id="curves"')
    assert 'aria-label="Differences from the base of A, worse, near and lost"' in html
    alone = with_pairs(record)
    assert build_deltas(alone) is None
    assert plot_forest(alone, tmp_path) == []
    assert 'id="deltas"' not in render(alone, build_tables(alone), {})


def test_hostile_labels_are_shown_and_not_acted_on() -> None:
    evil = "<script>alert(1)</script>|**$\\oops$</style><img src=x>"
    hostile = with_pairs(make_record(make_arm(evil, 3.0), make_arm("B", 3.1)), make_pairs("B", evil, 0.1, unlike=evil))
    for form in ("html", "markdown"):
        assert not {"script", "img"} & find_tags(print_table(hostile, form))
    page = render(hostile, build_tables(hostile), {})
    assert page.count("<script") == 1  # the page's own
    assert "img" not in find_tags(page)
