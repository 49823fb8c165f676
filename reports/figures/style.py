"""The figures of a record, each as SVG, PNG and PDF with its numbers as CSV beside; one look a method everywhere."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, StrMethodFormatter
from matplotlib.transforms import BboxBase

from bench.results.statistics.pooled import pool
from bench.results.suite_record import Record
from reports.tables.arms import name_holes, name_some, split_arms
from reports.tables.main import find_references, find_score

INK, FAINT = "#1d2026", "#808080"  # no black: SVG leaves black out, and the page could not turn it
SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it is found, read aloud and takes the page's colour
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a label may hold a dollar
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), FAINT),
    "axes.linewidth": 0.8,
    "font.size": 10,
}
SAVING: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None, "Creator": None}, "transparent": True},
    "png": {"metadata": {"Software": None}, "dpi": 200},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
}
CURVES = ["arm", "method", "kind", "tokens", "bits", "standard_error", "seeds", "flops", "seconds"]
WIDTHS = {"tokens": "training tokens", "flops": "training FLOPs", "seconds": "seconds of training"}
LABEL = 46  # characters of a line of the title of an axis
HOLES = 96  # characters of a line of what a figure lacks
CROWD = 14  # names of curves that have room beside them
BELOW = 0.55  # inches of the numbers and the title of an axis
DASHES: tuple[tuple[float, ...] | str, ...] = ("", (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))  # arms that share a colour
FILLS: tuple[Literal["full", "none", "left", "top"], ...] = ("full", "none", "left", "top")  # and of those, a dash too
NAME = 44  # characters of a line of a name beside a curve
STYLE = (
    ".figure{color:#1d2026}.figure text{font-family:system-ui,sans-serif!important}"
    "@media(prefers-color-scheme:dark){.figure{color:#e7e5e0}}"
)


@dataclass(frozen=True)
class Look:
    """How a method is drawn: the colour (Okabe and Ito's, safe for the colour-blind), a marker, and it as a letter."""

    colour: str
    marker: str
    glyph: str


OTHER = Look(FAINT, "h", "⬢")
LOOKS = {
    "ar": Look(INK, "o", "●"),
    "mdlm": Look("#0072B2", "s", "■"),
    "md4": Look("#D55E00", "^", "▲"),
    "genmd4": Look("#E69F00", "v", "▼"),
    "d3pm-absorb": Look("#56B4E9", "D", "◆"),
    "d3pm-uniform": Look("#56B4E9", "<", "◀"),
    "sedd-absorb": Look("#009E73", "P", "✚"),
    "sedd-uniform": Look("#009E73", "X", "✖"),
    "gidd": Look("#CC79A7", "*", "★"),
    "udlm": Look("#CC79A7", ">", "▶"),
    "plaid": Look("#999933", "p", "⬟"),
}


def look(method: str) -> Look:
    """The look of a registered method; methods of plug-ins share one."""
    return LOOKS.get(method, OTHER)


def trace_curves(record: Record) -> pd.DataFrame:
    """Validation by training tokens, a row per arm and point: bits per token with one standard error, seeds, kind, and
    what training had cost by then, nan where that was not recorded."""
    points = []
    for label, rows in split_arms(record).items():
        valid = rows[(rows["stage"] == "train") & (rows["metric"] == "nats_per_token") & (rows["split"] == "valid")]
        scores = set(rows["kind"][rows["metric"] == find_score(record)[0]])
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
    claims = [f"{name_some(exact)} exact"] * bool(exact) + ["others bounds" if exact else "bounds"] * bool(has_bounds)
    return find_score(record)[1] + (f" ({', '.join(claims)})" if claims else "")


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """The heights moved as little as needed to stand at least `gap` apart."""
    order = np.argsort(heights, kind="stable")
    placed = np.asarray(heights, dtype=float)[order]
    for _ in range(100):
        for low in range(len(placed) - 1):
            push = max(0.0, gap - (placed[low + 1] - placed[low])) / 2
            placed[low] -= push
            placed[low + 1] += push
    return [float(placed[place]) for place in np.argsort(order)]


def take_turns(curves: pd.DataFrame) -> dict[str, int]:
    """How many arms before each have its colour."""
    arms = curves.drop_duplicates("arm")
    turns = arms.groupby(arms["method"].map(lambda method: look(method).colour)).cumcount()
    return {str(arm): int(turn) for arm, turn in zip(arms["arm"], turns, strict=True)}


def choose_dashes(curves: pd.DataFrame) -> dict[str, tuple[float, ...] | str]:
    """A dash pattern for each arm: solid for the first of a colour, other patterns for the next."""
    return {arm: DASHES[turn % len(DASHES)] for arm, turn in take_turns(curves).items()}


def draw_lines(axes: Axes, curves: pd.DataFrame, x: str = "tokens", y: str = "bits", size: float = 6) -> None:
    """One line an arm, with a band of one standard error where there is one."""
    dashes, turns = choose_dashes(curves), take_turns(curves)
    for arm, line in curves.groupby("arm", sort=False):
        style, pattern = look(str(line["method"].iloc[0])), dashes[str(arm)]
        filling = FILLS[turns[str(arm)] // len(DASHES) % len(FILLS)]
        settings: dict[str, Any] = {"marker": style.marker, "markersize": size, "fillstyle": filling}
        settings |= {"markeredgewidth": 0.9 * (filling != "full"), "markerfacecoloralt": "none"}
        axes.plot(line[x], line[y], color=style.colour, dashes=pattern or (None, None), **settings)
        known = line[line["standard_error"].notna()]
        low, high = known[y] - known["standard_error"], known[y] + known["standard_error"]
        axes.fill_between(known[x], low, high, color=style.colour, alpha=0.18, linewidth=0)


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


def draw_labels(axes: Axes, ends: dict[str, tuple[float, float]]) -> None:
    """The name of each line at its right end, kept apart from its neighbours."""
    low, high = axes.get_ylim()
    names = [fill(name, NAME) for name in ends]
    lines = max((name.count("\n") + 1 for name in names), default=1)
    heights = spread([height for _, height in ends.values()], gap=(high - low) * 0.06 * lines)
    leader = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 2, "shrinkB": 3, "relpos": (0, 0.5)}
    for name, end, height in zip(names, ends.values(), heights, strict=True):
        place = (1.03, height)  # the width of the axes, and data
        across = axes.get_yaxis_transform()
        axes.annotate(name, end, place, textcoords=across, va="center", arrowprops=leader, annotation_clip=False)


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
        finish(below, x, "" if place else find_score(record)[1])
        below.tick_params(labelleft=place == 0)
    return figure


def finish(axes: Axes, x: str, y: str) -> None:
    """The titles of both axes, numbers as people write them, and a quiet grid."""
    axes.set_xlabel(WIDTHS[x])
    axes.set_ylabel(fill(y, LABEL))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}") if x == "seconds" else EngFormatter(sep=""))
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def adapt(svg: str) -> str:
    """The SVG with its ink in the reader's colour, light or dark."""
    svg = svg.replace("<svg ", '<svg class="figure" ', 1).replace(f": {INK}", ": currentColor")
    return svg.replace("</style>", STYLE + "</style>", 1)


def settle(figure: Figure) -> BboxBase:
    """Lays the figure out once for all formats: what is drawn of it, with a margin, in inches."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure.get_tightbbox().padded(0.1)


def save(name: str, folder: Path, draw: Callable[[], Figure], numbers: pd.DataFrame, holes: str = "") -> list[Path]:
    """The paths of a figure as .svg, .png and .pdf and of its numbers as .csv; equal figures give equal bytes.

    `holes` names above it what it lacks.
    """
    paths = {ending: folder / f"{name}.{ending}" for ending in (*SAVING, "csv")}
    with mpl.rc_context():
        mpl.rcdefaults()  # whatever the user's matplotlibrc says
        mpl.rcParams.update(SETTINGS | {"svg.hashsalt": name})  # the figures of a page share no ids
        figure = draw()
        if holes:
            figure.text(0.02, 1.0, fill(holes, HOLES), va="bottom", fontsize=9)
        frame = settle(figure)
        for ending, options in SAVING.items():
            figure.savefig(paths[ending], format=ending, bbox_inches=frame, **options)
    paths["svg"].write_text(adapt(paths["svg"].read_text("utf-8")), encoding="utf-8", newline="\n")
    numbers.to_csv(paths["csv"], index=False, lineterminator="\n")
    return list(paths.values())


def plot_curves(record: Record, folder: Path) -> list[Path]:
    """The paths of curves.svg, .png, .pdf and .csv written to the folder; the same record gives the same bytes."""
    curves = trace_curves(record)
    return save("curves", folder, lambda: draw_curves(record, curves), curves, name_holes(record, "train"))
