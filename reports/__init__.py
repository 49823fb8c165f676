"""Reports of a record: its table in every format, its learning curves, and one self-contained page."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from bench.results import Record
from reports.page import render
from reports.plots import plot_curves
from reports.tables import LETTERS, Cell, Estimate, Row, Table, build_main

WORDS = ("Method", "Status")  # the columns that hold words
RAISED = str.maketrans(LETTERS, "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
MATH = {"†": r"\dagger", "≤": r"\le", "±": r"\pm", "↓": r"\downarrow", "×": r"\times"}
LATEX = {sign: f"${command}$" for sign, command in MATH.items()} | {letter: "\\" + letter for letter in "&%$#_{}"}
LATEX |= {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "|": r"\textbar{}"}
LATEX |= {"<": r"\textless{}", ">": r"\textgreater{}", "—": "---"}


def align(cells: Sequence[Cell], bold: str = "") -> list[str]:
    """The texts of a column, padded so that signs, points and errors stand under each other; `bold` goes round the best."""
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
    status = [("Status", "")] * table.has_problems
    return [("Method", ""), *((column.title, column.unit) for column in table.columns), *status]


def list_texts(table: Table, bold: str = "") -> list[tuple[Row, list[str]]]:
    """Every row with its aligned texts, references last."""
    rows = table.rows + table.references
    columns = [align(cells, bold) for cells in zip(*(row.cells for row in rows), strict=True)]
    status = [[row.reason for row in rows]] * table.has_problems
    texts = zip([row.label for row in rows], *columns, *status, strict=True)
    return [(row, list(line)) for row, line in zip(rows, texts, strict=True)]


def show(record: Record, console: Console) -> None:
    """Prints the table and its footnotes; where the console is no terminal, at natural width and not folded."""
    table = build_main(record)
    grid = Grid(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for title, unit in list_heads(table):
        grid.add_column(Text(f"{title}\n{unit}"), justify="left" if title in WORDS else "right", overflow="fold")
    for place, (row, texts) in enumerate(list_texts(table)):
        if place == len(table.rows):
            grid.add_section()
        styles = ["", *("bold" if cell.best else "" for cell in row.cells), "red"]
        grid.add_row(*(Text(text, style) for text, style in zip(texts, styles, strict=False)))
    if not console.is_terminal:
        grid.width = Measurement.get(console, console.options.update(max_width=1000), grid).maximum
    for text in filter(None, (Text(table.caption, "bold"), Text(table.warning, "bold red"))):
        console.print(text, soft_wrap=True)
    console.print(grid, crop=False)
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
    notes = "\n".join(f"- {mark.translate(RAISED)} {escape_markdown(note)}" for mark, note in table.footnotes)
    return f"{title}\n\n{body}\n\n{notes}\n"


def escape_latex(text: str) -> str:
    """The text on one line with LaTeX's special characters escaped and our signs in math."""
    return " ".join(text.split()).translate(str.maketrans(LATEX))


def write_latex_mark(mark: str, raised: bool = False) -> str:
    """A sign, or letters when `raised`, in math; "" for no mark."""
    for sign, command in ({"<=": r"\le", "~": r"\sim"} | MATH).items():
        mark = mark.replace(sign, command + " ")
    return f"$^{{{mark}}}$" if raised and mark else f"${mark}$" * bool(mark)


def write_latex_cell(cell: Cell) -> str:
    """Sign, value in bold where best, error and marks of one number in LaTeX."""
    value = escape_latex(cell.value)
    sign = write_latex_mark(cell.sign) + "~" * bool(cell.sign)
    error = rf" $\pm$ {cell.error}" * bool(cell.error)
    return sign + (rf"\textbf{{{value}}}" if cell.best else value) + error + write_latex_mark(cell.marks, raised=True)


def write_latex_row(row: Row, has_status: bool) -> str:
    """One row of the tabular."""
    status = [escape_latex(row.reason)] * has_status
    return " & ".join([escape_latex(row.label), *map(write_latex_cell, row.cells), *status]) + r" \\"


def write_latex_heads(table: Table) -> list[str]:
    """The two header lines: equal neighbouring titles merged, and the units."""
    heads = list_heads(table)
    groups = [(title, len(list(group))) for title, group in groupby(title for title, _ in heads)]
    titles = [
        rf"\multicolumn{{{span}}}{{{'l' if title in WORDS else 'r'}}}{{{escape_latex(title)}}}"
        for title, span in groups
    ]
    return [" & ".join(titles) + r" \\", " & ".join(escape_latex(unit) for _, unit in heads) + r" \\"]


def format_latex(table: Table) -> str:
    """The table as a LaTeX float in booktabs style with its footnotes below; needs the package booktabs."""
    blocks = [[write_latex_row(row, table.has_problems) for row in rows] for rows in (table.rows, table.references)]
    body = [line for block in [write_latex_heads(table), *blocks] if block for line in [*block, r"\midrule"]][:-1]
    notes = [write_latex_mark(mark, raised=mark.isalpha()) + " " + escape_latex(note) for mark, note in table.footnotes]
    status = r"p{0.2\linewidth}" * table.has_problems
    lines = [
        r"\begin{table}",
        r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{escape_latex(f'{table.warning} {table.caption}')}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}{status}}}",
        r"\toprule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\medskip\raggedright",
        *(note.strip() + r"\par" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def list_numbers(table: Table) -> pd.DataFrame:
    """Every number at full precision, a row per method and metric; a missing one keeps its status and reason."""
    records = []
    for row in table.rows + table.references:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if row.method or cell.estimate:
                number = asdict(cell.estimate or Estimate(math.nan))
                words = {"status": row.status, "reason": row.reason}
                records.append({"arm": row.label, "method": row.method, "metric": column.metric} | number | words)
    columns = ["arm", "method", "metric", *Estimate.__dataclass_fields__, "status", "reason"]
    return pd.DataFrame(records, columns=columns).drop_duplicates(["arm", "metric"])


def report(record: Record, folder: Path) -> None:
    """Writes every report, prints the table and names the page: what `bench run` and `bench report` call."""
    index = write(record, folder)[-1]
    console = Console()
    show(record, console)
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
    figures = plot_curves(record, folder)
    texts["index.html"] = render(record, next(path for path in figures if path.suffix == ".svg").read_text("utf-8"))
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    *rest, index = [folder / name for name in texts]
    return [*rest, *figures, index]
