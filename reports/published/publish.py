"""What papers published, beside what was measured here: what `bench report --published` calls."""

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
from reports.published.claims import list_names, read
from reports.published.match import list_arms
from reports.published.table import View, build

ALL = "all"
ROW = "<tr data-method="  # that of an arm, as `format_html` writes it


def publish(name: str, runs: Path) -> None:
    """Prints and writes the table of that name; writes all of them for "all", lists them for "". Raises NoRecord where
    there is no such table, SuiteError where a file of numbers is not right."""
    console = Console()
    if not name:
        for each in list_names():
            console.print(Text(f"{each:18} {read(each).sheet.title}"), soft_wrap=True)
        return
    names = list_names() if name == ALL else [name]
    tables = [read(each) for each in names]
    arms = list_arms(runs)
    for table in tables:
        view = build(table, arms)
        if name != ALL:
            show_groups(view, console)
        console.print(Text(f"page: {write(view, runs / 'reports' / 'published')[-1]}"), soft_wrap=True)


def show_groups(view: View, console: Console) -> None:
    """Prints the table group by group, and its footnotes."""
    starts = sorted({0, *view.headings, len(view.table.rows)})
    for start, end in pairwise(starts):
        titles = [view.table.caption] * (start == 0) + [view.headings.get(start, "")]
        notes = view.table.footnotes if end == len(view.table.rows) else ()
        caption = "\n".join(filter(None, titles))
        print_table(replace(view.table, caption=caption, rows=view.table.rows[start:end], footnotes=notes), console)


def write(view: View, folder: Path) -> list[Path]:
    """The paths of the table in Markdown, LaTeX, CSV and HTML, the last one; the same table gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "md": write_markdown(view),
        "tex": write_latex(view),
        "csv": view.numbers.to_csv(index=False, lineterminator="\n"),
        "html": write_html(view),
    }
    for ending, text in texts.items():
        (folder / f"{view.name}.{ending}").write_text(text, encoding="utf-8", newline="\n")
    return [folder / f"{view.name}.{ending}" for ending in texts]


def insert(lines: Sequence[str], start: int, headings: dict[int, str]) -> list[str]:
    """The lines with headings before those of the rows that they belong to; the first row is line `start`."""
    places = {start + row: [text] for row, text in headings.items()}
    return [text for number, line in enumerate(lines) for text in (*places.get(number, ()), line)]


def write_markdown(view: View) -> str:
    """The table in Markdown, groups under headings in italics."""
    lines = format_markdown(view.table).split("\n")
    start = 1 + next(number for number, line in enumerate(lines) if line.startswith(("| -", "| :")))
    blank = " |" * len(view.table.columns)
    headings = {row: f"| *{escape_markdown(title)}* |{blank}" for row, title in view.headings.items()}
    return "\n".join(insert(lines, start, headings))


def write_latex(view: View) -> str:
    """The table in LaTeX, groups under headings in italics."""
    lines = format_latex(view.table).split("\n")
    start = 1 + lines.index(r"\midrule")
    span = len(view.table.columns) + 1
    headings = {
        row: rf"\addlinespace \multicolumn{{{span}}}{{@{{}}l}}{{\textit{{{escape_latex(title)}}}}} \\"
        for row, title in view.headings.items()
    }
    return "\n".join(insert(lines, start, headings))


def write_html(view: View) -> str:
    """A page of its own with the table, groups under headings."""
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
