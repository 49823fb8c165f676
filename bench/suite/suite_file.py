"""What a suite file may hold beyond a plain suite: extends, scales, ablate, tune and lists of data sets."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from bench.engine.data import LABELLED, SOURCES
from bench.engine.quality.scorers import SCORERS
from bench.engine.sample.policies import POLICIES
from bench.engine.settings import Settings
from bench.suite.settings import SuiteSpec, as_tuple
from bench.suite.tuning.settings import Tune

TAGGED: dict[str, tuple[str, Mapping[str, type[BaseModel]]]] = {  # the key that tells a block's kind, and its kinds
    "data": ("source", SOURCES),
    "policy": ("name", POLICIES),
    "scorer": ("kind", SCORERS),
}
LISTS = {"data": LABELLED}  # blocks that may also be a list, with the kinds of its items
FORMS = ("grid", "zip", "one_at_a_time")
Values = dict[str, Annotated[list[Any], Field(min_length=1)]]  # by setting, such as options.steps


class Exclusion(Settings):
    """Combinations that are not run; plans list them as refused, with the reason."""

    where: dict[str, Any] = Field(min_length=1)  # values by setting; a list stands for any of its items
    reason: str = Field(min_length=1)


class Ablation(Settings):
    """Arms that differ from a base in the listed settings; tables list them behind it.

    A value may be written {value: ..., label: ...} to choose its text in the labels of arms.
    """

    base: str = Field(min_length=1)  # the label of an arm
    grid: Values | None = Field(None, min_length=1)  # all combinations
    zip: Values | None = Field(None, min_length=1)  # the first values together, the second ones, and so on
    one_at_a_time: Values | None = Field(None, min_length=1)  # each value, with all else as in the base
    exclude: list[Exclusion] = Field(default_factory=list)
    labels: str | list[str] | None = None  # such as "{base}, T = {steps}"; for a zip, also one for each arm

    @model_validator(mode="after")
    def has_one_form(self) -> "Ablation":
        if sum(getattr(self, form) is not None for form in FORMS) != 1:
            raise ValueError(f"give one of {', '.join(FORMS)}")
        if isinstance(self.labels, list) and self.zip is None:
            raise ValueError('a list of labels belongs to a zip; give one template, such as "{base}, T = {steps}"')
        return self

    @property
    def form(self) -> str:
        """The form that the block uses."""
        return next(form for form in FORMS if getattr(self, form) is not None)


Ablations = Annotated[
    tuple[Ablation, ...], BeforeValidator(as_tuple, json_schema_input_type=Ablation | list[Ablation] | None)
]


class SuiteFile(SuiteSpec):
    """All that a suite file may hold."""

    extends: str | None = Field(None, min_length=1)  # a suite file, relative to this one
    scales: dict[str, dict[str, Any] | None] | None = None  # overrides, applied by --scale
    ablate: Ablations = ()  # one block, or a list of them
    tune: Tune | None = None  # how the arms are tuned, all of them alike
