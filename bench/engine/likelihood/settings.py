"""Settings of the likelihood bound in a suite."""

from typing import Any, Literal

from pydantic import Field

from bench.engine.likelihood.estimators import EstimatorName, estimator_for
from bench.engine.settings import Settings
from methods.method import Method


class BoundSpec(Settings):
    """How the likelihood bound is measured."""

    split: Literal["valid", "test"] = "test"
    draws: int = Field(16, ge=2, multiple_of=2)  # noise draws per sequence and replicate
    replicates: int = Field(2, ge=2)  # independent replicates, for the Monte Carlo error
    seed: int = Field(0, ge=0)  # of the evaluation noise; the same for every arm and training seed
    sequences: int | None = Field(None, ge=1)  # evaluate only the first ones; null: the whole split
    estimator: EstimatorName = "auto"  # counted: exactly k masked; times: stratified t; independent: independent t
    arms: list[str] | None = None  # labels of the arms that are measured with these settings; null: all

    def science(self) -> dict[str, Any]:
        """Return the fields that are hashed: all but `arms`."""
        return {name: value for name, value in super().science().items() if name != "arms"}

    def is_for(self, arm: str) -> bool:
        """Return True if the arm is measured with these settings."""
        return self.arms is None or arm in self.arms

    def resolve(self, method: Method) -> "BoundSpec":
        """Return settings that are equal if and only if they measure the same of this method.

        An exact likelihood makes no noise draws; `auto` stands for one of the other estimators.
        """
        if method.exact:
            return BoundSpec(split=self.split, sequences=self.sequences)
        return self.model_copy(update={"estimator": estimator_for(method, self.estimator).name, "arms": None})
