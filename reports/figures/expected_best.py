"""The figure of tuning: how good the best of k trials is expected to be."""

from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.engine.metric import METRICS
from bench.results.statistics.expected_best import expect_best, spread_best
from bench.results.suite_record import Record
from reports.figures.style import FAINT, choose_dashes, draw_labels, look, save
from reports.tables.arms import split_arms


def list_scores(tuned: Any) -> list[float]:
    """The scores of all trials of an arm; one that failed counts as the worst of those that did not."""
    scores = [each["score"] for each in tuned["tried"]]
    there = [score for score in scores if score is not None]
    return [max(there) if score is None else score for score in scores] if there else []


def trace_best(record: Record) -> pd.DataFrame:
    """A row per arm and k = 1, ..., n: the expected best of k trials, and its standard deviation."""
    methods = {label: str(rows["method"].iloc[0]) for label, rows in split_arms(record).items()}
    points = []
    for label, tuned in record.tuning.get("arms", {}).items():
        scores = list_scores(tuned)
        for k in range(1, len(scores) + 1):
            told = {"arm": label, "method": methods.get(label, ""), "k": k, "trials": len(scores)}
            points.append(told | {"expected": expect_best(scores, k), "deviation": spread_best(scores, k)})
    return pd.DataFrame(points, columns=["arm", "method", "k", "trials", "expected", "deviation"])


def draw_lines(axes: Axes, best: pd.DataFrame) -> None:
    """A line for each arm, with a band of one standard deviation."""
    dashes = choose_dashes(best)
    for arm, points in best.groupby("arm", sort=False):
        style, dash = look(str(points["method"].iloc[0])), dashes[str(arm)]
        line: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markeredgewidth": 0, "markersize": 6}
        axes.plot(points["k"], points["expected"], linestyle=(0, dash) if dash else "-", **line)
        low, high = points["expected"] - points["deviation"], points["expected"] + points["deviation"]
        low = low.clip(lower=points["expected"].min())  # no draw is better than the best trial
        axes.fill_between(points["k"], low, high, color=style.colour, alpha=0.15, linewidth=0)


def draw(best: pd.DataFrame, unit: str) -> Figure:
    """The expected best of k trials against k."""
    figure = Figure(figsize=(7.2, 4.2))
    axes = figure.add_subplot()
    draw_lines(axes, best)
    ends = best.groupby("arm", sort=False).tail(1).to_dict("records")
    draw_labels(axes, {str(end["arm"]): (float(end["k"]), float(end["expected"])) for end in ends})
    axes.set_xlabel("trials k")
    axes.set_ylabel(f"expected best of k, {unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)
    return figure


def plot_tuning(record: Record, folder: Path) -> list[Path]:
    """The paths of tuning.svg, .png, .pdf and .csv; none where nothing was tuned, or every trial failed."""
    best = trace_best(record)
    if best.empty:
        return []
    unit = f"{METRICS[record.tuning['metric']].subtitle} on {record.tuning['split']}"
    return save("tuning", folder, lambda: draw(best, unit), best)
