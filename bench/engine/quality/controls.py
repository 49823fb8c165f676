"""Control texts, measured as samples are: real text, and adversaries that should come out last.

`shuffled text` keeps the tokens of real text and loses their order; the `n-gram model` keeps short n-grams and loses
everything longer; `copied text` is real but not new. A metric by which one of them is best says little by itself.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.data.tokenizers.tokenizer import Ids
from bench.engine.quality.ngrams import Ngrams
from bench.engine.quality.settings import QualitySpec
from bench.engine.rng import seed_for

DATA: Final = "data"
SHUFFLED: Final = "shuffled text"
NGRAMS: Final = "n-gram model"
COPIED: Final = "copied text"
CONTROLS = (DATA, SHUFFLED, NGRAMS, COPIED)


def controls(data: Dataset, spec: QualitySpec, count: int, length: int) -> dict[str, Tensor]:
    """Return the texts of each control, int64 [count, length]; fewer if a split holds fewer.

    Real text is drawn from the split that divergences are not measured against. If sequences are independent and
    shorter than `length`, several are joined. Raises ValueError if n-grams of the given order do not fit in 63 bits.
    """
    split = "test" if spec.reference == "valid" else "valid"
    real = _sequences(data, split, count, length, _generator(spec, DATA))
    model = NgramModel(data.splits["train"], spec.ngram, data.summary.vocab_size, data.stride)
    return {
        DATA: real,
        SHUFFLED: torch.from_numpy(_generator(spec, SHUFFLED).permuted(real.numpy(), axis=1)),
        NGRAMS: torch.from_numpy(model.sample(count, length, _generator(spec, NGRAMS))),
        COPIED: _sequences(data, "train", count, length, _generator(spec, COPIED)),
    }


def _generator(spec: QualitySpec, purpose: str) -> np.random.Generator:
    return np.random.default_rng(seed_for(spec.seed, f"control {purpose}"))


def _sequences(data: Dataset, split: str, count: int, length: int, rng: np.random.Generator) -> Tensor:
    """Draw up to `count` texts of a split that do not overlap [count, length].

    If sequences are independent, a text starts with one of them and continues with those that follow.
    """
    ids, spacing = data.splits[split], length
    if data.stride > 1:
        spacing = -(-length // data.stride) * data.stride
    available = (len(ids) - length) // spacing + 1 if len(ids) >= length else 0
    if not available:
        raise ValueError(f"the {split} split holds no text of {length:,} tokens to compare with; draw shorter texts")
    numbers = rng.choice(available, min(count, available), replace=False)
    return torch.from_numpy(ids[(numbers * spacing)[:, None] + np.arange(length)].astype(np.int64))


class NgramModel:
    """The distribution of the next token given the n - 1 before it, by counts of a training split [N], unsmoothed.

    All n-grams are one sorted array: for each token, the tokens before it, the latest first, then itself, as digits in
    base V + 1. The tokens that follow a context, and those that follow its last tokens alone, are neighbours in it, so
    a random neighbour is a draw by counts. A context that does not occur in training backs off to its longest suffix
    that does. Takes 8 bytes per training token.
    """

    def __init__(self, train: Ids, order: int, vocab_size: int, stride: int):
        self.order, self.base, self.has_starts = order, vocab_size + 1, stride > 1
        if self.base**order >= 2**63:
            raise ValueError(
                f"ngram {order} over {vocab_size:,} tokens does not fit in 63 bits; lower evaluation.quality.ngram"
            )
        length = len(train) // stride * stride  # whole sequences
        self.grams = self._sorted(np.asarray(train[:length]).reshape(-1, stride if stride > 1 else length))

    def _sorted(self, rows: Ids) -> Ngrams:
        """Return the sorted n-grams that end at each token of rows [k, L]; before a row stands the digit 0."""
        grams: Ngrams = np.zeros(rows.shape, dtype=np.int64)
        for back in (*range(1, self.order), 0):
            grams *= self.base
            grams[:, back:] += rows[:, : max(0, rows.shape[1] - back)]
            grams[:, back:] += 1
        grams = grams.ravel()
        grams.sort()
        return grams

    def sample(self, count: int, length: int, rng: np.random.Generator) -> Ngrams:
        """Draw ids [count, length]. Independent sequences start as in training, running text starts anywhere in it."""
        digits = np.zeros((count, self.order - 1 + length), dtype=np.int64)
        for t in range(length):
            context_length = self.order - 1 if self.has_starts else min(t, self.order - 1)
            context = digits[:, self.order - 1 + t - context_length : self.order - 1 + t]
            digits[:, self.order - 1 + t] = self._next(context, rng.random(count))
        return digits[:, self.order - 1 :] - 1

    def _next(self, context: Ngrams, uniform: NDArray[np.float64]) -> Ngrams:
        """Draw a digit for each context [count, n], from those that follow its longest suffix in training."""
        low = np.zeros(len(context), dtype=np.int64)
        high, prefix = low + len(self.grams), low.copy()
        for back in range(1, context.shape[1] + 1):
            prefix = prefix * self.base + context[:, -back]
            scale = self.base ** (self.order - back)
            first = np.searchsorted(self.grams, prefix * scale)
            last = np.searchsorted(self.grams, (prefix + 1) * scale)
            occurs = first < last
            low[occurs], high[occurs] = first[occurs], last[occurs]
        return self.grams[low + (uniform * (high - low)).astype(np.int64)] % self.base
