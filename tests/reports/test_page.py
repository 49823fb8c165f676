"""The page of a report needs no other file, and no text in it is acted on."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import reports
from bench.engine.records import DataFacts
from bench.results.suite_record import SuiteRecord
from reports.figures.curves import plot_curves
from reports.page.html_page import answer
from reports.tables.main_table import build_main
from tests.reports.test_reports import print_table
from tests.support.report_records import make_arm, make_record, spread_seeds


def find_tags(html: str) -> set[str]:
    """The names of the elements that a browser would see."""
    return set(re.findall(r"<\s*(\w+)", html))


def read_page(record: SuiteRecord, folder: Path) -> str:
    """The page of a record."""
    return reports.write_report(record, folder)[-1].read_text(encoding="utf-8")


def test_the_page_needs_no_other_file(record: SuiteRecord, tmp_path: Path) -> None:
    html = read_page(record, tmp_path)
    assert not {"link", "img", "iframe", "object"} & find_tags(html)
    assert re.findall("<script[^>]*>", html) == ["<script>"]  # that of the tables
    assert re.findall(r'(?:src|href|srcset|action)="(?!#)', html) == []
    assert re.findall(r"https?://|url\((?!#)|@import", re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)) == []


def test_hostile_texts_are_shown_and_not_acted_on(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>|**$\\oops$</style><img src=x>"
    record = make_record(make_arm(evil, 3.0), make_arm("lost", 3.0, failures={"bound": evil}))
    changes: Any = {"question": evil, "source": evil, "samples": {evil: [evil]}, "environment": [{evil: evil}]}
    html = read_page(replace(record, **changes, data=DataFacts(source=evil, notes=[evil])), tmp_path)
    markdown = (tmp_path / "table.md").read_text()
    assert not {"script", "img"} & find_tags(markdown)
    assert html.count("<script") == 1  # the page's own
    assert "img" not in find_tags(html)
    assert unescape(html).count(evil) >= 8
    assert evil.count("|") * markdown.count("alert(1)") == markdown.count("\\|")


def test_a_record_of_nothing_still_gives_every_report(tmp_path: Path) -> None:
    nothing = make_record(samples={}, data=DataFacts(), environment=[], source="", question="", state="incomplete")
    html = read_page(nothing, tmp_path)
    assert "No arm has a score yet." in html
    assert "Incomplete: 0 of 0 cells are done." in html
    assert all(path.stat().st_size > 0 for path in tmp_path.iterdir())
    assert "Score" in print_table(nothing, "terminal")


def test_the_answer_is_made_from_the_numbers() -> None:
    arms = spread_seeds("AR", 2.7134, "exact"), spread_seeds("MDLM", 3.07), spread_seeds("MD4", 3.05)
    assert answer(build_main(make_record(*arms))) == (
        "AR is exact at 2.713 ± 0.030 bits per character; "
        "the best bound is MD4's, 3.050 ± 0.030 bits per character (not told apart from MDLM)."
    )
    lost = build_main(make_record(make_arm("ar", 3.0, "exact"), make_arm("B", 3.0, failures={"bound": "why"})))
    assert answer(lost) == (
        "ar is exact at 3.000 ± 0.030 (test text only) bits per character; one seed, so no verdict;"
        " there is no score from B (failed)."
    )


def test_the_answer_of_one_seed_names_no_best_arm(record: SuiteRecord) -> None:
    assert answer(build_main(record)) == (
        "AR is exact at 2.713 ± 0.030 (test text only) bits per character;"
        " bounds lie between 3.050 and 3.070 bits per character; one seed, so no verdict."
    )
    some = build_main(make_record(make_arm("alone", 3.0), spread_seeds("A", 3.07), spread_seeds("B", 3.9)))
    assert answer(some) == (
        "The best bound is A's, 3.070 ± 0.030 bits per character (left out for having one seed: alone)."
    )


def test_the_curves_follow_the_reader_into_the_dark(record: SuiteRecord, tmp_path: Path) -> None:
    svg = plot_curves(record, tmp_path)[0].read_text()
    assert {"prefers-color-scheme:dark", "currentColor"} <= set(
        re.findall(r"prefers-color-scheme:dark|currentColor", svg)
    )
    assert "bits per character (AR exact, others bounds)" in svg
    assert not re.search(r"#000000|#1d2026[^}]", svg)
