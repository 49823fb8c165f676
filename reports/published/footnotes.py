"""Footnotes of published tables: signs, verdicts, protocols, sources, and arms under another protocol."""

from collections.abc import Sequence

from bench.results.statistics.pooled import SIGNS, PooledEstimate
from reports.published.match import NO_COUNTERPART, NOT_RUN, REPRODUCED, Match, explain_mismatch
from reports.published.published_file import Counterpart, Paper, Protocol
from reports.published.published_numbers import Claim, Place, Published, overlay
from reports.tables.format_numbers import format_compact
from reports.tables.table_model import Row, explain_errors, explain_uncertified

HERE = "Measured here"
DISPUTED = "‡"
READ = {
    "summary": "taken from another publication, not from the paper itself",
    "recalled": "from memory: check it before relying on it",
}
MEANINGS = {
    "=": "exact likelihood, as stated by the paper; for a number measured here, a certified one",
    "<=": "upper bound, as stated by the paper; for a number measured here, a certified bound",
    "±": "in the paper: {spread}",
    DISPUTED: "disputed or withdrawn, see its footnote; never bold",
}
BOLD = "Bold: the best number of its group among those with the same sign."
VERDICTS = (
    f"{HERE}: {REPRODUCED} if the paper's number lies within the 95 % interval of our number, joined in quadrature with"
    " 1.96 times the paper's ± and widened by half of the paper's last digit; otherwise the difference. With one seed"
    " there is no verdict, only the difference. "
    f"{NOT_RUN}: no recorded arm has this protocol. {NO_COUNTERPART}: nothing to compare."
)
NOTHING = f"{HERE}: {NO_COUNTERPART}, as this project measures none of these numbers."


def describe_protocol(protocol: Protocol) -> str:
    """A protocol on one line."""
    return "; ".join(f"{name}: {value}" for name, value in protocol.model_dump(exclude_none=True).items())


def find_number_notes(published: Published) -> dict[Place, list[str]]:
    """The notes of each number: its status, its note, and what its row or column adds to the protocol."""
    shared_readings = find_shared_readings(published)
    number_notes: dict[Place, list[str]] = {}
    for claim in published.claims:
        group, row_number, column = claim.place
        row = published.sheet.groups[group].rows[row_number]
        layers = filter(None, (published.sheet.columns[column], row, row.numbers[column]))
        protocol = overlay(Protocol, [layer.protocol for layer in layers])

        notes = [f"{claim.status}: {claim.reason}"] if claim.reason else []
        notes += [claim.note, describe_protocol(protocol)]
        if group not in shared_readings:
            notes.append(READ.get(claim.read, ""))
        number_notes[claim.place] = [note for note in notes if note]
    return number_notes


def find_shared_readings(published: Published) -> dict[int, str]:
    """The groups with several numbers, all taken from the same kind of source other than the paper itself."""
    readings: dict[int, list[str]] = {}
    for claim in published.claims:
        readings.setdefault(claim.place[0], []).append(claim.read)
    return {
        group: reading[0]
        for group, reading in readings.items()
        if len(reading) > 1 and set(reading) == {reading[0]} <= set(READ)
    }


def list_protocols(published: Published) -> list[tuple[str, str]]:
    """The protocol of the table, the additions of each group, and how the numbers were read."""
    sheet, readings = published.sheet, find_shared_readings(published)
    table_protocol = describe_protocol(sheet.protocol)
    notes = [f"Protocol: {table_protocol}."] if table_protocol else []
    for group in sheet.groups:
        if protocol := describe_protocol(group.protocol):
            notes.append(f'Protocol of "{group.title}": {protocol}.')

    if len(readings) == len(sheet.groups) and len(set(readings.values())) == 1:
        notes.append(f"All numbers: {READ[readings[0]]}.")
    else:
        notes += [f'Numbers of "{sheet.groups[group].title}": {READ[reading]}.' for group, reading in readings.items()]
    return [("", note) for note in notes]


def list_notes(published: Published, matches: Sequence[Match], rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The footnotes on signs, bold numbers and verdicts."""
    entries = [entry for row in rows for entry in row.entries]
    paper_signs = {claim.sign for claim in published.claims}
    marks = paper_signs | {entry.marks[:1] for entry in entries}
    if any(claim.spread for claim in published.claims):
        marks.add("±")
    notes = [(mark, text.format(spread=published.sheet.spread)) for mark, text in MEANINGS.items() if mark in marks]

    measured = [match.estimate for match in matches if match.estimate]
    signs_here = {SIGNS[estimate.kind] for estimate in measured} - paper_signs
    notes += [(sign, text) for sign, text in MEANINGS.items() if sign in signs_here] + explain_uncertified(measured)
    notes += [(sign, f"for a number measured here: {meaning}") for sign, meaning in explain_errors(measured)]
    if any(entry.best for entry in entries):
        notes.append(("", BOLD))
    is_compared = any(match.verdict != NO_COUNTERPART for match in matches)
    return [*notes, ("", VERDICTS if is_compared else NOTHING)]


def list_measured_notes(claims: Sequence[Claim], matches: Sequence[Match]) -> list[tuple[str, str]]:
    """The arms whose numbers are shown, the protocol that an arm needs, and why the nearest arms do not match."""
    arms = dict.fromkeys(
        f"arm {match.arm.label} of suite {match.arm.suite}" for match in matches if match.arm and match.estimate
    )
    notes = [("", f"{HERE}: {'; '.join(arms)}.")] if arms else []

    protocols = [describe_counterpart(claim.here) for claim in claims if claim.here.method]
    if protocols:
        most_common = max(dict.fromkeys(protocols), key=protocols.count)
        others = "; some rows need another network or number of tokens" if len(set(protocols)) > 1 else ""
        notes.append(("", f"To appear here, an arm needs: {most_common}{others}."))

    rows_by_reason: dict[str, list[str]] = {}
    for claim, match in zip(claims, matches, strict=True):
        if reason := explain_mismatch(match):
            rows_by_reason.setdefault(reason, []).append(claim.row)
    notes += [("", f"{'; '.join(dict.fromkeys(rows))}: {reason}.") for reason, rows in rows_by_reason.items()]
    return notes


def describe_counterpart(counterpart: Counterpart) -> str:
    """The protocol of a counterpart on one line."""
    tokens = [format_compact(PooledEstimate(count))[0] for count in counterpart.tokens or ()]
    settings = {
        "data": counterpart.data,
        "split": counterpart.split,
        "length": counterpart.length,
        "token": counterpart.level,
        "network": counterpart.network,
        "training tokens": " to ".join(tokens) or None,
    }
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def list_sources(claims: Sequence[Claim]) -> list[tuple[str, str]]:
    """Cite every paper of the table, with the table in the paper if all numbers share it."""
    papers = {claim.paper.name: claim.paper for claim in claims}
    places = {claim.table for claim in claims}
    place = places.pop() if len(papers) == len(places) == 1 else ""
    return [("", f"{name}: {', '.join(filter(None, (cite(paper), place)))}.") for name, paper in papers.items()]


def cite(paper: Paper) -> str:
    """Cite a paper by authors, year, title and identifier."""
    return ", ".join(filter(None, (f"{paper.authors} {paper.year}", paper.title, paper.identifier)))
