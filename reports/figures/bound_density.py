"""The figure of where each family spends its nats: the density of the bound over time, or over the share of masks."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results.statistics.pooled import pool
from bench.results.suite_record import Record
from reports.figures.style import FAINT, draw_lines, save
from reports.tables.arms import describe_missing, split_arms

WIDTHS = {"masked": "share of positions that are masked", "t": "time t, from text to noise"}
ROOM = 64  # characters that stand beside each other in the names of the lines
COLUMNS = ["arm", "method", "along", "low", "high", "middle", "value", "standard_error", "seeds", "nats_per_token"]


def trace_spent(record: Record) -> pd.DataFrame:
    """A row for each arm and bin: nats per token per unit of what they lie along, the mean over the seeds with one
    standard error over seeds and documents, and the nats of the bin, which add up to the integral of the bound."""
    found = []
    blank: dict[str, Any] = {"tokens": 0, "monte_carlo_error": 0.0, "kind": "", "protocol": "", "status": "done"}
    of_arms = record.profiles[record.profiles["arm"].isin(list(split_arms(record)))]
    for _, rows in of_arms.groupby(["arm", "along", "low", "high"], sort=False):
        place = rows[["arm", "method", "along", "low", "high"]].iloc[0].to_dict()
        number, width = pool(rows.assign(**blank)), place["high"] - place["low"]
        assert number, f"the profile of {place['arm']} holds no number"
        shared = number.sampling if number.seeds > 1 else 0.0  # the seeds met the same documents and the same noise
        error = math.hypot(number.error, shared)
        place |= {"middle": place["low"] + width / 2, "value": number.value, "standard_error": error}
        found.append(place | {"seeds": number.seeds, "nats_per_token": number.value * width})
    return pd.DataFrame(found, columns=COLUMNS)


def draw_panel(axes: Axes, bins: pd.DataFrame, along: str, room: int) -> None:
    """One line an arm through the middles of its bins, and below what each is: side by side where the names leave room
    on a line of so many characters."""
    draw_lines(axes, bins, "middle", "value", size=5)
    arms = [str(arm) for arm in bins["arm"].unique()]
    columns = 2 if 2 * max(map(len, arms)) <= room else 1
    style: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": 9, "handlelength": 3.2}
    lines = axes.get_lines()
    assert len(lines) == len(arms), (len(lines), arms)
    axes.legend(lines, arms, loc="upper center", bbox_to_anchor=(0.5, -0.16), **style)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel(WIDTHS[along])
    axes.set_ylabel("")
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def draw(spent: pd.DataFrame) -> Figure:
    """A panel for what was counted in masks, and one for what was drawn over time; their heights can be compared."""
    shown = [along for along in WIDTHS if (spent["along"] == along).any()]
    figure = Figure(figsize=(7.2, 3.8))
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.14})[0]
    for axes, along in zip(panels, shown, strict=True):
        draw_panel(axes, spent[spent["along"] == along], along, ROOM // len(shown))
    panels[0].set_ylim(bottom=min(0.0, (spent["value"] - spent["standard_error"].fillna(0.0)).min()))
    panels[0].set_ylabel("nats per token, per unit of the axis")
    return figure


def plot_spent(record: Record, folder: Path) -> list[Path]:
    """The paths of spent.svg, .png, .pdf and .csv; none where no profile was recorded."""
    spent = trace_spent(record)
    return [] if spent.empty else save("spent", folder, lambda: draw(spent), spent, describe_missing(record, "bound"))
