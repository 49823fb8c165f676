"""The figures of quality against cost: which are made, what is on them, and in which find_style."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from reports.figures.frontiers import (
    choose_line_styles,
    draw_frontier,
    format_log_axis,
    name_cost_lines,
    plot_frontiers,
    tabulate_frontiers,
    tabulate_points,
)
from reports.figures.style import find_style
from reports.tables.quality_results import split_ways
from tests.reports.test_quality_table import GOOD, REAL, make_controls, make_way
from tests.support.report_records import make_record

AR = make_way("AR", GOOD, method="ar", policy="left to right")


def make_costs(label: str = "MDLM", *calls: int, **common: Any) -> list[Any]:
    """Texts of one arm in so many calls each, the better the more."""
    return [make_way(label, GOOD | {"gen_ppl": 30 + 100 / k}, calls=k, **common) for k in calls or (4, 16, 64)]


def test_calls_make_two_figures_and_temperatures_a_third() -> None:
    heats = [make_way("MDLM", GOOD | {"gen_ppl": 30 * heat}, temperature=heat) for heat in (0.5, 0.8)]
    assert list(tabulate_frontiers(make_record(*make_costs(), make_controls()))) == ["calls", "seconds"]
    assert list(tabulate_frontiers(make_record(*heats, make_controls()))) == ["temperature"]
    assert list(tabulate_frontiers(make_record(*make_costs(), *heats))) == ["calls", "seconds", "temperature"]


@pytest.mark.parametrize("ways", [[], [AR], [AR, make_way("MDLM", GOOD)], [make_way(arm, GOOD) for arm in "abc"]])
def test_a_figure_needs_a_line(ways: list[Any], tmp_path: Path) -> None:
    assert plot_frontiers(make_record(*ways, make_controls()), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_ways_that_differ_in_calls_alone_are_one_line() -> None:
    cosine = make_costs("MDLM", 4, 16, policy="ancestral (grid cosine)")
    numbers = tabulate_frontiers(make_record(*make_costs(), *cosine, AR, make_controls()))["calls"]
    lines = {str(name): list(rows["calls"]) for name, rows in numbers.groupby("line")}
    assert lines["MDLM: ancestral"] == [4, 16, 64]
    assert lines["MDLM: ancestral (grid cosine)"] == [4, 16]
    assert lines["AR: left to right"] == [64]
    assert len(lines["data"]) == 1


def test_points_carry_both_errors_and_their_values() -> None:
    numbers = tabulate_frontiers(make_record(*make_costs("MDLM", 4, 100)))["calls"].set_index("calls")
    assert list(numbers.loc[100, ["quality", "quality_error", "entropy", "entropy_error", "seconds"]]) == (
        pytest.approx([31.0, 0.02 * 31.0, 3.9, 0.02 * 3.9, 0.2])
    )


def test_another_temperature_is_another_line_and_only_shown_as_one() -> None:
    cold = make_way("MDLM", GOOD, calls=16, temperature=0.5)
    numbers = tabulate_frontiers(make_record(*make_costs(), cold))
    assert set(numbers["calls"]["line"]) == {"MDLM: ancestral"}
    assert set(numbers["temperature"]["line"]) == {"MDLM: ancestral, 16 calls"}
    assert list(numbers["temperature"]["temperature"]) == [1.0, 0.5]


def test_lines_run_in_the_order_of_calls() -> None:
    panel = draw_frontier("calls", tabulate_frontiers(make_record(*make_costs("MDLM", 64, 4, 16)))["calls"]).axes[0]
    lines = [line for line in panel.get_lines() if line.get_marker() == find_style("mdlm").marker]
    assert [np.asarray(line.get_xdata()).tolist() for line in lines] == [[4, 16, 64]]


def test_of_points_without_a_line_the_first_stands_alone() -> None:
    cold = make_way("AR", GOOD, method="ar", policy="left to right", temperature=0.5)
    numbers = tabulate_frontiers(make_record(*make_costs(), AR, cold))["calls"]
    assert list(numbers["line"]) == ["MDLM: ancestral"] * 3 + ["AR: left to right"]


def test_a_point_without_a_line_is_drawn_as_the_points_of_lines_where_it_can_be() -> None:
    cold = make_way("MDLM", GOOD, calls=64, temperature=0.5)
    numbers = tabulate_frontiers(make_record(*make_costs(), cold, *make_costs("MD4"), *make_costs("GIDD", 4, 8)))
    lines = ["MDLM: ancestral, 64 calls"] * 2 + ["MD4: ancestral, 64 calls", "GIDD: ancestral, 4 calls"]
    assert sorted(numbers["temperature"]["line"]) == sorted(lines)


@pytest.mark.parametrize(("low", "high"), [(0.0018, 0.061), (0.0009, 0.011), (1.2, 9.0), (4.0, 120.0)])
def test_an_axis_of_logarithms_has_more_than_one_number(low: float, high: float) -> None:
    axes = Figure().add_subplot()
    axes.plot([low, high], [1, 2])
    axes.set_xscale("log")
    format_log_axis(axes, "x")
    axes.figure.draw_without_rendering()
    ticks = zip([*axes.get_xticks(), *axes.get_xticks(minor=True)], axes.get_xticklabels(which="both"), strict=True)
    left, right = axes.get_xlim()
    assert sum(left <= place <= right and bool(label.get_text()) for place, label in ticks) > 1


def test_a_narrow_range_of_perplexities_still_has_numbers() -> None:
    ways = [make_way("MDLM", GOOD | {"gen_ppl": 5.85 + calls / 1000}, calls=calls) for calls in (4, 64)]
    figure = draw_frontier("calls", tabulate_frontiers(make_record(*ways))["calls"])
    figure.draw_without_rendering()
    assert len([tick for tick in figure.axes[0].get_yticklabels() if tick.get_text()]) >= 3


@pytest.mark.parametrize(
    ("measured", "metric", "label"),
    [
        ({"gen_ppl", "js_4", "sample_nats_per_token"}, "gen_ppl", "generative perplexity"),
        ({"js_4", "sample_nats_per_token"}, "sample_nats_per_token", "-log p by the source (nats per token)"),
        ({"js_4"}, "js_4", "JS divergence of 4-grams (bits)"),
    ],
)
def test_the_upper_panel_says_what_it_shows(measured: set[str], metric: str, label: str) -> None:
    values = dict.fromkeys(measured, 1.5) | {"unigram_entropy": 3.9}
    ways = [make_way("MDLM", values, calls=calls) for calls in (4, 16)]
    numbers = tabulate_frontiers(make_record(*ways, make_controls({"data": values})))["calls"]
    assert set(numbers["metric"]) == {metric}
    panels = draw_frontier("calls", numbers).axes
    assert [axes.get_ylabel() for axes in panels] == [label, "unigram entropy (nats)"]
    assert panels[0].get_yscale() == ("log" if metric == "gen_ppl" else "linear")


def test_policies_differ_in_their_dashes_and_arms_of_one_colour_too() -> None:
    cosine = make_costs("MDLM", policy="ancestral (grid cosine)")
    others = make_costs("UDLM", method="udlm") + make_costs("MDLM, wide")
    points = tabulate_points(split_ways(make_record(*make_costs(), *cosine, *others)), "gen_ppl")
    styles = choose_line_styles(name_cost_lines(points))
    assert styles["MDLM", "MDLM: ancestral"] == styles["UDLM", "UDLM: ancestral"] == (0, 0)
    assert styles["MDLM", "MDLM: ancestral (grid cosine)"] == (1, 1)
    assert styles["MDLM, wide", "MDLM, wide: ancestral"] == (2, 2)


def find_places(axes: Axes) -> dict[str, tuple[float, float]]:
    """Where each text of a panel points to."""
    return {
        note.get_text(): (float(note.xy[0]), float(note.xy[1])) for note in axes.texts if isinstance(note, Annotation)
    }


def test_methods_keep_their_colour_and_data_its_level() -> None:
    record = make_record(*make_costs(), *make_costs("UDLM", method="udlm"), make_controls())
    panel = draw_frontier("calls", tabulate_frontiers(record)["calls"]).axes[0]
    lines = {
        line.get_marker(): line.get_color() for line in panel.get_lines() if line.get_marker() not in ("None", "|")
    }
    assert lines == {find_style(method).marker: find_style(method).color for method in ("mdlm", "udlm")}
    assert find_places(panel) == {"data": (1.01, REAL["gen_ppl"])}


def test_temperatures_stand_at_their_points_and_data_is_a_star() -> None:
    heats = [make_way("MDLM", GOOD | {"unigram_entropy": 3 + heat}, temperature=heat) for heat in (0.5, 0.8)]
    (axes,) = draw_frontier("temperature", tabulate_frontiers(make_record(*heats, make_controls()))["temperature"]).axes
    assert find_places(axes) == {"0.5": (3.5, GOOD["gen_ppl"]), "0.8": (3.8, GOOD["gen_ppl"])}
    (star,) = (line for line in axes.get_lines() if line.get_marker() == "*")
    assert np.asarray(star.get_xydata()).tolist() == [[REAL["unigram_entropy"], REAL["gen_ppl"]]]


def test_a_way_that_failed_takes_no_figure_with_it() -> None:
    lost = [row | {"status": "failed", "value": float("nan")} for row in make_way("MDLM", REAL, calls=256)[:1]]
    lost += [row | {"stage": "quality", "metric": ""} for row in lost]
    assert set(tabulate_frontiers(make_record(*make_costs(), lost))["calls"]["calls"]) == {4, 16, 64}


@pytest.mark.usefixtures("every_format")
def test_the_same_record_gives_the_same_figures(tmp_path: Path) -> None:
    record = make_record(*make_costs(), make_controls())
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first, second = plot_frontiers(record, tmp_path / "one"), plot_frontiers(record, tmp_path / "two")
    names = [
        f"frontier_{figure}.{ending}" for figure in ("calls", "seconds") for ending in ("svg", "png", "pdf", "csv")
    ]
    assert [path.name for path in first] == names
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
