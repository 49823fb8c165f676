"""Tables of published numbers in their papers' form, with what was measured here beside them."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby

import pandas as pd

from bench.results.statistics.pooled import SIGNS, PooledEstimate
from reports.published.claims import Claim, Place, Published
from reports.published.footnotes import DOUBT, HERE, find_own, list_notes, list_own, list_protocols, list_sources
from reports.published.match import NO_COUNTERPART, Arm, Measured, find
from reports.published.settings import Protocol
from reports.tables.numbers import format_sample_size, format_with_error
from reports.tables.table import MISSING, Column, Entry, Footnotes, Row, Table

ARROWS = {"lower": " ↓", "higher": " ↑", "neither": ""}


@dataclass(frozen=True)
class View:
    """A table of papers, ready for any format; headings stand before the rows with these numbers, from 0."""

    name: str
    table: Table
    headings: dict[int, str]
    numbers: pd.DataFrame  # a row for every number, at full precision


def build(published: Published, arms: Sequence[Arm]) -> View:
    """The table of a paper beside what the arms have measured."""
    claims = published.claims
    found = [find(claim, arms) for claim in claims]
    footnotes = Footnotes()
    columns = list_columns(published, found)
    pairs = {claim.place: (claim, own) for claim, own in zip(claims, found, strict=True)}
    best, told = find_best(claims), find_own(published)
    rows: list[Row] = []
    for i, j, label in list_labels(published):
        there = {k: pairs[i, j, k] for k in range(len(published.sheet.columns)) if (i, j, k) in pairs}
        cells = [write_cell(column, there, best, told, footnotes) for column in columns]
        rows.append(Row(label, "", tuple(cells)))
    notes = [*list_notes(published, found, rows), *footnotes.list_notes()]
    notes += list_protocols(published) + list_own(claims, found) + list_sources(claims)
    table = Table(published.sheet.title, "", tuple(columns), tuple(rows), (), tuple(notes))
    return View(published.name, table, list_headings(published), list_numbers(published, found))


def list_labels(published: Published) -> list[tuple[int, int, str]]:
    """Group, row within it and label of every row."""
    groups = published.sheet.groups
    return [(i, j, line.label) for i, group in enumerate(groups) for j, line in enumerate(group.rows)]


def list_headings(published: Published) -> dict[int, str]:
    """The titles of the groups that have one, by the number of their first row."""
    firsts = [number for number, (_, j, _) in enumerate(list_labels(published)) if j == 0]
    titles = [group.title for group in published.sheet.groups]
    return {number: title for number, title in zip(firsts, titles, strict=True) if title}


def list_columns(published: Published, found: Sequence[Measured]) -> list[Column]:
    """The paper's columns, each followed by what was measured here, and the source where the headings do not tell it.

    `metric` is the number of the paper's column, `stage` what is shown of it.
    """
    columns: list[Column] = []
    verdict = Column("verdict", "0", HERE, "verdict", format_with_error)
    for k, heading in enumerate(published.sheet.columns):
        own = [measured for claim, measured in zip(published.claims, found, strict=True) if claim.place[2] == k]
        columns.append(Column("paper", str(k), heading.title + ARROWS[heading.better], heading.unit, format_with_error))
        if any(measured.estimate for measured in own):
            columns.append(Column("value", str(k), HERE, heading.unit, format_with_error))
            columns.append(Column("count", str(k), HERE, "n × seeds", format_sample_size))
        if any(measured.verdict != NO_COUNTERPART for measured in own):
            columns.append(Column("verdict", str(k), HERE, "verdict", format_with_error))
    columns += [verdict] * all(column.stage == "paper" for column in columns)
    return columns + [Column("source", "", "Source", "", format_with_error)] * has_sources(published.claims)


def has_sources(claims: Sequence[Claim]) -> bool:
    """Whether rows have to name their source: somewhere in the table a heading does not."""
    if len({claim.source for claim in claims}) == 1:
        return False
    groups = [list(group) for _, group in groupby(claims, key=lambda claim: claim.place[0])]
    return any(
        len({claim.source for claim in group}) > 1 or not group[0].group.startswith(group[0].paper.name)
        for group in groups
    )


def write_cell(
    column: Column,
    there: dict[int, tuple[Claim, Measured]],
    best: set[Place],
    told: dict[Place, list[str]],
    footnotes: Footnotes,
) -> Entry:
    """One cell of a row, whose numbers are given by their columns."""
    if column.stage == "source":
        return Entry("; ".join(dict.fromkeys(claim.source for claim, _ in there.values())))
    if int(column.metric) not in there:
        return Entry(MISSING)
    claim, own = there[int(column.metric)]
    if column.stage == "paper":
        return write_claim(claim, claim.place in best, told[claim.place], footnotes)
    if column.stage == "verdict":
        return Entry(own.verdict)
    if own.estimate is None:
        return Entry()
    value, error = column.format(own.estimate)
    is_value = column.stage == "value"
    marks = footnotes.mark_estimate(own.estimate, set()) if is_value else ""
    return Entry(value, error, SIGNS[own.estimate.kind] if is_value else "", marks, estimate=own.estimate)


def write_claim(claim: Claim, best: bool, notes: Sequence[str], footnotes: Footnotes) -> Entry:
    """A number as its paper printed it, with the letters of its notes."""
    doubt = DOUBT * (claim.status != "as published")
    marks = doubt + footnotes.mark_all(notes)
    spread = "" if claim.spread is None else str(claim.spread)
    return Entry(str(claim.value), spread, claim.sign, marks, best, PooledEstimate(float(claim.value)))


def find_best(claims: Sequence[Claim]) -> set[Place]:
    """The places of the best numbers of each group, column and sign, where there are several that nobody doubts."""
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


def list_numbers(published: Published, found: Sequence[Measured]) -> pd.DataFrame:
    """Every number at full precision with its source, protocol and counterpart, a row for each."""
    rows = []
    for claim, own in zip(published.claims, found, strict=True):
        row = {"table": published.name, "group": claim.group, "row": claim.row, "column": claim.column.title}
        row |= {"unit": claim.column.unit, "better": claim.column.better, "sign": claim.sign, "value": str(claim.value)}
        row |= {"spread": "" if claim.spread is None else str(claim.spread), "status": claim.status}
        row |= {"reason": claim.reason, "note": claim.note, "read": claim.read, "paper": claim.paper.name}
        row |= {"arxiv": claim.paper.identifier, "place": claim.table}
        row |= {name: getattr(claim.protocol, name) for name in Protocol.model_fields}
        row |= {"verdict": own.verdict, "own_differs": "; ".join(own.differences)}
        row |= {"own_suite": own.arm.suite if own.arm else "", "own_arm": own.arm.label if own.arm else ""}
        measured = asdict(own.estimate or PooledEstimate(math.nan))
        names = {"value": "own_value", "error": "own_standard_error", "documents": "own_n", "seeds": "own_seeds"}
        rows.append(row | {name: measured[field] for field, name in names.items()} | {"own_kind": measured["kind"]})
    return pd.DataFrame(rows)
