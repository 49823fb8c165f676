"""Policies for masks alone, that choose which positions are revealed."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.engine.sample.capabilities import is_masked, trial
from bench.engine.sample.policies.policy import Policy, Stepping
from bench.engine.sample.state import Walk
from methods.method import LogProbs, Method, pick
from methods.schedules import Schedule

CERTAIN = 1e9  # what is not masked ranks below all that is

Rank = Callable[[LogProbs, Tensor], Tensor]  # guess and drawn tokens at positions -> how sure the network is


def why_not_masked(method: Method) -> str | None:
    """Why nothing can be revealed one by one; None where it can."""
    if not is_masked(method):
        return "does not hide its tokens behind a mask, where what is visible is final"
    if method.masking is None:
        return "does not mask all positions alike along a schedule from 1 to 0"
    return None


def keeps_its_pace(method: Method) -> bool:
    """Whether masks are revealed at the pace of the schedule, whatever the scores are; those of SEDD set their own."""
    z, t, _ = trial(method)
    z = torch.full_like(z, method.vocab_size)
    with torch.no_grad():
        scores = torch.zeros(1, method.vocab_size + method.needs.extra_scores, device=t.device)
        laws = [method.transition(z, t, t / 2, method.read(each, z, t)) for each in (scores, scores + 1)]
    stays = [float(law[0, method.vocab_size]) for law in laws if law is not None]
    return len(stays) == 2 and abs(stays[0] - stays[1]) < 1e-6


class FirstHitting(Policy):
    """One token a call, at the random times at which single masks are revealed: ancestral sampling in the limit of
    ever smaller steps (Zheng et al., arXiv:2409.02908).

    With n masks left at time t the next one is revealed where 1 - alpha has fallen to U^(1/n) of what it was.
    """

    name: Literal["first-hitting"] = "first-hitting"
    fidelity = "exact"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        reason = why_not_masked(method)
        if reason is None and not keeps_its_pace(method):
            return "reveals its tokens faster or slower by what the network says, at times that nobody knows before"
        if reason is None and calls != tokens:
            return f"is revealed one token a call: calls has to be {tokens}"
        return reason

    def run(self, walk: Walk, calls: int) -> Tensor:
        schedule = _schedule(walk)
        t = torch.ones(len(walk.z), dtype=torch.float64, device=walk.z.device)
        for _ in range(calls):
            left = (walk.z == walk.mask).sum(-1)
            if not left.any():
                break
            u = walk.rng.uniform(t.shape)
            hidden = (1 - schedule.alpha(t)) * u ** (1 / left.clamp(min=1))
            t = torch.where(left > 0, schedule.inverse(1 - hidden), t)
            self._reveal(walk, t, left)
        return t

    def _reveal(self, walk: Walk, t: Tensor, left: Tensor) -> None:
        """Writes one masked position, any of them alike, in each sequence that has one."""
        ranks = torch.where(walk.z == walk.mask, walk.rng.uniform(walk.z.shape), -1.0)
        sequences = left.nonzero()[:, 0]
        for rows, z, each, prediction in walk.look(t, (sequences, ranks.argmax(-1)[sequences])):
            walk.z[rows] = walk.draw(walk.model.method.last_guess(z, each, prediction))


class Ranked(Stepping):
    """Reveals as many positions a call as the schedule does on average, those first that the network is surest of.

    It changes the law: `confidence` ranks by the probability of the token that was drawn (MaskGIT, arXiv:2202.04200),
    `margin` by that of the likeliest token less that of the second (Kim et al., arXiv:2502.06768).
    """

    fidelity = "changed"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        return why_not_masked(method) or super().refusal(method, calls, tokens)

    def move(self, walk: Walk, t: Tensor, s: Tensor) -> None:
        free = (~walk.fixed).sum(-1)
        keep = (free * (1 - _schedule(walk).alpha(s))).round().long()
        left = (walk.z == walk.mask).sum(-1)
        tokens, sureness = survey(walk, t, self.rank)
        reveal(walk, tokens, sureness, (left - keep).clamp(min=0))

    @abstractmethod
    def rank(self, guess: LogProbs, tokens: Tensor) -> Tensor:
        """How sure the network is at each position [*P], larger first."""


class Confidence(Ranked):
    """By the probability of the token that was drawn."""

    name: Literal["confidence"] = "confidence"

    def rank(self, guess: LogProbs, tokens: Tensor) -> Tensor:
        return pick(guess, tokens)


class Margin(Ranked):
    """By the probability of the likeliest token less that of the second."""

    name: Literal["margin"] = "margin"

    def rank(self, guess: LogProbs, tokens: Tensor) -> Tensor:
        first, second = guess.exp().topk(2, -1).values.unbind(-1)
        return first - second


class EntropyBounded(Policy):
    """Reveals in each call the positions of least entropy, as many as share at most `budget` nats beside the largest
    of them: the error of writing them at once is below that (EB-Sampler, arXiv:2505.24857).

    It takes as many calls as that takes, and at the last one that it may have it reveals the rest.
    """

    name: Literal["entropy-bounded"] = "entropy-bounded"
    budget: Annotated[float, Field(ge=0)] = 0.1
    fidelity = "changed"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        return why_not_masked(method)

    def run(self, walk: Walk, calls: int) -> Tensor:
        for _ in range(calls - 1):
            masked = walk.z == walk.mask
            if not masked.any():
                break
            tokens, sureness = survey(walk, _time(walk), lambda p, _: (p.exp() * p).nan_to_num(0.0).sum(-1))
            entropy = (-sureness).sort(-1).values.clamp(min=0)
            several = (entropy.cumsum(-1) - entropy <= self.budget) & (entropy < CERTAIN)
            count = torch.maximum(several.sum(-1), torch.ones_like(several[:, 0], dtype=torch.long))
            reveal(walk, tokens, sureness, count.clamp(max=masked.sum(-1)))
        return _time(walk)


def survey(walk: Walk, t: Tensor, rank: Rank) -> tuple[Tensor, Tensor]:
    """A drawn token for every masked position [B, L], and its rank [B, L], lowest where nothing is masked."""
    tokens = walk.z.clone()
    sureness = torch.full(walk.z.shape, -CERTAIN, dtype=torch.float64, device=walk.z.device)
    for rows, z, each, prediction in walk.look(t):
        guess = walk.model.method.last_guess(z, each, prediction).double().log_softmax(-1)
        tokens[rows] = walk.draw(guess)
        sureness[rows] = rank(guess, tokens[rows])
    return tokens, sureness


def reveal(walk: Walk, tokens: Tensor, sureness: Tensor, count: Tensor) -> None:
    """Writes the `count` [B] surest of the drawn tokens of each sequence."""
    order = sureness.sort(dim=-1, descending=True, stable=True).indices.argsort(-1)
    walk.z = torch.where((order < count[:, None]) & (walk.z == walk.mask), tokens, walk.z)


def _time(walk: Walk) -> Tensor:
    """The time at which as many positions are masked on average as are in each sequence [B]."""
    shown = 1 - (walk.z == walk.mask).double().mean(-1)
    return _schedule(walk).inverse(shown).clamp(min=walk.model.method.t_min)


def _schedule(walk: Walk) -> Schedule:
    schedule = walk.model.method.masking
    assert schedule is not None
    return schedule
