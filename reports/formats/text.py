"""A table on the terminal, in Markdown, in LaTeX and as plain numbers."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from textwrap import wrap

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from bench.results.statistics.pooled import Estimate
from reports.formats.latex_text import MATH, begin_row, escape_latex, write_latex_number
from reports.tables.main import LETTERS, Cell, Row, Table

WORDS = ("Method", "Status")  # the columns that hold words
REASON = 48  # characters of the status column in the terminal, where longer reasons take several lines
RAISED = str.maketrans(LETTERS, "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")


def align(cells: Sequence[Cell], bold: str = "") -> list[str]:
    """The texts of a column, padded so that signs, points and errors line up; `bold` goes round the best."""
    parts = []
    for cell in cells:
        whole, point, fraction = f"{bold * cell.best}{cell.value}".partition(".")
        error = f" ± {cell.error}" if cell.error else ""
        parts.append((cell.sign, whole, point + fraction + bold * cell.best, error, cell.marks.translate(RAISED)))
    numbers = [part for part, cell in zip(parts, cells, strict=True) if cell.estimate]
    sign, left, *rights = [max(map(len, texts)) for texts in zip(*numbers, strict=True)] or [0, 0]
    texts = []
    for part, cell in zip(parts, cells, strict=True):
        head = f"{part[0]:{sign}} {part[1]:>{left}}" if sign else f"{part[1]:>{left}}"
        tail = "".join(text.ljust(width) for text, width in zip(part[2:], rights, strict=False))
        texts.append(head + tail if cell.estimate else cell.value)
    return [text.rjust(max(map(len, texts))) for text in texts]


def list_heads(table: Table) -> list[tuple[str, str]]:
    """Title and unit of every column; the status is a column only where some arm is not done."""
    status = [("Status", "")] * any(row.reason for row in table.rows + table.references)
    return [("Method", ""), *((column.title, column.unit) for column in table.columns), *status]


def list_texts(table: Table, bold: str = "") -> list[tuple[Row, list[str]]]:
    """Every row with its aligned texts, references last."""
    rows = table.rows + table.references
    columns = [align(cells, bold) for cells in zip(*(row.cells for row in rows), strict=True)]
    status = [[row.reason for row in rows]] * any(row.reason for row in rows)
    texts = zip([row.label for row in rows], *columns, *status, strict=True)
    return [(row, list(line)) for row, line in zip(rows, texts, strict=True)]


def list_lines(table: Table) -> list[list[str]]:
    """The head of every column in lines of some 10 characters, as many for each."""
    heads = [[title, *wrap(unit, 10)] for title, unit in list_heads(table)]
    height = max(map(len, heads))
    return [lines + [" "] * (height - len(lines)) for lines in heads]


def fit(widths: Sequence[int], room: float) -> list[list[int]]:
    """Which columns stand side by side in `room` characters: the first in every block, each other in one."""
    blocks = [[0]]
    for place, width in enumerate(widths[1:], start=1):
        if len(blocks[-1]) > 1 and sum(widths[other] for other in blocks[-1]) + width > room:
            blocks.append([0])
        blocks[-1].append(place)
    return blocks


def draw_block(table: Table, places: Sequence[int], width: int) -> Grid:
    """Some columns of the table for the terminal, `width` characters wide."""
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, width=width)
    lines = list_lines(table)
    for place in places:
        head = Text("\n".join(lines[place]))
        grid.add_column(head, justify="left" if lines[place][0] in WORDS else "right", overflow="fold")
    for number, (row, texts) in enumerate(list_texts(table)):
        if number == len(table.rows):
            grid.add_section()
        styles = ["", *("bold" if cell.best else "" for cell in row.cells), "red"]
        if any(texts[place].strip() for place in places[1:]):
            grid.add_row(*(Text(texts[place], styles[place]) for place in places))
    return grid


def show(table: Table, console: Console) -> None:
    """Prints a table and its footnotes; in a terminal that is too narrow for it, in blocks of columns."""
    texts = [line for _, line in list_texts(table)]
    columns = [[*lines, *(line[place] for line in texts)] for place, lines in enumerate(list_lines(table))]
    widths = [min(max(map(len, column)), REASON) + 3 for column in columns]  # 3 characters stand between columns
    room = console.width if console.is_terminal else math.inf
    for text in filter(None, (Text(table.caption, "bold"), Text(table.warning, "bold red"))):
        console.print(text, soft_wrap=True)
    for places in fit(widths, room):
        width = min(sum(widths[place] for place in places) - 1, room)
        console.print(draw_block(table, places, int(width)), crop=False)
    for mark, note in table.footnotes:
        console.print(Text(f"{mark.translate(RAISED):>2} {note}", "dim"), soft_wrap=True)


def escape_markdown(text: str) -> str:
    """The text on one line, with what Markdown or HTML would act on made harmless."""
    return re.sub(r"([\\|*`\[])", r"\\\1", re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split())))


def format_markdown(table: Table) -> str:
    """The table in Markdown: numbers aligned in the source too, the best in bold, footnotes as a list."""
    heads = [f"{title} ({unit})" if unit else title for title, unit in list_heads(table)]
    sides = ["<" if head in WORDS else ">" for head in heads]
    lines = [heads]
    for row, (label, *texts) in list_texts(table, bold="**"):
        words = map(escape_markdown, texts[len(row.cells) :])
        lines.append([escape_markdown(label), *texts[: len(row.cells)], *words])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [[f"{text:{side}{width}}" for text, side, width in zip(line, sides, widths, strict=True)] for line in lines]
    rows.insert(1, [f"{'-' if side == '<' else ':':->{width}}" for side, width in zip(sides, widths, strict=True)])
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    title = "\n\n".join(f"**{escape_markdown(text)}**" for text in (table.caption, table.warning) if text)
    notes = "\n".join(
        f"- {f'{mark.translate(RAISED)} {escape_markdown(note)}'.strip()}" for mark, note in table.footnotes
    )
    return f"{title}\n\n{body}\n\n{notes}\n"


def write_latex_mark(mark: str, raised: bool = False) -> str:
    """A sign, or letters when `raised`, in math; "" for no mark."""
    for sign, command in ({"<=": r"\le", "~": r"\sim"} | MATH).items():
        mark = mark.replace(sign, command + " ")
    return f"$^{{{mark}}}$" if raised and mark else f"${mark}$" * bool(mark)


def write_latex_cell(cell: Cell, widest: Cell) -> str:
    """One number in LaTeX, bold where best; its error and marks take the room of the widest of its column."""
    value = rf"\textbf{{{write_latex_number(cell.value)}}}" if cell.best else write_latex_number(cell.value)
    text = write_latex_mark(cell.sign) + "~" * bool(cell.sign) + value
    errors = [rf" $\pm$ {error}" * bool(error) for error in (cell.error, widest.error)]
    marks = [write_latex_mark(mark, raised=True) for mark in (cell.marks, widest.marks)]
    for own, room in (errors, marks) if cell.estimate else ():
        text += own if own == room else rf"\rlap{{{own}}}" * bool(own) + rf"\phantom{{{room}}}"
    return text


def write_latex_row(row: Row, widest: Sequence[Cell]) -> list[str]:
    """One line of the tabular, and one more below it with the reasons where the arm is not done."""
    cells = [write_latex_cell(*pair) for pair in zip(row.cells, widest, strict=True)]
    line = " & ".join([begin_row(row.label), *cells]) + r" \\"
    span = rf"\multicolumn{{{len(cells) + 1}}}{{p{{0.9\linewidth}}}}"
    return [line, rf"{span}{{\quad {escape_latex(row.reason)}}} \\"] if row.reason else [line]


def write_latex_heads(table: Table) -> list[str]:
    """The lines of the header: equal neighbouring titles merged over a rule, and the units below."""
    titles, rules, start = ["Method"], "", 2
    for title, group in groupby(column.title for column in table.columns):
        span = len(list(group))
        titles.append(rf"\multicolumn{{{span}}}{{{'c' if span > 1 else 'r'}}}{{{escape_latex(title)}}}")
        rules += rf" \cmidrule(lr){{{start}-{start + span - 1}}}" * (span > 1)
        start += span
    units = list(zip(*list_lines(table)[: len(table.columns) + 1], strict=True))[1:]
    lines = [" & ".join(escape_latex(unit) for unit in line) + r" \\" for line in units]
    return [" & ".join(titles) + r" \\" + rules, *lines]


def format_latex(table: Table) -> str:
    """The table as a LaTeX float in booktabs style with its footnotes below; needs booktabs and graphicx."""
    columns = zip(*(row.cells for row in table.rows + table.references), strict=True)
    widest = [
        Cell(error=max((c.error for c in cells), key=len), marks=max((c.marks for c in cells), key=len))
        for cells in columns
    ]
    blocks = [
        [line for row in rows for line in write_latex_row(row, widest)] for rows in (table.rows, table.references)
    ]
    body = [line for block in [write_latex_heads(table), *blocks] if block for line in [*block, r"\midrule"]][:-1]
    notes = [write_latex_mark(mark, raised=mark.isalpha()) + " " + escape_latex(note) for mark, note in table.footnotes]
    lines = [
        r"% needs \usepackage{booktabs,graphicx}",
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
        rf"\caption{{{escape_latex(f'{table.warning} {table.caption}')}}}",
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",  # no wider than the page
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(table.columns)}@{{}}}}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}}",
        r"\par\medskip\raggedright",
        *(note.strip() + r"\par" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def list_numbers(table: Table) -> pd.DataFrame:
    """Every number at full precision, a row per arm and metric, with status and reason also where there is none.

    `standard_error` is over seeds where there are several, else over the `n` documents.
    """
    records = []
    for row in table.rows + table.references:
        for column, cell in zip(table.columns, row.cells, strict=True):
            words = {"status": row.status, "reason": row.reason}
            for metric, number in ((column.metric, cell.estimate), *cell.also):
                if row.method or row.reason or number:
                    told = {"arm": row.label, "method": row.method, "metric": metric}
                    records.append(told | asdict(number or Estimate(math.nan)) | words)
    columns = ["arm", "method", "metric", *Estimate.__dataclass_fields__, "status", "reason"]
    numbers = pd.DataFrame(records, columns=columns).drop_duplicates(["arm", "metric"])
    return numbers.rename(columns={"error": "standard_error", "documents": "n"})
