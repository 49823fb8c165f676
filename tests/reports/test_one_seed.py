"""One seed shows nothing of the spread over training runs: no output ranks arms, calls one best, or has a verdict."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import reports
from bench.results.statistics.verdicts import SAME, summarize
from bench.results.suite_record import SuiteRecord
from reports.formats.html import format_html
from reports.formats.latex import format_latex
from reports.formats.markdown import format_markdown
from reports.page.dataset_comparison import build_across, write_across
from reports.tables.main_table import build_main
from reports.tables.quality import build_quality
from reports.tables.table_model import ONE_SEED, Table
from tests.reports.test_differences import make_pairs, with_pairs
from tests.reports.test_quality_table import FLAT, GOOD, make_controls, make_way
from tests.support.report_records import Rows, make_arm, make_record, spread_seeds

VERDICTS = re.compile(r"Rank|\b(worse|better than|best bound|not told apart|reproduced)\b|mean_rank|rank_best,[\d.]")
NO_CLAIMS = re.compile(r"(?s)<(style|script).*?</\1>")
BITS = {"AR": 2.0, "A": 3.0, "B": 3.5, "C": 4.0}


def make_arms(**seeds: int) -> list[Rows]:
    """Arms whose scores are far apart, of so many seeds, or of one."""
    return [
        spread_seeds(label, bits, count=count) if (count := seeds.get(label, 1)) > 1 else make_arm(label, bits)
        for label, bits in BITS.items()
    ]


def add_texts(arms: list[Rows]) -> list[Rows]:
    """The arms with two ways of drawing, which are judged beside controls."""
    drawn = [[row for row in arm if row["stage"] != "samples"] for arm in arms]
    return [*drawn, make_way("A", GOOD), make_way("B", FLAT), make_controls()]


@pytest.fixture
def lone() -> SuiteRecord:
    """Four arms of one seed, two of them with a base, and texts."""
    pairs = make_pairs("B", "A", 0.5), make_pairs("C", "A", 1.0)
    return with_pairs(make_record(*add_texts(make_arms())), *pairs)


def test_no_report_of_one_seed_ranks_or_decides(
    lone: SuiteRecord, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports.report({"": lone}, tmp_path, verbose=True)
    texts = {
        path.name: path.read_text() for path in tmp_path.iterdir() if path.suffix in (".md", ".tex", ".csv", ".html")
    }
    texts["terminal"] = capsys.readouterr().out
    assert {"table.md", "deltas.tex", "quality.csv", "forest.csv", "index.html", "terminal"} <= set(texts)
    for name, text in texts.items():
        claims = NO_CLAIMS.sub("", text)
        assert not VERDICTS.search(claims), (name, VERDICTS.search(claims))
    for name in ("table.md", "deltas.md", "quality.md", "terminal"):
        assert ONE_SEED in texts[name] or "No verdict: the spread over training runs is unknown" in texts[name], name
    assert "one seed, so no verdict" in texts["index.html"]
    assert "± test text only" in texts["table.md"]
    assert "± texts only" in texts["quality.md"]


@pytest.mark.parametrize(
    "build", [build_main, build_quality, lambda record: build_across("toy", {"a": record, "b": record})]
)
def test_no_table_of_one_seed_is_bold_or_tied(lone: SuiteRecord, build: Any) -> None:
    table: Table = build(lone)
    entries = [entry for row in table.rows for entry in row.entries]
    assert not any(entry.best or "~" in entry.marks for entry in entries)
    assert re.findall(r"\*\*", format_markdown(table).split("\n", 1)[1]) == []
    assert "textbf" not in "\n".join(line for line in format_latex(table).splitlines() if "&" in line)
    assert "<strong>" not in str(format_html(table))
    assert ("", ONE_SEED) in table.footnotes


def test_an_arm_of_one_seed_stands_apart_from_arms_of_several() -> None:
    """The lowest score is of one seed: it is not bold, has no rank, and a letter says why."""
    table = build_main(make_record(*make_arms(A=5, B=5, C=5)))
    rows = {row.label: row for row in table.rows}
    assert [label for label, row in rows.items() if row.entries[0].best] == ["A"]
    assert dict(table.footnotes)[rows["AR"].entries[0].marks[-1]].startswith("one seed, test text only")
    rank = [column.title for column in table.columns].index("Rank")
    assert [rows[label].entries[rank].value for label in BITS] == ["—", "1", "2", "3"]
    assert ("", ONE_SEED) not in table.footnotes


def test_one_arm_of_several_seeds_is_not_the_best_of_none() -> None:
    table = build_main(make_record(*make_arms(B=5)))
    assert not any(row.entries[0].best for row in table.rows)


def test_seeds_that_failed_but_one_leave_one_seed() -> None:
    """Planned are three seeds of each arm; of one arm a single seed finished."""
    lost = [make_arm("B", 3.5, seed=seed, failures={"bound": "not finite"} if seed else {}) for seed in range(3)]
    table = build_main(make_record(spread_seeds("A", 3.6), spread_seeds("C", 3.7), *lost))
    rows = {row.label: row for row in table.rows}
    assert [label for label, row in rows.items() if row.entries[0].best] == ["A"]
    assert "1 of 3" in rows["B"].entries[2].value


def test_data_sets_rank_arms_that_have_several_seeds_on_each() -> None:
    several = make_record(*make_arms(AR=3, A=3, B=3), suite="several")
    some = make_record(*make_arms(A=3, B=3, C=3), suite="some")
    table = build_across("toy", {"several": several, "some": some})
    ranks = {row.label: row.entries[-1].value for row in table.rows}
    assert ranks == {"AR": "not ranked", "A": "1.00", "B": "2.00", "C": "not ranked"}


def test_the_csv_across_data_sets_has_no_ranks_of_one_seed(lone: SuiteRecord, tmp_path: Path) -> None:
    write_across({"a": lone, "b": lone}, tmp_path / "toy")
    assert "mean_rank" not in set(pd.read_csv(tmp_path / "toy" / "across.csv")["metric"])


def test_an_arm_that_has_no_other_to_be_ranked_among_has_no_mean_rank() -> None:
    """The other arm has one seed on one data set, and no score on the other."""
    records = {"a": make_record(*make_arms(AR=3)), "b": make_record(spread_seeds("AR", 2.0), suite="b")}
    assert [column.metric for column in build_across("toy", records).columns] == ["bits_per_char"] * 2


def test_one_run_under_two_labels_has_no_rank_of_one_seed() -> None:
    pairs = [row | {"is_same": True} for row in make_pairs("B", "A", 0.0)]
    (delta,) = summarize(with_pairs(make_record(*make_arms()), pairs).pairs, "bits_per_char").itertuples()
    assert delta.verdict == SAME
    assert pd.isna(delta.rank_best)
    assert pd.isna(delta.rank_worst)
