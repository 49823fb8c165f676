"""The ranks of arms in the main table."""

import math
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from bench.results.statistics.pooled import PooledEstimate, half_interval
from bench.results.statistics.ranks import PAIRED, UNPAIRED
from reports.formats import text as formats
from reports.formats.html import format_html
from reports.tables.main_table import add_ranks, build_main, build_scores, insert_column
from reports.tables.table_model import Entry, Table
from tests.reports.test_differences import make_pairs, with_pairs
from tests.reports.test_reports import print_table
from tests.support.report_records import Rows, make_record, spread_seeds

BITS = {"A": 3.0, "B": 3.14, "C": 3.4, "D": 3.54}  # errors of 0.03 over 58 sequences: half an interval of four is 0.077


def make_arm(label: str, bits: float, kind: str = "bound", **common: Any) -> Rows:
    """An arm of twelve seeds that hardly differ, so that its interval is that over sequences."""
    return spread_seeds(label, bits, kind, count=12, error=0.001, **common)


def ranks_of(table: Table) -> dict[str, str]:
    index = find_column(table)
    return {row.label: row.entries[index].value for row in table.rows}


def find_column(table: Table) -> int:
    """The column of ranks."""
    return [column.title for column in table.columns].index("Rank")


def note_of(table: Table) -> str:
    return next(note for _, note in table.footnotes if note.startswith("Rank: "))


def test_arms_whose_intervals_overlap_share_ranks() -> None:
    table = build_main(make_record(*(make_arm(label, bits) for label, bits in BITS.items())))
    assert ranks_of(table) == {"A": "1-2", "B": "1-2", "C": "3-4", "D": "3-4"}
    assert UNPAIRED in note_of(table)
    assert [row.entries[find_column(table)].value for row in table.references] == [""] * len(table.references)


def test_a_likelihood_has_no_rank_among_bounds() -> None:
    three = [make_arm(label, BITS[label]) for label in "ABC"]
    table = build_main(
        make_record(make_arm("AR", 2.7, "exact"), *three, make_arm("lost", 3.0, failures={"bound": "x"}))
    )
    assert ranks_of(table) == {"AR": "—", "A": "1-2", "B": "1-2", "C": "3", "lost": "—"}


def test_other_texts_are_not_compared_but_other_estimators_are() -> None:
    def protocol(text: str, number: int = 16) -> dict[str, Any]:
        return {"protocol": f"exactly k masked, {number} draws; {text}"}

    def arm(label: str, **changes: Any) -> Rows:
        return [row | changes if row["metric"] == "bits_per_char" else row for row in make_arm(label, BITS[label])]

    apart = make_record(arm("A", **protocol("test")), arm("B", **protocol("test")), arm("C", **protocol("valid")))
    assert [column.title for column in build_main(apart).columns].count("Rank") == 0
    alike = make_record(arm("A", **protocol("test", 4)), arm("B", **protocol("test")), arm("C", **protocol("test")))
    assert ranks_of(build_main(alike)) == {"A": "1-2", "B": "1-2", "C": "3"}


def test_a_column_before_the_ranks_does_not_move_them_among_the_scores() -> None:
    record = make_record(*(make_arm(label, bits) for label, bits in BITS.items()))
    scores = build_scores(record)
    extra = replace(scores.columns[0], title="Extra", is_score=False)
    wider = insert_column(scores, 1, extra, {row.label: Entry() for row in scores.rows})
    titles = [column.title for column in add_ranks(wider, record).columns]
    assert titles[titles.index("Rank") - 1] == "Sequences"


def test_two_arms_have_no_ranks() -> None:
    table = build_main(make_record(make_arm("A", 3.0), make_arm("B", 3.9)))
    assert "Rank" not in [column.title for column in table.columns]
    assert not any(note.startswith("Rank") for _, note in table.footnotes)


def test_paired_differences_tell_apart_what_scores_do_not() -> None:
    record = make_record(*(make_arm(label, BITS[label]) for label in "ABC"))
    paired = with_pairs(record, make_pairs("B", "A", 0.05), make_pairs("C", "A", 0.4))
    assert ranks_of(build_main(paired)) == {"A": "1", "B": "2", "C": "3"}
    assert PAIRED in note_of(build_main(paired))
    partly = with_pairs(record, make_pairs("B", "A", 0.05), make_pairs("C", "A", math.nan))
    assert ranks_of(build_main(partly)) == {"A": "1-2", "B": "1-2", "C": "3"}


def test_few_seeds_make_wide_intervals() -> None:
    single, three = (
        PooledEstimate(3.0, 0.01, clusters=500, seeds=1),
        PooledEstimate(3.0, 0.01, 0.0, clusters=500, seeds=3),
    )
    assert half_interval(three) > 2 * half_interval(single)
    assert half_interval(PooledEstimate(3.0, 0.01, clusters=10, seeds=1)) > 1.1 * half_interval(single)
    assert half_interval(PooledEstimate(3.0, 0.01, 0.02, clusters=500, seeds=3)) > half_interval(three)
    assert half_interval(PooledEstimate(3.0)) == 0.0
    assert half_interval(single, 0.05 / 8) > half_interval(single)


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "html"])
def test_every_format_shows_ranks(form: str) -> None:
    text = print_table(make_record(*(make_arm(label, bits) for label, bits in BITS.items())), form)
    assert "Rank" in text
    dash = "--" if form == "latex" else "-"
    assert text.count(f"1{dash}2") == text.count(f"3{dash}4") == 2


def test_the_csv_has_the_best_and_the_worst_rank() -> None:
    table = build_main(make_record(*(make_arm(label, bits) for label, bits in BITS.items())))
    numbers: pd.DataFrame = formats.tabulate(table).set_index(["arm", "metric"])["value"].unstack()
    assert numbers.loc[list("ABCD"), "rank_best"].tolist() == [1, 1, 3, 3]
    assert numbers.loc[list("ABCD"), "rank_worst"].tolist() == [2, 2, 4, 4]
    assert "Rank" in format_html(table)
