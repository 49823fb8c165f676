"""Synthetic text of known entropy: independent sequences of a random Markov chain."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from bench.engine.data.markov_chain import Chain, find_stationary
from bench.engine.data.source import Corpus, Source
from bench.engine.data.tokenizers.tokenizer import CharacterTokenizer, smallest_dtype
from bench.engine.invalid_setting import DataError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LIMIT = 2**30  # symbols per split; splits are drawn in memory
MAX_BLOCKS = 1024  # the stationary distribution takes about a second at this size and grows cubically


class Markov(Source):
    """A stationary Markov chain with transitions drawn from a Dirichlet; symbols are written a, b, c, ..."""

    independent_sequences: ClassVar[bool] = True

    source: Literal["markov"] = "markov"
    order: int = Field(default=1, ge=1, le=10)  # symbols that the next one depends on
    alphabet: int = Field(default=6, ge=2, le=26)  # symbols
    seed: int = Field(default=0, ge=0)  # of the transitions and of the samples
    concentration: float = Field(
        default=0.5, gt=0
    )  # of the Dirichlet: near 0 rows have one choice, far above 1 all alike
    train: int = Field(default=4096, gt=0)  # sequences
    valid: int = Field(default=256, gt=0)  # sequences
    test: int = Field(default=1024, gt=0)  # sequences

    def read(self, base: Path) -> Corpus:
        """Draw each split from a separate random stream. Raises DataError("length", "order" or "concentration")."""
        chain = self.draw_chain()
        counts = {"train": self.train, "valid": self.valid, "test": self.test}
        return Corpus(
            tokenizer=CharacterTokenizer(LETTERS[: self.alphabet]),
            splits={name: self._sample(chain, count, i) for i, (name, count) in enumerate(counts.items(), start=1)},
            notes=(f"Synthetic: sequences of a Markov chain of order {self.order} over {self.alphabet} symbols.",),
            stride=self.length,
            chain=chain,
        )

    def draw_chain(self) -> Chain:
        """Draw the chain of these settings. Raises DataError("length", "order" or "concentration") if impossible."""
        if self.length < self.order:
            raise DataError("length", f"length {self.length} is below the order {self.order}; raise length")
        if (most := max(self.train, self.valid, self.test)) * self.length > LIMIT:
            name = next(name for name in ("train", "valid", "test") if getattr(self, name) == most)
            problem = f"{most:,} sequences of {self.length:,} symbols are more than {LIMIT:,} symbols"
            raise DataError(name, f"{problem}; lower {name} or length")
        if (num_blocks := self.alphabet**self.order) > MAX_BLOCKS:
            problem = f"order {self.order} over {self.alphabet} symbols has {num_blocks:,} blocks (limit {MAX_BLOCKS})"
            raise DataError("order", f"{problem}; lower order or alphabet")
        rng = np.random.default_rng([self.seed, 0])
        law = rng.dirichlet(np.full(self.alphabet, self.concentration), size=num_blocks)
        start = find_stationary(law)
        if not (np.isfinite(start).all() and start.all() and law.all()):
            problem = f"concentration {self.concentration:g} gives probabilities beyond float64"
            raise DataError("concentration", f"{problem}; choose one nearer to 1")
        return Chain(self.order, law, start)

    def _sample(self, chain: Chain, count: int, stream: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, stream])
        return chain.sample(count, self.length, rng).ravel().astype(smallest_dtype(self.alphabet))
