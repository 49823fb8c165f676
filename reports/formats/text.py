"""Tables on the terminal, and their numbers at full precision for CSV."""

import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from textwrap import wrap
from typing import Literal

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from bench.results.statistics.pooled import PooledEstimate
from reports.formats.footnotes import fold
from reports.tables.table_model import LETTERS, Entry, Row, Table

TEXT_COLUMNS = ("Method", "Status")
STATUS_WIDTH = 48  # characters; longer reasons are wrapped in the terminal
GAP = 3  # characters between columns
SUPERSCRIPT = str.maketrans(LETTERS, "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")


def split_number(entry: Entry, bold: str) -> tuple[str, str, str, str, str]:
    """Sign, integer part, fraction, error and marks; `bold` goes around the value if it is the best."""
    mark = bold if entry.best else ""
    integer, point, fraction = f"{mark}{entry.value}".partition(".")
    error = f" ± {entry.error}" if entry.error else ""
    return entry.sign, integer, f"{point}{fraction}{mark}", error, entry.marks.translate(SUPERSCRIPT)


def align(entries: Sequence[Entry], bold: str = "") -> list[str]:
    """The texts of a column, padded so that signs, decimal points and errors line up; `bold` goes around the best."""
    parts = [split_number(entry, bold) for entry in entries]
    numbers = [part for part, entry in zip(parts, entries, strict=True) if entry.estimate]
    sign_width, left_width, *right_widths = [max(map(len, texts)) for texts in zip(*numbers, strict=True)] or [0, 0]

    texts = []
    for (sign, integer, *rights), entry in zip(parts, entries, strict=True):
        head = f"{sign:{sign_width}} {integer:>{left_width}}" if sign_width else f"{integer:>{left_width}}"
        tail = "".join(text.ljust(width) for text, width in zip(rights, right_widths, strict=False))
        texts.append(head + tail if entry.estimate else entry.value)
    return [text.rjust(max(map(len, texts))) for text in texts]


def has_status(table: Table) -> bool:
    """Whether some row is not done, so that the status needs a column."""
    return any(row.reason for row in table.rows + table.references)


def list_headers(table: Table) -> list[tuple[str, str]]:
    """Title and unit of every column, with the label first and the status last."""
    headers = [("Method", ""), *((column.title, column.unit) for column in table.columns)]
    return [*headers, ("Status", "")] if has_status(table) else headers


def align_rows(table: Table, bold: str = "") -> list[tuple[Row, list[str]]]:
    """Every row with its aligned texts, references last."""
    rows = table.rows + table.references
    columns = [[row.label for row in rows]]
    columns += [align(entries, bold) for entries in zip(*(row.entries for row in rows), strict=True)]
    if has_status(table):
        columns.append([row.reason for row in rows])
    return [(row, list(texts)) for row, texts in zip(rows, zip(*columns, strict=True), strict=True)]


def wrap_headers(table: Table) -> list[list[str]]:
    """The header of every column in lines of about 10 characters, equally many for each."""
    headers = [[title, *wrap(unit, 10)] for title, unit in list_headers(table)]
    height = max(map(len, headers))
    return [lines + [" "] * (height - len(lines)) for lines in headers]


def split_columns(widths: Sequence[int], available: float) -> list[list[int]]:
    """Blocks of columns that fit side by side; the first column is in every block, each other in one."""
    blocks = [[0]]
    for index, width in enumerate(widths[1:], start=1):
        taken = sum(widths[column] for column in blocks[-1])
        if len(blocks[-1]) > 1 and taken + width > available:
            blocks.append([0])
        blocks[-1].append(index)
    return blocks


def make_grid(table: Table, columns: Sequence[int], width: int) -> Grid:
    """Some columns of the table for the terminal, `width` characters wide."""
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, width=width)
    headers = wrap_headers(table)
    for column in columns:
        justify: Literal["left", "right"] = "left" if headers[column][0] in TEXT_COLUMNS else "right"
        grid.add_column(Text("\n".join(headers[column])), justify=justify, overflow="fold")

    for number, (row, texts) in enumerate(align_rows(table)):
        if number == len(table.rows):
            grid.add_section()
        styles = ["", *("bold" if entry.best else "" for entry in row.entries), "red"]
        if any(texts[column].strip() for column in columns[1:]):
            grid.add_row(*(Text(texts[column], styles[column]) for column in columns))
    return grid


def print_table(table: Table, console: Console, verbose: bool = True) -> None:
    """Print a table and its footnotes; a terminal that is too narrow gets blocks of columns.

    Unless `verbose`, footnotes are folded, and each is cut to one line of a terminal.
    """
    texts = [line for _, line in align_rows(table)]
    columns = [[*header, *(line[index] for line in texts)] for index, header in enumerate(wrap_headers(table))]
    widths = [min(max(map(cell_len, column)), STATUS_WIDTH) + GAP for column in columns]
    available = console.width if console.is_terminal else math.inf

    for text in filter(None, (Text(table.caption, "bold"), Text(table.warning, "bold red"))):
        console.print(text, soft_wrap=True)
    for block in split_columns(widths, available):
        width = min(sum(widths[column] for column in block) - 1, available)
        console.print(make_grid(table, block, int(width)), crop=False)
    for mark, note in table.footnotes if verbose else fold(table.footnotes):
        line = Text(f"{mark.translate(SUPERSCRIPT):>2} {note}", "dim")
        if console.is_terminal and not verbose:
            line.truncate(console.width, overflow="ellipsis")
        console.print(line, soft_wrap=True)


def tabulate(table: Table) -> pd.DataFrame:
    """Every number at full precision, a row per arm and metric, with status and reason even if there is no number.

    `role` tells arms, controls and references apart, whose labels may be equal. `standard_error` is over seeds, or over
    the `n` documents if there is one seed.
    """
    records = []
    for number, row in enumerate(table.rows + table.references):
        for column, entry in zip(table.columns, row.entries, strict=True):
            for metric, estimate in ((column.metric, entry.estimate), *entry.also):
                if row.method or row.reason or estimate:
                    record = {"row": number, "arm": row.label, "method": row.method, "metric": metric}
                    record |= asdict(estimate or PooledEstimate(math.nan))
                    records.append(record | {"status": row.status, "reason": row.reason, "role": row.role})
    names = [field.name for field in fields(PooledEstimate) if field.name != "scale"]  # which follows from the metric
    columns = ["arm", "method", "metric", *names, "status", "reason", "role"]
    numbers = pd.DataFrame(records, columns=["row", *columns]).drop_duplicates(["row", "metric"])[columns]
    return numbers.rename(columns={"error": "standard_error", "documents": "n"})
