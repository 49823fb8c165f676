"""The state of a sampler: z on its way from noise to text."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from bench.engine.model.model import Model, Rows
from bench.engine.rng import Stream
from bench.engine.sample.autoregressive import Truncation
from bench.engine.sample.capabilities import is_masked
from methods.method import Latent, LogProbs, Tokens, draw

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
