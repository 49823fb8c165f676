"""The one sampler loop: from noise to text in a given number of network calls, by a policy; left to right for causal
methods; beyond the length of training window by window."""

from dataclasses import dataclass
from functools import lru_cache

import torch

from bench.engine.model.method_instances import KEPT
from bench.engine.model.model import Model
from bench.engine.rng import Stream, seed_for
from bench.engine.sample.autoregressive import Truncation, cache_refusal, left_to_right
from bench.engine.sample.capabilities import is_masked
from bench.engine.sample.policies import Policy, named
from bench.engine.sample.state import WHOLE, Known, Walk, Watch
from methods.method import Method, Tokens


@dataclass(frozen=True)
class Samples:
    """Drawn texts and what they cost."""

    ids: Tokens  # [count, L], on the CPU
    network_calls: int
    cut_off_share: float  # of the draws from t to s, those whose law had entries below 0, which were cut off


@dataclass(frozen=True)
class How:
    """All that decides the law of drawn texts beside the model."""

    calls: int  # network calls for all texts together, or for each window; a causal method makes one a token
    policy: Policy | str = "ancestral"
    truncation: Truncation = WHOLE  # of the tokens that are drawn; for vectors its temperature is of the noise
    greedy_last: bool = False  # the last guess is the likeliest token


def why_not(method: Method, how: How, tokens: int) -> str | None:
    """Why texts of so many tokens cannot be drawn so; None where they can."""
    cut = how.truncation != WHOLE
    if cut and not (method.needs.causal or is_masked(method)):
        if method.score_temperature is None:
            return "draws no tokens that a temperature, top_k or top_p could be applied to"
        if how.truncation != Truncation(how.truncation.temperature):
            return "draws no tokens that top_k or top_p could be applied to"
    if how.greedy_last and method.needs.causal:
        return "has no last guess; top_k 1 writes the likeliest tokens"
    return named(how.policy).refusal(method, how.calls, tokens)


@torch.no_grad()
def sample(
    model: Model,
    count: int,
    length: int,
    calls: int,
    seed: int,
    policy: Policy | str = "ancestral",
    known: Known | None = None,
    how: How | None = None,
    watch: Watch | None = None,
) -> Samples:
    """`count` texts of `length` tokens; `how` says more than `calls` and `policy`. Known tokens stay.

    `watch` is given what each network call is shown [count, L], masks as the id V; where that is vectors, the tokens
    that the call finds likeliest.

    Masked positions are conditioned on visible ones by the method itself; other noise holds known tokens at the noise
    of each time, which is an approximation. Categorical draws are float64. A call is spared when no position is left
    to score. Raises ValueError where `why_not` has a reason, and for a causal method with gaps to fill.
    """
    how, known = how or How(calls, policy), known or Known.nothing(count, length)
    reason = why_not(model.method, how, length)
    if reason is not None:
        raise ValueError(f"{type(model.method).__name__} {reason}")
    model.eval()
    rng = Stream(seed, next(model.parameters()).device)
    known = Known(known.ids.to(rng.device), known.fixed.to(rng.device))
    if model.method.needs.causal:
        ids, made = left_to_right(
            model, known.ids, known.fixed, rng, how.truncation, cache=cache_refusal(model) is None
        )
        if watch:
            for place in range(length - made, length):
                watch(ids.masked_fill(torch.arange(length, device=ids.device) >= place, model.method.vocab_size))
        return Samples(ids.cpu(), made, 0.0)
    if model.method.score_temperature is not None:
        model.method.score_temperature = how.truncation.temperature
    walk = Walk(model, known, rng, how.truncation, how.greedy_last)
    walk.watch = watch
    end = named(how.policy).run(walk, how.calls)
    ids = walk.z if end is None else walk.finish(end)
    return Samples(ids.cpu(), walk.calls, walk.cut_off / max(1, walk.drawn))


def sample_long(model: Model, count: int, window: int, length: int, stride: int, seed: int, how: How) -> Samples:
    """Texts longer than a window of training: each window continues the last `window` - `stride` tokens before it
    (semi-autoregressive generation, as in MDLM, arXiv:2406.07524v2)."""
    known, texts, calls, cut = Known.nothing(count, window), torch.zeros(count, 0, dtype=torch.long), 0, 0.0
    number = 0
    while texts.shape[1] < length:
        drawn = sample(model, count, window, how.calls, seed_for(seed, f"window {number}"), known=known, how=how)
        texts = torch.cat([texts, drawn.ids[:, window - stride :] if number else drawn.ids], 1)
        number, calls, cut = number + 1, calls + drawn.network_calls, cut + drawn.cut_off_share
        known = Known(drawn.ids.roll(-stride, 1), (torch.arange(window) < window - stride).expand(count, -1))
    return Samples(texts[:, :length], calls, cut / number)


@lru_cache(KEPT)
def undrawn(method: Method, how: How, tokens: int) -> str | None:
    """What bench.engine.sample.sampler.why_not returns."""
    return why_not(method, how, tokens)
