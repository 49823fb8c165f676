"""What a run prints: one table with short notes, and where the rest is; with --verbose everything."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from bench.results.suite_record import SuiteRecord
from reports import report
from reports.formats.footnotes import fold
from reports.formats.text import print_table
from reports.tables.report_tables import build_tables
from tests.support.report_records import make_arm, make_record

WIDE = "自己回帰モデル・拡散モデル"


@pytest.fixture
def record() -> SuiteRecord:
    return make_record(make_arm("AR", 2.0), make_arm(WIDE, 2.5, method="mdlm"), make_arm("MD4", 2.4, method="md4"))


def lines_of(table, width, *, verbose):
    console = Console(width=width, force_terminal=True, color_system=None, record=True, file=io.StringIO())
    print_table(table, console, verbose)
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_footnotes_take_one_line_each_and_every_row_too(width, record):
    table = build_tables(record).main
    lines = lines_of(table, width, verbose=False)
    assert max(map(cell_len, lines)) <= width
    notes = fold(table.footnotes)
    last = [line for line in lines if line.strip()][-len(notes) :]
    assert [line.lstrip()[:1] for line in last] == [f"{mark}{text}".lstrip()[:1] for mark, text in notes]


@pytest.mark.parametrize("width", [100, 200])
def test_a_label_of_wide_characters_stays_on_one_line(width, record):
    lines = lines_of(build_tables(record).main, width, verbose=True)
    assert any(WIDE in line for line in lines)


def test_common_parts_of_protocols_and_unmarked_notes_are_said_once():
    notes = [
        ("=", "exact likelihood"),
        ("a", "protocol: exact; test split; float32"),
        ("b", "protocol: 2 draws; test split; float32"),
        ("", "The test split holds 3 sequences."),
        ("", "Tuned."),
    ]
    assert fold(notes) == [
        ("=", "exact likelihood"),
        ("a", "exact"),
        ("b", "2 draws"),
        ("", "All rows: test split; float32. The test split holds 3 sequences. Tuned."),
    ]
    assert fold([("a", "protocol: exact; test")]) == [("a", "protocol: exact; test")]
    assert fold([("a", "protocol: x; y"), ("b", "protocol: x; y")]) == [
        ("a", "x; y"),
        ("b", "x; y"),
        ("", "All rows: x; y."),
    ]


def test_one_table_is_printed_and_the_rest_is_named(record, tmp_path, capsys):
    report({"": record}, tmp_path / "reports")
    short = capsys.readouterr().out
    assert short.count("Score") == 1
    assert f"page: {tmp_path / 'reports' / 'index.html'}" in short
    assert "beside it: " in short
    assert "--verbose prints all tables" in short

    report({"": record}, tmp_path / "reports", verbose=True)
    full = capsys.readouterr().out
    assert len(full.splitlines()) >= len(short.splitlines())
    assert "beside it" not in full
    for _, note in build_tables(record).main.footnotes:
        assert note in full
