"""Where the bound spends its nats: the density of its integral over time, or over the share of masks."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results.statistics.pooled import pool
from bench.results.suite_record import SuiteRecord
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, draw_lines, save
from reports.tables.arms import describe_missing, split_arms

X_LABELS = {"masked": "share of masked positions", "t": "time t, from data to noise"}
LEGEND_WIDTH = 64  # characters of names that fit beside each other below the figure
COLUMNS = ["arm", "method", "along", "low", "high", "middle", "value", "standard_error", "seeds", "nats_per_token"]


def tabulate_density(record: SuiteRecord) -> pd.DataFrame:
    """Tabulate the density of the bound's integral, a row per arm and bin.

    Values are nats per token per unit of the axis: means over seeds, with one standard error over seeds and documents.
    The nats per token of all bins add up to the integral.
    """
    defaults: dict[str, Any] = {"tokens": 0, "monte_carlo_error": 0.0, "status": "done"}
    defaults |= dict.fromkeys(("kind", "protocol", "execution"), "")
    profiles = record.profiles[record.profiles["arm"].isin(list(split_arms(record)))]
    bins = []
    for _, rows in profiles.groupby(["arm", "along", "low", "high"], sort=False):
        bin_row = rows[["arm", "method", "along", "low", "high"]].iloc[0].to_dict()
        estimate, width = pool(rows.assign(**defaults)), bin_row["high"] - bin_row["low"]
        assert estimate, f"the density of {bin_row['arm']} has no value in the bin from {bin_row['low']}"

        shared_error = estimate.sampling if estimate.seeds > 1 else 0.0  # seeds share their documents and noise
        bins.append(
            {
                **bin_row,
                "middle": bin_row["low"] + width / 2,
                "value": estimate.value,
                "standard_error": math.hypot(estimate.error, shared_error),
                "seeds": estimate.seeds,
                "nats_per_token": estimate.value * width,
            }
        )
    return pd.DataFrame(bins, columns=COLUMNS)


def draw_panel(axes: Axes, bins: pd.DataFrame, along: str, legend_width: int) -> None:
    """Draw a line per arm through the middles of its bins, and a legend below: two columns if the names fit."""
    draw_lines(axes, bins, "middle", "value", size=5)
    arms = [str(arm) for arm in bins["arm"].unique()]
    lines = axes.get_lines()
    assert len(lines) == len(arms), (len(lines), arms)
    axes.legend(
        lines,
        arms,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2 if 2 * max(map(len, arms)) <= legend_width else 1,
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )

    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])
    axes.set_xlabel(X_LABELS[along])
    axes.set_ylabel("")
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def draw_density(bins: pd.DataFrame) -> Figure:
    """Draw a panel for arms whose masks were counted and one for arms measured over time, with one vertical scale."""
    axis_names = [along for along in X_LABELS if (bins["along"] == along).any()]
    figure = Figure(figsize=(7.2, 3.8))
    panels = figure.subplots(1, len(axis_names), sharey=True, squeeze=False, gridspec_kw={"wspace": 0.14})[0]
    for axes, along in zip(panels, axis_names, strict=True):
        draw_panel(axes, bins[bins["along"] == along], along, LEGEND_WIDTH // len(axis_names))
    panels[0].set_ylim(bottom=min(0.0, (bins["value"] - bins["standard_error"].fillna(0.0)).min()))
    panels[0].set_ylabel("nats per token, per unit of the axis")
    return figure


def plot_bound_density(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write spent.svg, .png, .pdf and .csv, and return their paths; nothing if no density was recorded."""
    bins = tabulate_density(record)
    if bins.empty:
        return []
    return save("spent", folder, draw_density, bins, number_labels(record), describe_missing(record, "bound"))
