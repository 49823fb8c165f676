"""How texts come about: what the player on the page shows, and the figure of how many tokens each call changes."""

from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.engine.sample.trajectory import changed
from bench.results.suite_record import Record
from reports.figures.frontiers import DASHES
from reports.figures.style import FAINT, look, save
from reports.tables.arms import describe_missing

COLUMNS = ["arm", "method", "way", "grid", "text", "call", "changed"]


def count_changes(record: Record) -> pd.DataFrame:
    """A row per trajectory, text and network call: how many positions the call changed."""
    return pd.DataFrame(
        [
            {**{key: trajectory[key] for key in ("arm", "method", "way", "grid")}, "text": text, "call": call}
            | {"changed": count}
            for trajectory in record.trajectories
            for text, encoded in enumerate(trajectory["texts"], start=1)
            for call, count in enumerate(changed(encoded), start=1)
        ],
        columns=COLUMNS,
    )


def draw_way(axes: Axes, counts: pd.DataFrame, label: str, dash: Any) -> None:
    """The mean over the texts of one way, and each text faintly behind it."""
    colour = look(str(counts["method"].iloc[0])).colour
    for _, text in counts.groupby("text"):
        axes.plot(text["call"], text["changed"], color=colour, linestyle=dash, linewidth=0.7, alpha=0.25)
    mean = counts.groupby("call")["changed"].mean()
    axes.plot(mean.index, mean, color=colour, linestyle=dash, linewidth=1.8, label=label)


def draw_panel(axes: Axes, counts: pd.DataFrame) -> None:
    """One arm: a line for each way of drawing."""
    ways = list(counts.groupby("way", sort=False))
    for turn, (way, rows) in enumerate(ways):
        draw_way(axes, rows, str(way), DASHES[turn % len(DASHES)])
    axes.set_title(str(counts["arm"].iloc[0]), loc="left", fontsize=10)
    axes.set_ylabel("tokens changed")
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), handlelength=3.2)
    axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def draw(counts: pd.DataFrame) -> Figure:
    """A panel for each arm, one below the other."""
    arms = [rows for _, rows in counts.groupby("arm", sort=False)]
    figure = Figure(figsize=(7.2, 2.4 * len(arms) + 0.4))
    figure.set_layout_engine("constrained", hspace=0.06)
    panels = figure.subplots(len(arms), squeeze=False)[:, 0]
    for axes, rows in zip(panels, arms, strict=True):
        draw_panel(axes, rows)
    panels[-1].set_xlabel("network call")
    return figure


def plot_unmasked(record: Record, folder: Path) -> list[Path]:
    """The paths of unmasked.svg, .png, .pdf and .csv; none where no trajectory was kept."""
    counts, holes = count_changes(record), describe_missing(record, "trajectories")
    return [] if counts.empty else save("unmasked", folder, lambda: draw(counts), counts, holes)
