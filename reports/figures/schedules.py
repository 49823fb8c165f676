"""The figure of the schedules of noise: the signal that is left at each time, and what the bound weighs it by."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, StrMethodFormatter

from bench.results.suite_record import Record
from methods.discrete.mixing import Mixing
from methods.method import Method
from methods.schedules import Schedule
from reports.figures.style import FAINT, choose_dashes, look, save
from reports.tables.arms import build_methods, identify_schedule, split_arms

POINTS = 201  # of each line
MARKED = 40  # points from one marker of a line to the next, which tell lines apart in grey
SHOWN = (0.1, 1000.0)  # weights that the panel shows; they run to infinity and to 0
COLUMNS = ("arm", "method", "arms", "t", "alpha", "weight")


def follow(method: Method, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """alpha(t), and -alpha'(t) / (1 - alpha(t)), which weighs the bound where positions are masked and is nan where
    they are not, or not only."""
    schedule = getattr(method, "schedule", None)
    if not isinstance(schedule, Schedule):
        assert isinstance(method, Mixing), type(method)
        return method.mix(t)[0], torch.full_like(t, math.nan)
    is_masking = method.needs.extra_tokens == 1
    return schedule.alpha(t), schedule.weight(t) if is_masking else torch.full_like(t, math.nan)


def trace_schedules(record: Record) -> pd.DataFrame:
    """A row for each distinct schedule and time, under the first arm that has it; empty where all arms share one."""
    groups: dict[str, list[str]] = {}
    methods = build_methods(record)
    for arm, method in methods.items():
        if name := identify_schedule(method):
            groups.setdefault(name, []).append(arm)
    if len(groups) < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    t = torch.linspace(0, 1, POINTS, dtype=torch.float64).clamp(1e-3, 1 - 1e-6)
    found = []
    for arms in groups.values():
        alpha, weight = follow(methods[arms[0]], t)
        common = {"arm": arms[0], "method": split_arms(record)[arms[0]]["method"].iloc[0], "arms": "; ".join(arms)}
        found.append(pd.DataFrame({**common, "t": t, "alpha": alpha, "weight": weight}, columns=list(COLUMNS)))
    return pd.concat(found, ignore_index=True)


def name_line(arms: str) -> str:
    """The first arm that has a schedule, and how many more."""
    first, *others = arms.split("; ")
    return first + f" and {len(others)} more" * bool(others)


def draw_panel(axes: Axes, curves: pd.DataFrame, column: str) -> None:
    """A line for each schedule in the colour of its first arm, arms of one colour in dashes of their own."""
    dashes = choose_dashes(curves)
    for arm, line in curves.groupby("arm", sort=False):
        style, pattern = look(str(line["method"].iloc[0])), dashes[str(arm)]
        spots = range(MARKED // 2, POINTS, MARKED)
        settings: dict[str, Any] = {"marker": style.marker, "markersize": 5, "markeredgewidth": 0, "markevery": spots}
        settings |= {"color": style.colour, "dashes": pattern or (None, None), "linewidth": 1.6}
        axes.plot(line["t"], line[column], **settings)
    axes.set_xlabel("time t, from text to noise")
    axes.set_xlim(0, 1)
    axes.grid(axis="y", color=FAINT, alpha=0.2, linewidth=0.6)
    sns.despine(ax=axes)


def draw(curves: pd.DataFrame) -> Figure:
    """Signal at the left, weight of the bound at the right, and one legend below."""
    figure = Figure(figsize=(7.2, 3.6))
    figure.set_layout_engine("constrained")
    signal, weight = figure.subplots(1, 2)
    draw_panel(signal, curves, "alpha")
    signal.set_title("signal that is left, alpha(t)", loc="left", fontsize=10)
    signal.set_ylim(0, 1.02)
    draw_panel(weight, curves[curves["weight"].notna()], "weight")
    weight.set_title("weight of the bound, -alpha' / (1 - alpha)", loc="left", fontsize=10)
    weight.set_yscale("log")
    weight.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    weight.yaxis.set_minor_locator(NullLocator())
    weight.set_ylim(*SHOWN)
    names = [name_line(arms) for arms in curves.drop_duplicates("arm")["arms"]]
    figure.legend(signal.lines, names, loc="outside lower left", ncols=2, frameon=False, handlelength=3.5)
    return figure


def plot_schedules(record: Record, folder: Path) -> list[Path]:
    """The paths of schedules.svg, .png, .pdf and .csv; none where no two arms differ in their schedules."""
    curves = trace_schedules(record)
    return [] if curves.empty else save("schedules", folder, lambda: draw(curves), curves)
