"""Reports of records: their tables in every format, their figures, and self-contained pages."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench.results import parquet as tidy
from bench.results.dataset_records import Records
from bench.results.suite_record import Record
from reports.figures.bound_density import plot_bound_density
from reports.figures.cost import plot_cost
from reports.figures.curves import plot_curves
from reports.figures.expected_best import plot_expected_best
from reports.figures.forest import plot_forest
from reports.figures.frontiers import plot_frontiers
from reports.figures.labels import number_labels
from reports.figures.learned_parameters import plot_learned
from reports.figures.schedules import plot_schedules
from reports.figures.trajectories import plot_changes
from reports.formats.latex import format_latex
from reports.formats.markdown import escape_markdown, format_markdown
from reports.formats.text import print_table, tabulate
from reports.page.dataset_comparison import build_across, write_across
from reports.page.page import render
from reports.tables.deltas import list_deltas
from reports.tables.report_tables import Tables, build_tables
from reports.tables.tuning import list_trials

PLOTS = (
    plot_curves,
    plot_forest,
    plot_schedules,
    plot_learned,
    plot_frontiers,
    plot_changes,
    plot_expected_best,
    plot_bound_density,
    plot_cost,
)


def report(records: Records, folder: Path) -> None:
    """Writes every report, prints the tables and names the pages: what `bench run` and `bench report` call.

    `records` holds one record under "", whose folder it is; or by its label that of each data set of a suite, or words
    why there is none: then `folder` is for the table across all, and theirs are beside it, FOLDER-LABEL.
    """
    for label, record in records.items():
        if isinstance(record, Record):
            report_record(record, folder.with_name(f"{folder.name}-{label}") if label else folder)
    if "" not in records:
        index, console = write_across(records, folder)[-1], Console()
        print_table(build_across(folder.name, records), console)
        console.print(Text(f"page of all data sets: {index}"), soft_wrap=True)


def report_record(record: Record, folder: Path) -> None:
    """Writes every report of one record, prints the tables and names the page."""
    tables, console = build_tables(record), Console()
    index = write_tables(record, tables, folder)[-1]
    others = (tables.deltas, tables.estimators, tables.samplers, *tables.quality, tables.tuning)
    for table in filter(None, (tables.main, *others)):
        print_table(table, console)
    console.print(Text(f"page: {index}"), soft_wrap=True)


def write_report(record: Record, folder: Path) -> list[Path]:
    """The paths of every report written to the folder, index.html last; the same record gives the same bytes."""
    return write_tables(record, build_tables(record), folder)


def write_tables(record: Record, tables: Tables, folder: Path) -> list[Path]:
    """As `write`, with the tables of the record."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = format_texts(tables) | format_numbers(record, tables)
    figures = [path for plot in PLOTS for path in plot(record, folder)]
    drawn = {path.stem: path.read_text("utf-8") for path in figures if path.suffix == ".svg"}
    if key := number_labels(record).describe():
        texts["figure_labels.md"] = f"{escape_markdown(key)}\n"
    texts["index.html"] = render(record, tables, drawn)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    tidy.write(record.table, folder / "tidy.parquet")
    *rest, index = [folder / name for name in texts]
    return [*rest, folder / "tidy.parquet", *figures, index]


def format_texts(tables: Tables) -> dict[str, str]:
    """The tables that are there as Markdown and LaTeX, by the names of their files."""
    named = {name: [table] for name, table in tables.optional.items()}
    named |= {"fairness": [tables.fairness], "breakdown": [tables.breakdown]}
    texts = {}
    for name, found in ({"table": [tables.main]} | named | {"quality": tables.quality}).items():
        if there := [table for table in found if table]:
            texts[f"{name}.md"] = "\n".join(map(format_markdown, there))
            texts[f"{name}.tex"] = "\n".join(map(format_latex, there))
    return texts


def format_numbers(record: Record, tables: Tables) -> dict[str, str]:
    """What the tables show at full precision as CSV, by the names of its files; and the tidy table."""
    wholes = [tabulate(whole).assign(table=whole.caption) for whole in tables.qualities]
    always = {"table": tables.main, "fairness": tables.fairness, "breakdown": tables.breakdown}
    numbers = {name: tabulate(table) for name, table in always.items()} | {"tidy": record.table}
    numbers |= {"quality": pd.concat(wholes)} if wholes else {}
    numbers |= {"deltas": list_deltas(record)} if tables.deltas else {}
    some = {"estimators": tables.estimators, "samplers": tables.samplers}
    numbers |= {name: tabulate(table) for name, table in some.items() if table}
    numbers |= {"trials": list_trials(record)} if tables.tuning else {}
    return {f"{name}.csv": frame.to_csv(index=False, lineterminator="\n") for name, frame in numbers.items()}
