"""Reports of records: their tables in every format, their figures, and self-contained pages."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench import tidy
from bench.recorded import Records
from bench.results import Record
from reports.across import build_across, write_across
from reports.cost import plot_cost
from reports.deltas import build_deltas, list_deltas
from reports.estimators import build_estimators
from reports.forest import plot_forest
from reports.formats import format_latex, format_markdown, list_numbers, show
from reports.frontiers import plot_frontiers
from reports.learned import plot_learned
from reports.page import render
from reports.plots import plot_curves
from reports.quality import build_qualities
from reports.samplers import build_samplers
from reports.schedules import plot_schedules
from reports.spent import plot_spent
from reports.tables import Table, build_main
from reports.trajectories import plot_unmasked
from reports.tuning import build_tuning, list_trials, plot_tuning


def report(records: Records, folder: Path) -> None:
    """Writes every report, prints the tables and names the pages: what `bench run` and `bench report` call.

    `records` holds one record under "", whose folder it is; or by its label that of each data set of a suite, or words
    why there is none: then `folder` is for the table across all, and theirs are beside it, FOLDER-LABEL.
    """
    for label, record in records.items():
        if isinstance(record, Record):
            report_one(record, folder.with_name(f"{folder.name}-{label}") if label else folder)
    if "" not in records:
        index, console = write_across(records, folder)[-1], Console()
        show(build_across(folder.name, records), console)
        console.print(Text(f"page of all data sets: {index}"), soft_wrap=True)


def report_one(record: Record, folder: Path) -> None:
    """Writes every report of one record, prints the tables and names the page."""
    index = write(record, folder)[-1]
    console = Console()
    others = (build_deltas(record), build_estimators(record), build_samplers(record), *build_qualities(record))
    for table in filter(None, (build_main(record), *others, build_tuning(record))):
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
        "estimators": [build_estimators(record)],
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
    if estimators := build_estimators(record):
        texts["estimators.csv"] = list_numbers(estimators).to_csv(index=False, lineterminator="\n")
    if "tuning.md" in texts:
        texts["trials.csv"] = list_trials(record).to_csv(index=False, lineterminator="\n")
    plots = (plot_curves, plot_forest, plot_schedules, plot_learned, plot_frontiers, plot_unmasked, plot_tuning)
    figures = [path for plot in (*plots, plot_spent, plot_cost) for path in plot(record, folder)]
    texts["index.html"] = render(
        record, {path.stem: path.read_text("utf-8") for path in figures if path.suffix == ".svg"}
    )
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    tidy.write(record.table, folder / "tidy.parquet")
    *rest, index = [folder / name for name in texts]
    return [*rest, folder / "tidy.parquet", *figures, index]
