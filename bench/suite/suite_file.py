"""The words that a suite file may use beside those of a plain suite: extends, scales, ablate, tune and lists of data
sets."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from bench.engine.data import LABELLED, SOURCES
from bench.engine.quality.scorers import SCORERS
from bench.engine.sample.policies import POLICIES
from bench.engine.settings import Settings
from bench.suite.settings import SuiteSpec, listed
from bench.suite.tuning.settings import Tune

TAGGED: dict[str, tuple[str, Mapping[str, type[BaseModel]]]] = {  # blocks of several kinds, and what tells them apart
    "data": ("source", SOURCES),
    "policy": ("name", POLICIES),
    "scorer": ("kind", SCORERS),
}
LISTS = {"data": LABELLED}  # those that may also be a list, with kinds of their own for its items
FORMS = ("grid", "zip", "one_at_a_time")
Values = dict[str, Annotated[list[Any], Field(min_length=1)]]  # values by what is varied, such as options.steps


class Exclusion(Settings):
    """Combinations that make no sense: they are shown as refused, with the reason, and not run."""

    where: dict[str, Any] = Field(min_length=1)  # values by what is varied; a list means any of them
    reason: str = Field(min_length=1)


class Ablation(Settings):
    """Arms that differ from a base in what is listed; they stand behind it in every table.

    A value may be written {value: ..., label: ...}, which says how the label of its arms tells it.
    """

    base: str = Field(min_length=1)  # the label of an arm
    grid: Values | None = Field(None, min_length=1)  # every combination
    zip: Values | None = Field(None, min_length=1)  # the first values together, the second ones, and so on
    one_at_a_time: Values | None = Field(None, min_length=1)  # each value with everything else as in the base
    exclude: list[Exclusion] = Field(default_factory=list)
    labels: str | list[str] | None = None  # such as "{base}, T = {steps}"; of a zip also one for each of its arms

    @model_validator(mode="after")
    def has_one_form(self) -> "Ablation":
        if sum(getattr(self, form) is not None for form in FORMS) != 1:
            raise ValueError(f"give one of {', '.join(FORMS)}")
        if isinstance(self.labels, list) and self.zip is None:
            raise ValueError('a list of labels belongs to a zip; give one template, such as "{base}, T = {steps}"')
        return self

    @property
    def form(self) -> str:
        """The one that is given."""
        return next(form for form in FORMS if getattr(self, form) is not None)


Ablations = Annotated[
    tuple[Ablation, ...], BeforeValidator(listed, json_schema_input_type=Ablation | list[Ablation] | None)
]


class SuiteFile(SuiteSpec):
    """A suite file with all that may stand in it."""

    extends: str | None = Field(None, min_length=1)  # a suite file, relative to this one
    scales: dict[str, dict[str, Any] | None] | None = None  # blocks that --scale lays over the suite
    ablate: Ablations = ()  # one block, or a list of them
    tune: Tune | None = None  # how what is searched is found, alike for every arm
