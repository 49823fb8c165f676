"""Ids on disk, mapped into memory, and the sequences and windows that are cut from them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from bench.engine.data.source import Source
from bench.engine.data.sources.chain import Chain
from bench.engine.data.summary import Facts, describe, unigram_nats
from bench.engine.data.tokenizers.tokenizer import Ids, Vocabulary
from bench.engine.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of a source; L is `facts.length`."""

    facts: Facts
    splits: Mapping[str, Ids]  # ids [N], read-only memory maps
    stride: int  # tokens between two starts of a window: 1 for running text, L for independent sequences
    vocabulary: Vocabulary
    chain: Chain | None  # the exact law, where there is one

    def sequences(self, split: str) -> Tensor:
        """The split packed without overlap, int64 [n, L]; what does not fill a sequence is dropped."""
        count = self.facts.sequences[split]
        ids = self.splits[split][: count * self.facts.length]
        return torch.from_numpy(ids.astype(np.int64)).view(count, self.facts.length)

    def starts(self, split: str) -> int:
        """The number of starts that `windows` knows: they are 0 .. starts - 1."""
        return (len(self.splits[split]) - self.facts.length) // self.stride + 1

    def windows(self, split: str, starts: Ids) -> Tensor:
        """The L tokens from each start on, starts [B] -> int64 [B, L]; start s lies at token s * stride."""
        count = self.starts(split)
        assert ((starts >= 0) & (starts < count)).all(), f"starts {starts.min()}..{starts.max()} outside 0..{count - 1}"
        positions = starts[:, None] * self.stride + np.arange(self.facts.length)
        return torch.from_numpy(self.splits[split][positions].astype(np.int64))

    def of_reserve(self) -> "Dataset":
        """The same data with what is reserved as its training split; the fingerprint stays that of the whole source.

        Raises DataError("reserve") where nothing is reserved.
        """
        if "reserve" not in self.splits:
            raise DataError("reserve", f"source {self.facts.source} reserves nothing; set reserve, such as 0.1")
        splits, known = _reserved(self.splits), self.facts
        own = replace(
            known,
            sequences=_reserved(known.sequences),
            tokens=_reserved(known.tokens),
            unigram_nats=unigram_nats(splits, known.vocab_size),
        )
        return replace(self, facts=own, splits=splits)

    def decode(self, ids: Tensor) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""
        return self.vocabulary.decode(ids.numpy(force=True))

    def count_bytes(self, ids: Tensor) -> int:
        """Bytes of the text of `ids` [..., L] in UTF-8; at byte level the number of tokens."""
        return self.vocabulary.count_bytes(ids.numpy(force=True))

    def exact_nats(self, ids: Tensor) -> Tensor | None:
        """-log p of each sequence, ids [n, L] -> float64 [n], nats; None where the law of the source is unknown."""
        return None if self.chain is None else torch.from_numpy(self.chain.nats(ids.numpy(force=True)))


def _reserved(by_split: Mapping[str, T]) -> dict[str, T]:
    """What belongs to the reserved split in place of what belongs to the training split."""
    return {name: by_split["reserve" if name == "train" else name] for name in by_split if name != "reserve"}


def load(spec: Source, base: Path, cache: Path) -> Dataset:
    """The dataset of a source, its ids kept under `cache`; relative paths start at `base`. Raises DataError."""
    corpus = spec.corpus(base)
    known = describe(spec, corpus)
    folder = cache / known.fingerprint[:16]
    splits = {name: keep(ids, folder / f"{name}.bin") for name, ids in corpus.splits.items()}
    return Dataset(known, splits, corpus.stride, corpus.vocabulary, corpus.chain)


def keep(ids: Ids, path: Path) -> Ids:
    """`ids` as a read-only memory map of the file `path`, which is written unless it holds them already."""
    if not holds(path, ids):
        write(ids, path)
    return np.memmap(path, dtype=ids.dtype, mode="r")


def holds(path: Path, ids: Ids) -> bool:
    """Whether the file holds exactly these ids."""
    if not path.exists() or path.stat().st_size != ids.nbytes:
        return False
    return np.array_equal(np.memmap(path, dtype=ids.dtype, mode="r"), ids)


def write(ids: Ids, path: Path) -> None:
    """Write the file at once: a reader, or a second writer, finds it whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        ids.tofile(draft)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
