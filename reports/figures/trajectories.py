"""How many tokens each network call changes while samples are drawn."""

from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.engine.sample.trajectory import count_changes
from bench.results.suite_record import SuiteRecord
from reports.figures.frontiers import DASHES
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, find_style, save
from reports.tables.arms import describe_missing

COLUMNS = ["arm", "method", "way", "grid", "text", "call", "changed"]


def tabulate_changes(record: SuiteRecord) -> pd.DataFrame:
    """Tabulate the positions that each network call changed, a row per trajectory, sample and call."""
    rows = []
    for trajectory in record.trajectories:
        common = {
            "arm": trajectory.arm,
            "method": trajectory.method,
            "way": trajectory.way,
            "grid": trajectory.grid,
        }
        for sample, encoded in enumerate(trajectory.texts, start=1):
            for call, count in enumerate(count_changes(encoded), start=1):
                rows.append({**common, "text": sample, "call": call, "changed": count})
    return pd.DataFrame(rows, columns=COLUMNS)


def draw_way(axes: Axes, changes: pd.DataFrame, label: str, dash: Any) -> None:
    """Draw the mean over the samples of one way of sampling, and each sample faintly behind it."""
    color = find_style(str(changes["method"].iloc[0])).color
    for _, sample in changes.groupby("text"):
        axes.plot(sample["call"], sample["changed"], color=color, linestyle=dash, linewidth=0.7, alpha=0.25)
    mean = changes.groupby("call")["changed"].mean()
    axes.plot(mean.index, mean, color=color, linestyle=dash, linewidth=1.8, label=label)


def draw_panel(axes: Axes, changes: pd.DataFrame) -> None:
    """Draw one arm with a line for each way of sampling."""
    for number, (way, rows) in enumerate(changes.groupby("way", sort=False)):
        draw_way(axes, rows, str(way), DASHES[number % len(DASHES)])
    axes.set_title(str(changes["arm"].iloc[0]), loc="left", fontsize=10)
    axes.set_ylabel("tokens changed")
    axes.set_ylim(bottom=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), handlelength=3.2)
    axes.grid(color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def draw_changes(changes: pd.DataFrame) -> Figure:
    """Draw a panel for each arm, one below the other."""
    arms = [rows for _, rows in changes.groupby("arm", sort=False)]
    figure = Figure(figsize=(7.2, 2.4 * len(arms) + 0.4))
    figure.set_layout_engine("constrained", hspace=0.06)
    panels = figure.subplots(len(arms), squeeze=False)[:, 0]
    for axes, rows in zip(panels, arms, strict=True):
        draw_panel(axes, rows)
    panels[-1].set_xlabel("network call")
    return figure


def plot_changes(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write unmasked.svg, .png, .pdf and .csv, and return their paths; nothing if no trajectory was recorded."""
    changes = tabulate_changes(record)
    if changes.empty:
        return []
    return save(
        "unmasked", folder, draw_changes, changes, number_labels(record), describe_missing(record, "trajectories")
    )
