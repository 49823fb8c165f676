"""The tables of the page in a real browser: they sort, and show the arms that are asked for."""

from pathlib import Path
from typing import Any

import pytest

from bench.results.suite_record import SuiteRecord
from reports.page.html_page import render
from reports.tables.report_tables import build_tables
from tests.support.browser import run_page
from tests.support.report_records import make_arm, make_record

PROBE = """
const seen = [], part = (name) => document.getElementById("filter-" + name);
const table = document.querySelector("#results table"), fairness = document.querySelector("#fairness table");
const rows = (of) => [...of.tBodies[0].rows].filter((row) => !row.hidden);
const names = (of) => rows(of).map((row) => row.classList.contains("reason") ? "reason" : row.dataset.method + " " +
  row.cells[0].textContent.replace(/^\\S+ /, ""));
const score = [...table.tHead.rows[1].cells][0];
const note = () => seen.push([names(table), score.ariaSort || "none"]);
const ask = (name, value, event) => { part(name).value = value; part(name).dispatchEvent(new Event(event)); };
const press = () => score.querySelector("button").click();
note(); press(); note(); press(); note(); press(); note();
table.tHead.rows[0].cells[0].querySelector("button").click(); note();
ask("words", "arm 1", "input"); seen.push([names(table), names(fairness), part("count").textContent]);
ask("words", "", "input"); ask("method", "ar", "change");
seen.push([names(table), [...table.tBodies[1].rows].length, part("count").textContent]);
seen.push([score.querySelector("button").getAttribute("aria-label"), document.getElementById("filter").hidden]);
document.body.textContent = "SEEN" + JSON.stringify(seen) + "SEEN";
"""


def shown(record: SuiteRecord, folder: Path) -> Any:
    return run_page(render(record, build_tables(record), {"curves": "<svg ></svg>"}), PROBE, folder)


@pytest.fixture
def record() -> SuiteRecord:
    """An exact arm, bounds whose order by value is not that by name, and one that failed."""
    lost = make_arm("Arm 3", 3.0, failures={"bound": "out of memory"})
    bounds = [make_arm(f"Arm {number}", bits) for number, bits in ((10, 2.5), (2, 10.25), (1, 3.5))]
    return make_record(make_arm("AR", 2.75, "exact"), lost, *bounds)


def test_tables_sort_by_value_and_by_name_and_filter_by_words_and_method(record, tmp_path):
    written, up, down, again, named, worded, of_method, messages = shown(record, tmp_path)
    order = ["ar AR", "mdlm Arm 3", "reason", "mdlm Arm 10", "mdlm Arm 2", "mdlm Arm 1"]
    assert written == again == [order, "none"]
    lost = ["mdlm Arm 3", "reason"]
    assert up == [["mdlm Arm 10", "ar AR", "mdlm Arm 1", "mdlm Arm 2", *lost], "ascending"]
    assert down == [["mdlm Arm 2", "mdlm Arm 1", "ar AR", "mdlm Arm 10", *lost], "descending"]
    assert named == [["ar AR", "mdlm Arm 1", "mdlm Arm 2", *lost, "mdlm Arm 10"], "none"]
    matches = ["mdlm Arm 1", "mdlm Arm 10"]
    assert worded[0] == matches
    assert sorted(worded[1]) == sorted(matches)
    assert worded[2] == "2 of 5 arms"
    assert of_method == [["ar AR"], 2, "1 of 5 arms"]
    assert messages == ["Sort by Score ↓, bits per character", False]
