"""Speed and memory: how fast each arm trains, how much memory that takes, and how long it takes to draw a sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, wrap

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.results.statistics.pooled import pool
from bench.results.suite_record import SuiteRecord
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, find_style, save
from reports.tables.arms import describe_missing, split_arms

COLUMNS = ["arm", "method", "metric", "way", "value", "standard_error", "seeds"]
ARM, LINE, FRAME = 0.3, 0.15, 1.0  # inches for an arm, each further line of its name, and the titles and axis
NAME_WIDTH = 24  # characters in a line of a name


@dataclass(frozen=True)
class Panel:
    """A metric of a stage, and the name of its axis; values are shown divided by `unit`."""

    stage: str
    metric: str
    title: str
    axis: str
    unit: float = 1.0


PANELS = (
    Panel("train", "tokens_per_second", "training speed", "thousand tokens per second", 1e3),
    Panel("train", "peak_memory_bytes", "training memory", "peak GiB", 2.0**30),
    Panel("samples", "seconds_per_sequence", "sampling time", "seconds per sample"),
)


def tabulate_cost(record: SuiteRecord) -> pd.DataFrame:
    """Tabulate the means over seeds with their standard errors: a row per arm, metric and way of sampling."""
    costs = []
    for arm, rows in split_arms(record).items():
        for panel in PANELS:
            measured = rows[(rows["stage"] == panel.stage) & (rows["metric"] == panel.metric)]
            for way, group in measured.groupby("way", sort=False):
                if estimate := pool(group):
                    costs.append(
                        {
                            "arm": arm,
                            "method": rows["method"].iloc[0],
                            "metric": panel.metric,
                            "way": way,
                            "value": estimate.value,
                            "standard_error": estimate.error,
                            "seeds": estimate.seeds,
                        }
                    )
    return pd.DataFrame(costs, columns=COLUMNS)


def draw_panel(axes: Axes, costs: pd.DataFrame, panel: Panel, heights: dict[str, int]) -> None:
    """Draw a marker for each cost at the height of its arm, with one standard error over the seeds."""
    for cost in costs.to_dict("records"):
        style = find_style(cost["method"])
        axes.errorbar(
            cost["value"] / panel.unit,
            heights[cost["arm"]],
            xerr=cost["standard_error"] / panel.unit,
            fmt=style.marker,
            color=style.color,
            markersize=6,
            markeredgewidth=0,
            elinewidth=1.2,
        )

    largest = (costs["value"] + costs["standard_error"].fillna(0.0)).max() / panel.unit
    axes.set_xlim(0, 1.08 * largest)
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.set_xlabel(panel.axis)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(axis="both", color=FAINT, alpha=0.2, linewidth=0.6)
    axes.tick_params(axis="y", length=0)
    sns.despine(ax=axes, left=True)


def draw_cost(costs: pd.DataFrame, arms: Sequence[str]) -> Figure:
    """Draw a panel for each recorded metric, side by side, the first arm on top; arms without a cost stay empty."""
    heights = {arm: len(arms) - 1 - row for row, arm in enumerate(arms)}
    panels = [panel for panel in PANELS if (costs["metric"] == panel.metric).any()]
    line_count = max(len(wrap(arm, NAME_WIDTH)) for arm in arms)
    figure = Figure(figsize=(7.2, FRAME + (ARM + LINE * (line_count - 1)) * len(arms)))
    figure.set_layout_engine("constrained", wspace=0.06)
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        draw_panel(axes, costs[costs["metric"] == panel.metric], panel, heights)
        axes.set_yticks(list(heights.values()), [fill(arm, NAME_WIDTH) for arm in arms])
        axes.set_ylim(-0.6, len(arms) - 0.4)
    return figure


def plot_cost(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write cost.svg, .png, .pdf and .csv, and return their paths; nothing if no cost was recorded."""
    costs, labels = tabulate_cost(record), number_labels(record)
    if costs.empty:
        return []
    arms = [labels.rewrite(arm) for arm in split_arms(record)]
    missing = describe_missing(record, "train", "samples")
    return save("cost", folder, lambda table: draw_cost(table, arms), costs, labels, missing)
