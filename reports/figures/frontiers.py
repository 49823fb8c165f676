"""Sample quality against cost: generative perplexity and entropy by network calls, seconds and temperature.

Generative perplexity falls if samples lose variety, so it is always shown with the entropy of the same samples.
"""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from bench.engine.quality.controls import DATA
from bench.results.statistics.pooled import ArmResults
from bench.results.suite_record import SuiteRecord
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, INK, find_style, save
from reports.tables.arms import describe_missing, distinguish
from reports.tables.quality_results import CONTROL, find_estimate, split_controls, split_shapes, split_ways

QUALITY_METRICS = {  # the upper panel shows the first of these that was measured
    "gen_ppl": "generative perplexity",
    "sample_nats_per_token": "-log p by the source (nats per token)",
    "js_4": "JS divergence of 4-grams (bits)",
}
NUMBERS = {"calls": "network_calls", "seconds": "seconds_per_sequence", "entropy": "unigram_entropy"}
KEYS = ("role", "arm", "method", "way", "policy", "temperature")
X_LABELS = {"calls": "network calls", "seconds": "seconds per sample"}
LINEAR_RANGE = 3.0  # highest over lowest tick of a logarithmic axis below which ticks are evenly spaced
MINOR_POWERS = 2  # powers of ten on an axis below which minor ticks are numbered
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
Line = tuple[str, str]  # the label of an arm, and the name of one of its lines


class LegendEntry(NamedTuple):
    """A line of a legend. Passed by hand, since matplotlib omits labels that begin with an underscore."""

    handle: Any
    name: str


def choose_quality(record: SuiteRecord) -> str:
    """The metric of the upper panel; "" if none was measured."""
    measured = set(record.table.loc[record.table["value"].notna(), "metric"])
    return next((metric for metric in QUALITY_METRICS if metric in measured), "")


def tabulate_points(groups: dict[str, pd.DataFrame], quality: str) -> pd.DataFrame:
    """Tabulate the numbers of each group of rows with their errors, if quality and entropy were measured."""
    points = []
    for label, rows in groups.items():
        first = rows.iloc[0]
        point: dict[str, Any] = {name: first[name] for name in KEYS}
        readings = ArmResults(rows)
        for name, metric in (NUMBERS | {"quality": quality}).items():
            estimate = find_estimate(readings, metric)
            point[name] = estimate.value if estimate else np.nan
            point[f"{name}_error"] = estimate.error if estimate else np.nan
        points.append({"label": label, "metric": quality} | point)

    numbers = [column for name in ("calls", "seconds", "entropy", "quality") for column in (name, f"{name}_error")]
    return pd.DataFrame(points, columns=["label", *KEYS, "metric", *numbers]).dropna(subset=["quality", "entropy"])


def name_cost_lines(points: pd.DataFrame) -> pd.DataFrame:
    """Name the line of each point by its arm, its policy, and its temperature unless that is 1."""
    names = []
    for arm, policy, temperature in points[["arm", "policy", "temperature"]].itertuples(index=False):
        suffix = "" if temperature == 1 else f", temperature {temperature:g}"
        names.append(f"{arm}: {policy}{suffix}")
    return points.assign(line=names)


def name_temperature_lines(points: pd.DataFrame) -> pd.DataFrame:
    """Name the line of each point by its arm and its way of sampling without the temperature."""
    names = []
    for arm, way, temperature in points[["arm", "way", "temperature"]].itertuples(index=False):
        way_name = way.removesuffix(f", temperature {temperature:g}")
        names.append(f"{arm}: {way_name}" if way_name else arm)
    return points.assign(line=names)


def choose_line_styles(points: pd.DataFrame) -> dict[Line, tuple[int, int]]:
    """Choose a dash pattern and a marker filling for each line, as places in DASHES and FILLS.

    A policy has one dash pattern, solid for the first policy with several points, unless a line of the same color has
    it already. Lines of one color differ in their fillings.
    """
    sizes = points.groupby(["arm", "line"])["line"].transform("size")
    policies = points.loc[(sizes == 1).sort_values(kind="stable").index, "policy"].unique()
    policy_dashes = {policy: number for number, policy in enumerate(policies)}
    used: set[tuple[str, int]] = set()
    styles: dict[Line, tuple[int, int]] = {}
    for line in points.drop_duplicates(["arm", "line"]).itertuples():
        color, dash = find_style(str(line.method)).color, policy_dashes[line.policy]
        while (color, dash) in used:
            dash += 1
        fill = sum(color == used_color for used_color, _ in used)
        used.add((color, dash))
        styles[str(line.arm), str(line.line)] = dash % len(DASHES), fill % len(FILLS)
    return styles


def draw_lines(axes: Axes, points: pd.DataFrame, x: str, y: str) -> list[LegendEntry]:
    """Draw a line through the points of each arm and policy, with standard errors."""
    entries: list[LegendEntry] = []
    for (arm, name), (dash, fill) in choose_line_styles(points).items():
        line = points[(points["arm"] == arm) & (points["line"] == name)]
        line = line.sort_values(["calls", "temperature"], kind="stable")
        style = find_style(str(line["method"].iloc[0]))
        handle = axes.errorbar(
            line[x],
            line[y],
            line[f"{y}_error"],
            line[f"{x}_error"] if x == "entropy" else None,
            color=style.color,
            marker=style.marker,
            linestyle=DASHES[dash] if len(line) > 1 else "",
            fillstyle=FILLS[fill],
            markersize=6,
            markeredgewidth=0.9,
            linewidth=1.4,
            elinewidth=1,
        )
        entries.append(LegendEntry(handle, name))
    return entries


def draw_data(axes: Axes, data: pd.DataFrame, y: str) -> None:
    """Draw held-out text as a level with a band of one standard error, named at its right end."""
    levels = data[[y, f"{y}_error"]].fillna(0.0).to_numpy()
    for (level, error), name in zip(levels, data["line"], strict=True):
        axes.axhspan(level - error, level + error, color=FAINT, alpha=0.25, linewidth=0)
        axes.axhline(level, color=FAINT, linewidth=1, linestyle=":", zorder=1)
        axes.annotate(str(name), (1.01, level), xycoords=axes.get_yaxis_transform(), va="center", annotation_clip=False)


def format_log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Write the ticks of a logarithmic axis as plain numbers."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    if high / low < LINEAR_RANGE:
        axis.set_major_locator(MaxNLocator(5))
        axis.set_minor_locator(NullLocator())
    else:
        powers = math.floor(math.log10(high)) - math.ceil(math.log10(low)) + 1
        axis.set_minor_formatter(FuncFormatter(label_minor_tick) if powers < MINOR_POWERS else NullFormatter())
    axes.tick_params(axis=which, which="minor", length=2, labelsize=8)


def label_minor_tick(value: float, _: Any) -> str:
    """The tick's number at 2, 3 and 5 times a power of ten; "" elsewhere."""
    return f"{value:g}" if f"{value:.0e}"[0] in "235" else ""


def finish_figure(figure: Figure, panels: Sequence[Axes], entries: Sequence[LegendEntry]) -> None:
    """Add grids, and a legend of all lines below."""
    for axes in panels:
        axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)
        sns.despine(ax=axes)
    figure.legend(
        [entry.handle for entry in entries],
        [entry.name for entry in entries],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=1 if max(len(entry.name) for entry in entries) > 44 else 2,
        frameon=False,
        fontsize=9,
        handlelength=3.6,
    )


def draw_cost(points: pd.DataFrame, data: pd.DataFrame, x: str) -> Figure:
    """Draw quality above entropy, against cost on a logarithmic axis."""
    figure = Figure(figsize=(7.2, 6.0))
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 2], gridspec_kw={"hspace": 0.12})
    metric = points["metric"].iloc[0]

    entries = draw_lines(upper, points, x, "quality")
    draw_data(upper, data, "quality")
    upper.set_ylabel(QUALITY_METRICS[metric])
    if metric == "gen_ppl":
        upper.set_yscale("log")
        format_log_axis(upper, "y")

    draw_lines(lower, points, x, "entropy")
    draw_data(lower, data, "entropy")
    lower.set_ylabel(ENTROPY)
    lower.set_xscale("log", base=2 if x == "calls" else 10)
    format_log_axis(lower, "x")
    lower.set_xlabel(X_LABELS[x])
    finish_figure(figure, (upper, lower), entries)
    return figure


def draw_temperature(points: pd.DataFrame, data: pd.DataFrame) -> Figure:
    """Draw quality against entropy, with the temperature at each point and held-out text as a star."""
    figure = Figure(figsize=(7.2, 4.6))
    axes = figure.add_subplot()
    metric = points["metric"].iloc[0]
    entries = draw_lines(axes, points, "entropy", "quality")
    for point in points.itertuples():
        position, offset = (point.entropy, point.quality), (5, 5)
        axes.annotate(f"{point.temperature:g}", position, offset, textcoords="offset points", fontsize=8)
    for entropy, quality, name in data[["entropy", "quality", "line"]].itertuples(index=False):
        (star,) = axes.plot(entropy, quality, marker="*", markersize=14, color=INK, linestyle="", zorder=3)
        entries.append(LegendEntry(star, name))

    if metric == "gen_ppl":
        axes.set_yscale("log")
        format_log_axis(axes, "y")
    axes.set_xlabel(f"{ENTROPY}; numbers at points are temperatures")
    axes.set_ylabel(QUALITY_METRICS[metric])
    finish_figure(figure, [axes], entries)
    return figure


def choose_lines(points: pd.DataFrame, along: str, group: list[str]) -> pd.DataFrame:
    """Keep the points of lines with at least two values of `along`; of other groups, keep one point.

    That point is sampled in the same way as a point of some line if possible, so that like is compared with like;
    otherwise it is the first of its group. Empty if no line has two values.
    """
    is_line = points.groupby(["arm", "line"])[along].transform("nunique") > 1
    has_line = is_line.groupby([points[name] for name in group]).transform("any")
    is_comparable = points["way"].isin(points.loc[is_line, "way"])
    single = points[~has_line].assign(is_comparable=is_comparable)
    single = single.sort_values("is_comparable", ascending=False, kind="stable")
    chosen = single[~single.duplicated(group)].index
    return points[is_line | points.index.isin(chosen)] if is_line.any() else points[:0]


def tabulate_frontiers(record: SuiteRecord) -> dict[str, pd.DataFrame]:
    """Tabulate the points of each figure by its name, held-out text last; omit figures in which no line has two points.

    If samples differ in number or length, use those that the most ways of sampling share.
    """
    record = max(split_shapes(record).values(), key=lambda part: len(split_ways(part)))
    quality = choose_quality(record)
    points = tabulate_points(split_ways(record), quality)
    data = tabulate_points(split_controls(record), quality)
    data = data[data["arm"] == DATA].assign(line=distinguish(DATA, set(points["arm"]), CONTROL))

    cost_points = name_cost_lines(points)
    figures = {x: choose_lines(cost_points.dropna(subset=[x]), x, ["arm", "policy"]) for x in X_LABELS}
    figures["temperature"] = choose_lines(name_temperature_lines(points), "temperature", ["arm"])
    return {name: pd.concat([lines, data]) for name, lines in figures.items() if len(lines)}


def draw_frontier(name: str, table: pd.DataFrame) -> Figure:
    """Draw one of the figures from its points and the row of held-out text."""
    is_data = table["role"] == "control"
    points, data = table[~is_data], table[is_data]
    return draw_cost(points, data, name) if name in X_LABELS else draw_temperature(points, data)


def plot_frontiers(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write frontier_calls, frontier_seconds and frontier_temperature as .svg, .png, .pdf and .csv.

    Returns the paths of the figures in which some line has two points.
    """
    missing, labels = describe_missing(record, "samples", "quality"), number_labels(record)
    paths: list[Path] = []
    for name, table in tabulate_frontiers(record).items():
        paths += save(f"frontier_{name}", folder, partial(draw_frontier, name), table, labels, missing)
    return paths
