"""Tables in Markdown."""

import re

from reports.formats.text import SUPERSCRIPT, TEXT_COLUMNS, align_rows, list_headers
from reports.tables.table import Table


def escape_markdown(text: str) -> str:
    """The text on one line, with what Markdown or HTML would act on made harmless."""
    return re.sub(r"([\\|*`\[])", r"\\\1", re.sub(r"<(?=[A-Za-z/!?])", "&lt;", " ".join(text.split())))


def format_markdown(table: Table) -> str:
    """The table in Markdown: numbers aligned in the source too, the best in bold, footnotes as a list."""
    heads = [f"{title} ({unit})" if unit else title for title, unit in list_headers(table)]
    sides = ["<" if head in TEXT_COLUMNS else ">" for head in heads]
    lines = [heads]
    for row, (label, *texts) in align_rows(table, bold="**"):
        words = map(escape_markdown, texts[len(row.entries) :])
        lines.append([escape_markdown(label), *texts[: len(row.entries)], *words])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [[f"{text:{side}{width}}" for text, side, width in zip(line, sides, widths, strict=True)] for line in lines]
    rows.insert(1, [f"{'-' if side == '<' else ':':->{width}}" for side, width in zip(sides, widths, strict=True)])
    body = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    title = "\n\n".join(f"**{escape_markdown(text)}**" for text in (table.caption, table.warning) if text)
    notes = "\n".join(
        f"- {f'{mark.translate(SUPERSCRIPT)} {escape_markdown(note)}'.strip()}" for mark, note in table.footnotes
    )
    return f"{title}\n\n{body}\n\n{notes}\n"
