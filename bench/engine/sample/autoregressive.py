"""Sampling from left to right, for causal methods: with a KV cache, and with truncated distributions."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool
from torch import Tensor

from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Cache, Network
from bench.engine.model.positions import in_prefixes
from methods.method import LogProbs, Noise, Tokens, draw

ROUNDINGS = 1 + 1e-9  # a mass that equals p up to rounding reaches p
TOKENS_AT_ONCE = {"cpu": 2**14, "cuda": 2**17}  # of the texts that go through the network together


@dataclass(frozen=True)
class Truncation:
    """Truncation of a distribution over tokens: first `temperature`, then `top_k`, then `top_p`.

    The default changes nothing. Raises ValueError if no distribution results.
    """

    temperature: float = 1.0  # probabilities are raised to the power of its inverse
    top_k: int | None = None  # the k most likely tokens; ties go to smaller ids
    top_p: float | None = None  # nucleus: the fewest most likely tokens with this mass (arXiv:1904.09751v2, 3.1)

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise ValueError(
                f"temperature {self.temperature}: must be above 0 and finite; top_k 1 takes the most likely token"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k {self.top_k}: must be at least 1; leave it out to keep every token")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p {self.top_p}: must be above 0 and at most 1; leave it out to keep every token")

    def apply(self, log_p: LogProbs) -> LogProbs:
        """Return the truncated, normalized log-probabilities, float64: -inf at tokens that are cut off."""
        log_p = log_p.double()
        if self.temperature != 1:
            log_p = ((log_p - log_p.amax(-1, keepdim=True)) / self.temperature).log_softmax(-1)
        if self.top_k is None and self.top_p is None:
            return log_p
        ordered, order = log_p.sort(stable=True, dim=-1, descending=True)
        ordered = self._nucleus(ordered[..., : self.top_k])
        return torch.full_like(log_p, -torch.inf).scatter(-1, order[..., : self.top_k], ordered.log_softmax(-1))

    def _nucleus(self, ordered: LogProbs) -> LogProbs:
        """Set falling log-probabilities to -inf after the tokens whose mass reaches `top_p`."""
        if self.top_p is None:
            return ordered
        tail = ordered.softmax(-1).flip(-1).cumsum(-1).flip(-1)  # the mass of each token and all after it
        cut = tail <= (1 - self.top_p) * ROUNDINGS
        cut[..., 0] = False
        return ordered.masked_fill(cut, -torch.inf)


def kv_cache_refusal(model: Model) -> str | None:
    """Return the reason why the network cannot cache keys and values, or None."""
    if not isinstance(model.network, Network):
        return f"its network is a {type(model.network).__name__}"
    return "its network is shown vectors" if model.method.needs.vector_width else None


def batches(texts: Tensor) -> Iterator[slice]:
    """Yield slices of texts [B, L, ...] that go through the network together, so that memory does not grow with B."""
    count, length = texts.shape[:2]
    size = max(1, TOKENS_AT_ONCE[texts.device.type] // max(1, length))
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


@torch.no_grad()
def left_to_right(
    model: Model,
    prompt: Tokens,
    is_given: Bool[Tensor, "B L"],
    rng: Noise,
    truncation: Truncation = Truncation(),
    cache: bool = True,
) -> tuple[Tokens, int]:
    """Continue the prompt token by token; return texts [B, L] and the number of network calls, one per drawn token.

    With a cache, a call computes one position (the first call, the whole prompt); without it, all positions so far. The
    texts are equal up to rounding. Each token takes one random number per text.

    Raises ValueError if the method is not causal, if given tokens are not a prefix of equal length in every text, or if
    the network cannot use a cache.
    """
    model.eval()
    _check(model, is_given, cache)
    (count, length), first = prompt.shape, int(is_given.all(0).sum())
    x, noise = prompt.masked_fill(~is_given, 0), [rng.uniform((count,)) for _ in range(first, length)]
    for texts in batches(x):
        uniforms = _Predrawn(iter([numbers[texts] for numbers in noise]))
        _continue(model, x[texts], first, cast(Noise, uniforms), truncation, cache)
    return x, length - first


def _continue(model: Model, x: Tokens, first: int, rng: Noise, truncation: Truncation, cache: bool) -> None:
    """Write the tokens of texts x [B, L] from position `first` on, in place."""
    count, length = x.shape
    t = torch.ones(count, dtype=torch.float64, device=x.device)
    kv_cache = _empty_cache(model, count, length) if cache else None
    autocast = torch.autocast(x.device.type, enabled=False)  # keeps the weights that it converts until the last call
    with autocast, in_prefixes(model.method, length):
        for i in range(first, length):
            z = x[:, : i + 1]
            hidden = model.hidden(z, t) if kv_cache is None else model.extend(z, t, kv_cache)
            log_p = model.read(hidden[:, -1].contiguous(), x[:, i], t, torch.full_like(x[:, i], i), length)
            x[:, i] = draw(truncation.apply(log_p), rng)


@dataclass(frozen=True)
class _Predrawn:
    """Uniform numbers that were drawn for all texts at once, so that batches do not change them."""

    uniforms: Iterator[Tensor]

    def uniform(self, shape: torch.Size | tuple[int, ...]) -> Tensor:
        """Return the next uniform numbers."""
        return next(self.uniforms)


def _empty_cache(model: Model, count: int, length: int) -> Cache:
    """Return an empty cache for texts of that length, in the precision of attention."""
    dtype = torch.bfloat16 if model.precision == "bfloat16" else model.network.output.weight.dtype
    return Cache(model.network, count, length, dtype)


def _check(model: Model, is_given: Tensor, cache: bool) -> None:
    """Raise ValueError as `left_to_right` does."""
    method = type(model.method).__name__
    if not model.method.needs.causal:
        raise ValueError(f"{method} is not causal: it cannot write from left to right")
    reason = kv_cache_refusal(model)
    if cache and reason:
        raise ValueError(f"{method} cannot write with a cache: {reason}; write without one")
    prefix = is_given.all(0).long().cumprod(0).bool()  # positions before the first missing token of any text
    wrong = (is_given != prefix).any(1).nonzero()
    if len(wrong):
        raise ValueError(
            f"text {int(wrong[0])}: its known tokens are not the beginning, equally long in every text; "
            "a causal method can continue a text, not fill gaps"
        )
