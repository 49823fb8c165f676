"""Numbers published in papers, read from the YAML files in this folder, each with its source and counterpart here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from bench.engine.settings import Settings
from bench.results.suite_record import NoRecord
from bench.suite.yaml_document import with_suggestion
from reports.published.exact_yaml import Kind, compose, validate
from reports.published.published_file import Attributes, Counterpart, Heading, Number, Paper, Papers, Protocol, Sheet

FOLDER = Path(__file__).parent
PAPERS = "papers"  # the only file that is not a table
REQUIRED = ("data", "length", "split", "network", "tokens", "metric")  # of a counterpart
Place = tuple[int, int, int]  # indices of group, row and column


@dataclass(frozen=True)
class Claim:
    """A published number with everything that its table says about it."""

    group: str
    row: str
    column: Heading
    value: Decimal
    spread: Decimal | None
    sign: str  # "=" or "<="; "" if it is not a likelihood
    paper: Paper
    table: str  # in the paper; "" if not recorded
    read: str
    status: str
    reason: str
    note: str
    protocol: Protocol
    here: Counterpart
    place: Place = (0, 0, 0)

    @property
    def source(self) -> str:
        """The paper and its table, as cited."""
        return ", ".join(filter(None, (self.paper.name, self.table)))


@dataclass(frozen=True)
class Published:
    """A published table: its file, and its numbers in the order of rows."""

    name: str
    sheet: Sheet
    claims: tuple[Claim, ...]


def list_names(folder: Path = FOLDER) -> list[str]:
    """The names of all tables."""
    return sorted(path.stem for path in folder.glob("*.yaml") if path.stem != PAPERS)


def read(name: str, folder: Path = FOLDER) -> Published:
    """Read a table by name. Raises NoRecord if there is none, and SuiteError with all faults of its file."""
    names = list_names(folder)
    if name not in names:
        raise NoRecord(with_suggestion(f'there is no table of published numbers "{name}"', name, names))
    document = compose(folder / f"{name}.yaml")
    sheet = validate(Sheet, document)
    papers = read_papers(folder)
    faults = [
        (yaml_path(place), fault)
        for place, number in list_numbers(sheet)
        for fault in find_gaps(resolve(sheet, place, number), papers)
    ]
    document.raise_for(document.locate(faults))
    claims = tuple(make_claim(sheet, place, number, papers) for place, number in list_numbers(sheet))
    return Published(name, sheet, claims)


@cache
def read_papers(folder: Path = FOLDER) -> dict[str, Paper]:
    """All papers by key. Raises SuiteError if their file is invalid."""
    return validate(Papers, compose(folder / f"{PAPERS}.yaml")).papers


def list_numbers(sheet: Sheet) -> Iterator[tuple[Place, Number]]:
    """Yield every number with its place."""
    for i, group in enumerate(sheet.groups):
        for j, line in enumerate(group.rows):
            yield from (((i, j, k), number) for k, number in enumerate(line.numbers) if number)


def yaml_path(place: Place) -> tuple[str | int, ...]:
    """The keys that lead to a number in its file."""
    group, row, column = place
    return ("groups", group, "rows", row, "numbers", column)


def resolve(sheet: Sheet, place: Place, number: Number) -> Attributes:
    """The attributes of a number: its own first, then those of its row, column, group and table."""
    group, row, column = place
    layers: Sequence[Attributes] = (
        sheet,
        sheet.groups[group],
        sheet.columns[column],
        sheet.groups[group].rows[row],
        number,
    )
    values: dict[str, Any] = {}
    for layer in layers:
        fields = {name: getattr(layer, name) for name in Attributes.model_fields}
        values |= {name: field for name, field in fields.items() if not isinstance(field, Settings | None)}
        if layer.status == "as published":
            values.pop("reason", None)
    protocol = overlay(Protocol, [layer.protocol for layer in layers])
    return Attributes(**values, protocol=protocol, here=overlay(Counterpart, [layer.here for layer in layers]))


def overlay(kind: type[Kind], layers: Sequence[Settings]) -> Kind:
    """Merge settings field by field; later layers win."""
    values: dict[str, Any] = {}
    for layer in layers:
        values |= layer.model_dump(exclude_none=True)
    return kind(**values)


def find_gaps(attributes: Attributes, papers: dict[str, Paper]) -> list[str]:
    """Describe required attributes that a number lacks."""
    gaps = ["the number has no sign; set it here or above: =, <= or none"] if attributes.sign is None else []
    if attributes.paper not in papers:
        gaps.append(with_suggestion(f'there is no paper "{attributes.paper}"', attributes.paper, papers))
    counterpart = attributes.here
    missing = [name for name in REQUIRED if getattr(counterpart, name) is None]
    if counterpart.method is not None and missing:
        gaps.append(f"the counterpart `here` lacks {', '.join(missing)}")
    return gaps


def make_claim(sheet: Sheet, place: Place, number: Number, papers: dict[str, Paper]) -> Claim:
    """Join a number with its attributes."""
    attributes, group = resolve(sheet, place, number), sheet.groups[place[0]]
    assert attributes.paper is not None, f"number {number.value} of {sheet.title} has no paper"
    return Claim(
        group=group.title,
        row=group.rows[place[1]].label,
        column=sheet.columns[place[2]],
        value=number.value,
        spread=number.spread,
        sign="" if attributes.sign in (None, "none") else attributes.sign,
        paper=papers[attributes.paper],
        table=attributes.table or "",
        read=attributes.read or "paper",
        status=attributes.status or "as published",
        reason=attributes.reason or "",
        note=attributes.note or "",
        protocol=attributes.protocol,
        here=attributes.here,
        place=place,
    )
