"""The contract of a scorer, and the windows of texts that are longer than its context."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from methods.method import Tokens


@dataclass(frozen=True, eq=False)
class TextScores:
    """Likelihoods and features of n texts under a scorer."""

    nats: Float64[Tensor, " n"]  # -log p of each text
    tokens: Int64[Tensor, " n"]  # number of tokens of the scorer that the nats are summed over
    features: Float32[Tensor, "n W"]  # hidden state of the last layer at the end of each text


class Scorer(Protocol):
    """A language model that assigns likelihoods to texts."""

    name: str
    protocol: str  # which tokens are scored and in what context, in words

    def score(self, texts: Sequence[str], ids: Tokens) -> TextScores:
        """Score texts that are given as strings and as the suite's ids [n, L]."""


def windows(length: int, context: int) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and first new position of windows of at most `context` positions that cover 0 .. length - 1.

    Consecutive windows overlap by half, so that every position after the first window has at least context // 2
    positions of context; every position is new in exactly one window.
    """
    step = context - context // 2
    start = new = 0
    while new < length:
        end = min(start + context, length)
        yield start, end, new
        start, new = start + step, end
