"""Stationary Markov chains with exact entropy and probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.engine.data.tokenizers.tokenizer import Ids

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Chain:
    """A stationary chain over A symbols; a block of `order` symbols is a number in base A, oldest symbol first."""

    order: int
    law: Floats  # [A**order, A]: p(next symbol | block), positive
    start: Floats  # [A**order]: the stationary distribution of blocks, positive

    @property
    def alphabet(self) -> int:
        """Number of symbols A."""
        return int(self.law.shape[1])

    def entropy(self, length: int) -> float:
        """Return H(block) + (L - order) H(symbol | block), nats per sequence of L >= order symbols."""
        assert length >= self.order, f"length {length} is below the order {self.order}"
        block = -self.start @ np.log(self.start)
        symbol = -self.start @ (self.law * np.log(self.law)).sum(axis=1)
        return float(block + (length - self.order) * symbol)

    def nats(self, x: Ids) -> Floats:
        """Return -log p(x) of each sequence, x [n, L] -> [n], nats."""
        assert x.shape[1] >= self.order, f"expected [n, L >= {self.order}], got {x.shape}"
        blocks = np.lib.stride_tricks.sliding_window_view(x, self.order, axis=1) @ self._powers()  # [n, L - order + 1]
        log_p: Floats = np.log(self.start)[blocks[:, 0]]
        log_p += np.log(self.law)[blocks[:, :-1], x[:, self.order :]].sum(axis=1)
        return -log_p

    def sample(self, count: int, length: int, rng: np.random.Generator) -> Ids:
        """Draw `count` independent sequences, [n, L] int64."""
        x = np.empty((count, length), dtype=np.int64)
        block = np.searchsorted(_cumulate(self.start), rng.random(count), side="right")
        x[:, : self.order] = block[:, None] // self._powers() % self.alphabet
        steps = _cumulate(self.law)
        for i in range(self.order, length):
            x[:, i] = (rng.random(count)[:, None] >= steps[block]).sum(axis=1)
            block = (block * self.alphabet + x[:, i]) % len(self.law)
        return x

    def _powers(self) -> Ids:
        return self.alphabet ** np.arange(self.order - 1, -1, -1)


def find_stationary(law: Floats) -> Floats:
    """Return the stationary distribution of blocks, pi T = pi, from p(next symbol | block) [blocks, A] -> [blocks].

    The GTH algorithm eliminates blocks one by one without subtraction, so that each entry is exact to rounding however
    rare the block (Grassmann, Taksar and Heyman, Operations Research 33, 1985). Not finite if probabilities underflow.
    """
    num_blocks, alphabet = law.shape
    blocks = np.arange(num_blocks)
    t = np.zeros((num_blocks, num_blocks))
    for symbol in range(alphabet):
        t[blocks, (blocks * alphabet + symbol) % num_blocks] += law[:, symbol]
    pi = np.ones(num_blocks)
    with np.errstate(all="ignore"):
        for n in range(num_blocks - 1, 0, -1):
            t[:n, n] /= t[n, :n].sum()
            t[:n, :n] += np.outer(t[:n, n], t[n, :n])
        for n in range(1, num_blocks):
            pi[n] = pi[:n] @ t[:n, n]
        pi /= pi.sum()
    return pi


def _cumulate(p: Floats) -> Floats:
    """Return cumulative sums along the last axis; they end at exactly 1, so that uniform numbers always fall inside."""
    sums: Floats = p.cumsum(axis=-1)
    sums /= sums[..., -1:].copy()
    return sums
