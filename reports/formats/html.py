"""Tables as HTML that can be sorted; numbers are aligned and everything is escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from reports.figures.style import INK, find_style
from reports.tables.table_model import LETTERS, Entry, Row, Table

LONG_LABEL = 60  # characters; longer labels are wrapped, so that they hide no number
FIGURE_SPACE = "\u2007"  # as wide as a digit


@dataclass(frozen=True)
class Widths:
    """The largest widths in a column, in characters; they align decimal points."""

    fraction: int  # the decimal point and what is right of it
    error: int
    marks: int


def count_fraction(entry: Entry) -> int:
    """The characters of the decimal point and the decimals."""
    return len("".join(entry.value.partition(".")[1:]))


def measure_widths(entries: Sequence[Entry]) -> Widths:
    """The widths that the numbers of a column need."""
    numbers = [entry for entry in entries if entry.estimate]
    return Widths(
        fraction=max(map(count_fraction, numbers), default=0),
        error=max((len(entry.error) for entry in numbers), default=0),
        marks=max((len(entry.marks) for entry in numbers), default=0),
    )


def format_mark(mark: str) -> Markup:
    """Signs as they are, letters raised."""
    sign = mark.rstrip(LETTERS)
    letters = Markup("<sup>{}</sup>").format(mark[len(sign) :]) if mark != sign else ""
    return Markup("{}{}").format(sign.replace("<=", "≤"), letters)


def format_entry(entry: Entry, widths: Widths) -> Markup:
    """One cell; error and marks stand in a box as wide as the column needs."""
    if not entry.estimate:
        return Markup('<td class="word">{}</td>').format(entry.value)
    value = Markup("<strong>{}</strong>" if entry.best else "{}").format(entry.value)
    padding = FIGURE_SPACE * (widths.fraction - count_fraction(entry))

    box = (widths.error + 1.7 if widths.error else 0) + 0.7 * widths.marks  # in digits; " ± " takes 1.7
    error = f" ± {entry.error}" if entry.error else ""
    tail = Markup('<span class="tail" style="width:{:.1f}ch">{}{}</span>').format(box, error, format_mark(entry.marks))
    number = repr(float(entry.estimate.value))
    return Markup('<td data-value="{}">{} {}{}{}</td>').format(number, format_mark(entry.sign), value, padding, tail)


def format_label(label: str, method: str) -> Markup:
    """The name of an arm behind the marker that it has in every figure."""
    if not method:
        return Markup("") + label
    style = find_style(method)
    ink = "currentColor" if style.color == INK else style.color
    glyph = Markup('<span class="glyph" style="color:{}" aria-hidden="true">{}</span> ').format(ink, style.glyph)
    return glyph + label


def format_header(table: Table) -> Markup:
    """The two header rows: equal neighbouring titles merged, and units."""
    single = Markup('<th scope="col">{}</th>')
    merged = Markup('<th class="group" scope="colgroup" colspan="{}">{}</th>')
    titles = Markup()
    for title, group in groupby(column.title for column in table.columns):
        span = len(list(group))
        titles += merged.format(span, title) if span > 1 else single.format(title)
    units = Markup().join(single.format(column.unit) for column in table.columns)
    return Markup('<tr><th rowspan="2" scope="col">Method</th>{}</tr><tr>{}</tr>').format(titles, units)


def format_row(row: Row, widths: Sequence[Widths]) -> Markup:
    """One row of the body, and another below it with the reasons if the arm is not done."""
    cells = Markup().join(format_entry(*pair) for pair in zip(row.entries, widths, strict=True))
    style = Markup(' class="long"') if len(row.label) > LONG_LABEL else ""
    label = format_label(row.label, row.method)
    line = Markup('<tr data-method="{}"><th scope="row"{}>{}</th>{}</tr>').format(row.method, style, label, cells)
    if not row.reason:
        return line
    reason = Markup('<tr class="reason"><td colspan="{}"><span class="stay">{}</span></td></tr>')
    return line + reason.format(len(widths) + 1, row.reason)


def format_html(table: Table) -> Markup:
    """The table as an HTML fragment with its caption and footnotes."""
    columns = zip(*(row.entries for row in table.rows + table.references), strict=True)
    widths = [measure_widths(entries) for entries in columns]
    body = Markup()
    for rows in (table.rows, table.references):
        if rows:
            body += Markup("<tbody>{}</tbody>").format(Markup().join(format_row(row, widths) for row in rows))

    item = Markup("<li><span>{}</span>{}</li>")
    notes = Markup().join(item.format(format_mark(mark), text.replace("<=", "≤")) for mark, text in table.footnotes)
    return Markup(
        '<div class="scroll" role="region" aria-label="{0}" tabindex="0"><table>'
        '<caption><span class="stay">{0}</span></caption><thead>{1}</thead>{2}</table></div><ul class="notes">{3}</ul>'
    ).format(table.caption, format_header(table), body, notes)
