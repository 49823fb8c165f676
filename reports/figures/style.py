"""The style that all figures share, and how they are saved: as SVG, PNG and PDF, with their numbers as CSV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase

from reports.figures.labels import NUMBERED, FigureLabels

INK, FAINT = "#1d2026", "#808080"  # not black: SVG omits black, so the page could not recolor it
RC_PARAMS: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: searchable, readable aloud, and in the page's color
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a label may contain a dollar sign
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), FAINT),
    "axes.linewidth": 0.8,
    "font.size": 10,
}
FORMATS: dict[str, dict[str, Any]] = {
    "svg": {"metadata": {"Date": None, "Creator": None}, "transparent": True},
    "png": {"metadata": {"Software": None}, "dpi": 200},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
}
NOTE_WIDTH = 96  # characters in a line of the note above a figure
NAME_WIDTH = 44  # characters in a line of a name beside a curve
DASHES: tuple[tuple[float, ...] | str, ...] = ("", (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))  # arms of one color
FILLS: tuple[Literal["full", "none", "left", "top"], ...] = ("full", "none", "left", "top")  # and of one dash, too
PAGE_STYLE = (
    ".figure{color:#1d2026}.figure text{font-family:system-ui,sans-serif!important}"
    "@media(prefers-color-scheme:dark){.figure{color:#e7e5e0}}"
)


@dataclass(frozen=True)
class MethodStyle:
    """The color (Okabe and Ito's palette, safe for color blindness) and marker of a method, also as a character."""

    color: str
    marker: str
    glyph: str


OTHER = MethodStyle(FAINT, "h", "⬢")
STYLES = {
    "ar": MethodStyle(INK, "o", "●"),
    "mdlm": MethodStyle("#0072B2", "s", "■"),
    "md4": MethodStyle("#D55E00", "^", "▲"),
    "genmd4": MethodStyle("#E69F00", "v", "▼"),
    "d3pm-absorb": MethodStyle("#56B4E9", "D", "◆"),
    "d3pm-uniform": MethodStyle("#56B4E9", "<", "◀"),
    "sedd-absorb": MethodStyle("#009E73", "P", "✚"),
    "sedd-uniform": MethodStyle("#009E73", "X", "✖"),
    "gidd": MethodStyle("#CC79A7", "*", "★"),
    "udlm": MethodStyle("#CC79A7", ">", "▶"),
    "plaid": MethodStyle("#999933", "p", "⬟"),
}


def find_style(method: str) -> MethodStyle:
    """The style of a registered method; all plug-ins share one."""
    return STYLES.get(method, OTHER)


def count_color_repeats(curves: pd.DataFrame) -> dict[str, int]:
    """For each arm, the number of earlier arms of the same color."""
    arms = curves.drop_duplicates("arm")
    colors = arms["method"].map(lambda method: find_style(method).color)
    repeats = arms.groupby(colors).cumcount()
    return {str(arm): int(repeat) for arm, repeat in zip(arms["arm"], repeats, strict=True)}


def choose_dashes(curves: pd.DataFrame) -> dict[str, tuple[float, ...] | str]:
    """The dash pattern of each arm: solid for the first arm of a color, other patterns for later ones."""
    return {arm: DASHES[repeat % len(DASHES)] for arm, repeat in count_color_repeats(curves).items()}


def draw_lines(axes: Axes, curves: pd.DataFrame, x: str = "tokens", y: str = "bits", size: float = 6) -> None:
    """Draw one line per arm, with a band of one standard error if it is known."""
    dashes, repeats = choose_dashes(curves), count_color_repeats(curves)
    for arm, line in curves.groupby("arm", sort=False):
        style, dash = find_style(str(line["method"].iloc[0])), dashes[str(arm)]
        fillstyle = FILLS[repeats[str(arm)] // len(DASHES) % len(FILLS)]
        axes.plot(
            line[x],
            line[y],
            color=style.color,
            dashes=dash or (None, None),
            marker=style.marker,
            markersize=size,
            fillstyle=fillstyle,
            markeredgewidth=0 if fillstyle == "full" else 0.9,
            markerfacecoloralt="none",
        )

        band = line[line["standard_error"].notna()]
        low, high = band[y] - band["standard_error"], band[y] + band["standard_error"]
        axes.fill_between(band[x], low, high, color=style.color, alpha=0.18, linewidth=0)


def separate(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights as little as needed to stand at least `gap` apart."""
    order = np.argsort(heights, kind="stable")
    moved = np.asarray(heights, dtype=float)[order]
    for _ in range(100):
        for low in range(len(moved) - 1):
            push = max(0.0, gap - (moved[low + 1] - moved[low])) / 2
            moved[low] -= push
            moved[low + 1] += push
    return [float(moved[rank]) for rank in np.argsort(order)]


@dataclass(frozen=True)
class LineEnd:
    """The name of a line and its last point, in data coordinates."""

    name: str
    x: float
    y: float


def draw_labels(axes: Axes, ends: Sequence[LineEnd]) -> None:
    """Write the name of each line at its right end, kept apart from its neighbors."""
    low, high = axes.get_ylim()
    names = [fill(end.name, NAME_WIDTH) for end in ends]
    line_count = max((name.count("\n") + 1 for name in names), default=1)
    heights = separate([end.y for end in ends], gap=(high - low) * 0.06 * line_count)
    leader = {"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkA": 2, "shrinkB": 3, "relpos": (0, 0.5)}
    for name, end, height in zip(names, ends, heights, strict=True):
        axes.annotate(
            name,
            (end.x, end.y),
            (1.03, height),  # in widths of the axes, and in data coordinates
            textcoords=axes.get_yaxis_transform(),
            va="center",
            arrowprops=leader,
            annotation_clip=False,
        )


def use_page_colors(svg: str) -> str:
    """Draw the SVG's ink in the reader's text color, light or dark."""
    svg = svg.replace("<svg ", '<svg class="figure" ', 1).replace(f": {INK}", ": currentColor")
    return svg.replace("</style>", PAGE_STYLE + "</style>", 1)


def freeze_layout(figure: Figure) -> BboxBase:
    """Lay the figure out once for all formats, and return its bounding box with a margin, in inches."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure.get_tightbbox().padded(0.1)


def save(
    name: str,
    folder: Path,
    draw: Callable[[pd.DataFrame], Figure],
    numbers: pd.DataFrame,
    labels: FigureLabels,
    missing: str = "",
) -> list[Path]:
    """Draw a figure from its numbers and return its paths: .svg, .png, .pdf, and the numbers as .csv.

    `missing` is a sentence above the figure about arms that it lacks. Equal figures give equal bytes.
    """
    drawn = labels.rewrite_table(numbers)
    note = labels.rewrite(missing)
    if note != missing or not drawn.equals(numbers):
        note = f"{note} {NUMBERED}".strip()

    paths = {ending: folder / f"{name}.{ending}" for ending in (*FORMATS, "csv")}
    with mpl.rc_context():
        mpl.rcdefaults()  # ignore the user's matplotlibrc
        mpl.rcParams.update(cast("Any", RC_PARAMS))
        mpl.rcParams["svg.hashsalt"] = name  # no two figures of a page share ids
        mpl.rcParams["font.family"] = list(labels.families)
        figure = draw(drawn)
        if note:
            figure.text(0.02, 1.0, fill(note, NOTE_WIDTH), va="bottom", fontsize=9)
        box = freeze_layout(figure)
        for ending, options in FORMATS.items():
            figure.savefig(paths[ending], format=ending, bbox_inches=box, **options)

    paths["svg"].write_text(use_page_colors(paths["svg"].read_text("utf-8")), encoding="utf-8", newline="\n")
    numbers.to_csv(paths["csv"], index=False, lineterminator="\n")
    return list(paths.values())
