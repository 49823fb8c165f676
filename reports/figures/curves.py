"""Learning curves: validation against training tokens, FLOPs and seconds."""

import math
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from bench.results.statistics.pooled import LIKELIHOODS, pool
from bench.results.suite_record import SuiteRecord
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, NAME_WIDTH, LineEnd, draw_labels, draw_lines, save
from reports.tables.arms import choose_score, describe_missing, join_names, split_arms
from reports.tables.main_table import find_references, name_references

COLUMNS = ["arm", "method", "kind", "tokens", "bits", "standard_error", "seeds", "flops", "seconds"]
X_LABELS = {"tokens": "training tokens", "flops": "training FLOPs", "seconds": "training seconds"}
AXIS_WIDTH = 46  # characters in a line of an axis label
MOST_LABELS = 14  # curves whose names fit beside them
LEGEND_GAP = 0.55  # inches for the tick labels and the axis label above a legend


def tabulate_curves(record: SuiteRecord) -> pd.DataFrame:
    """Tabulate validation by training tokens: a row per arm and point.

    Scores are in bits per token with one standard error; FLOPs and seconds of training are nan if not recorded.
    """
    points = []
    for label, rows in split_arms(record).items():
        valid = rows[(rows["stage"] == "train") & (rows["metric"] == "nats_per_token") & (rows["split"] == "valid")]
        kind = find_kind(rows, choose_score(record)[0])
        flops = compute_token_flops(rows)
        for _, group in valid.groupby("tokens"):
            tokens = int(group["tokens"].iloc[0])
            if estimate := pool(group):
                points.append(
                    {
                        "arm": label,
                        "method": rows["method"].iloc[0],
                        "kind": kind,
                        "tokens": tokens,
                        "bits": estimate.value / math.log(2),
                        "standard_error": estimate.error / math.log(2),
                        "seeds": estimate.seeds,
                        "flops": flops * tokens,
                        "seconds": group["seconds"].mean(),
                    }
                )
    return pd.DataFrame(points, columns=COLUMNS)


def find_kind(rows: pd.DataFrame, metric: str) -> str:
    """Whether an arm's score is "exact", a "likelihood" without a certificate, or a "bound"; "" if it has none."""
    kinds = set(rows["kind"][rows["metric"] == metric])
    if not kinds:
        return ""
    if kinds <= set(LIKELIHOODS):
        return "exact" if kinds == {"exact"} else "likelihood"
    return "bound"


def compute_token_flops(rows: pd.DataFrame) -> float:
    """Training FLOPs per token, which all steps of an arm share; nan if not recorded."""
    flops = rows[(rows["stage"] == "train") & (rows["metric"] == "flops")]
    return float((flops["value"] / flops["tokens"]).mean())


def label_axis(record: SuiteRecord, curves: pd.DataFrame) -> str:
    """The unit, and which scores are exact or bounds: "bits per character (AR exact, others bounds)"."""
    words = {"exact": "exact", "likelihood": "likelihood without a certificate"}
    arms = {kind: list(dict.fromkeys(curves["arm"][curves["kind"] == kind])) for kind in words}
    kinds = [f"{join_names(arms[kind])} {words[kind]}" for kind in words if arms[kind]]
    if (curves["kind"] == "bound").any():
        kinds.append("others bounds" if kinds else "bounds")
    return choose_score(record)[1] + (f" ({', '.join(kinds)})" if kinds else "")


def draw_references(axes: Axes, record: SuiteRecord) -> list[LineEnd]:
    """Draw dotted lines at the unigram and the source's entropy, if known, and return where they end."""
    ends, labels = [], name_references(record)
    for name, nats in find_references(record).items():
        if name in ("unigram", "entropy of the source"):
            bits = nats.value / math.log(2)
            axes.axhline(bits, color=FAINT, linewidth=1, linestyle=":", zorder=1)
            ends.append(LineEnd(labels[name], axes.get_xlim()[1], bits))
    return ends


def find_ends(curves: pd.DataFrame) -> list[LineEnd]:
    """The end of each curve, named by its arm and kind."""
    ends = []
    for point in curves.groupby("arm", sort=False).tail(1).to_dict("records"):
        kind = f" ({point['kind']})" if point["kind"] else ""
        ends.append(LineEnd(f"{point['arm']}{kind}", point["tokens"], point["bits"]))
    return ends


def name_lines(axes: Axes, ends: Sequence[LineEnd], references: Sequence[LineEnd]) -> None:
    """Name all lines at their right ends, or the curves in a legend below if there are many."""
    if len(ends) <= MOST_LABELS:
        draw_labels(axes, [*ends, *references])
        return

    draw_labels(axes, references)
    names = [fill(end.name, 2 * NAME_WIDTH) for end in ends]
    bottom = axes.figure.subplotpars.bottom - LEGEND_GAP / axes.figure.bbox.height * axes.figure.dpi
    axes.figure.legend(
        axes.get_lines()[: len(ends)],
        names,
        loc="upper center",
        bbox_to_anchor=(0.5, bottom),
        ncols=2 if max(len(end.name) for end in ends) > 24 else 3,
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )


def draw_curves(record: SuiteRecord, curves: pd.DataFrame) -> Figure:
    """Draw validation against tokens, and below against FLOPs and seconds; a sentence if nothing was validated."""
    costs = [x for x in ("flops", "seconds") if curves[x].notna().any()]
    figure = Figure(figsize=(7.2, 7.2 if costs else 4.2))
    if curves.empty:
        axes = figure.add_subplot()
        axes.text(0.5, 0.5, "No validation was recorded.", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return figure

    heights = [4, 2.4] if costs else [4]
    rows = figure.add_gridspec(len(heights), 1, height_ratios=heights, hspace=0.3)
    axes = figure.add_subplot(rows[0])
    draw_lines(axes, curves)
    name_lines(axes, find_ends(curves), draw_references(axes, record))
    finish_axes(axes, "tokens", label_axis(record, curves))

    for column, x in enumerate(costs):
        panel = figure.add_subplot(rows[1].subgridspec(1, len(costs), wspace=0.12)[column], sharey=axes)
        without_bands = curves.dropna(subset=[x]).assign(standard_error=math.nan)
        draw_lines(panel, without_bands, x, size=4)
        draw_references(panel, record)
        finish_axes(panel, x, choose_score(record)[1] if column == 0 else "")
        panel.tick_params(labelleft=column == 0)
    return figure


def finish_axes(axes: Axes, x: str, y_label: str) -> None:
    """Label both axes, format ticks, and add a faint grid."""
    axes.set_xlabel(X_LABELS[x])
    axes.set_ylabel(fill(y_label, AXIS_WIDTH))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}") if x == "seconds" else EngFormatter(sep=""))
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def plot_curves(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write curves.svg, .png, .pdf and .csv, and return their paths; equal records give equal bytes."""
    curves = tabulate_curves(record)
    missing = describe_missing(record, "train")
    return save("curves", folder, lambda table: draw_curves(record, table), curves, number_labels(record), missing)
