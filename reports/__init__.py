"""Reports of records: tables in every format, figures, and self-contained pages."""

from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.text import Text

from bench.results import tidy_parquet as tidy
from bench.results.dataset_records import Records
from bench.results.suite_record import SuiteRecord
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
from reports.page.html_page import render
from reports.report_files import replacing_files
from reports.tables.differences import list_deltas
from reports.tables.report_tables import Tables, build_tables
from reports.tables.table_model import Table
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


def report(records: Records, folder: Path, verbose: bool = False) -> None:
    """Write every report, print the main table and where the rest is; `verbose` prints every table in full.

    `records` maps "" to the only record of a suite, which is reported in `folder`. For a suite on several data sets, it
    maps each label to a record, or to the reason why there is none; their reports are written beside `folder`, in
    folders with the names of their records, and the table across data sets to `folder`. Raises OSError if a report
    cannot be written, after all tables are printed.
    """
    console, errors = Console(), list[OSError]()
    for label, record in records.items():
        if isinstance(record, SuiteRecord):
            tables = build_tables(record)
            if verbose or not label:
                print_tables(tables, console, verbose)
            try:
                paths = write_tables(record, tables, folder.with_name(record.suite) if label else folder)
            except OSError as error:  # the other tables are printed nevertheless
                errors.append(error)
                continue
            console.print(Text(describe_files(tables, paths, verbose, label)), soft_wrap=True)
    if "" not in records:
        print_table(build_across(folder.name, records), console, verbose)
        if not errors:
            index = write_across(records, folder)[-1]
            console.print(Text(f"page of all data sets: {index}"), soft_wrap=True)
    if errors:
        raise errors[0]


def print_tables(tables: Tables, console: Console, verbose: bool) -> None:
    """Print the main table, or all tables that say more than it."""
    others = (tables.deltas, tables.estimators, tables.samplers, *tables.quality, tables.tuning)
    for table in filter(None, (tables.main, *(others if verbose else ()))):
        print_table(table, console, verbose)


def describe_files(tables: Tables, paths: list[Path], verbose: bool, label: str) -> str:
    """Where the reports of a record are: the page, and what lies beside it; a data set is named by its label."""
    page = f"page of {label}: {paths[-1]}" if label else f"page: {paths[-1]}"
    if verbose:
        return page
    names = ["differences" if name == "deltas" else name for name, table in tables.optional.items() if table]
    names += ["quality of samples"] if tables.quality else []
    figures = sum(path.suffix == ".svg" for path in paths)
    rest = ", ".join([*names, "fairness, breakdown", f"{figures} figures"])
    return f"{page}\nbeside it: {rest}; --verbose prints all tables with their notes in full"


def write_report(record: SuiteRecord, folder: Path) -> list[Path]:
    """Write every report of a record and return the paths, index.html last; equal records give equal bytes."""
    return write_tables(record, build_tables(record), folder)


def write_tables(record: SuiteRecord, tables: Tables, folder: Path) -> list[Path]:
    """As `write_report`, with the tables of the record; if it fails, the earlier report stays as it is."""
    with replacing_files(folder) as new:
        paths = _write_tables(record, tables, new)
    return [folder / path.name for path in paths]


def _write_tables(record: SuiteRecord, tables: Tables, folder: Path) -> list[Path]:
    """Write every file of a report into a new folder; returns the paths, index.html last."""
    figures = [path for plot in PLOTS for path in plot(record, folder)]
    svgs = {path.stem: path.read_text("utf-8") for path in figures if path.suffix == ".svg"}

    texts = format_texts(tables) | format_numbers(record, tables)
    if key := number_labels(record).describe():
        texts["figure_labels.md"] = f"{escape_markdown(key)}\n"
    texts["index.html"] = render(record, tables, svgs)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    tidy.write(record.table, folder / "tidy.parquet")

    *others, index = [folder / name for name in texts]
    return [*others, folder / "tidy.parquet", *figures, index]


def format_texts(tables: Tables) -> dict[str, str]:
    """The tables as Markdown and LaTeX, by file name."""
    named: dict[str, list[Table]] = {"table": [tables.main]}
    named |= {name: [table] for name, table in tables.optional.items() if table}
    named |= {"fairness": [tables.fairness], "breakdown": [tables.breakdown], "quality": tables.quality}
    texts = {}
    for name, parts in named.items():
        if parts:
            texts[f"{name}.md"] = "\n".join(map(format_markdown, parts))
            texts[f"{name}.tex"] = "\n".join(map(format_latex, parts))
    return texts


def format_numbers(record: SuiteRecord, tables: Tables) -> dict[str, str]:
    """The numbers of the tables at full precision, and the tidy table, as CSV by file name."""
    frames = {
        "table": tabulate(tables.main),
        "fairness": tabulate(tables.fairness),
        "breakdown": tabulate(tables.breakdown),
        "tidy": record.table,
    }
    if tables.quality_in_full:
        parts = [tabulate(table).assign(table=table.caption) for table in tables.quality_in_full]
        frames["quality"] = pd.concat(parts)
    if tables.deltas:
        frames["deltas"] = list_deltas(record)
    if tables.estimators:
        frames["estimators"] = tabulate(tables.estimators)
    if tables.samplers:
        frames["samplers"] = tabulate(tables.samplers)
    if tables.tuning:
        frames["trials"] = list_trials(record)
    return {f"{name}.csv": frame.to_csv(index=False, lineterminator="\n") for name, frame in frames.items()}
