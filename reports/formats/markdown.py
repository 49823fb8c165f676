"""Tables in Markdown."""

import re
from collections.abc import Sequence

from reports.formats.text import SUPERSCRIPT, TEXT_COLUMNS, align_rows, list_headers
from reports.tables.table_model import Table


def escape_markdown(text: str) -> str:
    """The text on one line, with everything escaped that Markdown or HTML would interpret."""
    return re.sub(r"([\\|*`\[])", r"\\\1", re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split())))


def format_row(texts: Sequence[str], sides: Sequence[str], widths: Sequence[int]) -> str:
    """One line of the table, each text padded on its side."""
    padded = [f"{text:{side}{width}}" for text, side, width in zip(texts, sides, widths, strict=True)]
    return f"| {' | '.join(padded)} |"


def format_body(table: Table) -> str:
    """Header, rule and rows, aligned in the source too."""
    headers = [f"{title} ({unit})" if unit else title for title, unit in list_headers(table)]
    lines = [headers]
    for row, (label, *texts) in align_rows(table, bold="**"):
        numbers, status = texts[: len(row.entries)], texts[len(row.entries) :]
        lines.append([escape_markdown(label), *numbers, *map(escape_markdown, status)])

    sides = ["<" if header in TEXT_COLUMNS else ">" for header in headers]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    header, *rows = [format_row(line, sides, widths) for line in lines]
    dashes = [
        "-" * width if side == "<" else "-" * (width - 1) + ":" for side, width in zip(sides, widths, strict=True)
    ]
    return "\n".join([header, format_row(dashes, sides, widths), *rows])


def format_markdown(table: Table) -> str:
    """The table in Markdown, the best in bold and footnotes as a list."""
    title = "\n\n".join(f"**{escape_markdown(text)}**" for text in (table.caption, table.warning) if text)
    notes = [f"{mark.translate(SUPERSCRIPT)} {escape_markdown(note)}".strip() for mark, note in table.footnotes]
    items = "\n".join(f"- {note}" for note in notes)
    return f"{title}\n\n{format_body(table)}\n\n{items}\n"
