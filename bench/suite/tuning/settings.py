"""Settings of tuning: what is searched, and how many trials each arm gets.

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
    """A closed interval, searched uniformly or log-uniformly."""

    low: float
    high: float
    log: bool = False
    whole: bool = False  # integers only

    @model_validator(mode="after")
    def is_not_empty(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"the range is empty: low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g} has no logarithm; give a low above 0, or take log out")
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"a range of whole numbers needs whole ends, not {self.low:g} and {self.high:g}")
        return self


def _kind(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "list"


Choices = Annotated[list[Any], Field(min_length=2)]
Space = Annotated[Annotated[Range, Tag("range")] | Annotated[Choices, Tag("list")], Discriminator(_kind)]
Search = dict[str, Space]  # by setting, such as training.learning_rate


class Tune(Settings):
    """How the arms of a suite are tuned, all of them alike."""

    trials: int = Field(ge=1)  # of each arm; one that fails is not replaced
    sampler: Literal["sobol", "tpe"] = "sobol"  # tpe: each trial depends on the scores of earlier ones
    seeds: list[int] = Field(min_length=1)  # of the trials; not seeds of the suite
    split: Literal["valid", "test"] = "valid"  # on which trials are scored; not the reported one
    budget: Budget | None = None  # of a trial, the same for every arm; null: the suite's
    search: Search = Field(default_factory=dict)  # for every arm
    arms: dict[str, Search] = Field(default_factory=dict)  # for single arms, in addition, by label

    @model_validator(mode="after")
    def seeds_differ(self) -> "Tune":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"a seed occurs twice in {self.seeds}")
        return self

    def of(self, arm: str) -> Search:
        """The search of an arm, sorted by key; its own spaces replace those of all arms."""
        return dict(sorted((self.search | self.arms.get(arm, {})).items()))
