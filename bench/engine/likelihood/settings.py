"""The protocol of the bound."""

from typing import Any, Literal

from pydantic import Field

from bench.engine.likelihood.estimators import Estimator, choose
from bench.engine.settings import Settings
from methods.method import Method


class BoundSpec(Settings):
    """The protocol of the likelihood bound."""

    split: Literal["valid", "test"] = "test"
    draws: int = Field(16, ge=2, multiple_of=2)  # noisings of each sequence in one replicate
    replicates: int = Field(2, ge=2)  # independent repetitions, for the Monte Carlo error
    seed: int = Field(0, ge=0)  # of the evaluation noise, the same for every arm and training seed
    sequences: int | None = Field(None, ge=1)  # the first so many; null: the whole split
    estimator: Estimator = "auto"  # counted: exactly k masked; times, in strata, or independent, with both ends
    arms: list[str] | None = None  # the labels of the arms that are measured so; null: all

    def science(self) -> dict[str, Any]:
        return {name: value for name, value in super().science().items() if name != "arms"}

    def is_for(self, arm: str) -> bool:
        """Whether an arm is measured so."""
        return self.arms is None or arm in self.arms

    def meant(self, method: Method) -> "BoundSpec":
        """What it comes to for a method: an exact one makes no draws, and `auto` stands for one of the others."""
        if method.exact:
            return BoundSpec(split=self.split, sequences=self.sequences)
        return self.model_copy(update={"estimator": choose(method, self.estimator), "arms": None})
