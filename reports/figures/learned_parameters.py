"""The figure of what methods learned for each token: a panel for each arm, its tokens in the order of their numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results.suite_record import Record
from reports.figures.style import FAINT, look, save
from reports.tables.arms import describe_missing

MOST = 72  # tokens that a panel has room for
ENDS = 20  # of more tokens these many are shown: the highest, and the lowest
GAP = 6  # the places that the others are left
DENSE = 40  # tokens beyond which two names of two signs would touch
ROW = ["arm", "method", "metric", "token"]


@dataclass(frozen=True)
class Meaning:
    """What the numbers of a metric say: where they started, and a line for the axis and for the page."""

    start: float
    axis: str
    sentence: str


MEANINGS = {
    "power": Meaning(
        start=1.0,
        axis="power (above 1: revealed earlier)",
        sentence="A token of power w is masked with probability t^w, w = 1 at the start: above 1 it is masked later in"
        " noising, that is revealed earlier in sampling.",
    )
}


def find_meaning(metric: str) -> Meaning:
    """What is known of a metric; of those of plug-ins nothing but the name."""
    return MEANINGS.get(metric) or Meaning(0.0, metric, f"The {metric} of each token, as training left it.")


def average(record: Record) -> pd.DataFrame:
    """A row per arm and token, in the order of the ids: the mean over the seeds, its standard error, the seeds."""
    found = record.learned.groupby(ROW, sort=False)["value"].agg(["mean", "sem", "count"])
    return found.set_axis(["value", "standard_error", "seeds"], axis="columns").reset_index()


def choose(tokens: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The tokens to show from the highest to the lowest, each at its `place`, and how many between them are not."""
    ordered = tokens.sort_values("value", ascending=False, kind="stable")
    left = len(ordered) - 2 * ENDS if len(ordered) > MOST else 0
    if left:
        ordered = pd.concat([ordered.head(ENDS), ordered.tail(ENDS)])
    places = np.arange(len(ordered), dtype=float)
    return ordered.assign(place=places + GAP * ((places >= ENDS) & (left > 0))), left


def draw_names(axes: Axes, shown: pd.DataFrame) -> None:
    """The name of each token below its place: words upright, and signs on two lines where there are many."""
    is_long = shown["token"].str.len().max() > 2
    lines = 2 if len(shown) > DENSE and not is_long else 1
    names = ["\n" * (place % lines) + name for place, name in enumerate(shown["token"])]
    axes.set_xticks(shown["place"], names, rotation=90 if is_long else 0, fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-1, shown["place"].max() + 1)


def draw_dots(axes: Axes, shown: pd.DataFrame, start: float) -> None:
    """A dot for each token on a stem from where it started, with one standard error over the seeds."""
    style, errors = look(shown["method"].iloc[0]), shown["standard_error"] if shown["seeds"].max() > 1 else None
    axes.axhline(start, color=FAINT, linewidth=0.8, zorder=1)
    axes.vlines(shown["place"], start, shown["value"], color=style.colour, alpha=0.45, linewidth=1.2)
    axes.errorbar(
        shown["place"],
        shown["value"],
        errors,
        fmt=style.marker,
        color=style.colour,
        markersize=5,
        markeredgewidth=0,
        elinewidth=1.2,
    )


def draw_panel(axes: Axes, tokens: pd.DataFrame) -> None:
    """One arm: its tokens from the highest to the lowest, and how many are left out between them."""
    arm, metric, seeds = str(tokens["arm"].iloc[0]), str(tokens["metric"].iloc[0]), int(tokens["seeds"].max())
    meaning = find_meaning(metric)
    shown, left = choose(tokens)
    draw_dots(axes, shown, meaning.start)
    draw_names(axes, shown)
    if left:
        axes.text(ENDS + (GAP - 1) / 2, meaning.start, f"{left:,}\nbetween", ha="center", va="center", fontsize=8)
    axes.set_title(arm + f" (mean of {seeds} seeds)" * (seeds > 1), loc="left", fontsize=10)
    axes.set_ylabel(meaning.axis)
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes, bottom=True)


def draw(learned: pd.DataFrame) -> Figure:
    """A panel for each arm and metric, one below the other."""
    panels = [tokens for _, tokens in learned.groupby(["arm", "metric"], sort=False)]
    figure = Figure(figsize=(7.2, 3.2 * len(panels)))
    figure.set_layout_engine("constrained", hspace=0.08)
    is_one = learned["metric"].nunique() == 1
    for axes, tokens in zip(figure.subplots(len(panels), squeeze=False, sharey=is_one)[:, 0], panels, strict=True):
        draw_panel(axes, tokens)
    return figure


def explain(record: Record) -> str:
    """What the figure says, in a sentence for each metric."""
    return " ".join(find_meaning(metric).sentence for metric in record.learned["metric"].unique())


def plot_learned(record: Record, folder: Path) -> list[Path]:
    """The paths of learned.svg, .png, .pdf and .csv; none where no method learned a number for each token."""
    learned = average(record)
    return (
        []
        if learned.empty
        else save("learned", folder, lambda: draw(learned), learned, describe_missing(record, "train"))
    )
