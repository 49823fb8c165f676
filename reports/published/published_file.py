"""The settings of a file of published numbers.

A file is one table: columns, and groups of rows. An attribute that many numbers share is set once. The most specific
setting wins: that of a number, then of its row, column, group and table.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from bench.engine.metric_definitions import METRICS
from bench.engine.model.method_instances import option_departures
from bench.engine.model.network import PRESETS
from bench.engine.settings import Settings
from bench.suite.yaml_document import with_suggestion
from methods import OptionError

Sign = Literal["=", "<=", "none"]
Status = Literal["as published", "disputed", "withdrawn"]
Reading = Literal["paper", "summary", "recalled"]  # from the paper itself, from another publication, or from memory


def wrap_number(value: Any) -> Any:
    """Turn a bare number into the settings of a number."""
    return {"value": Decimal(value)} if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def to_decimal(value: Any) -> Any:
    """Turn an integer into a decimal; leave anything else as it is."""
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def to_floats(value: Any) -> Any:
    """Turn decimals into floats, as in options of methods, also inside lists and mappings."""
    if isinstance(value, dict):
        return {key: to_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_floats(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


Exact = Annotated[Decimal, BeforeValidator(to_decimal)]


class Paper(Settings):
    """A paper that numbers are from."""

    name: str = Field(min_length=1)  # as tables cite it
    title: str = Field(min_length=1)
    authors: str = Field(min_length=1)
    year: int
    arxiv: str | None = Field(None, pattern=r"^\d{4}\.\d{4,5}$")
    version: int | None = Field(None, ge=1)  # that the numbers were read from; null: not recorded

    @property
    def identifier(self) -> str:
        """The arXiv id, with its version if known; "" if there is none."""
        version = f"v{self.version}" if self.version else ""
        return f"arXiv:{self.arxiv}{version}" if self.arxiv else ""


class Protocol(Settings):
    """How a number was measured, in words; null: not stated, or not applicable."""

    data: str | None = None
    split: str | None = None
    length: int | None = Field(None, ge=1)  # tokens of context
    tokenizer: str | None = None
    packing: str | None = None
    model: str | None = None  # and its number of parameters
    training: str | None = None  # and the tokens that it saw
    estimator: str | None = None
    sampling: str | None = None


class Counterpart(Settings):
    """What an arm needs to stand beside a number; without a method, there is no counterpart."""

    method: str | None = None
    options: Annotated[dict[str, Any], BeforeValidator(to_floats)] | None = None  # that differ from their defaults
    data: str | None = None  # the name of a source
    length: int | None = Field(None, ge=1)
    level: str | None = None  # what a token is: "char" or "byte"
    split: Literal["valid", "test"] | None = None
    network: str | None = None  # the preset whose layers, width and heads count
    tokens: list[int] | None = Field(None, min_length=2, max_length=2)  # least and most tokens of training
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


class Attributes(Settings):
    """What a table, group, column, row or number may say about the numbers in it."""

    sign: Sign | None = None  # as the paper states it: exact, or an upper bound; none: not a likelihood
    paper: str | None = None  # a key of papers.yaml
    table: str | None = None  # in the paper, such as "Table 2"
    read: Reading | None = None  # null: in the paper
    status: Status | None = None  # null: as published
    reason: str | None = Field(None, min_length=1)  # why it is disputed or withdrawn
    note: str | None = Field(None, min_length=1)
    protocol: Protocol = Protocol()
    here: Counterpart = Counterpart()

    @model_validator(mode="after")
    def disputes_have_reasons(self) -> "Attributes":
        if (self.status in ("disputed", "withdrawn")) != (self.reason is not None):
            raise ValueError("a disputed or withdrawn number needs a `reason`; a number as published has none")
        return self


class Number(Attributes):
    """A number, digit by digit as the paper prints it."""

    value: Exact
    spread: Exact | None = Field(None, gt=0)  # the +- that the paper gives


class Heading(Attributes):
    """A column."""

    title: str = Field(min_length=1)
    unit: str = ""
    better: Literal["lower", "higher", "neither"] = "lower"


class Line(Attributes):
    """A row: a number for each column, null if the paper has none."""

    label: str = Field(min_length=1)
    numbers: list[Annotated[Number, BeforeValidator(wrap_number)] | None] = Field(min_length=1)


class Group(Attributes):
    """Rows that belong together; only numbers of the same group are ranked."""

    title: str = ""
    rows: list[Line] = Field(min_length=1)


class Sheet(Attributes):
    """A file of published numbers."""

    title: str = Field(min_length=1)
    spread: str | None = None  # the meaning of the paper's +-
    columns: list[Heading] = Field(min_length=1)
    groups: list[Group] = Field(min_length=1)

    @field_validator("groups")
    @classmethod
    def rows_are_complete(cls, groups: list[Group], info: ValidationInfo) -> list[Group]:
        expected = len(info.data.get("columns", ()))
        for line in (line for group in groups for line in group.rows):
            if expected and len(line.numbers) != expected:
                raise ValueError(f'row "{line.label}" has {len(line.numbers)} numbers for {expected} columns')
            if info.data.get("spread") is None and any(number and number.spread for number in line.numbers):
                raise ValueError(f'row "{line.label}" has a spread; say what it means in the `spread` of the table')
        return groups


class Papers(Settings):
    """The file of papers."""

    papers: dict[str, Paper]
