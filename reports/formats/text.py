"""A table on the terminal, in Markdown, in LaTeX and as plain numbers."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from textwrap import wrap

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from bench.results.statistics.pooled import PooledEstimate
from reports.tables.table import LETTERS, Entry, Row, Table

TEXT_COLUMNS = ("Method", "Status")  # the columns that hold words
STATUS_WIDTH = 48  # characters of the status column in the terminal, where longer reasons take several lines
SUPERSCRIPT = str.maketrans(LETTERS, "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")


def align(cells: Sequence[Entry], bold: str = "") -> list[str]:
    """The texts of a column, padded so that signs, points and errors line up; `bold` goes round the best."""
    parts = []
    for cell in cells:
        whole, point, fraction = f"{bold * cell.best}{cell.value}".partition(".")
        error = f" ± {cell.error}" if cell.error else ""
        parts.append((cell.sign, whole, point + fraction + bold * cell.best, error, cell.marks.translate(SUPERSCRIPT)))
    numbers = [part for part, cell in zip(parts, cells, strict=True) if cell.estimate]
    sign, left, *rights = [max(map(len, texts)) for texts in zip(*numbers, strict=True)] or [0, 0]
    texts = []
    for part, cell in zip(parts, cells, strict=True):
        head = f"{part[0]:{sign}} {part[1]:>{left}}" if sign else f"{part[1]:>{left}}"
        tail = "".join(text.ljust(width) for text, width in zip(part[2:], rights, strict=False))
        texts.append(head + tail if cell.estimate else cell.value)
    return [text.rjust(max(map(len, texts))) for text in texts]


def list_headers(table: Table) -> list[tuple[str, str]]:
    """Title and unit of every column; the status is a column only where some arm is not done."""
    status = [("Status", "")] * any(row.reason for row in table.rows + table.references)
    return [("Method", ""), *((column.title, column.unit) for column in table.columns), *status]


def align_rows(table: Table, bold: str = "") -> list[tuple[Row, list[str]]]:
    """Every row with its aligned texts, references last."""
    rows = table.rows + table.references
    columns = [align(cells, bold) for cells in zip(*(row.entries for row in rows), strict=True)]
    status = [[row.reason for row in rows]] * any(row.reason for row in rows)
    texts = zip([row.label for row in rows], *columns, *status, strict=True)
    return [(row, list(line)) for row, line in zip(rows, texts, strict=True)]


def wrap_headers(table: Table) -> list[list[str]]:
    """The head of every column in lines of some 10 characters, as many for each."""
    heads = [[title, *wrap(unit, 10)] for title, unit in list_headers(table)]
    height = max(map(len, heads))
    return [lines + [" "] * (height - len(lines)) for lines in heads]


def split_columns(widths: Sequence[int], room: float) -> list[list[int]]:
    """Which columns stand side by side in `room` characters: the first in every block, each other in one."""
    blocks = [[0]]
    for place, width in enumerate(widths[1:], start=1):
        if len(blocks[-1]) > 1 and sum(widths[other] for other in blocks[-1]) + width > room:
            blocks.append([0])
        blocks[-1].append(place)
    return blocks


def make_grid(table: Table, places: Sequence[int], width: int) -> Grid:
    """Some columns of the table for the terminal, `width` characters wide."""
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, width=width)
    lines = wrap_headers(table)
    for place in places:
        head = Text("\n".join(lines[place]))
        grid.add_column(head, justify="left" if lines[place][0] in TEXT_COLUMNS else "right", overflow="fold")
    for number, (row, texts) in enumerate(align_rows(table)):
        if number == len(table.rows):
            grid.add_section()
        styles = ["", *("bold" if cell.best else "" for cell in row.entries), "red"]
        if any(texts[place].strip() for place in places[1:]):
            grid.add_row(*(Text(texts[place], styles[place]) for place in places))
    return grid


def print_table(table: Table, console: Console) -> None:
    """Prints a table and its footnotes; in a terminal that is too narrow for it, in blocks of columns."""
    texts = [line for _, line in align_rows(table)]
    columns = [[*lines, *(line[place] for line in texts)] for place, lines in enumerate(wrap_headers(table))]
    widths = [min(max(map(len, column)), STATUS_WIDTH) + 3 for column in columns]  # 3 characters stand between columns
    room = console.width if console.is_terminal else math.inf
    for text in filter(None, (Text(table.caption, "bold"), Text(table.warning, "bold red"))):
        console.print(text, soft_wrap=True)
    for places in split_columns(widths, room):
        width = min(sum(widths[place] for place in places) - 1, room)
        console.print(make_grid(table, places, int(width)), crop=False)
    for mark, note in table.footnotes:
        console.print(Text(f"{mark.translate(SUPERSCRIPT):>2} {note}", "dim"), soft_wrap=True)


def tabulate(table: Table) -> pd.DataFrame:
    """Every number at full precision, a row per arm and metric, with status and reason also where there is none.

    `standard_error` is over seeds where there are several, else over the `n` documents.
    """
    records = []
    for row in table.rows + table.references:
        for column, cell in zip(table.columns, row.entries, strict=True):
            words = {"status": row.status, "reason": row.reason}
            for metric, number in ((column.metric, cell.estimate), *cell.also):
                if row.method or row.reason or number:
                    told = {"arm": row.label, "method": row.method, "metric": metric}
                    records.append(told | asdict(number or PooledEstimate(math.nan)) | words)
    columns = ["arm", "method", "metric", *PooledEstimate.__dataclass_fields__, "status", "reason"]
    numbers = pd.DataFrame(records, columns=columns).drop_duplicates(["arm", "metric"])
    return numbers.rename(columns={"error": "standard_error", "documents": "n"})
