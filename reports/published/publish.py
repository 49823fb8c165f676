"""Show published tables beside the numbers measured here; `bench report --published` calls `publish`."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console
from rich.text import Text

from reports.formats.html import format_html
from reports.formats.latex import escape_latex, format_latex
from reports.formats.markdown import escape_markdown, format_markdown
from reports.formats.text import print_table
from reports.published.match import list_arms
from reports.published.published_numbers import list_names, read
from reports.published.table import View, build_view
from reports.report_files import replacing_files

ALL = "all"
ROW = "<tr data-method="  # how `format_html` begins the row of an arm


def publish(name: str, runs: Path) -> None:
    """Print and write one table; write all tables for "all", or list them for "".

    Raises NoRecord if there is no such table, and SuiteError if a file of numbers is invalid.
    """
    console = Console()
    if not name:
        for table_name in list_names():
            console.print(Text(f"{table_name:18} {read(table_name).sheet.title}"), soft_wrap=True)
        return

    names = list_names() if name == ALL else [name]
    tables = [read(table_name) for table_name in names]
    arms = list_arms(runs)
    for table in tables:
        view = build_view(table, arms)
        if name != ALL:
            print_groups(view, console)
        page = write_view(view, runs / "reports" / "published")[-1]
        console.print(Text(f"page: {page}"), soft_wrap=True)


def print_groups(view: View, console: Console) -> None:
    """Print the table group by group, then its footnotes."""
    starts = sorted({0, *view.headings, len(view.table.rows)})
    for start, end in pairwise(starts):
        titles = [view.table.caption if start == 0 else "", view.headings.get(start, "")]
        notes = view.table.footnotes if end == len(view.table.rows) else ()
        caption = "\n".join(filter(None, titles))
        print_table(replace(view.table, caption=caption, rows=view.table.rows[start:end], footnotes=notes), console)


def write_view(view: View, folder: Path) -> list[Path]:
    """Write the table as Markdown, LaTeX, CSV and HTML, and return their paths; equal tables give equal bytes."""
    texts = {
        "md": format_markdown_view(view),
        "tex": format_latex_view(view),
        "csv": view.numbers.to_csv(index=False, lineterminator="\n"),
        "html": format_page(view),
    }
    with replacing_files(folder) as new:
        for ending, text in texts.items():
            (new / f"{view.name}.{ending}").write_text(text, encoding="utf-8", newline="\n")
    return [folder / f"{view.name}.{ending}" for ending in texts]


def insert(lines: Sequence[str], start: int, headings: dict[int, str]) -> list[str]:
    """Insert headings above their rows; the first row is line `start`."""
    places = {start + row: [text] for row, text in headings.items()}
    return [text for number, line in enumerate(lines) for text in (*places.get(number, ()), line)]


def format_markdown_view(view: View) -> str:
    """The table in Markdown, with group headings in italics."""
    lines = format_markdown(view.table).split("\n")
    start = 1 + next(number for number, line in enumerate(lines) if line.startswith(("| -", "| :")))
    blank = " |" * len(view.table.columns)
    headings = {row: f"| *{escape_markdown(title)}* |{blank}" for row, title in view.headings.items()}
    return "\n".join(insert(lines, start, headings))


def format_latex_view(view: View) -> str:
    """The table in LaTeX, with group headings in italics."""
    lines = format_latex(view.table).split("\n")
    start = 1 + lines.index(r"\midrule")
    span = len(view.table.columns) + 1
    headings = {
        row: rf"\addlinespace \multicolumn{{{span}}}{{@{{}}l}}{{\textit{{{escape_latex(title)}}}}} \\"
        for row, title in view.headings.items()
    }
    return "\n".join(insert(lines, start, headings))


def format_page(view: View) -> str:
    """A self-contained page with the table under group headings."""
    head, *rows = str(format_html(view.table)).split(ROW)
    assert len(rows) == len(view.table.rows), f"{len(rows)} of {len(view.table.rows)} rows begin with {ROW}"
    line = Markup('<tr class="heading"><th scope="colgroup" colspan="{}">{}</th></tr>')
    span = len(view.table.columns) + 1
    headings = {row: str(line.format(span, title)) for row, title in view.headings.items()}
    body = "".join(insert([ROW + row for row in rows], 0, headings))
    loader = PackageLoader("reports.page")
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = jinja.get_template("published.html.j2")
    return page.render(title=view.table.caption, name=view.name, table=Markup(head + body))
