"""Tables as HTML that can be sorted: every number with the room that its column needs, everything escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from reports.figures.style import INK, find_style
from reports.tables.table import LETTERS, Entry, Row, Table

LONG_LABEL = 60  # characters of a label that takes several lines, so that it hides no number
FIGURE_SPACE = "\u2007"  # as wide as a digit


@dataclass(frozen=True)
class Width:
    """The most characters that the numbers of a column take, so that points stand under each other."""

    fraction: int  # at the point and to the right of it
    error: int
    marks: int


def measure_width(cells: Sequence[Entry]) -> Width:
    """The room that the numbers of a column need."""
    texts = [("".join(cell.value.partition(".")[1:]), cell.error, cell.marks) for cell in cells if cell.estimate]
    return Width(*(max(map(len, column)) for column in zip(*texts, strict=True))) if texts else Width(0, 0, 0)


def format_mark(mark: str) -> Markup:
    """A sign as it is, letters raised."""
    sign = mark.rstrip(LETTERS)
    letters = Markup("<sup>{}</sup>").format(mark[len(sign) :]) if mark != sign else ""
    return Markup("{}{}").format(sign.replace("<=", "≤"), letters)


def format_entry(cell: Entry, room: Width) -> Markup:
    """A cell of an HTML table; error and marks stand in a box as wide as its column needs."""
    if not cell.estimate:
        return Markup('<td class="word">{}</td>').format(cell.value)
    value = Markup("<strong>{}</strong>" if cell.best else "{}").format(cell.value)
    pad = FIGURE_SPACE * (room.fraction - measure_width([cell]).fraction)
    width = (room.error + 1.7 if room.error else 0) + 0.7 * room.marks  # in digits; a sign and two spaces take 1.7
    error = f" ± {cell.error}" if cell.error else ""
    tail = Markup('<span class="tail" style="width:{:.1f}ch">{}{}</span>').format(width, error, format_mark(cell.marks))
    words = (repr(float(cell.estimate.value)), format_mark(cell.sign), value, pad, tail)
    return Markup('<td data-value="{}">{} {}{}{}</td>').format(*words)


def format_label(label: str, method: str) -> Markup:
    """The name of an arm with the marker that it has in every figure."""
    style = find_style(method)
    ink = "currentColor" if style.color == INK else style.color
    glyph = Markup('<span class="glyph" style="color:{}" aria-hidden="true">{}</span> ').format(ink, style.glyph)
    return (glyph if method else Markup("")) + label


def format_header(table: Table) -> Markup:
    """The two header rows: equal neighbouring titles merged, and the units."""
    groups = [(title, len(list(group))) for title, group in groupby(column.title for column in table.columns)]
    one = Markup('<th scope="col">{}</th>')
    several = Markup('<th class="group" scope="colgroup" colspan="{1}">{0}</th>')
    titles = Markup().join((several if span > 1 else one).format(title, span) for title, span in groups)
    units = Markup().join(one.format(column.unit) for column in table.columns)
    return Markup('<tr><th rowspan="2" scope="col">Method</th>{}</tr><tr>{}</tr>').format(titles, units)


def format_row(row: Row, rooms: Sequence[Width]) -> Markup:
    """One row of the body, and one more below it with the reasons where the arm is not done."""
    cells = Markup().join(format_entry(cell, room) for cell, room in zip(row.entries, rooms, strict=True))
    style = Markup(' class="long"' * (len(row.label) > LONG_LABEL))
    words = (row.method, style, format_label(row.label, row.method), cells)
    line = Markup('<tr data-method="{}"><th scope="row"{}>{}</th>{}</tr>').format(*words)
    below = Markup('<tr class="reason"><td colspan="{}"><span class="stay">{}</span></td></tr>')
    return line + below.format(len(rooms) + 1, row.reason) if row.reason else line


def format_html(table: Table) -> Markup:
    """The table as an HTML fragment with its caption and footnotes, everything in it escaped."""
    blocks = [rows for rows in (table.rows, table.references) if rows]
    columns = zip(*(row.entries for block in blocks for row in block), strict=True)
    rooms = [measure_width(cells) for cells in columns]
    bodies = [Markup().join(format_row(row, rooms) for row in block) for block in blocks]
    body = Markup().join(Markup("<tbody>{}</tbody>").format(rows) for rows in bodies)
    note = Markup("<li><span>{}</span>{}</li>")
    notes = Markup().join(note.format(format_mark(mark), text.replace("<=", "≤")) for mark, text in table.footnotes)
    return Markup(
        '<div class="scroll" role="region" aria-label="{0}" tabindex="0"><table>'
        '<caption><span class="stay">{0}</span></caption><thead>{1}</thead>{2}</table></div><ul class="notes">{3}</ul>'
    ).format(table.caption, format_header(table), body, notes)
