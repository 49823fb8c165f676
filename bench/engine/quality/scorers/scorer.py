"""The contract of a scorer, and how texts that are longer than its context are cut."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from methods.method import Tokens


@dataclass(frozen=True, eq=False)
class Scored:
    """What a scorer says of n texts."""

    nats: Float64[Tensor, " n"]  # -log p of each whole text
    tokens: Int64[Tensor, " n"]  # that were scored: the nats are those of so many tokens of the scorer
    features: Float32[Tensor, "n W"]  # the state of its last layer at the end of each text


class Scorer(Protocol):
    """A language model that says how likely texts are."""

    name: str
    protocol: str  # what is counted and how much the model sees, in words

    def score(self, texts: Sequence[str], ids: Tokens) -> Scored:
        """The nats and features of texts that are given both ways: as strings, and as the suite's ids [n, L]."""


def windows(length: int, context: int) -> Iterator[tuple[int, int, int]]:
    """Start, end, and first new position of windows of at most `context` positions that cover 0 .. length - 1.

    Each one overlaps the one before by half, so that every position but those of the first window comes after at least
    context // 2 others; every position is new in exactly one window.
    """
    step = context - context // 2
    start = done = 0
    while done < length:
        end = min(start + context, length)
        yield start, end, done
        start, done = start + step, end
