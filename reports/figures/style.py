"""The figures of a record, each as SVG, PNG and PDF with its numbers as CSV beside; one look a method everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase

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
HOLES = 96  # characters of a line of what a figure lacks
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
