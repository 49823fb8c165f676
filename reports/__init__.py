"""Reports of a record: its table in every format, its figures, and one self-contained page."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench.results import Record
from reports.deltas import build_deltas, list_deltas
from reports.forest import plot_forest
from reports.formats import format_latex, format_markdown, list_numbers, show
from reports.frontiers import plot_frontiers
from reports.learned import plot_learned
from reports.page import render
from reports.plots import plot_curves
from reports.quality import build_qualities
from reports.samplers import build_samplers
from reports.tables import Table, build_main
from reports.trajectories import plot_unmasked
from reports.tuning import build_tuning, list_trials, plot_tuning


def report(record: Record, folder: Path) -> None:
    """Writes every report, prints the table and names the page: what `bench run` and `bench report` call."""
    index = write(record, folder)[-1]
    console = Console()
    tables = (
        build_main(record),
        build_deltas(record),
        build_samplers(record),
        *build_qualities(record),
        build_tuning(record),
    )
    for table in filter(None, tables):
        show(table, console)
    console.print(Text(f"page: {index}"), soft_wrap=True)


def write(record: Record, folder: Path) -> list[Path]:
    """The paths of every report written to the folder, index.html last; the same record gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    table = build_main(record)
    texts = {
        "table.md": format_markdown(table),
        "table.tex": format_latex(table),
        "table.csv": list_numbers(table).to_csv(index=False, lineterminator="\n"),
        "tidy.csv": record.table.to_csv(index=False, lineterminator="\n"),
    }
    others: dict[str, Sequence[Table | None]] = {
        "deltas": [build_deltas(record)],
        "samplers": [build_samplers(record)],
        "quality": build_qualities(record),
        "tuning": [build_tuning(record)],
    }
    for name, found in others.items():
        if tables := [table for table in found if table]:
            texts[f"{name}.md"] = "\n".join(map(format_markdown, tables))
            texts[f"{name}.tex"] = "\n".join(map(format_latex, tables))
    if wholes := build_qualities(record, whole=True):
        numbers = [list_numbers(whole).assign(table=whole.caption) for whole in wholes]
        texts["quality.csv"] = pd.concat(numbers).to_csv(index=False, lineterminator="\n")
    if "deltas.md" in texts:
        texts["deltas.csv"] = list_deltas(record).to_csv(index=False, lineterminator="\n")
    if "tuning.md" in texts:
        texts["trials.csv"] = list_trials(record).to_csv(index=False, lineterminator="\n")
    plots = (plot_curves, plot_forest, plot_learned, plot_frontiers, plot_unmasked, plot_tuning)
    figures = [path for plot in plots for path in plot(record, folder)]
    texts["index.html"] = render(
        record, {path.stem: path.read_text("utf-8") for path in figures if path.suffix == ".svg"}
    )
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    *rest, index = [folder / name for name in texts]
    return [*rest, *figures, index]
