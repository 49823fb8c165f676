"""What papers claim: each number of `reports/published` with its source, status, protocol and counterpart here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from bench.engine.settings import Settings
from bench.results.suite_record import NoRecord
from bench.suite.document import with_suggestion
from reports.published.exact_yaml import Kind, compose, validate
from reports.published.settings import Counterpart, Heading, Number, Paper, Papers, Protocol, Said, Sheet

FOLDER = Path(__file__).parent
PAPERS = "papers"  # the one file that is no table
NEEDED = ("data", "length", "split", "network", "tokens", "metric")  # of a counterpart
Place = tuple[int, int, int]  # group, row and column of a number, from 0


@dataclass(frozen=True)
class Claim:
    """A number with all that holds for it."""

    group: str
    row: str
    column: Heading
    value: Decimal
    spread: Decimal | None
    sign: str  # "=", "<=" or "" where it is no likelihood
    paper: Paper
    table: str  # "" where it is not recorded
    read: str
    status: str
    reason: str
    note: str
    protocol: Protocol
    here: Counterpart
    place: Place = (0, 0, 0)

    @property
    def source(self) -> str:
        """Paper and table as they are cited."""
        return ", ".join(filter(None, (self.paper.name, self.table)))


@dataclass(frozen=True)
class Published:
    """A table of papers: its sheet, and its numbers in the order of rows."""

    name: str
    sheet: Sheet
    claims: tuple[Claim, ...]


def list_names(folder: Path = FOLDER) -> list[str]:
    """The names of all tables."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != PAPERS)


def read(name: str, folder: Path = FOLDER) -> Published:
    """The table of that name. Raises NoRecord where there is none, SuiteError with all faults of its file."""
    names = list_names(folder)
    if name not in names:
        raise NoRecord(with_suggestion(f'there is no table of published numbers "{name}"', name, names))
    document = compose(folder / f"{name}.yaml")
    sheet = validate(Sheet, document)
    papers = read_papers(folder)
    faults = [(place, why) for place, number in walk(sheet) for why in find_gaps(layer(sheet, place, number), papers)]
    document.raise_for(document.locate([(step_to(place), why) for place, why in faults]))
    return Published(name, sheet, tuple(claim(sheet, place, number, papers) for place, number in walk(sheet)))


@cache
def read_papers(folder: Path = FOLDER) -> dict[str, Paper]:
    """All papers by their keys. Raises SuiteError."""
    return validate(Papers, compose(folder / f"{PAPERS}.yaml")).papers


def walk(sheet: Sheet) -> Iterator[tuple[Place, Number]]:
    """Every number with its group, row and column."""
    for i, group in enumerate(sheet.groups):
        for j, line in enumerate(group.rows):
            yield from (((i, j, k), number) for k, number in enumerate(line.numbers) if number)


def step_to(place: Place) -> tuple[str | int, ...]:
    """The keys that lead to a number in its file."""
    group, row, column = place
    return ("groups", group, "rows", row, "numbers", column)


def layer(sheet: Sheet, place: Place, number: Number) -> Said:
    """All that holds for a number, where the nearest word counts."""
    group = sheet.groups[place[0]]
    layers: Sequence[Said] = (sheet, group, sheet.columns[place[2]], group.rows[place[1]], number)
    blocks = [{name: getattr(each, name) for name in Said.model_fields} for each in layers]
    told: dict[str, Any] = {}
    for block in blocks:
        told |= {name: value for name, value in block.items() if value is not None and not isinstance(value, Settings)}
        if block["status"] == "as published":
            told.pop("reason", None)
    protocol = overlay(Protocol, [each.protocol for each in layers])
    return Said(**told, protocol=protocol, here=overlay(Counterpart, [each.here for each in layers]))


def overlay(kind: type[Kind], blocks: Sequence[Settings]) -> Kind:
    """Blocks laid over each other field by field."""
    told: dict[str, Any] = {}
    for block in blocks:
        told |= block.model_dump(exclude_none=True)
    return kind(**told)


def find_gaps(said: Said, papers: dict[str, Paper]) -> list[str]:
    """What a number cannot be without."""
    gaps = ["its sign is not told, here or above: =, <= or none"] * (said.sign is None)
    if said.paper not in papers:
        gaps.append(with_suggestion(f'there is no paper "{said.paper}"', said.paper, papers))
    open_fields = [name for name in NEEDED if said.here.method is not None and getattr(said.here, name) is None]
    return gaps + [f"its counterpart here lacks {', '.join(open_fields)}"] * bool(open_fields)


def claim(sheet: Sheet, place: Place, number: Number, papers: dict[str, Paper]) -> Claim:
    """A number with all that holds for it."""
    said, group = layer(sheet, place, number), sheet.groups[place[0]]
    assert said.paper is not None, f"number {number.value} of {sheet.title} has no paper"
    return Claim(
        group=group.title,
        row=group.rows[place[1]].label,
        column=sheet.columns[place[2]],
        value=number.value,
        spread=number.spread,
        sign="" if said.sign in (None, "none") else said.sign,
        paper=papers[said.paper],
        table=said.table or "",
        read=said.read or "paper",
        status=said.status or "as published",
        reason=said.reason or "",
        note=said.note or "",
        protocol=said.protocol,
        here=said.here,
        place=place,
    )
