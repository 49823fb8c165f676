"""Policies for masked methods that choose which positions are revealed."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.engine.sample.method_capabilities import is_masked, on_trial, trial
from bench.engine.sample.policies.policy import Policy, Stepping
from bench.engine.sample.state import SamplerState
from methods.method import LogProbs, Method, pick
from methods.schedules import Schedule

CERTAIN = 1e9  # ranks visible positions below all masked ones

Rank = Callable[[LogProbs, Tensor], Tensor]  # guess and drawn tokens at positions -> confidence of the network


def mask_refusal(method: Method) -> str | None:
    """Return the reason why positions cannot be revealed one by one, or None."""
    if not is_masked(method):
        return "does not mask its tokens, or does not keep visible tokens fixed"
    if method.masking is None:
        return "does not mask all positions by one schedule from 1 to 0"
    return None


def follows_schedule(method: Method) -> bool:
    """Return True if the schedule alone sets the pace at which masks are revealed; under SEDD the scores do."""
    z, t, _ = trial(method)
    z = torch.full_like(z, method.vocab_size)
    with torch.no_grad(), on_trial(method):
        zeros = torch.zeros(len(z), method.vocab_size + method.needs.extra_scores, device=t.device)
        laws = [method.transition(z, t, t / 2, method.read(scores, z, t)) for scores in (zeros, zeros + 1)]
    stays = [law[:, method.vocab_size] for law in laws if law is not None]
    return len(stays) == 2 and float((stays[0] - stays[1]).abs().max()) < 1e-6


class FirstHitting(Policy):
    """Reveal one token per call, at random times: the limit of ancestral sampling with ever smaller steps.

    With n masks left at time t, the next one is revealed when 1 - alpha has fallen to U^(1/n) of its value at t (Zheng
    et al., arXiv:2409.02908).
    """

    name: Literal["first-hitting"] = "first-hitting"
    fidelity = "exact"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        reason = mask_refusal(method)
        if reason is None and not follows_schedule(method):
            return (
                "reveals tokens at a pace that depends on the network's scores, so the times are not known in advance"
            )
        if reason is None and calls != tokens:
            return f"reveals one token per call: set calls to {tokens}"
        return reason

    def run(self, state: SamplerState, calls: int) -> Tensor:
        schedule = _schedule(state)
        t = torch.ones(len(state.z), dtype=torch.float64, device=state.z.device)
        for _ in range(calls):
            masks = (state.z == state.mask).sum(-1)
            if not masks.any():
                break
            u = state.rng.uniform(t.shape)
            hidden = (1 - schedule.alpha(t)) * u ** (1 / masks.clamp(min=1))
            t = torch.where(masks > 0, schedule.inverse(1 - hidden), t)
            self._reveal(state, t, masks)
        return t

    def _reveal(self, state: SamplerState, t: Tensor, masks: Tensor) -> None:
        """Write one masked position, uniformly at random, in each sequence that has one."""
        ranks = torch.where(state.z == state.mask, state.rng.uniform(state.z.shape), -1.0)
        sequences = masks.nonzero()[:, 0]
        for rows, z, t_rows, prediction in state.predict(t, (sequences, ranks.argmax(-1)[sequences])):
            state.z[rows] = state.draw(state.model.method.last_guess(z, t_rows, prediction))


class Ranked(Stepping):
    """Reveal the most confident positions first, as many per call as the schedule does on average.

    This changes the distribution: `confidence` ranks by the probability of the drawn token (MaskGIT, arXiv:2202.04200),
    `margin` by the difference between the largest two probabilities (Kim et al., arXiv:2502.06768).
    """

    fidelity = "changed"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        return mask_refusal(method) or super().refusal(method, calls, tokens)

    def move(self, state: SamplerState, t: Tensor, s: Tensor) -> None:
        free = (~state.fixed).sum(-1)
        target = (free * (1 - _schedule(state).alpha(s))).round().long()  # masks at time s
        masks = (state.z == state.mask).sum(-1)
        tokens, confidence = propose(state, t, self.rank)
        reveal(state, tokens, confidence, (masks - target).clamp(min=0))

    @abstractmethod
    def rank(self, guess: LogProbs, tokens: Tensor) -> Tensor:
        """Return the confidence of the network at each position [*P]; larger is revealed first."""


class Confidence(Ranked):
    """Rank by the probability of the drawn token."""

    name: Literal["confidence"] = "confidence"

    def rank(self, guess: LogProbs, tokens: Tensor) -> Tensor:
        return pick(guess, tokens)


class Margin(Ranked):
    """Rank by the probability of the likeliest token minus that of the second."""

    name: Literal["margin"] = "margin"

    def rank(self, guess: LogProbs, tokens: Tensor) -> Tensor:
        first, second = guess.exp().topk(2, -1).values.unbind(-1)
        return first - second


class EntropyBounded(Policy):
    """Reveal the positions of least entropy in each call, as long as the error stays bounded.

    The revealed positions share at most `budget` nats of entropy beside the largest of them, which bounds the error of
    writing them at once (EB-Sampler, arXiv:2505.24857). The number of calls adapts to the text; the last call that is
    allowed reveals all remaining positions.
    """

    name: Literal["entropy-bounded"] = "entropy-bounded"
    budget: Annotated[float, Field(ge=0)] = 0.1
    fidelity = "changed"

    def refusal(self, method: Method, calls: int, tokens: int) -> str | None:
        return mask_refusal(method)

    def run(self, state: SamplerState, calls: int) -> Tensor:
        for _ in range(calls - 1):
            masked = state.z == state.mask
            if not masked.any():
                break
            tokens, confidence = propose(state, _time(state), _negative_entropy)
            entropy = (-confidence).sort(-1).values.clamp(min=0)
            affordable = (entropy.cumsum(-1) - entropy <= self.budget) & (entropy < CERTAIN)
            count = torch.maximum(affordable.sum(-1), torch.ones_like(affordable[:, 0], dtype=torch.long))
            reveal(state, tokens, confidence, count.clamp(max=masked.sum(-1)))
        return _time(state)


def _negative_entropy(guess: LogProbs, tokens: Tensor) -> Tensor:
    return (guess.exp() * guess).nan_to_num(0.0).sum(-1)


def propose(state: SamplerState, t: Tensor, rank: Rank) -> tuple[Tensor, Tensor]:
    """Draw a token for every masked position [B, L]; return them with their confidence, lowest at visible positions."""
    tokens = state.z.clone()
    confidence = torch.full(state.z.shape, -CERTAIN, dtype=torch.float64, device=state.z.device)
    for rows, z, t_rows, prediction in state.predict(t):
        guess = state.model.method.last_guess(z, t_rows, prediction).double().log_softmax(-1)
        tokens[rows] = state.draw(guess)
        confidence[rows] = rank(guess, tokens[rows])
    return tokens, confidence


def reveal(state: SamplerState, tokens: Tensor, confidence: Tensor, count: Tensor) -> None:
    """Write the `count` [B] most confident of the drawn tokens of each sequence."""
    order = confidence.sort(dim=-1, descending=True, stable=True).indices.argsort(-1)
    state.z = torch.where((order < count[:, None]) & (state.z == state.mask), tokens, state.z)


def _time(state: SamplerState) -> Tensor:
    """Return the time at which the schedule masks on average as many positions as are masked in each sequence [B]."""
    visible = 1 - (state.z == state.mask).double().mean(-1)
    return _schedule(state).inverse(visible).clamp(min=state.model.method.t_min)


def _schedule(state: SamplerState) -> Schedule:
    schedule = state.model.method.masking
    assert schedule is not None
    return schedule
