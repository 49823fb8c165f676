"""The state of a sampler: z on its way from noise to text."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from bench.engine.model.method_with_network import Model, Rows
from bench.engine.model.positions import at_positions, in_sequences
from bench.engine.rng import Stream
from bench.engine.sample.autoregressive import Truncation, batches
from bench.engine.sample.method_capabilities import is_masked
from methods.method import Latent, LogProbs, Tokens, draw

NO_TRUNCATION = Truncation()  # draws from the model's own distribution

CUT_OFF = 1e-6  # a distribution whose total exceeds 1 by more than this had negative entries, clamped to 0

Watch = Callable[[Tokens], None]

Prediction = tuple[Rows, Latent, Tensor, LogProbs]  # rows, z, t and prediction of packed scored positions


@dataclass(frozen=True)
class Prompt:
    """Given tokens of the texts, at any positions."""

    ids: Tokens  # [count, L]; arbitrary where `fixed` is False
    fixed: Bool[Tensor, "count L"]  # which tokens are given

    @classmethod
    def empty(cls, count: int, length: int) -> "Prompt":
        """Return the prompt of unconditional texts."""
        return cls(torch.zeros(count, length, dtype=torch.long), torch.zeros(count, length, dtype=torch.bool))


class SamplerState:
    """z at the current time, with counters of network calls and draws."""

    def __init__(
        self,
        model: Model,
        prompt: Prompt,
        rng: Stream,
        truncation: Truncation = NO_TRUNCATION,
        greedy_last: bool = False,
        watch: Watch | None = None,
    ):
        self.model, self.rng, self.prompt, self.fixed = model, rng, prompt.ids, prompt.fixed
        self.truncation, self.greedy_last, self.watch = truncation, greedy_last, watch
        self.mask, self.is_masked = model.method.vocab_size, is_masked(model.method)
        with in_sequences(model.method, self.prompt):
            self.z = model.method.prior(self.prompt, rng)
        self.calls, self.draws, self.cut_off = 0, 0, 0

        self.confidence = torch.ones(self.prompt.shape, dtype=torch.float64, device=self.prompt.device)
        self.reuses_hidden = False  # whether sequences that did not change keep their hidden states
        self.last_hidden: dict[int, tuple[Latent, Tensor]] = {}  # by first text of a batch: z and its hidden states
        self.guess: Tensor | None = None  # shown to a self-conditioned network at its next call
        if model.method.needs.self_condition:
            no_rows = torch.zeros(len(self.z), dtype=torch.bool, device=self.z.device)
            self.guess = model.guess(self.z, no_rows.double(), no_rows)
        self.restore(torch.ones((), dtype=torch.float64, device=self.z.device))

    def predict(self, t: Tensor, rows: Rows | None = None) -> Iterator[Prediction]:
        """Call the network once at time t, a scalar or one time per sequence [B], a batch of texts after the other.

        Yields predictions chunk by chunk, in the order of the texts, at the positions `rows`, or at all scored
        positions; until the next one, the method knows where they stand.
        """
        method, t, calls = self.model.method, t.expand(len(self.z)), self.calls
        shown = torch.zeros_like(self.prompt) if self.z.is_floating_point() else self.z.clone()
        for texts in batches(self.z):
            chunks = list(self._chunks(texts, rows))
            if not chunks:
                continue

            hidden = self._hidden(texts, t[texts], calls + 1)
            for chunk in chunks:
                inputs = self.z[texts], t[texts]
                prediction = self._truncate(self.model.predict(hidden, *inputs, chunk))
                chunk = (chunk[0] + texts.start, chunk[1])
                with at_positions(method, chunk[1], shown.shape[1]):
                    if self.z.is_floating_point():
                        shown[chunk] = method.likeliest(prediction)
                    if self.guess is not None:
                        self.guess[chunk] = method.feedback(prediction).to(self.guess)
                    yield chunk, self.z[chunk], t[chunk[0]], prediction
        if self.watch and self.calls > calls:
            self.watch(shown)

    def _chunks(self, texts: slice, rows: Rows | None) -> Iterator[Rows]:
        """Yield the scored positions of a batch of texts, or those of `rows` in it; texts count from its start."""
        if rows is not None:
            in_batch = (rows[0] >= texts.start) & (rows[0] < texts.stop)
            rows = (rows[0][in_batch] - texts.start, rows[1][in_batch])
        chunks = self.model.chunks(self.z[texts]) if rows is None else [rows]
        yield from (chunk for chunk in chunks if len(chunk[0]))

    def _hidden(self, texts: slice, t: Tensor, calls: int) -> Tensor:
        """Return hidden states of a batch of texts; with `reuses_hidden`, recompute only texts that changed.

        If the network is called, `calls` becomes the number of calls: all batches are one call.
        """
        z, guess = self.z[texts], None if self.guess is None else self.guess[texts]
        if not self.reuses_hidden or texts.start not in self.last_hidden:
            self.calls = calls
            hidden = self.model.hidden(z, t, guess)
        else:
            before, hidden = self.last_hidden[texts.start]
            changed = (before != z).any(-1)
            if changed.any():
                self.calls = calls
                hidden = hidden.clone()
                hidden[changed] = self.model.hidden(z[changed], t[changed])
        if self.reuses_hidden:
            self.last_hidden[texts.start] = (z, hidden)
        return hidden

    def _truncate(self, prediction: LogProbs) -> LogProbs:
        """Truncate the distribution over tokens, leaving the total probability of all tokens unchanged."""
        if not self.is_masked or self.truncation == NO_TRUNCATION:
            return prediction
        tokens, extras = prediction[..., : self.mask].double(), prediction[..., self.mask :].double()
        total = tokens.logsumexp(-1, keepdim=True)
        return torch.cat([self.truncation.apply(tokens - total) + total, extras], -1)

    def draw(self, log_p: LogProbs, count: bool = False) -> Tokens:
        """Draw ids from rows of log-probabilities; with `count`, count the rows that were clamped at 0."""
        if count:
            self.draws += len(log_p)
            self.cut_off += int((log_p.logsumexp(-1) > CUT_OFF).sum())
        return draw(log_p, self.rng)

    def restore(self, s: Tensor) -> None:
        """Write the prompt back into z: clean for masked methods, otherwise noised to time s."""
        if not self.fixed.any():
            return
        prompt = self.prompt
        if not self.is_masked:
            with in_sequences(self.model.method, self.prompt):
                prompt = self.model.method.corrupt(self.prompt, s.expand(len(self.prompt)), self.rng)
        fixed = self.fixed[..., None] if prompt.dim() > self.fixed.dim() else self.fixed
        self.z = torch.where(fixed, prompt, self.z)

    def finish(self, t: Tensor) -> Tokens:
        """Return the text: the last guess at scored positions, z elsewhere, and the prompt."""
        ids = self.prompt.clone() if self.z.is_floating_point() else self.z.clone()
        for rows, z, times, prediction in self.predict(t):
            log_p = self.model.method.last_guess(z, times, prediction)
            ids[rows] = log_p.argmax(-1) if self.greedy_last else self.draw(log_p)
        return torch.where(self.fixed, self.prompt, ids)
