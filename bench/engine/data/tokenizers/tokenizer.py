"""Tokenizers of characters and bytes: text to ids 0..V-1, and ids to text."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Level = Literal["char", "byte"]
Ids = NDArray[np.integer[Any]]
CHUNK = 1 << 20  # tokens handled at once, so that index arrays (8 bytes per token) stay small beside the text
NUM_CODE_POINTS = 0x110000  # of Unicode


class Tokenizer(ABC):
    """Translates between text and token ids."""

    level: ClassVar[Level]

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of tokens V."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A string that identifies the tokenizer; part of the fingerprint of a source."""

    @abstractmethod
    def encode(self, text: str) -> Ids:
        """Return the ids of `text`, [N], in the smallest of uint8, uint16, int32 that holds V - 1."""

    @abstractmethod
    def decode(self, ids: Ids) -> str:
        """Return the text of `ids` of any shape, read in order."""

    @abstractmethod
    def count_bytes(self, ids: Ids) -> int:
        """Return the number of bytes of the text of `ids` in UTF-8."""


@dataclass(frozen=True)
class CharacterTokenizer(Tokenizer):
    """One token per character; id i is `symbols[i]`."""

    symbols: str
    level = "char"

    @property
    def size(self) -> int:
        return len(self.symbols)

    @property
    def name(self) -> str:
        return f"char:{self.symbols}"

    def encode(self, text: str) -> Ids:
        ids_by_code = np.full(NUM_CODE_POINTS, -1, dtype=np.int32)
        ids_by_code[_codes(self.symbols)] = np.arange(self.size)
        ids = np.empty(len(text), dtype=smallest_dtype(self.size))
        for start, codes in _chunks(text):
            chunk = ids_by_code[codes]
            assert chunk.min() >= 0, f"a character near position {start} is not in the vocabulary of {self.size}"
            ids[start : start + len(codes)] = chunk
        return ids

    def decode(self, ids: Ids) -> str:
        check_ids(ids, self.size)
        return _codes(self.symbols)[ids].tobytes().decode("utf-32-le")

    def count_bytes(self, ids: Ids) -> int:
        return len(self.decode(ids).encode("utf-8"))


@dataclass(frozen=True)
class ByteTokenizer(Tokenizer):
    """One token per byte of the UTF-8 text; V = 256."""

    level = "byte"
    size = 256
    name = "byte"

    def encode(self, text: str) -> Ids:
        """Return the bytes of `text`; those that Python holds as surrogates, since they are not UTF-8, stay bytes."""
        return np.frombuffer(text.encode("utf-8", errors="surrogateescape"), dtype=np.uint8)

    def decode(self, ids: Ids) -> str:
        check_ids(ids, self.size)
        return ids.astype(np.uint8).tobytes().decode("utf-8", errors="replace")  # ids may end within a character

    def count_bytes(self, ids: Ids) -> int:
        return ids.size


def find_characters(text: str) -> CharacterTokenizer:
    """Return the tokenizer of all characters of `text`, sorted by code point."""
    occurs = np.zeros(NUM_CODE_POINTS, dtype=bool)
    for _, codes in _chunks(text):
        occurs[codes] = True
    return CharacterTokenizer(np.flatnonzero(occurs).astype("<u4").tobytes().decode("utf-32-le"))


def smallest_dtype(size: int) -> np.dtype[Any]:
    """Return the smallest of uint8, uint16, int32 (little-endian, as stored) that holds the ids 0..size-1."""
    return np.dtype("u1" if size <= 1 << 8 else "<u2" if size <= 1 << 16 else "<i4")


def check_ids(ids: Ids, size: int) -> None:
    """Assert that all ids are in 0..size-1: a negative one would silently count from the end."""
    assert ids.size == 0 or (ids.min() >= 0 and ids.max() < size), f"ids {ids.min()}..{ids.max()} outside 0..{size - 1}"


def _codes(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def _chunks(text: str) -> Iterator[tuple[int, NDArray[np.uint32]]]:
    """Yield the position and the code points of each chunk of `text`."""
    for start in range(0, len(text), CHUNK):
        yield start, _codes(text[start : start + CHUNK])
