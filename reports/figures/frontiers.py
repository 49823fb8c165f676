"""The figures of quality against cost: how good and how varied texts are for their calls, seconds and temperature.

Generative perplexity falls where texts lose variety, so it never stands without the entropy of the same texts.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from bench.engine.quality.controls import DATA
from bench.results.statistics.pooled import ArmResults
from bench.results.suite_record import Record
from reports.figures.style import FAINT, INK, look, save
from reports.tables.arms import describe_missing
from reports.tables.quality_results import find_estimate, split_controls, split_shapes, split_ways

HEIGHTS = {  # what the upper panel shows: the first of these that was measured
    "gen_ppl": "generative perplexity",
    "sample_nats_per_token": "-log p by the source (nats per token)",
    "js_4": "JS divergence of 4-grams (bits)",
}
NUMBERS = {"calls": "network_calls", "seconds": "seconds_per_sequence", "entropy": "unigram_entropy"}
WIDTHS = {"calls": "network calls", "seconds": "seconds a text"}
NARROW = 3.0  # last tick over first: below, ticks stand evenly
POWERS = 2  # of ten on an axis: fewer, and numbers stand between them too
ENTROPY = "unigram entropy (nats)"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 2, 1.2, 2)), (0, (9, 3)), (0, (3, 1, 1, 1, 1, 1)))
FILLS: tuple[Literal["full", "none", "left", "right", "bottom", "top"], ...] = (
    "full",
    "none",
    "left",
    "right",
    "bottom",
    "top",
)


def choose_height(record: Record) -> str:
    """The metric of the upper panel; "" where none was measured."""
    there = set(record.table.loc[record.table["value"].notna(), "metric"])
    return next((metric for metric in HEIGHTS if metric in there), "")


def find_points(groups: dict[str, pd.DataFrame], height: str) -> pd.DataFrame:
    """A row for each group of rows: its numbers with their errors, where quality and entropy were measured."""
    points = []
    for label, rows in groups.items():
        said = rows[["arm", "method", "way", "policy", "temperature"]].iloc[0].to_dict()
        readings = ArmResults(rows)
        for name, metric in (NUMBERS | {"quality": height}).items():
            number = find_estimate(readings, metric)
            said |= {name: number.value if number else np.nan, f"{name}_error": number.error if number else np.nan}
        points.append({"label": label, "metric": height} | said)
    names = [place for name in ("calls", "seconds", "entropy", "quality") for place in (name, f"{name}_error")]
    columns = ["label", "arm", "method", "way", "policy", "temperature", "metric", *names]
    return pd.DataFrame(points, columns=columns).dropna(subset=["quality", "entropy"])


def name_by_cost(points: pd.DataFrame) -> pd.DataFrame:
    """The points with the line of each: its arm, its policy, and its temperature where that is not 1."""
    named = points[["arm", "policy", "temperature"]].itertuples(index=False)
    lines = [f"{arm}: {policy}" + f", temperature {heat:g}" * (heat != 1) for arm, policy, heat in named]
    return points.assign(line=lines)


def name_by_heat(points: pd.DataFrame) -> pd.DataFrame:
    """The points with the line of each: its arm and its way of drawing, temperature aside."""
    named = points[["label", "temperature"]].itertuples(index=False)
    return points.assign(line=[label.removesuffix(f", temperature {heat:g}") for label, heat in named])


def choose_turns(points: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Which dashes and which filling each line has. Dashes are those of its policy, or the next free ones where its
    colour has these already, solid for the first policy of more than a point; markers are filled by turns in a colour.
    """
    sizes = points.groupby("line")["line"].transform("size")
    policies = points.loc[(sizes == 1).sort_values(kind="stable").index, "policy"].unique()
    turns = {policy: turn for turn, policy in enumerate(policies)}
    taken: set[tuple[str, int]] = set()
    chosen: dict[str, tuple[int, int]] = {}
    for line in points.drop_duplicates("line").itertuples():
        colour, turn = look(str(line.method)).colour, turns[line.policy]
        while (colour, turn) in taken:
            turn += 1
        fill = sum(colour == other for other, _ in taken)
        taken.add((colour, turn))
        chosen[str(line.line)] = turn % len(DASHES), fill % len(FILLS)
    return chosen


def draw_lines(axes: Axes, points: pd.DataFrame, x: str, y: str) -> None:
    """A line through the points of each arm and policy in the order of what varies along it, with standard errors."""
    for name, (turn, fill) in choose_turns(points).items():
        line = points[points["line"] == name].sort_values(["calls", "temperature"], kind="stable")
        style = look(str(line["method"].iloc[0]))
        axes.errorbar(
            line[x],
            line[y],
            line[f"{y}_error"],
            line[f"{x}_error"] if x == "entropy" else None,
            label=name,
            color=style.colour,
            marker=style.marker,
            linestyle=DASHES[turn] if len(line) > 1 else "",
            fillstyle=FILLS[fill],
            markersize=6,
            markeredgewidth=0.9,
            linewidth=1.4,
            elinewidth=1,
        )


def draw_data(axes: Axes, data: pd.DataFrame, y: str) -> None:
    """Held-out text as a level with a band of one standard error, named at its right end."""
    for level, error in data[[y, f"{y}_error"]].fillna(0.0).to_numpy():
        axes.axhspan(level - error, level + error, color=FAINT, alpha=0.25, linewidth=0)
        axes.axhline(level, color=FAINT, linewidth=1, linestyle=":", zorder=1)
        axes.annotate(DATA, (1.01, level), xycoords=axes.get_yaxis_transform(), va="center", annotation_clip=False)


def plain(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis whose ticks are numbers as people write them."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    if high / low < NARROW:
        axis.set_major_locator(MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
    else:
        powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
        axis.set_minor_formatter(FuncFormatter(label_minor) if powers < POWERS else NullFormatter())
    axes.tick_params(axis=which, which="minor", length=2, labelsize=8)


def label_minor(value: float, _: Any) -> str:
    """A number at 2, 3 and 5 of each power of ten; "" elsewhere."""
    return f"{value:g}" if f"{value:.0e}"[0] in "235" else ""


def finish(figure: Figure, panels: Sequence[Axes]) -> None:
    """Grids, and the legend of all lines below."""
    for axes in panels:
        axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)
        sns.despine(ax=axes)
    handles, labels = panels[0].get_legend_handles_labels()
    columns = 1 if max(map(len, labels)) > 44 else 2
    settings: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": 9, "handlelength": 3.6}
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.0), **settings)


def draw_cost(points: pd.DataFrame, data: pd.DataFrame, x: str) -> Figure:
    """Quality above entropy, against what texts cost; costs on a logarithmic axis."""
    figure = Figure(figsize=(7.2, 6.0))
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 2], gridspec_kw={"hspace": 0.12})
    metric = points["metric"].iloc[0]
    for axes, y, title in ((upper, "quality", HEIGHTS[metric]), (lower, "entropy", ENTROPY)):
        draw_lines(axes, points, x, y)
        draw_data(axes, data, y)
        axes.set_ylabel(title)
    if metric == "gen_ppl":
        upper.set_yscale("log")
        plain(upper, "y")
    lower.set_xscale("log", base=2 if x == "calls" else 10)
    plain(lower, "x")
    lower.set_xlabel(WIDTHS[x])
    finish(figure, (upper, lower))
    return figure


def draw_temperature(points: pd.DataFrame, data: pd.DataFrame) -> Figure:
    """Quality against entropy along temperatures, which stand at their points; held-out text is a star."""
    figure = Figure(figsize=(7.2, 4.6))
    axes = figure.add_subplot()
    metric = points["metric"].iloc[0]
    draw_lines(axes, points, "entropy", "quality")
    for point in points.itertuples():
        place, shift = (point.entropy, point.quality), (5, 5)
        axes.annotate(f"{point.temperature:g}", place, shift, textcoords="offset points", fontsize=8)
    for entropy, quality in data[["entropy", "quality"]].to_numpy():
        axes.plot(entropy, quality, marker="*", markersize=14, color=INK, linestyle="", label=DATA, zorder=3)
    if metric == "gen_ppl":
        axes.set_yscale("log")
        plain(axes, "y")
    axes.set_xlabel(f"{ENTROPY}; numbers at points are temperatures")
    axes.set_ylabel(HEIGHTS[metric])
    finish(figure, [axes])
    return figure


def choose_lines(points: pd.DataFrame, along: str, same: list[str]) -> pd.DataFrame:
    """The points of lines that have two values; of the `same` without such a line one point stands by itself: the
    first that was drawn as some point of a line was, so that like stands beside like, else the first."""
    is_line = points.groupby("line")[along].transform("nunique") > 1
    has_line = is_line.groupby([points[name] for name in same]).transform("any")
    ways = points["way"].isin(points.loc[is_line, "way"])
    alone = points[~has_line].assign(is_like=ways).sort_values("is_like", ascending=False, kind="stable")
    chosen = alone[~alone.duplicated(same)].index
    return points[is_line | points.index.isin(chosen)] if is_line.any() else points[:0]


def trace_frontiers(record: Record) -> dict[str, pd.DataFrame]:
    """The points of each figure by its name, the row data last; only figures of which some line has two points.

    Where texts differ in number or length, those that the most ways have.
    """
    record = max(split_shapes(record).values(), key=lambda part: len(split_ways(part)))
    height = choose_height(record)
    points, data = find_points(split_ways(record), height), find_points(split_controls(record), height)
    data = data[data["arm"] == DATA].assign(line=DATA)
    by_cost, by_heat = name_by_cost(points), name_by_heat(points)
    shown = {x: choose_lines(by_cost.dropna(subset=[x]), x, ["arm", "policy"]) for x in WIDTHS}
    shown["temperature"] = choose_lines(by_heat, "temperature", ["arm"])
    return {name: pd.concat([lines, data]) for name, lines in shown.items() if len(lines)}


def draw(name: str, numbers: pd.DataFrame) -> Figure:
    """One of the figures from its points and the row data."""
    is_data = numbers["line"] == DATA
    points, data = numbers[~is_data], numbers[is_data]
    return draw_cost(points, data, name) if name in WIDTHS else draw_temperature(points, data)


def plot_frontiers(record: Record, folder: Path) -> list[Path]:
    """The paths of frontier_calls, frontier_seconds and frontier_temperature as .svg, .png, .pdf and .csv; those of
    which some line has two points."""
    holes = describe_missing(record, "samples", "quality")
    figures = trace_frontiers(record).items()
    saved = [save(f"frontier_{name}", folder, partial(draw, name, found), found, holes) for name, found in figures]
    return [path for paths in saved for path in paths]
