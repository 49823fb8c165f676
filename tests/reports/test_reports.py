"""What a reader may rely on in a table, a figure and a page, on records made by hand."""

import math
import re
from dataclasses import replace
from html import unescape
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import reports
from bench.engine.records import DataFacts
from bench.results.statistics.pooled import PooledEstimate
from bench.results.suite_record import SuiteRecord
from reports.figures.curves import tabulate_curves
from reports.figures.style import OTHER, STYLES, separate
from reports.formats import text as formats
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.tables.format_numbers import format_with_error
from reports.tables.main_table import build_main
from reports.tables.table_model import Entry, Footnotes, Table
from tests.support.report_records import EXACT, LN2, SAMPLED, make_arm, make_record, spread_seeds

FORMATS = ["terminal", "markdown", "latex", "html"]


def print_table(table_of: SuiteRecord, form: str, width: int = 300) -> str:
    """The main table in one of the formats, as text."""
    if form == "terminal":
        out = StringIO()
        formats.print_table(
            build_main(table_of), Console(file=out, width=width, force_terminal=True, color_system=None)
        )
        return out.getvalue()
    write = {"markdown": format_markdown, "latex": format_latex, "html": format_html}[form]
    return str(write(build_main(table_of)))


def score(table: Table, label: str) -> Entry:
    """The first number of an arm or a reference."""
    return next(row.entries[0] for row in table.rows + table.references if row.label == label)


def number(cell: Entry) -> PooledEstimate:
    assert cell.estimate is not None
    return cell.estimate


def test_exact_prints_an_equals_sign_and_a_bound_a_dagger(record: SuiteRecord) -> None:
    table = build_main(record)
    for place in (0, 1):
        assert [row.entries[place].sign for row in table.rows] == ["=", "†", "†"]
    assert any(sign == "†" and "not certified" in note for sign, note in table.footnotes)


@pytest.mark.parametrize("form", FORMATS)
def test_a_bound_without_certificate_never_prints_less_or_equal(record: SuiteRecord, form: str) -> None:
    assert re.search(r"(<=|&lt;=|≤|\\le\b)[ ~<]*[\d*]", print_table(record, form)) is None


@pytest.mark.parametrize("form", FORMATS)
def test_only_a_certified_bound_prints_less_or_equal(form: str) -> None:
    certified = make_record(make_arm("AR", 2.7, "exact"), make_arm("MDLM", 3.07, "certified"))
    assert re.search(r"(<=|≤|\\le \$~) *3\.07", print_table(certified, form))


def test_every_error_of_a_reference_is_in_the_unit_of_its_column() -> None:
    source = {"metric": "source_nats_per_token", "value": 2.0, "standard_error": 0.03, "n": 58, "kind": "exact"}
    arm = make_arm("AR", 2.9, "exact")
    record = make_record([*arm, {**arm[-1], "stage": "bound", **source}])
    cells = next(row.entries for row in build_main(record).references if row.label == "source, same sequences")
    for cell, slope in zip(cells, (1 / LN2, math.exp(2.0)), strict=False):
        assert (number(cell).error, number(cell).sampling) == (pytest.approx(0.03 * slope),) * 2


def test_tokens_are_counted_and_not_measured_on_sequences() -> None:
    rows = [row | {"n": 32} if row["metric"] == "nats_per_token" else row for row in make_arm("A", 3.0)]
    rows.sort(key=lambda row: row["metric"] == "nats_per_token")  # curves stand last, as in a record
    (row,) = build_main(make_record(rows)).rows
    (tokens,) = (cell for cell in row.entries if cell.value == "2.00M")
    assert (number(tokens).documents, number(tokens).clusters, number(tokens).seeds) == (0, 0, 1)


def test_every_table_has_its_numbers_beside_it(record: SuiteRecord, tmp_path: Path) -> None:
    written = {path.name for path in reports.write_report(record, tmp_path)}
    assert {path.removesuffix(".tex") + ".csv" for path in written if path.endswith(".tex")} <= written
    fairness = pd.read_csv(tmp_path / "fairness.csv").set_index(["arm", "metric"])["value"]
    assert fairness["MDLM", "tokens"] == 2_000_000
    assert fairness["MDLM", "failed"] == 0


def test_an_arm_whose_texts_are_lost_has_its_place_among_the_samples(record: SuiteRecord, tmp_path: Path) -> None:
    reports.write_report(record, tmp_path)  # which has texts of AR alone
    page = (tmp_path / "index.html").read_text("utf-8")
    cards = [unescape(re.sub("<[^>]*>", " ", card)).strip() for card in re.findall(r'"card">(.*?)</article>', page)]
    assert [card.split()[1] for card in cards[:3]] == ["AR", "MDLM", "MD4"]
    assert cards[0].endswith("the cat sat")
    assert all(card.endswith("no samples; see the status in the results table") for card in cards[1:3])


@pytest.mark.parametrize(("form", "sign"), zip(FORMATS, ("<=", "<=", r"$\le$", "≤"), strict=True))
def test_notes_write_signs_as_the_table_does(record: SuiteRecord, form: str, sign: str) -> None:
    assert f"not certified; {sign} is kept for certified ones" in print_table(record, form)


def test_one_bound_among_the_seeds_makes_a_bound() -> None:
    table = build_main(make_record(make_arm("A", 3.0, "certified", seed=0), make_arm("A", 3.0, "bound", seed=1)))
    assert score(table, "A").sign == "†"


@pytest.mark.parametrize("form", FORMATS)
def test_a_failed_arm_is_a_row_with_its_reason(form: str) -> None:
    lost = make_arm("MD4", 3.0, failures=dict.fromkeys(("train", "bound", "samples"), "loss is nan"))
    text = print_table(make_record(make_arm("AR", 2.7, "exact"), lost, state="incomplete"), form)
    assert re.search(r"MD4(.|\n)*failed: loss is nan \(train, seed 0\)", text)
    assert "Incomplete: 1 of 2 cells are done, 1 failed." in text or form == "html"


def test_a_mean_over_survivors_is_marked_and_counts_its_seeds() -> None:
    lost = make_arm("A", 9.9, seed=2, failures={"bound": "not finite", "samples": "not finite"})
    table = build_main(make_record(make_arm("A", 3.0, seed=0), make_arm("A", 3.2, seed=1), lost))
    marks = {mark for mark, note in table.footnotes if "seeds that finished" in note}
    assert set(score(table, "A").marks) == marks != set()
    assert table.rows[0].entries[2].value == "58 × 2 of 3"
    assert number(score(table, "A")).value == pytest.approx(3.1)


def test_several_seeds_give_their_mean_and_the_error_over_seeds() -> None:
    table = build_main(make_record(*(make_arm("A", bits, seed=seed) for seed, bits in enumerate([3.0, 3.2, 3.4]))))
    estimate = number(score(table, "A"))
    assert (estimate.value, estimate.seeds) == (pytest.approx(3.2), 3)
    noise = estimate.monte_carlo_error  # which the seeds share: it does not shrink with their number
    assert estimate.error == pytest.approx(math.hypot(0.2 / math.sqrt(3), noise))  # the deviation of the three is 0.2


def test_seeds_that_agree_by_their_shared_noise_are_not_sure() -> None:
    """Two seeds met the same few masks: their spread is nothing, the noise and the documents are much."""
    rough = make_arm("rough", 4.0, seed=0) + make_arm("rough", 4.001, seed=1)
    for row in rough:
        if row["metric"] == "bits_per_char":
            row.update(standard_error=0.6, monte_carlo_error=0.5)
    table = build_main(make_record(make_arm("sure", 4.3, seed=0), make_arm("sure", 4.3, seed=1), rough))
    assert number(score(table, "rough")).error == pytest.approx(0.5, rel=0.01)
    assert "~" in score(table, "sure").marks


def test_equal_footnotes_share_a_letter_and_letters_do_not_run_out() -> None:
    footnotes = Footnotes()
    assert [footnotes.mark(text) for text in ("first", "second", "first")] == ["a", "b", "a"]
    assert footnotes.mark_all(["second", "first"]) == "ab"
    marks = [footnotes.mark(f"note {number}") for number in range(30)]
    assert marks[22:26] == ["z", "aa", "bb", "cc"]
    assert dict(footnotes.list_notes())["b"] == "second"


def test_stale_numbers_are_shown_and_marked() -> None:
    table = build_main(make_record(make_arm("A", 3.0), make_arm("B", 3.5, status="stale", reason="made by other code")))
    assert score(table, "A").marks == ""
    assert dict(table.footnotes)[score(table, "B").marks].startswith("measured by a different version")


def test_the_best_is_bold_and_only_what_ties_with_it_is_marked() -> None:
    arms = {"best": 3.0, "near": 3.08, "far": 3.09}  # 1.96 x sqrt(0.03^2 + 0.03^2) = 0.083
    table = build_main(make_record(*(spread_seeds(label, bits, count=30, error=0.001) for label, bits in arms.items())))
    assert [score(table, label).best for label in arms] == [True, False, False]
    assert ["~" in score(table, label).marks for label in arms] == [False, True, False]
    assert re.findall(r"\*\*3.*?\*\*", format_markdown(table)) == ["**3.0000**"]


def test_different_protocols_are_marked_and_one_is_not(record: SuiteRecord) -> None:
    table = build_main(record)
    notes = dict(table.footnotes)
    expected = [f"protocol: {EXACT}", f"protocol: {SAMPLED}", f"protocol: {SAMPLED}"]
    assert [notes[score(table, label).marks] for label in ("AR", "MDLM", "MD4")] == expected
    alike = build_main(make_record(make_arm("A", 3.0), make_arm("B", 3.5)))
    assert score(alike, "A").marks == score(alike, "B").marks == ""
    assert ("", f"Protocol: {SAMPLED}.") in alike.footnotes


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.0512, 0.0312, ("3.051", "0.031")),
        (3.0512, 0.0996, ("3.05", "0.10")),
        (3.0512, 0.3, ("3.05", "0.30")),
        (1234.5, 123.4, ("1234", "123")),
        (4.75489, math.nan, ("4.755", "")),
        (0.0, 0.0, ("0.000", "")),
    ],
)
def test_digits_follow_the_error(value: float, error: float, text: tuple[str, str]) -> None:
    assert format_with_error(PooledEstimate(value, error)) == text


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_written_as_it_is(value: float) -> None:
    assert format_with_error(PooledEstimate(value)) == (str(value), "")


def test_points_and_errors_stand_under_each_other() -> None:
    best = Entry("2.713", "0.031", "=", "a", best=True, estimate=PooledEstimate(2.713))
    ordinary = Entry("10.05", "0.30", "†", estimate=PooledEstimate(10.05))
    for bold in ("", "**"):
        texts = formats.align([best, ordinary, Entry("—"), Entry("27", estimate=PooledEstimate(27))], bold)
        assert len({len(text) for text in texts}) == 1
        assert texts[0].index(".") == texts[1].index(".")
        assert texts[0].index("±") == texts[1].index("±")
        assert texts[3].rindex("7") == texts[1].index(".") - 1


def test_references_need_no_network() -> None:
    data = DataFacts(vocab_size=27, length=8, unigram_nats=2.83, entropy_nats=12.0)
    table = build_main(make_record(make_arm("A", 3.0), data=data))
    expected = {"uniform": math.log2(27), "unigram": 2.83 / LN2, "entropy of the source": 12.0 / 8 / LN2}
    assert {row.label: number(row.entries[0]).value for row in table.references} == pytest.approx(expected)
    assert number(table.references[0].entries[1]).value == pytest.approx(27)


def test_bytes_are_scored_in_bits_per_byte(record: SuiteRecord) -> None:
    table = build_main(replace(record, data=DataFacts(level="byte")))
    assert table.columns[0].unit == "bits per byte"
    assert number(score(table, "MDLM")).value == pytest.approx(3.07 / 2)


def test_a_narrow_terminal_cuts_no_number(record: SuiteRecord) -> None:
    for text in (print_table(record, "terminal", width) for width in (40, 80, 120)):
        assert "= 2.713 ± 0.030ᵃ" in text
        assert "…" not in text


def test_special_characters_of_latex_are_escaped() -> None:
    text = format_latex(build_main(make_record(make_arm(r"a_b & 5% #1 {x} $y$ \z ~^", 3.0))))
    assert r"a\_b \& 5\% \#1 \{x\} \$y\$ \textbackslash{}z \textasciitilde{}\textasciicircum{} & " in text


def test_the_csv_reads_back_to_equal_numbers_and_keeps_what_failed(tmp_path: Path) -> None:
    record = make_record(make_arm("A", 3.07 + 1e-15), make_arm("B", 3.0, failures={"bound": "out of memory"}))
    reports.write_report(record, tmp_path)
    read: Any = pd.read_csv(tmp_path / "table.csv", keep_default_na=False).set_index(["arm", "metric"])
    row, estimate = read.loc[("A", "bits_per_char")], number(score(build_main(record), "A"))
    written = [float(row[name]) for name in ("value", "standard_error", "monte_carlo_error", "n")]
    assert written == [estimate.value, estimate.error, estimate.monte_carlo_error, estimate.documents]
    lost = read.loc[("B", "bits_per_char")]
    assert (lost["value"], lost["status"]) == ("", "failed")
    assert "out of memory" in lost["reason"]


@pytest.mark.usefixtures("every_format")
def test_the_same_record_gives_the_same_bytes(
    record: SuiteRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = reports.write_report(record, tmp_path / "one")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")  # what matplotlib takes for now
    second = reports.write_report(record, tmp_path / "two")
    assert first[-1].name == "index.html"
    for path, again in zip(first, second, strict=True):
        assert path.read_bytes() == again.read_bytes(), path.name


def test_methods_are_told_apart_without_colour() -> None:
    looks = [*STYLES.values(), OTHER]
    assert len({drawn.marker for drawn in looks}) == len({drawn.glyph for drawn in looks}) == len(looks)


def test_the_cost_of_the_source_does_not_make_a_bound_exact() -> None:
    source = {**make_arm("A", 3.0)[-1], "stage": "bound", "metric": "source_nats_per_token", "kind": "exact"}
    assert set(tabulate_curves(make_record([*make_arm("A", 3.0), source]))["kind"]) == {"bound"}


def test_labels_of_curves_stand_apart_in_their_order() -> None:
    placed = separate([3.05, 2.7, 3.06, 3.06], gap=0.1)
    assert min(abs(a - b) for k, a in enumerate(placed) for b in placed[:k]) > 0.0999
    assert placed[1] == 2.7
    assert placed[1] < placed[0] < placed[2] < placed[3]
