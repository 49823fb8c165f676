"""Numbers with their errors, and what else results hold: points of curves, densities and trajectories."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

CONFIG = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")  # of all records


class Measurement(BaseModel):
    """An estimate as JSON holds it: null stands for an error that does not exist."""

    model_config = CONFIG

    value: float | None
    standard_error: float | None = None
    monte_carlo_error: float | None = None
    n: int = 0
    clusters: int = 0

    @classmethod
    def of(cls, estimate: Any) -> Self:
        """The measurement of a `bench.engine.likelihood.standard_error.Estimate`, NaN turned to null."""
        numbers = {name: None if number != number else number for name, number in vars(estimate).items()}
        return cls(**numbers)


class CurvePoint(Measurement):
    """A point of a learning curve."""

    tokens: int  # seen in training
    seconds: float | None = None  # of training


class TimeDensity(BaseModel):
    """The density of a bound's diffusion loss along time or along the share of masked positions."""

    model_config = CONFIG

    along: str
    edges: list[float]
    value: list[float]
    standard_error: list[float | None]
    n: int
    clusters: int = 0


class BatchProbe(BaseModel):
    """How far the bound of documents alone was from that in their batch; see `bench.engine.likelihood.batch_probe`."""

    model_config = CONFIG

    documents: tuple[int, ...]  # those evaluated alone, by number in the split; none if there are too few
    largest_difference: float  # of a part of the bound, relative to its nats plus one nat per token
    tolerance: float


class Trajectory(TypedDict):
    """One sample from its first frame to its last; runs and changes are flat lists of pairs."""

    length: int  # tokens
    start: list[int]  # frame 0 as runs: id, length of the run, id, length, ...
    changes: list[list[int]]  # of each network call: position, new id, position, new id, ...
