"""What a reader may rely on where a suite has many arms: names stay readable, and the page works."""

from itertools import combinations
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.figures.curves import MOST_LABELS, draw_curves, tabulate_curves
from reports.figures.style import freeze_layout
from reports.formats.html import format_html
from reports.page.html_page import answer, render
from reports.tables.arms import join_names
from reports.tables.fairness import build_fairness
from reports.tables.main_table import build_main
from reports.tables.report_tables import build_tables
from tests.support.browser import run_page
from tests.support.report_records import make_arm, make_record, spread_seeds

PROBE = """
const part = (name) => document.getElementById("filter-" + name), table = document.querySelector("#results table");
const shown = () => [...table.tBodies[0].rows].filter((row) => !row.hidden).length;
table.tHead.rows[1].cells[0].querySelector("button").click();
const first = table.tBodies[0].rows[0].cells[0].textContent;
part("words").value = "Arm 1"; part("words").dispatchEvent(new Event("input"));
document.body.textContent = "SEEN" + JSON.stringify([first, shown(), part("count").textContent]) + "SEEN";
"""


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """The texts of a figure that stand on each other."""
    freeze_layout(figure)
    texts = [text for axes in figure.axes for text in axes.texts]
    texts += [axis.label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    texts += [text for legend in figure.legends for text in legend.get_texts()]
    boxes = [(text.get_text(), Text.get_window_extent(text)) for text in texts]  # without the lines to them
    return [(first, second) for (first, a), (second, b) in combinations(boxes, 2) if a.overlaps(b)]


@pytest.mark.parametrize("arms", [3, MOST_LABELS - 1, MOST_LABELS + 1, 40])
def test_no_two_names_of_curves_stand_on_each_other(arms: int) -> None:
    record = make_record(*(make_arm(f"Arm {place}", 3.0 + place / 100) for place in range(arms)))
    figure = draw_curves(record, tabulate_curves(record))
    names = {text.get_text() for axes in figure.axes for text in axes.texts}
    names |= {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    assert {f"Arm {place} (bound)" for place in range(arms)} < names
    assert overlaps(figure) == []


def test_arms_of_one_method_are_told_apart_in_the_legend() -> None:
    record = make_record(*(make_arm(f"Arm {place}", 3.0 + place / 100) for place in range(MOST_LABELS + 2)))
    (legend,) = draw_curves(record, tabulate_curves(record)).legends
    looks = {(line.get_marker(), line.get_fillstyle(), str(line._dash_pattern)) for line in legend.get_lines()}
    assert len(looks) == MOST_LABELS + 2


@pytest.mark.parametrize("arms", [3, MOST_LABELS + 1])
def test_long_names_leave_room_for_curves_and_numbers(arms: int) -> None:
    record = make_record(*(make_arm(f"Arm {place} {'of many words ' * 14}", 3.0 + place) for place in range(arms)))
    figure = draw_curves(record, tabulate_curves(record))
    assert overlaps(figure) == []
    assert freeze_layout(figure).width < 16
    page = format_html(build_main(record))
    assert page.count('<th scope="row" class="long">') == arms


def test_the_answer_and_the_axis_count_the_names_that_they_have_no_room_for() -> None:
    record = make_record(*(spread_seeds(f"AR {place}", 3.0 + place / 1000, "exact") for place in range(20)))
    sentence = answer(build_main(record))
    assert "not told apart from AR 1, AR 2, AR 3 and 16 more" in sentence
    label = draw_curves(record, tabulate_curves(record)).axes[0].get_ylabel()
    assert label.replace("\n", " ") == "bits per character (AR 0, AR 1, AR 2 and 17 more exact)"
    assert max(map(len, label.split("\n"))) <= 46


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (1, "a"), (2, "a and b"), (4, "a, b, c and d"), (6, "a, b, c and 3 more")]
)
def test_a_list_of_names(count: int, text: str) -> None:
    assert join_names("abcdef"[:count]) == text


def test_failures_and_trials_stand_in_the_panel_of_fairness() -> None:
    failed = make_arm("MDLM", 3.0, seed=1, failures={"train": "out of memory"})
    tuned = {"arms": {"MDLM": {"trials": 6}}, "untuned": {"AR": "no budget"}}
    record = make_record(make_arm("AR", 2.9, "exact"), make_arm("MDLM", 3.0), failed)
    table = build_fairness(record)
    assert [column.unit for column in table.columns][-2:] == ["trained", "failed"]
    assert [row.entries[-1].value for row in table.rows] == ["0", "1"]
    table = build_fairness(make_record(make_arm("AR", 2.9, "exact"), make_arm("MDLM", 3.0), failed, tuning=tuned))
    assert [[cell.value for cell in row.entries[-2:]] for row in table.rows] == [["0", "untuned"], ["1", "6"]]


def test_the_page_of_five_hundred_cells_sorts_and_filters(tmp_path: Path) -> None:
    cells = (make_arm(f"Arm {place}", 4.0 - place / 100, seed=seed) for place in range(50) for seed in range(10))
    record = make_record(*cells)
    html = render(record, build_tables(record), {"curves": "<svg ></svg>"})
    first, shown, count = run_page(html, PROBE, tmp_path)
    assert first.endswith("Arm 49")
    assert shown == 14  # both words stand in the name: 1, 10 to 19, 21, 31, 41
    assert count == "14 of 50 arms"
