"""The sampler, the same for every method: from noise to text in a given number of network calls, by a policy.

Causal methods write from left to right; texts longer than the training length are drawn window by window.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch

from bench.engine.model.method_instances import CACHE_SIZE
from bench.engine.model.method_with_network import Model
from bench.engine.rng import Stream, seed_for
from bench.engine.sample.autoregressive import Truncation, kv_cache_refusal, left_to_right
from bench.engine.sample.method_capabilities import is_masked
from bench.engine.sample.policies import Policy, named
from bench.engine.sample.state import NO_TRUNCATION, Prompt, SamplerState, Watch
from methods.method import Method, Tokens


@dataclass(frozen=True)
class Samples:
    """Samples and what they cost."""

    ids: Tokens  # [count, L], on the CPU
    network_calls: int
    cut_off_share: float  # share of the draws from t to s whose probabilities had to be clamped at 0


@dataclass(frozen=True)
class SamplerSettings:
    """Everything beside the model that decides the distribution of samples."""

    calls: int  # network calls for a batch of texts, per window; causal methods make one per token instead
    policy: Policy | str = "ancestral"
    truncation: Truncation = NO_TRUNCATION  # of drawn tokens; for vectors, the temperature scales the noise
    greedy_last: bool = False  # whether the last guess is the argmax


def refusal(method: Method, settings: SamplerSettings, tokens: int) -> str | None:
    """Return the reason why the method cannot draw texts of `tokens` tokens with these settings, or None."""
    truncation = settings.truncation
    if truncation != NO_TRUNCATION and not (method.needs.causal or is_masked(method)):
        if method.score_temperature is None:
            return "draws no tokens that a temperature, top_k or top_p could be applied to"
        if truncation != Truncation(truncation.temperature):
            return "draws no tokens that top_k or top_p could be applied to"
    if settings.greedy_last and method.needs.causal:
        return "has no last guess; top_k 1 writes the likeliest tokens"
    return named(settings.policy).refusal(method, settings.calls, tokens)


@lru_cache(CACHE_SIZE)
def cached_refusal(method: Method, settings: SamplerSettings, tokens: int) -> str | None:
    """`refusal`, cached: a suite asks about the same method again and again."""
    return refusal(method, settings, tokens)


@torch.no_grad()
def sample(
    model: Model,
    count: int,
    length: int,
    calls: int,
    seed: int,
    policy: Policy | str = "ancestral",
    prompt: Prompt | None = None,
    settings: SamplerSettings | None = None,
    watch: Watch | None = None,
) -> Samples:
    """Draw `count` texts of `length` tokens; `settings` replaces `calls` and `policy`.

    `watch` is called with the input of each network call [count, L], masks as the id V; for vectors with the likeliest
    token at each position. No call is made if no position is left to score.

    Masked methods are conditioned on the prompt exactly. Other methods hold the prompt at the noise of each time, which
    is an approximation. Categorical draws are float64. Raises ValueError if `refusal` gives a reason, or if a causal
    method would have to fill gaps.
    """
    settings, prompt = settings or SamplerSettings(calls, policy), prompt or Prompt.empty(count, length)
    reason = refusal(model.method, settings, length)
    if reason is not None:
        raise ValueError(f"{type(model.method).__name__} {reason}")

    model.eval()
    rng = Stream(seed, next(model.parameters()).device)
    prompt = Prompt(prompt.ids.to(rng.device), prompt.fixed.to(rng.device))
    if model.method.needs.causal:
        return _sample_causal(model, prompt, rng, settings, watch)

    if model.method.score_temperature is not None:
        model.method.score_temperature = settings.truncation.temperature
    state = SamplerState(model, prompt, rng, settings.truncation, settings.greedy_last, watch)
    end = named(settings.policy).run(state, settings.calls)
    ids = state.z if end is None else state.finish(end)
    return Samples(ids.cpu(), state.calls, state.cut_off / max(1, state.draws))


def _sample_causal(
    model: Model, prompt: Prompt, rng: Stream, settings: SamplerSettings, watch: Watch | None
) -> Samples:
    """Draw texts from left to right, with a cache of keys and values if the network has one."""
    cache = kv_cache_refusal(model) is None
    ids, calls = left_to_right(model, prompt.ids, prompt.fixed, rng, settings.truncation, cache)
    if watch:
        length = ids.shape[1]
        positions = torch.arange(length, device=ids.device)
        for position in range(length - calls, length):
            watch(ids.masked_fill(positions >= position, model.method.vocab_size))
    return Samples(ids.cpu(), calls, 0.0)


def sample_long(
    model: Model, count: int, window: int, length: int, stride: int, seed: int, settings: SamplerSettings
) -> Samples:
    """Draw texts longer than the training length, window by window.

    Each window continues the last `window` - `stride` tokens of the one before (semi-autoregressive generation, as in
    MDLM, arXiv:2406.07524v2).
    """
    prompt, texts = Prompt.empty(count, window), torch.zeros(count, 0, dtype=torch.long)
    number, calls, cut_off = 0, 0, 0.0
    while texts.shape[1] < length:
        seed_of_window = seed_for(seed, f"window {number}")
        samples = sample(model, count, window, settings.calls, seed_of_window, prompt=prompt, settings=settings)

        new_ids = samples.ids[:, window - stride :] if number else samples.ids
        texts = torch.cat([texts, new_ids], 1)
        fixed = (torch.arange(window) < window - stride).expand(count, -1)
        prompt = Prompt(samples.ids.roll(-stride, 1), fixed)
        number, calls, cut_off = number + 1, calls + samples.network_calls, cut_off + samples.cut_off_share
    return Samples(texts[:, :length], calls, cut_off / number)
