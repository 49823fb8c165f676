"""The forest plot: every arm's difference from its base with its 95 % interval, a panel for each base."""

from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results.statistics.verdicts import TEST_TEXT_ONLY
from bench.results.suite_record import SuiteRecord
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, INK, find_style, save
from reports.tables.arms import choose_score
from reports.tables.differences import compute_deltas, format_delta

ARM, LINE, FRAME = 0.36, 0.15, 0.95  # inches for an arm, each further line of its name, and a panel's title and axis
NAME_WIDTH = 28  # characters in a line of a name


def format_numbers(delta: Any) -> str:
    """The difference and its interval as text, or "not paired"."""
    if not delta.seeds:
        return "not paired"
    difference, interval, _ = format_delta(delta)
    text = f"{difference} {interval}".strip()
    return f"{text}, {TEST_TEXT_ONLY}" if delta.seeds == 1 else text


def draw_arm(axes: Axes, height: float, delta: Any) -> None:
    """Draw an arm's marker on its interval, with numbers on the right.

    The marker is empty if the interval covers only the documents of one seed.
    """
    color = find_style(str(delta.method)).color
    if delta.seeds:
        axes.hlines(height, delta.low, delta.high, color=color, linewidth=1.6)
        axes.plot(
            delta.value,
            height,
            marker=find_style(str(delta.method)).marker,
            markersize=6,
            markeredgecolor=color,
            markerfacecolor=color if delta.seeds > 1 else "none",
            markeredgewidth=1.3,
            linestyle="",
            zorder=3,
        )
    axes.annotate(
        format_numbers(delta),
        (1.02, height),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        color=INK if delta.seeds else FAINT,
        annotation_clip=False,
    )


def draw_panel(axes: Axes, base: str, deltas: pd.DataFrame, unit: str) -> None:
    """Draw the arms of one base, the first on top, and a line at zero."""
    heights = range(len(deltas) - 1, -1, -1)
    axes.axvline(0, color=FAINT, linewidth=1, zorder=1)
    for height, delta in zip(heights, deltas.itertuples(), strict=True):
        draw_arm(axes, height, delta)
    axes.set_yticks(list(heights), [fill(str(arm), NAME_WIDTH) for arm in deltas["arm"]])
    axes.set_ylim(-0.6, len(deltas) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.set_title(f"minus {base}", loc="left", fontsize=10)
    axes.set_xlabel(f"difference in {unit} (negative is better)")
    axes.margins(x=0.08)
    axes.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes, left=True)


def measure_height(deltas: pd.DataFrame) -> float:
    """The height of a panel in inches; every arm takes as much as the longest name."""
    line_count = max(len(wrap(str(arm), NAME_WIDTH)) for arm in deltas["arm"])
    return FRAME + (ARM + LINE * (line_count - 1)) * len(deltas)


def draw_forest(deltas: pd.DataFrame, unit: str) -> Figure:
    """Draw a panel for each base, one below the other, with heights that fit their arms."""
    panels = [(str(base), rows) for base, rows in deltas.groupby("base", sort=False)]
    heights = [measure_height(rows) for _, rows in panels]
    figure = Figure(figsize=(7.2, sum(heights)))
    figure.set_layout_engine("constrained", hspace=0.06)
    all_axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (base, rows) in zip(all_axes, panels, strict=True):
        draw_panel(axes, base, rows, unit)
    return figure


def plot_forest(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write forest.svg, .png, .pdf and .csv, and return their paths; nothing if no arm is paired with a base."""
    deltas = compute_deltas(record)
    if not (deltas["seeds"] > 0).any():
        return []
    unit = choose_score(record)[1]
    return save("forest", folder, lambda table: draw_forest(table, unit), deltas, number_labels(record))
