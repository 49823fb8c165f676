"""The one sampler loop: from noise to text in a given number of network calls; left to right for causal methods."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from bench.model import Model
from bench.rng import Stream
from methods.method import Method, Tokens, draw


@dataclass(frozen=True)
class Samples:
    """Drawn texts and what they cost."""

    ids: Tokens  # [count, L], on the CPU
    network_calls: int


def grid(method: Method, calls: int) -> Tensor:
    """The times of `calls` network calls, from 1 down to the last guess.

    Raises ValueError when discrete time has fewer steps than calls.
    """
    steps = method.needs.steps
    if steps is None:
        return torch.linspace(1, method.t_min, calls, dtype=torch.float64) if calls > 1 else torch.ones(1).double()
    lowest = max(1, round(method.t_min * steps))
    if calls > steps - lowest + 1:
        raise ValueError(f"{calls} calls are more than the {steps - lowest + 1} that {steps} steps of time allow")
    points = torch.linspace(steps, lowest, calls, dtype=torch.float64).round() if calls > 1 else torch.tensor([steps])
    return points.double() / steps


@torch.no_grad()
def sample(model: Model, count: int, length: int, calls: int, seed: int) -> Samples:
    """`count` texts of `length` tokens in `calls` network calls for all together; a causal method makes `length`.

    Categorical draws are float64. A call is spared when no position is left to score.
    """
    model.eval()
    rng = Stream(seed, next(model.parameters()).device)
    like = torch.zeros(count, length, dtype=torch.long, device=rng.device)
    return left_to_right(model, like, rng) if model.method.needs.causal else ancestral(model, like, calls, rng)


def ancestral(model: Model, like: Tokens, calls: int, rng: Stream) -> Samples:
    """Steps z from t to s along the grid by the method's own law, then draws the last guess."""
    method, made = model.method, 0
    times = grid(method, calls).to(like.device)
    z = method.prior(like, rng)
    for t, s in pairwise(times):
        z, called = _advance(model, z, t, partial(_step, method, s, rng))
        made += called
    z, called = _advance(model, z, times[-1], lambda z, t, p: draw(method.last_guess(z, t, p), rng))
    return Samples(z.cpu(), made + called)


def _step(method: Method, s: Tensor, rng: Stream, z: Tensor, t: Tensor, prediction: Tensor) -> Tensor:
    return method.step(z, t, s.expand_as(t), prediction, rng)


Move = Callable[[Tensor, Tensor, Tensor], Tensor]  # z, t, prediction at [N] positions -> the new z there


def _advance(model: Model, z: Tokens, t: Tensor, move: Move) -> tuple[Tokens, int]:
    """z with every scored position moved, and the number of network calls this took (0 or 1)."""
    pieces = list(model.chunks(z))
    if not len(pieces) or not len(pieces[0][0]):
        return z, 0
    each = t.expand(len(z))
    hidden, moved = model.hidden(z, each), z.clone()
    for rows in pieces:
        moved[rows] = move(z[rows], each[rows[0]], model.predict(hidden, z, each, rows))
    return moved, 1


def left_to_right(model: Model, like: Tokens, rng: Stream) -> Samples:
    """One token after the other, each drawn from the network's law given those before it; one call a token."""
    count, length = like.shape
    x, t = like.clone(), torch.ones(count, dtype=torch.float64, device=like.device)
    everyone = torch.arange(count, device=like.device)
    for i in range(length):
        prefix = x[:, : i + 1]
        rows = (everyone, torch.full_like(everyone, i))
        x[:, i] = draw(model.predict(model.hidden(prefix, t), prefix, t, rows), rng)
    return Samples(x.cpu(), length)
