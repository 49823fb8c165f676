"""What a policy is: how z gets from noise to text in a number of network calls, and for which methods that is right."""

import math
from abc import abstractmethod
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from pydantic import SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from bench.engine.sample.capabilities import guesses_as_it_steps, is_masked
from bench.engine.sample.state import Walk
from bench.engine.settings import Settings
from methods.method import Latent, LogProbs, Method, Times

Grid = Literal["uniform", "cosine", "log"]
Fidelity = Literal["limit", "exact", "changed"]


class Policy(Settings):
    """A way to draw texts; its fields are its settings."""

    name: str
    fidelity: ClassVar[Fidelity]  # to the model's own law: in the limit of many calls, with any number, or not at all

    @abstractmethod
    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        """Why it cannot draw texts of so many tokens with this method in so many calls; None where it can.

        A causal method writes left to right under `ancestral` and under no other.
        """

    @abstractmethod
    def run(self, walk: Walk, calls: int) -> Tensor | None:
        """Moves z from t = 1 to a time that is returned, at which the last guess is taken, in `calls` - 1 calls; None
        where z is the text already."""

    @model_serializer(mode="wrap")
    def with_its_name(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Its settings, and its name though that is a default: nothing else may tell two policies apart."""
        return {"name": self.name, **fields(self)}

    def label(self) -> str:
        """Its name, with the settings that are not its defaults."""
        own = [f"{name} {value}" for name, value in self.science().items() if name != "name"]
        return f"{self.name} ({', '.join(own)})" if own else self.name


class Stepping(Policy):
    """A policy that takes the same step between any two times of a grid."""

    grid: Grid = "uniform"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        if method.needs.causal:
            return "writes its tokens from left to right"
        try:
            times(method, calls, self.grid)
        except ValueError as error:
            return f"cannot be stepped so: {error}"
        return None

    def run(self, walk: Walk, calls: int) -> Tensor:
        at = times(walk.model.method, calls, self.grid).to(walk.known.device)
        for t, s in pairwise(at):
            self.move(walk, t, s)
            walk.restore(s)
        return at[-1]

    def move(self, walk: Walk, t: Tensor, s: Tensor) -> None:
        """Moves z from t to the earlier time s: each scored position by itself, by its law."""
        moved = walk.z.clone()
        for rows, z, each, prediction in walk.look(t):
            log_p = self.law(walk.model.method, z, each, s.expand_as(each), prediction)
            assert log_p is not None, f"{self.name} has no law to draw from"
            moved[rows] = walk.draw(log_p, count=True)
        walk.z = moved

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs | None:
        """log p(z_s | z_t) over all states at scored positions P; None where it is none of single positions."""
        return None

    def masks_again(self, method: Method, t: Tensor, s: Tensor) -> Tensor:
        """The probability that a visible token turns back into a mask between t and s."""
        return torch.zeros_like(t)


def times(method: Method, calls: int, grid: Grid = "uniform") -> Tensor:
    """The times of `calls` network calls, from 1 down to the last guess.

    Where visible tokens are final the last guess is itself a step, to t = 0, as long as the others: by t_min hardly a
    mask would be left for it. Elsewhere, and where the guess is another than such a step would make, it is at t_min.

    Cosine takes small steps near t = 1, where every token is news to all others (MD4, arXiv:2406.04329v4); log takes
    equal steps of log t. Raises ValueError when discrete time has too few steps, or the grid does not suit it.
    """
    steps, lowest = method.needs.steps, method.t_min
    if steps is not None:
        first = max(1, round(lowest * steps))
        if calls > steps - first + 1:
            raise ValueError(f"{calls} calls are more than the {steps - first + 1} that {steps} steps of time allow")
        lowest = first / steps
    is_step = steps is None and grid != "log" and is_masked(method) and guesses_as_it_steps(method)
    found = _spread(calls + 1, 0.0, grid)[:-1] if is_step else _spread(calls, lowest, grid)
    if steps is not None:
        found = (found * steps).round() / steps
    if (found.diff() >= 0).any():
        raise ValueError(f"{calls} calls do not fit on {steps} steps of time on a {grid} grid; take fewer, or uniform")
    return found


def _spread(calls: int, lowest: float, grid: Grid) -> Tensor:
    if calls == 1:
        return torch.ones(1, dtype=torch.float64)
    if grid == "uniform":
        return torch.linspace(1, lowest, calls, dtype=torch.float64)
    u = torch.linspace(0, 1, calls, dtype=torch.float64)
    if grid == "cosine":
        return lowest + (1 - lowest) * torch.sin(math.pi / 2 * (1 - u))  # cos(pi / 2 u), and 0 at its end
    if lowest <= 0:
        raise ValueError("a log grid never reaches the t = 0 at which its last guess is made; take uniform or cosine")
    return lowest**u
