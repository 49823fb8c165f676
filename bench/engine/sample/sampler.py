"""The one sampler loop: from noise to text in a given number of network calls, by a policy; left to right for causal
methods; beyond the length of training window by window."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from bench.engine.model.model import Model, Rows
from bench.engine.rng import Stream, seed_for
from bench.engine.sample.autoregressive import Truncation, cache_refusal, left_to_right
from bench.engine.sample.policies import Policy, is_masked, named
from methods.method import Latent, LogProbs, Method, Tokens, draw

WHOLE = Truncation()  # the law itself
CUT_OFF = 1e-6  # a law whose total is above one by more was cut off at 0

Watch = Callable[[Tokens], None]
Seen = tuple[Rows, Latent, Tensor, LogProbs]  # rows, z, t and prediction of the scored positions


@dataclass(frozen=True)
class Known:
    """What is given of the texts."""

    ids: Tokens  # [count, L]; anything where nothing is known
    fixed: Bool[Tensor, "count L"]

    @classmethod
    def nothing(cls, count: int, length: int) -> "Known":
        """Texts of which nothing is given."""
        return cls(torch.zeros(count, length, dtype=torch.long), torch.zeros(count, length, dtype=torch.bool))


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


class Walk:
    """z on its way from noise to text, and what that took."""

    def __init__(
        self, model: Model, known: Known, rng: Stream, truncation: Truncation = WHOLE, greedy_last: bool = False
    ):
        self.model, self.rng, self.known, self.fixed = model, rng, known.ids, known.fixed
        self.truncation, self.greedy_last, self.keeps = truncation, greedy_last, False
        self.mask, self.final = model.method.vocab_size, is_masked(model.method)
        self.z = model.method.prior(self.known, rng)
        self.calls, self.drawn, self.cut_off = 0, 0, 0
        self.watch: Watch | None = None
        self.sureness = torch.ones(self.known.shape, dtype=torch.float64, device=self.known.device)
        self.kept: tuple[Latent, Tensor] | None = None  # z at the last network call, and its hidden states
        nobody = torch.zeros(len(self.z), dtype=torch.bool, device=self.z.device)
        self.guess = model.guess(self.z, nobody.double(), nobody) if model.method.needs.self_condition else None
        self.restore(torch.ones((), dtype=torch.float64, device=self.z.device))

    def look(self, t: Tensor, rows: Rows | None = None) -> Iterator[Seen]:
        """One network call at time t, one for all or one a sequence [B]: what it predicts at the positions `rows`, or
        at all that count, piece by piece."""
        method = self.model.method
        pieces = list(self.model.chunks(self.z)) if rows is None else [rows]
        if not pieces or not len(pieces[0][0]):
            return
        each, calls = t.expand(len(self.z)), self.calls
        hidden, z = self._hidden(each), self.z
        shown = torch.zeros_like(self.known) if z.is_floating_point() else z.clone()
        for piece in pieces:
            prediction = self._truncated(self.model.predict(hidden, z, each, piece))
            if z.is_floating_point():
                shown[piece] = method.likeliest(prediction)
            if self.guess is not None:  # shown to the network at the next call
                self.guess[piece] = method.feedback(prediction).to(self.guess)
            yield piece, z[piece], each[piece[0]], prediction
        if self.watch and self.calls > calls:
            self.watch(shown)

    def _hidden(self, t: Tensor) -> Tensor:
        """Hidden states of z; where `keeps` is set only those of sequences that changed are computed again."""
        if not self.keeps or self.kept is None:
            changed, hidden = None, self.model.hidden(self.z, t, self.guess)
        else:
            before, hidden = self.kept
            changed = (before != self.z).any(-1)
        if changed is None or changed.any():
            self.calls += 1
        if changed is not None and changed.any():
            hidden = hidden.clone()
            hidden[changed] = self.model.hidden(self.z[changed], t[changed])
        self.kept = (self.z, hidden) if self.keeps else None
        return hidden

    def _truncated(self, prediction: LogProbs) -> LogProbs:
        """The prediction with its tokens truncated and the mass of all of them left as it is."""
        if not self.final or self.truncation == WHOLE:
            return prediction
        tokens, others = prediction[..., : self.mask].double(), prediction[..., self.mask :].double()
        total = tokens.logsumexp(-1, keepdim=True)
        return torch.cat([self.truncation.apply(tokens - total) + total, others], -1)

    def draw(self, log_p: LogProbs, count: bool = False) -> Tokens:
        """Ids drawn from rows of log-probabilities; with `count` those that were cut off at 0 are counted."""
        if count:
            self.drawn += len(log_p)
            self.cut_off += int((log_p.logsumexp(-1) > CUT_OFF).sum())
        return draw(log_p, self.rng)

    def restore(self, s: Tensor) -> None:
        """Puts the known tokens back: as they are where visible tokens are final, elsewhere at the noise of time s."""
        if not self.fixed.any():
            return
        back = self.known
        if not self.final:
            back = self.model.method.corrupt(self.known, s.expand(len(self.known)), self.rng)
        where = self.fixed[..., None] if back.dim() > self.fixed.dim() else self.fixed
        self.z = torch.where(where, back, self.z)

    def finish(self, t: Tensor) -> Tokens:
        """The text: the last guess at every scored position, z itself elsewhere, and what is known."""
        ids = self.known.clone() if self.z.is_floating_point() else self.z.clone()
        for rows, z, each, prediction in self.look(t):
            log_p = self.model.method.last_guess(z, each, prediction)
            ids[rows] = log_p.argmax(-1) if self.greedy_last else self.draw(log_p)
        return torch.where(self.fixed, self.known, ids)
