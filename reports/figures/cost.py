"""The figure of speed and memory: how fast each arm trained, what it held in memory, and how long a text takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, wrap
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.results.statistics.pooled import pool
from bench.results.suite_record import Record
from reports.figures.style import FAINT, look, save
from reports.tables.arms import describe_missing, split_arms

COLUMNS = ["arm", "method", "metric", "way", "value", "standard_error", "seeds"]
ARM, LINE, FRAME = 0.3, 0.15, 1.0  # inches: of an arm, of each further line of a name, and of titles and axis
WIDTH = 24  # characters of a line of a name


@dataclass(frozen=True)
class Panel:
    """A metric of a stage, and how its axis is named; values are shown divided by `unit`."""

    stage: str
    metric: str
    title: str
    axis: str
    unit: float = 1.0


PANELS = (
    Panel("train", "tokens_per_second", "speed of training", "thousand tokens a second", 1e3),
    Panel("train", "peak_memory_bytes", "memory in training", "GiB at its peak", 2.0**30),
    Panel("samples", "seconds_per_sequence", "time of sampling", "seconds a text"),
)


def trace_cost(record: Record) -> pd.DataFrame:
    """A row for each arm and metric, and for each way that texts were drawn: the mean over seeds, with its standard
    error where there are several."""
    found = []
    for arm, rows in split_arms(record).items():
        for panel in PANELS:
            there = rows[(rows["stage"] == panel.stage) & (rows["metric"] == panel.metric)]
            for way, group in there.groupby("way", sort=False):
                if number := pool(group):
                    told = {"arm": arm, "method": rows["method"].iloc[0], "metric": panel.metric, "way": way}
                    told |= {"value": number.value, "standard_error": number.error, "seeds": number.seeds}
                    found.append(told)
    return pd.DataFrame(found, columns=COLUMNS)


def draw_panel(axes: Axes, numbers: pd.DataFrame, panel: Panel, places: dict[str, int]) -> None:
    """A marker for each number at the height of its arm, with one standard error over the seeds."""
    for number in numbers.to_dict("records"):
        style = look(number["method"])
        value, error = number["value"] / panel.unit, number["standard_error"] / panel.unit
        settings: dict[str, Any] = {"color": style.colour, "markersize": 6, "markeredgewidth": 0, "elinewidth": 1.2}
        axes.errorbar(value, places[number["arm"]], xerr=error, fmt=style.marker, **settings)
    reach = (numbers["value"] + numbers["standard_error"].fillna(0.0)).max() / panel.unit
    axes.set_xlim(0, 1.08 * reach)
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.set_xlabel(panel.axis)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="both", color=FAINT, alpha=0.2, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    sns.despine(ax=axes, left=True)


def draw(cost: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """A panel for each metric that was recorded, side by side, the first arm at the top; an arm without a number is an
    empty line."""
    places = {arm: len(arms) - 1 - place for place, arm in enumerate(arms)}
    shown = [panel for panel in PANELS if (cost["metric"] == panel.metric).any()]
    lines = max(len(wrap(arm, WIDTH)) for arm in arms)
    figure = Figure(figsize=(7.2, FRAME + (ARM + LINE * (lines - 1)) * len(arms)))
    figure.set_layout_engine("constrained", wspace=0.06)
    for axes, panel in zip(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0], shown, strict=True):
        draw_panel(axes, cost[cost["metric"] == panel.metric], panel, places)
        axes.set_yticks(list(places.values()), [fill(arm, WIDTH) for arm in arms])
        axes.set_ylim(-0.6, len(arms) - 0.4)
    return figure


def plot_cost(record: Record, folder: Path) -> list[Path]:
    """The paths of cost.svg, .png, .pdf and .csv; none where nothing of it was recorded."""
    cost, arms = trace_cost(record), list(split_arms(record))
    if cost.empty:
        return []
    return save("cost", folder, lambda: draw(cost, arms), cost, describe_missing(record, "train", "samples"))
