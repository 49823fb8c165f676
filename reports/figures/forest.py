"""The forest plot: every arm's difference from its base with its 95 % interval, a panel for each base."""

from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results.suite_record import Record
from reports.figures.style import FAINT, INK, look, save
from reports.tables.arms import choose_score
from reports.tables.deltas import compute_deltas, format_delta

ARM, LINE, FRAME = 0.36, 0.15, 0.95  # inches: of an arm, of each further line of its name, of title and axis of a panel
WIDTH = 28  # characters of a line of a name


def write_numbers(delta: Any) -> str:
    """The difference and its interval in figures; why there is none."""
    if not delta.seeds:
        return "not paired"
    text, interval, _ = format_delta(delta)
    return f"{text} {interval}".strip() + ", one seed" * (delta.seeds == 1)


def draw_arm(axes: Axes, place: float, delta: Any) -> None:
    """An arm's marker on its interval, empty where that is over the documents of one seed; its numbers at the right."""
    style = look(str(delta.method))
    if delta.seeds:
        axes.hlines(place, delta.low, delta.high, color=style.colour, linewidth=1.6)
        inside = style.colour if delta.seeds > 1 else "none"
        settings: dict[str, Any] = {"markeredgecolor": style.colour, "markerfacecolor": inside, "markeredgewidth": 1.3}
        axes.plot(delta.value, place, marker=style.marker, markersize=6, linestyle="", zorder=3, **settings)
    colour = INK if delta.seeds else FAINT
    axes.annotate(
        write_numbers(delta),
        (1.02, place),
        xycoords=axes.get_yaxis_transform(),
        va="center",
        color=colour,
        annotation_clip=False,
    )


def draw_panel(axes: Axes, base: str, deltas: pd.DataFrame, unit: str) -> None:
    """The arms of one base from the first at the top, and a line at no difference."""
    places = range(len(deltas) - 1, -1, -1)
    axes.axvline(0, color=FAINT, linewidth=1, zorder=1)
    for place, delta in zip(places, deltas.itertuples(), strict=True):
        draw_arm(axes, place, delta)
    axes.set_yticks(list(places), [fill(str(arm), WIDTH) for arm in deltas["arm"]])
    axes.set_ylim(-0.6, len(deltas) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.set_title(f"minus {base}", loc="left", fontsize=10)
    axes.set_xlabel(f"difference in {unit} (left of the line: better)")
    axes.margins(x=0.08)
    axes.grid(axis="x", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes, left=True)


def measure_height(deltas: pd.DataFrame) -> float:
    """The inches that a panel takes, each of its arms as much as the longest name."""
    lines = max(len(wrap(str(arm), WIDTH)) for arm in deltas["arm"])
    return FRAME + (ARM + LINE * (lines - 1)) * len(deltas)


def draw(deltas: pd.DataFrame, unit: str) -> Figure:
    """A panel for each base, one below the other, as high as its arms are many."""
    panels = [(str(base), rows) for base, rows in deltas.groupby("base", sort=False)]
    heights = [measure_height(rows) for _, rows in panels]
    figure = Figure(figsize=(7.2, sum(heights)))
    figure.set_layout_engine("constrained", hspace=0.06)
    all_axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights)[:, 0]
    for axes, (base, rows) in zip(all_axes, panels, strict=True):
        draw_panel(axes, base, rows, unit)
    return figure


def plot_forest(record: Record, folder: Path) -> list[Path]:
    """The paths of forest.svg, .png, .pdf and .csv; none where no arm is paired with a base."""
    deltas = compute_deltas(record)
    if not (deltas["seeds"] > 0).any():
        return []
    return save("forest", folder, lambda: draw(deltas, choose_score(record)[1]), deltas)
