"""One self-contained HTML page of a record: the answer, its table and curves, and all that is needed to doubt it."""

import re
from collections.abc import Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bench.results import Record
from reports.plots import look
from reports.tables import (
    MEANINGS,
    Cell,
    Column,
    Estimate,
    Row,
    Table,
    build,
    build_main,
    find_differences,
    find_references,
    find_score,
    is_tied,
    split_arms,
    write_compact,
    write_error,
    write_plain,
)

SHOWN = 4  # samples of each arm on the page
FIGURE_SPACE = "\u2007"  # as wide as a digit


def write_seeds(number: Estimate) -> tuple[str, str]:
    """How many seeds were trained, of how many that were planned."""
    return f"{number.seeds} of {number.planned}", ""


FAIRNESS = (
    Column("train", "tokens", "Training", "tokens", write_compact),
    Column("train", "epochs", "Training", "epochs", write_plain),
    Column("train", "seconds", "Training", "seconds", write_plain),
    Column("train", "tokens_per_second", "Training", "tokens per second", write_compact),
    Column("train", "parameters", "Parameters", "total", write_compact),
    Column("train", "parameters_non_embedding", "Parameters", "non-embedding", write_compact),
    Column("train", "parameters_method", "Parameters", "method's own", write_compact),
    Column("train", "tokens", "Seeds", "trained", write_seeds),
)
BREAKDOWN = (
    Column("bound", "prior_gap", "Prior gap", "nats per token", write_error),
    Column("bound", "integral", "Integral", "nats per token", write_error),
    Column("bound", "last_guess", "Last guess", "nats per token", write_error),
    Column("bound", "nats_per_token", "Sum", "nats per token", write_error),
    Column("bound", "seconds", "Evaluation", "seconds", write_plain),
)


def say(cell: Cell) -> str:
    """A number with its error, and how many seeds it comes from where some are lost."""
    number = cell.estimate
    lost = f" (over {number.seeds} of {number.planned} seeds)" if number and number.planned > number.seeds else ""
    return cell.value + (f" ± {cell.error}" if cell.error else "") + lost


def say_best(table: Table, is_exact: bool) -> str:
    """The best of the exact values, or of the others, with its unit and what it is not told apart from; "" for none."""
    numbers = {row: row.cells[0].estimate for row in table.rows}
    there = {row: number for row, number in numbers.items() if number and (number.kind == "exact") == is_exact}
    if not there:
        return ""
    best = min(there, key=lambda row: there[row].value)
    ties = [row.label for row in there if row is not best and is_tied(there[row], there[best])]
    claim = f"{best.label} is exact at" if is_exact else f"the best bound is {best.label}'s,"
    also = f" (not told apart from {' and '.join(ties)})" if ties else ""
    return f"{claim} {say(best.cells[0])} {table.columns[0].unit}{also}"


def answer(table: Table) -> str:
    """What the main table says, in one sentence with its uncertainty, arms without a score named."""
    parts = [say_best(table, is_exact=True), say_best(table, is_exact=False)]
    parts = [part for part in parts if part] or ["no arm has a score yet"]
    known = {row.label: row.cells[0].value for row in table.references}
    if "entropy of the source" in known:
        parts.append(f"the entropy of the source is {known['entropy of the source']}")
    if lost := [f"{row.label} ({row.status})" for row in table.rows if not row.cells[0].estimate]:
        parts.append(f"there is no score from {', '.join(lost)}")
    sentence = "; ".join(parts)
    return sentence[0].upper() + sentence[1:] + "."


def measure_tail(cell: Cell) -> int:
    """How many characters stand at the point and to the right of it, without marks."""
    return len("".join(cell.value.partition(".")[1:])) + (len(cell.error) + 3 if cell.error else 0)


def format_mark(mark: str) -> Markup:
    """A sign as it is, letters raised."""
    sign = mark.rstrip(LETTERS)
    return Markup("{}<sup>{}</sup>").format(sign.replace("<=", "≤"), mark[len(sign) :])


def format_cell(cell: Cell, room: int) -> Markup:
    """A cell of an HTML table; `room` is the longest tail of its column, so that points stand under each other."""
    if not cell.estimate:
        return Markup('<td class="word">{}</td>').format(cell.value)
    value = Markup("<strong>{}</strong>" if cell.best else "{}").format(cell.value)
    error = f" ± {cell.error}".replace(" ", FIGURE_SPACE) if cell.error else ""
    pad = FIGURE_SPACE * (room - measure_tail(cell))
    marks = Markup('<span class="marks">{}</span>').format(format_mark(cell.marks)) if cell.marks else ""
    return Markup("<td>{} {}{}{}{}</td>").format(format_mark(cell.sign), value, error, pad, marks)


def format_label(label: str, method: str) -> Markup:
    """The name of an arm with the marker that it has in every figure."""
    style = look(method)
    ink = "currentColor" if style.colour == INK else style.colour
    glyph = Markup('<span class="glyph" style="color:{}" aria-hidden="true">{}</span> ').format(ink, style.glyph)
    return (glyph if method else Markup("")) + label


def format_html(table: Table) -> Markup:
    """The table as an HTML fragment with its caption and footnotes, everything in it escaped."""
    ...
