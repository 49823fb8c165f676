"""Footnotes of published numbers: signs, verdicts, protocols, sources, and own numbers of another protocol."""

from collections.abc import Sequence

from bench.results.statistics.pooled import PooledEstimate
from reports.published.claims import Claim, Place, Published, overlay
from reports.published.match import DIFFERS, NO_COUNTERPART, NOT_RUN, REPRODUCED, Measured, explain
from reports.published.settings import Counterpart, Paper, Protocol
from reports.tables.numbers import format_compact
from reports.tables.table import SIGN_NOTES as OWN
from reports.tables.table import Row

HERE = "Measured here"
DOUBT = "‡"
READ = {
    "summary": "read in somebody else's table or summary, not in the paper itself",
    "recalled": "from memory: look it up before relying on it",
}
MEANINGS = {
    "=": "the likelihood itself, as the paper states it or as it was measured here",
    "<=": "an upper bound, as the paper states it; of a number measured here, a bound with a certificate",
    "±": "of the paper: {spread}",
    DOUBT: "disputed or withdrawn, for the reason in the footnote; never bold",
}
BOLD = "Bold: the best of its group, among numbers with the same sign."
VERDICTS = (
    f"{HERE}: {REPRODUCED}, where the 95 % interval of the number measured here, joined in quadrature with 1.96 times"
    " the paper's ±, and half of the last digit that the paper prints, reach the paper's number; else by how much it"
    f" {DIFFERS.split()[0]}; {NOT_RUN}, where no recorded arm has the protocol; {NO_COUNTERPART}, where there is"
    " nothing here to compare."
)
NOTHING = f"{HERE}: {NO_COUNTERPART}, for there is nothing here to compare any of these numbers with."


def say(protocol: Protocol) -> str:
    """A protocol in one line."""
    return "; ".join(f"{name}: {value}" for name, value in protocol.model_dump(exclude_none=True).items())


def find_own(published: Published) -> dict[Place, list[str]]:
    """What has to be known of each number by itself: doubt, notes, and what its row or column adds to the protocol."""
    shared = find_read(published)
    told: dict[Place, list[str]] = {}
    for claim in published.claims:
        i, j, k = claim.place
        row = published.sheet.groups[i].rows[j]
        layers = filter(None, (published.sheet.columns[k], row, row.numbers[k]))
        protocol = overlay(Protocol, [each.protocol for each in layers])
        notes = [f"{claim.status}: {claim.reason}"] * bool(claim.reason) + [claim.note, say(protocol)]
        notes += [READ.get(claim.read, "")] * (i not in shared)
        told[claim.place] = [note for note in notes if note]
    return told


def find_read(published: Published) -> dict[int, str]:
    """The groups all of whose numbers, more than one, were read in the same way that is not the paper itself."""
    ways: dict[int, list[str]] = {}
    for claim in published.claims:
        ways.setdefault(claim.place[0], []).append(claim.read)
    return {i: way[0] for i, way in ways.items() if len(way) > 1 and set(way) == {way[0]} <= set(READ)}


def list_protocols(published: Published) -> list[tuple[str, str]]:
    """The protocol of the table, of each group what it adds, and how they were read."""
    sheet, read = published.sheet, find_read(published)
    notes = [f"Protocol: {say(sheet.protocol)}."] * bool(say(sheet.protocol))
    groups = [(group.title, say(group.protocol)) for group in sheet.groups]
    notes += [f'Protocol of "{title}": {told}.' for title, told in groups if told]
    if len(read) == len(sheet.groups) and len(set(read.values())) == 1:
        return [("", note) for note in [*notes, f"All numbers: {READ[read[0]]}."]]
    notes += [f'Numbers of "{sheet.groups[i].title}": {READ[way]}.' for i, way in read.items()]
    return [("", note) for note in notes]


def list_notes(published: Published, found: Sequence[Measured], rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The footnotes on signs, bold and verdicts."""
    cells = [cell for row in rows for cell in row.entries]
    papers = {claim.sign for claim in published.claims}
    used = papers | {cell.marks[:1] for cell in cells}
    used |= {"±" for claim in published.claims if claim.spread}
    notes = [(sign, text.format(spread=published.sheet.spread)) for sign, text in MEANINGS.items() if sign in used]
    own = {cell.sign for cell in cells} - papers
    notes += [(sign, text) for sign, text in OWN.items() if sign in own and sign]
    notes += [("±", f"of a number measured here: {OWN['±']}")] * any(measured.estimate for measured in found)
    notes += [("", BOLD)] * any(cell.best for cell in cells)
    compared = any(measured.verdict != NO_COUNTERPART for measured in found)
    return [*notes, ("", VERDICTS if compared else NOTHING)]


def list_own(claims: Sequence[Claim], found: Sequence[Measured]) -> list[tuple[str, str]]:
    """Where numbers measured here come from, what an arm needs to stand here, and why others do not."""
    arms = dict.fromkeys(f"arm {own.arm.label} of suite {own.arm.suite}" for own in found if own.arm and own.estimate)
    notes = [("", f"{HERE}: {'; '.join(arms)}.")] * bool(arms)
    wanted = list(dict.fromkeys(need(claim.here) for claim in claims if claim.here.method))
    usual = max(wanted, key=[need(claim.here) for claim in claims].count, default="")
    others = "; some rows ask for another network or number of tokens" * (len(wanted) > 1)
    notes += [("", f"To stand here an arm has to have: {usual}{others}.")] * bool(wanted)
    reasons: dict[str, list[str]] = {}
    for claim, own in zip(claims, found, strict=True):
        if reason := explain(own):
            reasons.setdefault(reason, []).append(claim.row)
    return notes + [("", f"{'; '.join(dict.fromkeys(rows))}: {reason}.") for reason, rows in reasons.items()]


def need(here: Counterpart) -> str:
    """The protocol of a counterpart in words."""
    tokens = [format_compact(PooledEstimate(count))[0] for count in here.tokens or ()]
    told = {"data": here.data, "split": here.split, "length": here.length, "token": here.level}
    told |= {"network": here.network, "training tokens": " to ".join(tokens) or None}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)


def list_sources(claims: Sequence[Claim]) -> list[tuple[str, str]]:
    """Every paper of the table, and the place in it where that is the same for all numbers."""
    papers = {claim.paper.name: claim.paper for claim in claims}
    places = {claim.table for claim in claims}
    place = places.pop() if len(papers) == len(places) == 1 else ""
    return [("", f"{name}: {', '.join(filter(None, (cite(paper), place)))}.") for name, paper in papers.items()]


def cite(paper: Paper) -> str:
    """Authors, year, title and identifier."""
    return ", ".join(filter(None, (f"{paper.authors} {paper.year}", paper.title, paper.identifier)))
