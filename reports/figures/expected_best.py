"""The expected best of k tuning trials, against k (Dodge et al., "Show Your Work", arXiv:1909.03004)."""

from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.engine.metric_definitions import METRICS
from bench.results.statistics.expected_best import expected_best, expected_best_deviation
from bench.results.suite_record import SuiteRecord
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, LineEnd, choose_dashes, draw_labels, find_style, save
from reports.tables.arms import split_arms

COLUMNS = ["arm", "method", "k", "trials", "expected", "deviation"]


def list_scores(tuned_arm: Any) -> list[float]:
    """The scores of an arm's trials; a failed trial counts as the worst of the others. Empty if all failed."""
    scores = [trial["score"] for trial in tuned_arm["tried"]]
    valid = [score for score in scores if score is not None]
    return [max(valid) if score is None else score for score in scores] if valid else []


def tabulate_expected_best(record: SuiteRecord) -> pd.DataFrame:
    """Tabulate the expected best of k trials and its standard deviation, a row per arm and k = 1, ..., n."""
    methods = {label: str(rows["method"].iloc[0]) for label, rows in split_arms(record).items()}
    points = []
    for label, tuned_arm in record.tuning.get("arms", {}).items():
        scores = list_scores(tuned_arm)
        for k in range(1, len(scores) + 1):
            points.append(
                {
                    "arm": label,
                    "method": methods.get(label, ""),
                    "k": k,
                    "trials": len(scores),
                    "expected": expected_best(scores, k),
                    "deviation": expected_best_deviation(scores, k),
                }
            )
    return pd.DataFrame(points, columns=COLUMNS)


def draw_lines(axes: Axes, points: pd.DataFrame) -> None:
    """Draw a line for each arm, with a band of one standard deviation."""
    dashes = choose_dashes(points)
    for arm, line in points.groupby("arm", sort=False):
        style, dash = find_style(str(line["method"].iloc[0])), dashes[str(arm)]
        axes.plot(
            line["k"],
            line["expected"],
            color=style.color,
            linestyle=(0, dash) if dash else "-",
            marker=style.marker,
            markeredgewidth=0,
            markersize=6,
        )

        best_trial = line["expected"].min()
        low = (line["expected"] - line["deviation"]).clip(lower=best_trial)  # no draw beats the best trial
        high = line["expected"] + line["deviation"]
        axes.fill_between(line["k"], low, high, color=style.color, alpha=0.15, linewidth=0)


def draw_expected_best(points: pd.DataFrame, unit: str) -> Figure:
    """Draw the expected best of k trials against k."""
    figure = Figure(figsize=(7.2, 4.2))
    axes = figure.add_subplot()
    draw_lines(axes, points)
    last_points = points.groupby("arm", sort=False).tail(1).to_dict("records")
    draw_labels(axes, [LineEnd(str(end["arm"]), float(end["k"]), float(end["expected"])) for end in last_points])
    axes.set_xlabel("trials k")
    axes.set_ylabel(f"expected best of k, {unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)
    return figure


def plot_expected_best(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write tuning.svg, .png, .pdf and .csv, and return their paths; nothing if no trial succeeded."""
    points = tabulate_expected_best(record)
    if points.empty:
        return []
    unit = f"{METRICS[record.tuning['metric']].subtitle} on {record.tuning['split']}"
    return save("tuning", folder, lambda table: draw_expected_best(table, unit), points, number_labels(record))
