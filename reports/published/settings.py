"""What a file of published numbers may say: frozen, strict, typed blocks.

A file is one table: columns, and groups of rows. What holds for many numbers is said once, and the nearest word counts:
that of a number before its row's, then the column's, the group's, the table's.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from bench.engine.metric import METRICS
from bench.engine.model.method_instances import option_departures
from bench.engine.model.network import PRESETS
from bench.engine.settings import Settings
from bench.suite.document import with_suggestion
from methods import OptionError

Sign = Literal["=", "<=", "none"]
Status = Literal["as published", "disputed", "withdrawn"]
Reading = Literal["paper", "summary", "recalled"]  # the paper's own text, somebody else's table, or memory


def wrap(value: Any) -> Any:
    """A number without any words of its own as a block."""
    return {"value": Decimal(value)} if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def exact(value: Any) -> Any:
    """Whole numbers as the decimals that a paper printed."""
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def binary(value: Any) -> Any:
    """Decimals as floats, which options of methods are, also inside lists and mappings."""
    if isinstance(value, dict):
        return {key: binary(item) for key, item in value.items()}
    return [binary(item) for item in value] if isinstance(value, list) else as_float(value)


def as_float(value: Any) -> Any:
    """A decimal as a float, anything else as it is."""
    return float(value) if isinstance(value, Decimal) else value


Exact = Annotated[Decimal, BeforeValidator(exact)]


class Paper(Settings):
    """Where numbers were printed."""

    name: str = Field(min_length=1)  # as tables cite it
    title: str = Field(min_length=1)
    authors: str = Field(min_length=1)
    year: int
    arxiv: str | None = Field(None, pattern=r"^\d{4}\.\d{4,5}$")
    version: int | None = Field(None, ge=1)  # the one that was read; null: not recorded

    @property
    def identifier(self) -> str:
        """arXiv id with the version where it is known; "" where there is none."""
        version = f"v{self.version}" if self.version else ""
        return f"arXiv:{self.arxiv}{version}" if self.arxiv else ""


class Protocol(Settings):
    """How a number was measured, in words; null: not told, or it means nothing here."""

    data: str | None = None
    split: str | None = None
    length: int | None = Field(None, ge=1)  # tokens of context
    tokenizer: str | None = None
    packing: str | None = None
    model: str | None = None  # and its number of parameters
    training: str | None = None  # and the tokens that it saw
    estimator: str | None = None
    sampling: str | None = None

    def words(self) -> str:
        """What is told, in one line."""
        told = self.model_dump(exclude_none=True)
        return "; ".join(f"{name} {value}" for name, value in told.items())


class Counterpart(Settings):
    """What a record of this project has to be to stand beside a number. Without a method there is no counterpart."""

    method: str | None = None
    options: Annotated[dict[str, Any], BeforeValidator(binary)] | None = None  # those that are not at their default
    data: str | None = None  # the name of a source
    length: int | None = Field(None, ge=1)
    level: str | None = None  # what a token is: "char" or "byte"
    split: Literal["valid", "test"] | None = None
    network: str | None = None  # the preset whose layers, width and heads count
    tokens: list[int] | None = Field(None, min_length=2, max_length=2)  # least and most that training consumed
    metric: str | None = None

    @model_validator(mode="after")
    def is_known(self) -> "Counterpart":
        if self.network is not None and self.network not in PRESETS:
            raise ValueError(with_suggestion(f'there is no network "{self.network}"', self.network, PRESETS))
        if self.metric is not None and self.metric not in METRICS:
            raise ValueError(with_suggestion(f'there is no metric "{self.metric}"', self.metric, METRICS))
        if self.options is not None and self.method is None:
            raise ValueError("options belong to a method; name it beside them")
        if self.method is not None:
            try:
                option_departures(self.method, self.options or {})
            except OptionError as error:
                raise ValueError(str(error)) from None
        return self


class Said(Settings):
    """What a table, a group, a column, a row or a number may say of the numbers in it."""

    sign: Sign | None = None  # what the paper says of a likelihood: exact, or an upper bound; none: no likelihood
    paper: str | None = None  # a key of papers.yaml
    table: str | None = None  # its place in the paper, such as "Table 2"
    read: Reading | None = None  # null: in the paper
    status: Status | None = None  # null: as published
    reason: str | None = Field(None, min_length=1)  # why it is disputed or withdrawn
    note: str | None = Field(None, min_length=1)
    protocol: Protocol = Protocol()
    here: Counterpart = Counterpart()

    @model_validator(mode="after")
    def doubt_has_a_reason(self) -> "Said":
        if (self.status in ("disputed", "withdrawn")) != (self.reason is not None):
            raise ValueError("a status that is not as published needs a reason, and only such a status has one")
        return self


class Number(Said):
    """One number as the paper printed it, digit by digit."""

    value: Exact
    spread: Exact | None = Field(None, gt=0)  # the +- that the paper gives


class Heading(Said):
    """A column."""

    title: str = Field(min_length=1)
    unit: str = ""
    better: Literal["lower", "higher", "neither"] = "lower"


class Line(Said):
    """A row: a number for each column, null where the paper has none."""

    label: str = Field(min_length=1)
    numbers: list[Annotated[Number, BeforeValidator(wrap)] | None] = Field(min_length=1)


class Group(Said):
    """Rows that belong together; only numbers of one group are ranked against each other."""

    title: str = ""
    rows: list[Line] = Field(min_length=1)


class Sheet(Said):
    """A whole file."""

    title: str = Field(min_length=1)
    spread: str | None = None  # what a +- of the paper is
    columns: list[Heading] = Field(min_length=1)
    groups: list[Group] = Field(min_length=1)

    @field_validator("groups")
    @classmethod
    def rows_are_whole(cls, groups: list[Group], info: ValidationInfo) -> list[Group]:
        wanted = len(info.data.get("columns", ()))
        for line in (line for group in groups for line in group.rows):
            if wanted and len(line.numbers) != wanted:
                raise ValueError(f'row "{line.label}" has {len(line.numbers)} numbers for {wanted} columns')
            if info.data.get("spread") is None and any(number and number.spread for number in line.numbers):
                raise ValueError(f'row "{line.label}" has a spread; `spread` of the table has to say what it is')
        return groups


class Papers(Settings):
    """The file of papers."""

    papers: dict[str, Paper]
