"""What methods learned for each token: a panel for each arm, its tokens ordered by their values."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.results.suite_record import SuiteRecord
from reports.figures.labels import number_labels, spell
from reports.figures.style import FAINT, find_style, save
from reports.tables.arms import describe_missing

MOST_TOKENS = 72  # tokens that fit in a panel
END_TOKENS = 20  # of more tokens, the number shown at each end: the highest and the lowest
GAP = 6  # width of the gap for the tokens between the ends
MOST_ON_A_LINE = 40  # tokens of two characters whose names do not touch
KEYS = ["arm", "method", "metric", "token"]


@dataclass(frozen=True)
class Meaning:
    """What a metric means: its value before training, the label of its axis, and a sentence for the page."""

    start: float
    axis: str
    sentence: str


MEANINGS = {
    "power": Meaning(
        start=1.0,
        axis="power (above 1: revealed earlier)",
        sentence="A token of power w is masked with probability t^w, and w starts at 1. A token whose power is above 1"
        " is masked later in noising, so it is revealed earlier in sampling.",
    )
}


def find_meaning(metric: str) -> Meaning:
    """The meaning of a metric; for a plug-in's metric, only its name."""
    return MEANINGS.get(metric) or Meaning(0.0, metric, f"The {metric} of each token after training.")


def average_seeds(record: SuiteRecord) -> pd.DataFrame:
    """Average over seeds: a row per arm and token in the order of ids, with the standard error and number of seeds."""
    averages = record.learned.groupby(KEYS, sort=False)["value"].agg(["mean", "sem", "count"])
    return averages.set_axis(["value", "standard_error", "seeds"], axis="columns").reset_index()


def choose_tokens(tokens: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """The tokens to show from the highest to the lowest, each with its `place`, and the number of omitted tokens."""
    ordered = tokens.sort_values("value", ascending=False, kind="stable")
    if len(ordered) <= MOST_TOKENS:
        return ordered.assign(place=np.arange(len(ordered), dtype=float)), 0

    ends = pd.concat([ordered.head(END_TOKENS), ordered.tail(END_TOKENS)])
    places = np.arange(len(ends), dtype=float)
    return ends.assign(place=places + GAP * (places >= END_TOKENS)), len(ordered) - len(ends)


def draw_names(axes: Axes, shown: pd.DataFrame) -> None:
    """Write the name of each token below its place: long names vertically, many short ones on two lines."""
    tokens = [spell(token) for token in shown["token"]]
    is_long = max(map(len, tokens)) > 2
    lines = 2 if len(shown) > MOST_ON_A_LINE and not is_long else 1
    names = ["\n" * (place % lines) + token for place, token in enumerate(tokens)]
    axes.set_xticks(shown["place"], names, rotation=90 if is_long else 0, fontsize=8)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-1, shown["place"].max() + 1)


def draw_dots(axes: Axes, shown: pd.DataFrame, start: float) -> None:
    """Draw a dot for each token on a stem from its initial value, with one standard error over the seeds."""
    style = find_style(shown["method"].iloc[0])
    errors = shown["standard_error"] if shown["seeds"].max() > 1 else None
    axes.axhline(start, color=FAINT, linewidth=0.8, zorder=1)
    axes.vlines(shown["place"], start, shown["value"], color=style.color, alpha=0.45, linewidth=1.2)
    axes.errorbar(
        shown["place"],
        shown["value"],
        errors,
        fmt=style.marker,
        color=style.color,
        markersize=5,
        markeredgewidth=0,
        elinewidth=1.2,
    )


def draw_panel(axes: Axes, tokens: pd.DataFrame) -> None:
    """Draw one arm: its tokens from the highest to the lowest, and the number of omitted tokens between them."""
    arm, metric, seeds = str(tokens["arm"].iloc[0]), str(tokens["metric"].iloc[0]), int(tokens["seeds"].max())
    meaning = find_meaning(metric)
    shown, omitted = choose_tokens(tokens)
    draw_dots(axes, shown, meaning.start)
    draw_names(axes, shown)
    if omitted:
        middle = END_TOKENS + (GAP - 1) / 2
        axes.text(middle, meaning.start, f"{omitted:,}\nomitted", ha="center", va="center", fontsize=8)
    axes.set_title(f"{arm} (mean of {seeds} seeds)" if seeds > 1 else arm, loc="left", fontsize=10)
    axes.set_ylabel(meaning.axis)
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes, bottom=True)


def draw_learned(learned: pd.DataFrame) -> Figure:
    """Draw a panel for each arm and metric, one below the other."""
    panels = [tokens for _, tokens in learned.groupby(["arm", "metric"], sort=False)]
    figure = Figure(figsize=(7.2, 3.2 * len(panels)))
    figure.set_layout_engine("constrained", hspace=0.08)
    share_scale = learned["metric"].nunique() == 1
    all_axes = figure.subplots(len(panels), squeeze=False, sharey=share_scale)[:, 0]
    for axes, tokens in zip(all_axes, panels, strict=True):
        draw_panel(axes, tokens)
    return figure


def explain(record: SuiteRecord) -> str:
    """The meaning of the figure, a sentence for each metric."""
    return " ".join(find_meaning(metric).sentence for metric in record.learned["metric"].unique())


def plot_learned(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write learned.svg, .png, .pdf and .csv, and return their paths; nothing if no token has a learned value."""
    learned = average_seeds(record)
    if learned.empty:
        return []
    return save("learned", folder, draw_learned, learned, number_labels(record), describe_missing(record, "train"))
