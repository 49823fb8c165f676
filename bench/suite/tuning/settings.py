"""What a suite says of its tuning: what is searched, and how many trials each arm gets.

tune:
  trials: 6
  seeds: [100]
  search: {training.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}}
  arms: {MDLM: {options.schedule: [linear, cosine]}}
"""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from bench.engine.settings import Settings
from bench.engine.train.settings import Budget


class Range(Settings):
    """An interval that is searched evenly, or evenly in the logarithm; its ends belong to it."""

    low: float
    high: float
    log: bool = False
    whole: bool = False  # whole numbers alone

    @model_validator(mode="after")
    def holds_something(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"the range is empty: low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g} has no logarithm; give a low above 0, or take log out")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"whole numbers lie between whole ends, not {self.low:g} and {self.high:g}")
        return self


def _kind(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "list"


Choices = Annotated[list[Any], Field(min_length=2)]
Space = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("list")], Discriminator(_kind)]
Search = dict[str, Space]  # by what is searched, such as training.learning_rate


class Tune(Settings):
    """How the arms of a suite are tuned, all of them alike."""

    trials: int = Field(ge=1)  # of each arm; one that fails is not replaced
    sampler: Literal["sobol", "tpe"] = "sobol"  # tpe: each trial is chosen by the scores of those before it
    seeds: list[int] = Field(min_length=1)  # of the trials; none of the suite's
    split: Literal["valid", "test"] = "valid"  # on which trials are scored; not the one that is reported
    budget: Budget | None = None  # of a trial, the same for every arm; null: the suite's
    search: Search = Field(default_factory=dict)  # for every arm
    arms: dict[str, Search] = Field(default_factory=dict)  # for single arms beside that, by their labels

    @model_validator(mode="after")
    def seeds_differ(self) -> "Tune":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"a seed stands twice in {self.seeds}")
        return self

    def of(self, arm: str) -> Search:
        """What is searched for an arm, in the order of the keys; its own words in the place of those for all."""
        return dict(sorted((self.search | self.arms.get(arm, {})).items()))
