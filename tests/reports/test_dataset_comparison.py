"""The table across data sets, on records made by hand."""

import re

import numpy as np
import pytest
from scipy.stats import rankdata

import reports
from bench.results.dataset_records import Records
from bench.results.statistics.pooled import PooledEstimate
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.page.dataset_comparison import RANK_TITLE, build_across, list_across, rank_scores, write_across
from reports.tables.table_model import Row, Table
from tests.suite.test_datasets import leave_out
from tests.support.report_records import make_arm, make_record, spread_seeds


@pytest.fixture
def records() -> Records:
    """AR before MD4 before MDLM on letters, all clearly; on bytes AR and MDLM tie, before MD4, and MDLM has failed."""
    letters = make_record(
        spread_seeds("AR", 2.0, "exact"), spread_seeds("MDLM", 4.0), spread_seeds("MD4", 3.0), suite="toy-letters"
    )
    arms = spread_seeds("AR", 2.0, "exact"), spread_seeds("MDLM", 2.01), spread_seeds("MD4", 3.0, "certified")
    data = letters.data.model_copy(update={"level": "byte", "source": "text-file"})
    return {"letters": letters, "bytes": make_record(*arms, suite="toy-bytes", data=data)}


def cells(table: Table, label: str) -> tuple[str, ...]:
    return tuple(cell.value for cell in row(table, label).entries)


def row(table: Table, label: str) -> Row:
    return next(row for row in table.rows if row.label == label)


def test_every_value_has_its_sign_error_n_and_unit(records):
    table = build_across("toy", records)
    heads = [(column.title, column.unit) for column in table.columns]
    assert heads == [
        ("letters ↓", "bits per character, n = 58 × 3"),
        ("bytes ↓", "bits per byte, n = 58 × 3"),
        (RANK_TITLE, "2 data sets"),
    ]
    assert [[cell.sign for cell in line.entries[:2]] for line in table.rows] == [["=", "="], ["†", "†"], ["†", "<="]]
    assert cells(table, "MD4") == ("3.000", "1.500", "2.50")
    assert [cell.error for cell in row(table, "MD4").entries] == ["0.030", "0.016", ""]
    assert [[cell.best for cell in line.entries[:2]] for line in table.rows] == [
        [True, True],
        [False, False],
        [False] * 2,
    ]
    assert row(table, "MDLM").entries[1].marks.startswith("~")
    notes = [text for _, text in table.footnotes]
    assert sum("exactly k masked, 16 draws" in note for note in notes) == 1, "one letter for a protocol in both columns"
    assert any(
        note.startswith("bytes: Monte Carlo error of the estimates, in bits per byte: AR 0.004") for note in notes
    )
    assert cells(build_across("toy", records), "MD4") == cells(table, "MD4")
    assert [reference.label for reference in table.references] == ["uniform", "unigram"]


def test_mean_ranks_share_the_places_of_ties_and_say_what_stays_open(records):
    table = build_across("toy", records)
    assert cells(table, "AR")[2] == "1.25 [1, 1.5]"  # first, then first or second
    assert cells(table, "MDLM")[2] == "2.25 [2, 2.5]"  # third, then first or second
    assert [line.entries[2].best for line in table.rows] == [True, False, False]
    numbers = list_across(records)
    ranks = numbers[numbers["metric"] == "mean_rank"].set_index("arm")["value"]
    assert ranks.to_dict() == {"AR": 1.25, "MDLM": 2.25, "MD4": 2.5}
    assert sum(ranks) == 6


def test_places_are_average_ranks_where_errors_are_small():
    values = np.random.default_rng(0).integers(0, 4, 12).astype(float)
    scores = {
        str(place): PooledEstimate(value, 0.01, 0.01, clusters=100, seeds=9) for place, value in enumerate(values)
    }
    places = rank_scores(scores)
    assert [(best + worst) / 2 for best, worst in places.values()] == rankdata(values).tolist()


def test_a_failed_cell_says_why_and_its_arm_is_not_ranked(records):
    lost = make_arm("MDLM", 2.0, failures=dict.fromkeys(("train", "bound", "samples"), "loss is <nan>"))
    arms = spread_seeds("AR", 2.0, "exact"), lost, spread_seeds("MD4", 3.0)
    table = build_across("toy", {**records, "bytes": make_record(*arms, suite="toy-bytes", state="incomplete")})
    assert cells(table, "MDLM")[1:] == ("failed", "not ranked")
    assert row(table, "MDLM").reason == "bytes: failed: loss is <nan> (train, seed 0)"
    assert [cells(table, arm)[2] for arm in ("AR", "MD4")] == ["1.00", "2.00"], "of the arms that are left"
    assert "bytes: Incomplete: 6 of 7 cells are done, 1 failed." in table.warning
    for text in (format_markdown(table), format_latex(table), str(format_html(table))):
        assert "failed: loss is" in text
        assert "not ranked" in text
    assert "<nan>" not in str(format_html(table))


def test_seeds_that_are_lost_are_told_beside_their_number(records):
    arms = [make_arm("AR", 2.0, "exact", seed=seed) for seed in (0, 1)] + [make_arm("MD4", 3.0, seed=0)]
    arms.append(make_arm("MD4", 9.0, seed=1, failures={"bound": "not finite"}))
    table = build_across("toy", {**records, "bytes": make_record(*arms, suite="toy-bytes")})
    letters = dict(table.footnotes)
    assert table.columns[1].unit == "bits per character, n = 58 × 2"
    assert "n = 58 × 1 of 2" in [letters[letter] for letter in row(table, "MD4").entries[1].marks if letter in letters]
    assert not set(row(table, "AR").entries[1].marks) & set(row(table, "MD4").entries[1].marks)
    assert cells(table, "MDLM")[1:] == ("no such arm",)  # only AR has several seeds everywhere, so there are no ranks
    assert "bytes: its record has no such arm" in row(table, "MDLM").reason


def test_columns_of_different_settings_are_told(records):
    assert "changed" not in build_across("toy", records).warning
    changed = make_record(make_arm("AR", 2.0, "exact"), source="arms: [] # other")
    assert "The suite changed between the runs" in build_across("toy", {**records, "other": changed}).warning


def test_a_data_set_without_a_record_is_a_column_that_says_why(records):
    table = build_across("toy", {"gone": "it was <never> run", **records})
    assert cells(table, "AR") == ("no record", "2.000", "1.000", "1.25 [1, 1.5]")
    assert table.warning == "gone: it was <never> run."
    assert table.columns[-1].unit == "2 data sets"


def test_the_files_hold_every_number_and_the_page_leads_to_the_data_sets(records, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("reports.write_report", leave_out)
    reports.report({**records, "gone": "it was <never> run"}, tmp_path / "toy")
    assert "page of all data sets" in capsys.readouterr().out
    folder = tmp_path / "toy"
    page = (folder / "index.html").read_text()
    links = re.findall(r'href="([^"#]+)"', page)
    assert links == ["../toy-letters/index.html", "../toy-bytes/index.html"]
    assert all((folder / link).is_file() for link in links)
    assert "<never>" not in page
    assert re.findall(r"<(?:script|img|link)[^>]*>", page) == ["<script>"]  # that of the tables
    assert (folder / "across.md").read_text() == format_markdown(
        build_across("toy", {**records, "gone": "it was <never> run"})
    )
    lines = (folder / "across.csv").read_text().splitlines()
    assert lines[0].startswith("data,arm,method,metric,value,standard_error")
    assert sum(line.startswith(("letters,A", "letters,M", "bytes,A", "bytes,M")) for line in lines) == 6
    first = [path.read_bytes() for path in write_across(records, tmp_path / "one" / "toy")]
    assert first == [path.read_bytes() for path in write_across(records, tmp_path / "two" / "toy")]
