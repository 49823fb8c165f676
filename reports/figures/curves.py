"""The figure of learning curves: validation against training tokens, FLOPs and seconds."""

import math
from pathlib import Path
from textwrap import fill
from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, StrMethodFormatter

from bench.results.statistics.pooled import pool
from bench.results.suite_record import Record
from reports.figures.style import FAINT, NAME, draw_labels, draw_lines, save
from reports.tables.arms import choose_score, describe_missing, join_names, split_arms
from reports.tables.main import find_references

CURVES = ["arm", "method", "kind", "tokens", "bits", "standard_error", "seeds", "flops", "seconds"]

WIDTHS = {"tokens": "training tokens", "flops": "training FLOPs", "seconds": "seconds of training"}

LABEL = 46  # characters of a line of the title of an axis

CROWD = 14  # names of curves that have room beside them

BELOW = 0.55  # inches of the numbers and the title of an axis


def trace_curves(record: Record) -> pd.DataFrame:
    """Validation by training tokens, a row per arm and point: bits per token with one standard error, seeds, kind, and
    what training had cost by then, nan where that was not recorded."""
    points = []
    for label, rows in split_arms(record).items():
        valid = rows[(rows["stage"] == "train") & (rows["metric"] == "nats_per_token") & (rows["split"] == "valid")]
        scores = set(rows["kind"][rows["metric"] == choose_score(record)[0]])
        kind = "exact" if scores == {"exact"} else "bound" if scores else ""
        each = price_token(rows)
        for _, group in valid.groupby("tokens"):
            tokens = int(group["tokens"].iloc[0])
            if found := pool(group):
                bits, error = found.value / math.log(2), found.error / math.log(2)
                facts = {"arm": label, "method": rows["method"].iloc[0], "kind": kind, "tokens": tokens}
                facts |= {"bits": bits, "standard_error": error, "seeds": found.seeds}
                points.append(facts | {"flops": each * tokens, "seconds": group["seconds"].mean()})
    return pd.DataFrame(points, columns=CURVES)


def price_token(rows: pd.DataFrame) -> float:
    """The FLOPs of training that an arm spends on each token, of which every step takes the same; nan if unknown."""
    spent = rows[(rows["stage"] == "train") & (rows["metric"] == "flops")]
    return float((spent["value"] / spent["tokens"]).mean())


def label_axis(record: Record, curves: pd.DataFrame) -> str:
    """The unit with what is exact and what is a bound: "bits per character (AR exact, others bounds)"."""
    exact = list(dict.fromkeys(curves["arm"][curves["kind"] == "exact"]))
    has_bounds = (curves["kind"] == "bound").any()
    claims = [f"{join_names(exact)} exact"] * bool(exact) + ["others bounds" if exact else "bounds"] * bool(has_bounds)
    return choose_score(record)[1] + (f" ({', '.join(claims)})" if claims else "")


def draw_references(axes: Axes, record: Record) -> dict[str, tuple[float, float]]:
    """A dotted line at the unigram and at the source's entropy, where they are known; where each line ends."""
    ends = {}
    for name, nats in find_references(record).items():
        if name in ("unigram", "entropy of the source"):
            ends[name] = (axes.get_xlim()[1], nats.value / math.log(2))
            axes.axhline(ends[name][1], color=FAINT, linewidth=1, linestyle=":", zorder=1)
    return ends


def find_ends(curves: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Where each curve ends, by its arm with what kind of number it is."""
    ends = {}
    for last in curves.groupby("arm", sort=False).tail(1).to_dict("records"):
        kind = f" ({last['kind']})" if last["kind"] else ""
        ends[f"{last['arm']}{kind}"] = (last["tokens"], last["bits"])
    return ends


def name_lines(axes: Axes, ends: dict[str, tuple[float, float]], references: dict[str, tuple[float, float]]) -> None:
    """The names of all lines at their right ends; those of many curves in a legend below the figure."""
    is_crowd = len(ends) > CROWD
    draw_labels(axes, references if is_crowd else ends | references)
    if not is_crowd:
        return
    columns = 2 if max(map(len, ends)) > 24 else 3
    style: dict[str, Any] = {"ncols": columns, "frameon": False, "fontsize": 9, "handlelength": 3.2}
    lines, names = axes.get_lines()[: len(ends)], [fill(name, 2 * NAME) for name in ends]
    bottom = axes.figure.subplotpars.bottom - BELOW / axes.figure.bbox.height * axes.figure.dpi
    axes.figure.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, bottom), **style)


def draw_curves(record: Record, curves: pd.DataFrame) -> Figure:
    """Learning curves with the lines that need no network; a sentence where nothing was validated."""
    costs = [x for x in ("flops", "seconds") if curves[x].notna().any()]
    figure = Figure(figsize=(7.2, 7.2 if costs else 4.2))
    if curves.empty:
        axes = figure.add_subplot()
        axes.text(0.5, 0.5, "No validation was recorded.", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return figure
    rows = figure.add_gridspec(1 + bool(costs), 1, height_ratios=[4, 2.4][: 1 + bool(costs)], hspace=0.3)
    axes = figure.add_subplot(rows[0])
    draw_lines(axes, curves)
    name_lines(axes, find_ends(curves), draw_references(axes, record))
    finish(axes, "tokens", label_axis(record, curves))
    for place, x in enumerate(costs):
        below = figure.add_subplot(rows[1].subgridspec(1, len(costs), wspace=0.12)[place], sharey=axes)
        draw_lines(below, curves.dropna(subset=[x]).assign(standard_error=math.nan), x, size=4)  # bands are above
        draw_references(below, record)
        finish(below, x, "" if place else choose_score(record)[1])
        below.tick_params(labelleft=place == 0)
    return figure


def finish(axes: Axes, x: str, y: str) -> None:
    """The titles of both axes, numbers as people write them, and a quiet grid."""
    axes.set_xlabel(WIDTHS[x])
    axes.set_ylabel(fill(y, LABEL))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}") if x == "seconds" else EngFormatter(sep=""))
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def plot_curves(record: Record, folder: Path) -> list[Path]:
    """The paths of curves.svg, .png, .pdf and .csv written to the folder; the same record gives the same bytes."""
    curves = trace_curves(record)
    return save("curves", folder, lambda: draw_curves(record, curves), curves, describe_missing(record, "train"))
