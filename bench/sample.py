"""The one sampler loop: from noise to text in a given number of network calls; left to right for causal methods."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.model import Model, Rows
from bench.rng import Stream
from methods.method import Latent, LogProbs, Method, Noise, Tokens, draw

Policy = Literal["ancestral", "euler", "ddim"]
Move = Callable[[Method, Noise, Latent, Tensor, Tensor, LogProbs], tuple[Latent, int]]

LATEST = 1 - 1e-5  # the latest time whose rates are asked for: at t = 1 those of some methods are infinite
CUT_OFF = 1e-6  # a law whose total is above one by more was cut off at 0


@dataclass(frozen=True)
class Samples:
    """Drawn texts and what they cost."""

    ids: Tokens  # [count, L], on the CPU
    network_calls: int
    cut_off_share: float  # of the draws from t to s, those whose law had entries below 0, which were cut off


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


def ancestral(method: Method, rng: Noise, z: Latent, t: Tensor, s: Tensor, prediction: LogProbs) -> tuple[Latent, int]:
    """By the method's own law of z_s, and how many laws had to be cut off."""
    log_p = method.transition(z, t, s, prediction)
    return (method.step(z, t, s, prediction, rng), 0) if log_p is None else _draw(log_p, rng)


def euler(method: Method, rng: Noise, z: Latent, t: Tensor, s: Tensor, prediction: LogProbs) -> tuple[Latent, int]:
    """Jumps at the rates of time t for as long as the step is (SEDD, arXiv:2310.16834v3, section 4)."""
    rates = method.rates(z, t.clamp(max=LATEST), prediction)
    assert rates is not None
    jumps = (t - s)[..., None] * rates
    stay = (1 - jumps.sum(-1, keepdim=True)).clamp(min=0)
    return _draw((jumps + stay * F.one_hot(z, jumps.shape[-1])).log(), rng)


def ddim(method: Method, rng: Noise, z: Latent, t: Tensor, s: Tensor, prediction: LogProbs) -> tuple[Latent, int]:
    """The step that draws nothing."""
    moved = method.flow(z, t, s, prediction)
    assert moved is not None
    return moved, 0


POLICIES: dict[Policy, Move] = {"ancestral": ancestral, "euler": euler, "ddim": ddim}


def _draw(log_p: LogProbs, rng: Noise) -> tuple[Tokens, int]:
    return draw(log_p, rng), int((log_p.logsumexp(-1) > CUT_OFF).sum())


def refusal(method: Method, policy: Policy) -> str | None:
    """Why the policy cannot step this method; None where it can. A causal method writes left to right under any."""
    if method.needs.causal or policy == "ancestral":
        return None
    z = method.prior(torch.zeros(1, 1, dtype=torch.long), Stream(0))[0]
    t = torch.full((1,), 0.5, dtype=torch.float64)
    scores = torch.zeros(1, method.vocab_size + method.needs.extra_scores)
    with torch.no_grad():
        prediction = method.read(scores, z, t)
        if policy == "euler" and method.rates(z, t, prediction) is None:
            return "has no rates to jump by (it lives in discrete time, or on vectors)"
        if policy == "ddim" and method.flow(z, t, t, prediction) is None:
            return "has no step without randomness (its z holds ids)"
    return None


@torch.no_grad()
def sample(model: Model, count: int, length: int, calls: int, seed: int, policy: Policy = "ancestral") -> Samples:
    """`count` texts of `length` tokens in `calls` network calls for all together; a causal method makes `length`.

    Categorical draws are float64. A call is spared when no position is left to score.
    """
    model.eval()
    rng = Stream(seed, next(model.parameters()).device)
    like = torch.zeros(count, length, dtype=torch.long, device=rng.device)
    if model.method.needs.causal:
        return left_to_right(model, like, rng)
    walk, times = Walk(model, like, rng), grid(model.method, calls).to(like.device)
    for t, s in pairwise(times):
        walk.step(t, s, POLICIES[policy])
    ids = walk.finish(times[-1])
    return Samples(ids.cpu(), walk.calls, walk.cut_off / max(1, walk.drawn))


class Walk:
    """z on its way from noise to text, and what that took."""

    def __init__(self, model: Model, like: Tokens, rng: Stream):
        self.model, self.rng, self.z = model, rng, model.method.prior(like, rng)
        self.like, self.calls, self.drawn, self.cut_off = like, 0, 0, 0
        nobody = torch.zeros(len(like), dtype=torch.bool, device=like.device)
        self.guess = model.guess(self.z, nobody.double(), nobody) if model.method.needs.self_condition else None

    def step(self, t: Tensor, s: Tensor, move: Move) -> None:
        """Moves every scored position from t to s."""
        moved = self.z.clone()
        for rows, z, each, prediction in self._look(t):
            moved[rows], cut = move(self.model.method, self.rng, z, each, s.expand_as(each), prediction)
            self.drawn, self.cut_off = self.drawn + len(each), self.cut_off + cut
        self.z = moved

    def finish(self, t: Tensor) -> Tokens:
        """The text: the last guess at every scored position, z itself elsewhere."""
        ids = self.like.clone() if self.z.is_floating_point() else self.z.clone()
        for rows, z, each, prediction in self._look(t):
            ids[rows] = draw(self.model.method.last_guess(z, each, prediction), self.rng)
        return ids

    def _look(self, t: Tensor) -> Iterator[tuple[Rows, Latent, Tensor, LogProbs]]:
        """One network call: rows, z, t and prediction of the scored positions, piece by piece."""
        method, pieces = self.model.method, list(self.model.chunks(self.z))
        if not pieces or not len(pieces[0][0]):
            return
        each = t.expand(len(self.z))
        hidden, self.calls = self.model.hidden(self.z, each, self.guess), self.calls + 1
        for rows in pieces:
            prediction = self.model.predict(hidden, self.z, each, rows)
            if self.guess is not None:  # shown to the network at the next call
                self.guess[rows] = method.feedback(prediction).to(self.guess)
            yield rows, self.z[rows], each[rows[0]], prediction


def left_to_right(model: Model, like: Tokens, rng: Stream) -> Samples:
    """One token after the other, each drawn from the network's law given those before it; one call a token."""
    count, length = like.shape
    x, t = like.clone(), torch.ones(count, dtype=torch.float64, device=like.device)
    everyone = torch.arange(count, device=like.device)
    for i in range(length):
        prefix = x[:, : i + 1]
        rows = (everyone, torch.full_like(everyone, i))
        x[:, i] = draw(model.predict(model.hidden(prefix, t), prefix, t, rows), rng)
    return Samples(x.cpu(), length, 0.0)
