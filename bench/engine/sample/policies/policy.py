"""Base classes of policies: how z moves from noise to text in a given number of network calls."""

import math
from abc import abstractmethod
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from pydantic import SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from bench.engine.sample.method_capabilities import guesses_as_it_steps, is_masked
from bench.engine.sample.state import SamplerState
from bench.engine.settings import Settings
from methods.method import Latent, LogProbs, Method, Times

Grid = Literal["uniform", "cosine", "log"]
Fidelity = Literal["limit", "exact", "changed"]


class Policy(Settings):
    """A way to draw samples; its fields are its settings."""

    name: str
    fidelity: ClassVar[
        Fidelity
    ]  # to the model's distribution: in the limit of many calls, exact, or changed on purpose

    @abstractmethod
    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        """Return the reason why it cannot draw texts of `tokens` tokens in `calls` network calls, or None.

        Causal methods write from left to right under `ancestral` and refuse every other policy.
        """

    @abstractmethod
    def run(self, state: SamplerState, calls: int) -> Tensor | None:
        """Move z from t = 1 in `calls` - 1 network calls.

        Returns the time at which the last guess is made, or None if z is the text already.
        """

    @model_serializer(mode="wrap")
    def with_its_name(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Serialize the name too, although it is a default: nothing else may tell two policies apart."""
        return {"name": self.name, **fields(self)}

    def label(self) -> str:
        """Return the name, followed by the settings that differ from their defaults."""
        overrides = [f"{name} {value}" for name, value in self.science().items() if name != "name"]
        return f"{self.name} ({', '.join(overrides)})" if overrides else self.name


class Stepping(Policy):
    """A policy that takes the same kind of step between any two times of a grid."""

    grid: Grid = "uniform"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        if method.needs.causal:
            return "writes its tokens from left to right"
        try:
            times(method, calls, self.grid)
        except ValueError as error:
            return f"cannot take these steps: {error}"
        return None

    def run(self, state: SamplerState, calls: int) -> Tensor:
        grid = times(state.model.method, calls, self.grid).to(state.prompt.device)
        for t, s in pairwise(grid):
            self.move(state, t, s)
            state.restore(s)
        return grid[-1]

    def move(self, state: SamplerState, t: Tensor, s: Tensor) -> None:
        """Move z from t to the earlier time s: every scored position independently, by `law`."""
        next_z = state.z.clone()
        for rows, z, t_rows, prediction in state.predict(t):
            log_p = self.law(state.model.method, z, t_rows, s.expand_as(t_rows), prediction)
            assert log_p is not None, f"{self.name} has no law to draw from"
            next_z[rows] = state.draw(log_p, count=True)
        state.z = next_z

    def law(self, method: Method, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs | None:
        """Return log p(z_s | z_t) over all states at scored positions P; None if positions are not independent."""
        return None

    def masks_again(self, method: Method, t: Tensor, s: Tensor) -> Tensor:
        """Return the probability that a visible token turns back into a mask between t and s."""
        return torch.zeros_like(t)


def times(method: Method, calls: int, grid: Grid = "uniform") -> Tensor:
    """Return the times of `calls` network calls, from 1 down to the time of the last guess.

    If visible tokens are final, the last guess is itself a step to t = 0, as long as the others: at t_min hardly any
    mask would be left for it. For other methods, and if the guess differs from such a step, it is made at t_min.

    The cosine grid takes small steps near t = 1, where every new token informs all others (MD4, arXiv:2406.04329v4);
    the log grid takes equal steps of log t. Raises ValueError if discrete time has too few steps, or if the grid does
    not suit it.
    """
    steps, lowest = method.needs.steps, method.t_min
    if steps is not None:
        first = max(1, round(lowest * steps))
        if calls > steps - first + 1:
            raise ValueError(f"{calls} calls are more than the {steps - first + 1} that {steps} steps of time allow")
        lowest = first / steps

    is_step = steps is None and grid != "log" and is_masked(method) and guesses_as_it_steps(method)
    points = _spread(calls + 1, 0.0, grid)[:-1] if is_step else _spread(calls, lowest, grid)
    if steps is not None:
        points = (points * steps).round() / steps
    if (points.diff() >= 0).any():
        raise ValueError(f"{calls} calls do not fit on {steps} steps of time on a {grid} grid; take fewer, or uniform")
    return points


def _spread(calls: int, lowest: float, grid: Grid) -> Tensor:
    """Return `calls` falling times from 1 to `lowest`."""
    if calls == 1:
        return torch.ones(1, dtype=torch.float64)
    if grid == "uniform":
        return torch.linspace(1, lowest, calls, dtype=torch.float64)
    u = torch.linspace(0, 1, calls, dtype=torch.float64)
    if grid == "cosine":
        return lowest + (1 - lowest) * torch.sin(math.pi / 2 * (1 - u))  # cos(pi / 2 u), but exactly 0 at its end
    if lowest <= 0:
        raise ValueError("a log grid never reaches the t = 0 at which its last guess is made; take uniform or cosine")
    return lowest**u
