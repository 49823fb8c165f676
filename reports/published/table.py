"""Tables of published numbers, laid out as in the papers, beside the numbers measured here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from bench.results.statistics.pooled import SIGNS, PooledEstimate
from reports.published.footnotes import (
    DISPUTED,
    HERE,
    find_number_notes,
    list_measured_notes,
    list_notes,
    list_protocols,
    list_sources,
)
from reports.published.match import NO_COUNTERPART, Arm, Match, find_match
from reports.published.published_file import Protocol
from reports.published.published_numbers import Claim, Place, Published
from reports.tables.format_numbers import format_sample_size, format_with_error
from reports.tables.table_model import MISSING, Column, Entry, Footnotes, Row, Table, mark_mixed

ARROWS = {"lower": " ↓", "higher": " ↑", "neither": ""}


@dataclass(frozen=True)
class View:
    """A published table, ready for any format; a heading stands above the row with its index."""

    name: str
    table: Table
    headings: dict[int, str]
    numbers: pd.DataFrame  # a row for every number, at full precision


class ResultsRow(NamedTuple):
    """The published numbers of one row by column, each with its match, and what marks them."""

    numbers: dict[int, tuple[Claim, Match]]
    best: set[Place]
    notes: dict[Place, list[str]]


def build_view(published: Published, arms: Sequence[Arm]) -> View:
    """Lay out a published table beside the numbers that the arms measured."""
    claims = published.claims
    matches = [find_match(claim, arms) for claim in claims]
    columns = list_columns(published, matches)
    by_place = {claim.place: (claim, match) for claim, match in zip(claims, matches, strict=True)}
    best, number_notes, footnotes = find_best(claims), find_number_notes(published), Footnotes()

    rows: list[Row] = []
    for group, row, label in list_labels(published):
        places = [(group, row, column) for column in range(len(published.sheet.columns))]
        numbers = {place[2]: by_place[place] for place in places if place in by_place}
        results = ResultsRow(numbers, best, number_notes)
        rows.append(Row(label, "", tuple(format_entry(column, results, footnotes) for column in columns)))

    rows = list(mark_mixed(rows, columns, footnotes))
    notes = [*list_notes(published, matches, rows), *footnotes.list_notes()]
    notes += list_protocols(published) + list_measured_notes(claims, matches) + list_sources(claims)
    table = Table(published.sheet.title, "", tuple(columns), tuple(rows), (), tuple(notes))
    return View(published.name, table, list_headings(published), list_numbers(published, matches))


def list_labels(published: Published) -> list[tuple[int, int, str]]:
    """The group, the index within it, and the label of every row."""
    groups = published.sheet.groups
    return [(i, j, line.label) for i, group in enumerate(groups) for j, line in enumerate(group.rows)]


def list_headings(published: Published) -> dict[int, str]:
    """The titles of groups that have one, by the index of their first row."""
    first_rows = [index for index, (_, row, _) in enumerate(list_labels(published)) if row == 0]
    titles = [group.title for group in published.sheet.groups]
    return {index: title for index, title in zip(first_rows, titles, strict=True) if title}


def list_columns(published: Published, matches: Sequence[Match]) -> list[Column]:
    """The paper's columns, each followed by the numbers measured here, and the source if headings do not name it.

    A column's `metric` is the index of the paper's column, and its `stage` is what it shows of that column.
    """
    columns: list[Column] = []
    for k, heading in enumerate(published.sheet.columns):
        column_matches = [match for claim, match in zip(published.claims, matches, strict=True) if claim.place[2] == k]
        columns.append(Column("paper", str(k), heading.title + ARROWS[heading.better], heading.unit, format_with_error))
        if any(match.estimate for match in column_matches):
            columns.append(Column("value", str(k), HERE, heading.unit, format_with_error))
            columns.append(Column("count", str(k), HERE, "n × seeds", format_sample_size))
        if any(match.verdict != NO_COUNTERPART for match in column_matches):
            columns.append(Column("verdict", str(k), HERE, "verdict", format_with_error))

    if all(column.stage == "paper" for column in columns):
        columns.append(Column("verdict", "0", HERE, "verdict", format_with_error))
    if needs_sources(published.claims):
        columns.append(Column("source", "", "Source", "", format_with_error))
    return columns


def needs_sources(claims: Sequence[Claim]) -> bool:
    """Whether rows must name their source, because some heading does not."""
    if len({claim.source for claim in claims}) == 1:
        return False
    groups = [list(group) for _, group in groupby(claims, key=lambda claim: claim.place[0])]
    return any(
        len({claim.source for claim in group}) > 1 or not group[0].group.startswith(group[0].paper.name)
        for group in groups
    )


def format_entry(column: Column, results: ResultsRow, footnotes: Footnotes) -> Entry:
    """One entry of a row."""
    if column.stage == "source":
        return Entry("; ".join(dict.fromkeys(claim.source for claim, _ in results.numbers.values())))
    if int(column.metric) not in results.numbers:
        return Entry(MISSING)

    claim, match = results.numbers[int(column.metric)]
    if column.stage == "paper":
        return format_claim(claim, claim.place in results.best, results.notes[claim.place], footnotes)
    if column.stage == "verdict":
        return Entry(match.verdict)
    if match.estimate is None:
        return Entry()

    value, error = column.format(match.estimate)
    if column.stage == "count":
        return Entry(value, error, estimate=match.estimate)
    marks = footnotes.mark_estimate(match.estimate, set())
    return Entry(value, error, SIGNS[match.estimate.kind], marks, estimate=match.estimate)


def format_claim(claim: Claim, best: bool, notes: Sequence[str], footnotes: Footnotes) -> Entry:
    """A published number as printed, with the letters of its notes."""
    marks = footnotes.mark_all(notes)
    if claim.status != "as published":
        marks = DISPUTED + marks
    spread = "" if claim.spread is None else str(claim.spread)
    return Entry(str(claim.value), spread, claim.sign, marks, best, PooledEstimate(float(claim.value)))


def find_best(claims: Sequence[Claim]) -> set[Place]:
    """The places of the best numbers of each group, column and sign, among at least two undisputed numbers."""
    best: set[Place] = set()
    ranked: dict[tuple[int, int, str], list[Claim]] = {}
    for claim in claims:
        if claim.status == "as published" and claim.read != "recalled" and claim.column.better != "neither":
            ranked.setdefault((claim.place[0], claim.place[2], claim.sign), []).append(claim)
    for rivals in ranked.values():
        choose = max if rivals[0].column.better == "higher" else min
        top = choose(claim.value for claim in rivals)
        best |= {claim.place for claim in rivals if claim.value == top and len(rivals) > 1}
    return best


def list_numbers(published: Published, matches: Sequence[Match]) -> pd.DataFrame:
    """Tabulate every number at full precision with its source, protocol and match."""
    rows = []
    for claim, match in zip(published.claims, matches, strict=True):
        estimate = match.estimate or PooledEstimate(math.nan)
        rows.append(
            {
                "table": published.name,
                "group": claim.group,
                "row": claim.row,
                "column": claim.column.title,
                "unit": claim.column.unit,
                "better": claim.column.better,
                "sign": claim.sign,
                "value": str(claim.value),
                "spread": "" if claim.spread is None else str(claim.spread),
                "status": claim.status,
                "reason": claim.reason,
                "note": claim.note,
                "read": claim.read,
                "paper": claim.paper.name,
                "arxiv": claim.paper.identifier,
                "place": claim.table,
                **{name: getattr(claim.protocol, name) for name in Protocol.model_fields},
                "verdict": match.verdict,
                "own_differs": "; ".join(match.differences),
                "own_suite": match.arm.suite if match.arm else "",
                "own_arm": match.arm.label if match.arm else "",
                "own_value": estimate.value,
                "own_standard_error": estimate.error,
                "own_n": estimate.documents,
                "own_seeds": estimate.seeds,
                "own_kind": estimate.kind,
            }
        )
    return pd.DataFrame(rows)
