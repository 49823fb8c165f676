"""Texts of causal methods, one token after another: with a cache of keys and values, from the whole law or a part."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from bench.engine.model.model import Model
from bench.engine.model.network import Cache, Network
from methods.method import LogProbs, Noise, Tokens, draw

ROUNDINGS = 1 + 1e-9  # a mass of p up to roundings reaches p


@dataclass(frozen=True)
class Truncation:
    """Which tokens may be drawn: first `temperature`, then `top_k`, then `top_p`. The default is the law itself.

    Raises ValueError for what no law comes from.
    """

    temperature: float = 1.0  # probabilities are raised to its inverse
    top_k: int | None = None  # only so many most likely tokens; of equals those with smaller ids
    top_p: float | None = None  # only the fewest most likely tokens whose mass reaches it (arXiv:1904.09751v2, 3.1)

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
        """The law that is drawn from, float64: -inf outside of what is kept, and normalised; the default alters
        nothing."""
        log_p = log_p.double()
        if self.temperature != 1:
            log_p = ((log_p - log_p.amax(-1, keepdim=True)) / self.temperature).log_softmax(-1)
        if self.top_k is None and self.top_p is None:
            return log_p
        ordered, order = log_p.sort(stable=True, dim=-1, descending=True)
        ordered = self._nucleus(ordered[..., : self.top_k])
        return torch.full_like(log_p, -torch.inf).scatter(-1, order[..., : self.top_k], ordered.log_softmax(-1))

    def _nucleus(self, ordered: LogProbs) -> LogProbs:
        """-inf at the tokens after those whose mass reaches `top_p`, of log-probabilities that fall."""
        if self.top_p is None:
            return ordered
        left = ordered.softmax(-1).flip(-1).cumsum(-1).flip(-1)  # the mass of each token with all after it
        cut = left <= (1 - self.top_p) * ROUNDINGS
        cut[..., 0] = False
        return ordered.masked_fill(cut, -torch.inf)


def kv_cache_refusal(model: Model) -> str | None:
    """Why the model's network can keep no keys and values; None where it can."""
    if not isinstance(model.network, Network):
        return f"its network is a {type(model.network).__name__}"
    return "its network is shown vectors" if model.method.needs.vector_width else None


@torch.no_grad()
def left_to_right(
    model: Model,
    known: Tokens,
    is_known: Bool[Tensor, "B L"],
    rng: Noise,
    truncation: Truncation = Truncation(),
    cache: bool = True,
) -> tuple[Tokens, int]:
    """Texts [B, L], one token after another, and the number of network calls, which is that of the tokens drawn.

    Known tokens stay as they are. With a cache a call computes one position (the first one all that are known), without
    it all up to that position; the texts are the same, but for roundings. Each token takes one number of `rng` a text.

    Raises ValueError when the method is not causal, when known tokens are not the beginning of every text, equally
    long, and when the network can keep no cache.
    """
    model.eval()
    _check(model, is_known, cache)
    (count, length), first = known.shape, int(is_known.all(0).sum())
    x, t = known.masked_fill(~is_known, 0), torch.ones(count, dtype=torch.float64, device=known.device)
    kept = _room(model, count, length) if cache else None
    rows = (torch.arange(count, device=x.device), torch.zeros(count, dtype=torch.long, device=x.device))
    with torch.autocast(x.device.type, enabled=False):  # keeps the weights that calls cast, until the last one
        for i in range(first, length):
            z = x[:, : i + 1]
            hidden = model.hidden(z, t) if kept is None else model.extend(z, t, kept)
            log_p = model.predict(hidden[:, -1:], z[:, -1:], t, rows)
            x[:, i] = draw(truncation.apply(log_p), rng)
    return x, length - first


def _room(model: Model, count: int, length: int) -> Cache:
    """An empty cache for texts of that length, in the precision in which attention is computed."""
    dtype = torch.bfloat16 if model.precision == "bfloat16" else model.network.output.weight.dtype
    return Cache(model.network, count, length, dtype)


def _check(model: Model, is_known: Tensor, cache: bool) -> None:
    """Raises ValueError where `left_to_right` does."""
    method = type(model.method).__name__
    if not model.method.needs.causal:
        raise ValueError(f"{method} is not causal: it cannot write from left to right")
    reason = kv_cache_refusal(model)
    if cache and reason:
        raise ValueError(f"{method} cannot write with a cache: {reason}; write without one")
    begun = is_known.all(0).long().cumprod(0).bool()  # the positions before the first unknown token of any text
    wrong = (is_known != begun).any(1).nonzero()
    if len(wrong):
        raise ValueError(
            f"text {int(wrong[0])}: its known tokens are not the beginning, equally long in every text; "
            "a causal method can continue a text, not fill gaps"
        )
