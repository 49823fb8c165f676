"""Noise schedules: the signal left at each time, and the weight that the bound gives it."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from bench.results.suite_record import SuiteRecord
from methods.discrete.mixing import Mixing
from methods.method import Method
from methods.schedules import Schedule
from reports.figures.labels import number_labels
from reports.figures.style import FAINT, choose_dashes, find_style, save
from reports.tables.arms import build_methods, identify_schedule, split_arms

POINTS = 201  # of each line
MARKER_STEP = 40  # points between the markers of a line, which tell lines apart in grayscale
WEIGHT_RANGE = (0.1, 1000.0)  # of the axis; weights themselves reach infinity and 0
COLUMNS = ("arm", "method", "name", "arms", "t", "alpha", "weight")


def evaluate_schedule(method: Method, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """alpha(t), and -alpha'(t) / (1 - alpha(t)), the weight of a masked method's bound; nan for other methods."""
    schedule = getattr(method, "schedule", None)
    if not isinstance(schedule, Schedule):
        assert isinstance(method, Mixing), type(method)
        return method.mix(t)[0], torch.full_like(t, math.nan)
    is_masking = method.needs.extra_tokens == 1
    return schedule.alpha(t), schedule.weight(t) if is_masking else torch.full_like(t, math.nan)


def tabulate_schedules(record: SuiteRecord) -> pd.DataFrame:
    """Tabulate each distinct schedule over time, under its first arm; empty if all arms share one."""
    groups: dict[str, list[str]] = {}
    methods = build_methods(record)
    for arm, method in methods.items():
        if schedule := identify_schedule(method):
            groups.setdefault(schedule, []).append(arm)
    if len(groups) < 2:
        return pd.DataFrame(columns=list(COLUMNS))

    t = torch.linspace(0, 1, POINTS, dtype=torch.float64).clamp(1e-3, 1 - 1e-6)
    tables = []
    for arms in groups.values():
        alpha, weight = evaluate_schedule(methods[arms[0]], t)
        method = split_arms(record)[arms[0]]["method"].iloc[0]
        common = {"arm": arms[0], "method": method, "name": name_line(arms), "arms": "; ".join(arms)}
        tables.append(pd.DataFrame({**common, "t": t, "alpha": alpha, "weight": weight}, columns=list(COLUMNS)))
    return pd.concat(tables, ignore_index=True)


def name_line(arms: Sequence[str]) -> str:
    """The first arm of a schedule, and the number of further arms."""
    first, *others = arms
    return f"{first} and {len(others)} more" if others else first


def draw_panel(axes: Axes, curves: pd.DataFrame, column: str) -> None:
    """Draw a line for each schedule in the color of its first arm; arms of one color differ in their dashes."""
    dashes = choose_dashes(curves)
    for arm, line in curves.groupby("arm", sort=False):
        style, dash = find_style(str(line["method"].iloc[0])), dashes[str(arm)]
        axes.plot(
            line["t"],
            line[column],
            color=style.color,
            dashes=dash or (None, None),
            linewidth=1.6,
            marker=style.marker,
            markersize=5,
            markeredgewidth=0,
            markevery=range(MARKER_STEP // 2, POINTS, MARKER_STEP),
        )
    axes.set_xlabel("time t, from data to noise")
    axes.set_xlim(0, 1)
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def draw_schedules(curves: pd.DataFrame) -> Figure:
    """Draw the signal on the left, the weight of the bound on the right, and one legend below."""
    figure = Figure(figsize=(7.2, 3.6))
    figure.set_layout_engine("constrained")
    signal, weight = figure.subplots(1, 2)

    draw_panel(signal, curves, "alpha")
    signal.set_title("signal left, alpha(t)", loc="left", fontsize=10)
    signal.set_ylim(0, 1.02)

    draw_panel(weight, curves[curves["weight"].notna()], "weight")
    weight.set_title("weight of the bound, -alpha' / (1 - alpha)", loc="left", fontsize=10)
    weight.set_yscale("log")
    weight.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    weight.yaxis.set_minor_locator(NullLocator())
    weight.set_ylim(*WEIGHT_RANGE)

    names = list(curves.drop_duplicates("arm")["name"])
    figure.legend(signal.lines, names, loc="outside lower left", ncols=2, frameon=False, handlelength=3.5)
    return figure


def plot_schedules(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write schedules.svg, .png, .pdf and .csv, and return their paths; nothing if all arms share one schedule."""
    curves = tabulate_schedules(record)
    return [] if curves.empty else save("schedules", folder, draw_schedules, curves, number_labels(record))
