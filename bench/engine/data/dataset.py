"""Token ids on disk, mapped into memory, and the sequences and windows that are cut from them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.engine.data.markov_chain import Chain
from bench.engine.data.source import Source
from bench.engine.data.source_summary import DataSummary, summarize_corpus, unigram_nats
from bench.engine.data.tokenizers.tokenizer import Ids, Tokenizer
from bench.engine.invalid_setting import DataError
from bench.engine.record_files import replacing

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Dataset:
    """The splits of a source; L is `summary.length`."""

    summary: DataSummary
    splits: Mapping[str, Ids]  # ids [N], read-only memory maps
    stride: int  # tokens between two starts of a window: 1 for running text, L for independent sequences
    tokenizer: Tokenizer
    chain: Chain | None  # the exact distribution, for synthetic sources

    def sequences(self, split: str) -> Tensor:
        """Return the split packed without overlap, int64 [n, L]; tokens that do not fill a sequence are dropped."""
        count = self.summary.sequences[split]
        ids = self.splits[split][: count * self.summary.length]
        return torch.from_numpy(ids.astype(np.int64)).view(count, self.summary.length)

    def starts(self, split: str) -> int:
        """Return the number of windows of a split; their starts are 0 .. starts - 1."""
        return (len(self.splits[split]) - self.summary.length) // self.stride + 1

    def windows(self, split: str, starts: Ids) -> Tensor:
        """Return the L tokens from each start on, starts [B] -> int64 [B, L]; start s is at token s * stride."""
        count = self.starts(split)
        assert ((starts >= 0) & (starts < count)).all(), f"starts {starts.min()}..{starts.max()} outside 0..{count - 1}"
        positions = starts[:, None] * self.stride + np.arange(self.summary.length)
        return torch.from_numpy(self.splits[split][positions].astype(np.int64))

    def with_reserve_as_train(self) -> "Dataset":
        """Return the same data with the reserved split as its training split; the fingerprint stays.

        Raises DataError("reserve") if nothing is reserved.
        """
        if "reserve" not in self.splits:
            raise DataError("reserve", f"source {self.summary.source} reserves nothing; set reserve, such as 0.1")
        splits = _replace_train(self.splits)
        summary = replace(
            self.summary,
            sequences=_replace_train(self.summary.sequences),
            tokens=_replace_train(self.summary.tokens),
            unigram_nats=unigram_nats(splits, self.summary.vocab_size),
        )
        return replace(self, summary=summary, splits=splits)

    def decode(self, ids: Tensor) -> str:
        """Return the text of `ids`; bytes that are not UTF-8 become U+FFFD."""
        return self.tokenizer.decode(ids.numpy(force=True))

    def count_bytes(self, ids: Tensor) -> int:
        """Return the number of bytes of the text of `ids` [..., L] in UTF-8; at byte level, the number of tokens."""
        return self.tokenizer.count_bytes(ids.numpy(force=True))

    def exact_nats(self, ids: Tensor) -> Tensor | None:
        """Return -log p of each sequence, ids [n, L] -> float64 [n], nats; None if the distribution is unknown."""
        return None if self.chain is None else torch.from_numpy(self.chain.nats(ids.numpy(force=True)))


def _replace_train(by_split: Mapping[str, T]) -> dict[str, T]:
    """Replace the value of the training split by that of the reserved split."""
    return {name: by_split["reserve" if name == "train" else name] for name in by_split if name != "reserve"}


def load(spec: Source, base: Path, cache: Path) -> Dataset:
    """Load a source, with its ids stored under `cache`; relative paths start at `base`. Raises DataError."""
    corpus = spec.corpus(base)
    summary = summarize_corpus(spec, corpus)
    folder = cache / summary.fingerprint[:16]
    splits = {name: map_to_disk(ids, folder / f"{name}.bin") for name, ids in corpus.splits.items()}
    return Dataset(summary, splits, corpus.stride, corpus.tokenizer, corpus.chain)


def map_to_disk(ids: Ids, path: Path) -> Ids:
    """Return `ids` as a read-only memory map of the file `path`, which is written unless it holds them already."""
    if not holds(path, ids):
        write(ids, path)
    return np.memmap(path, dtype=ids.dtype, mode="r")


def holds(path: Path, ids: Ids) -> bool:
    """Return True if the file holds exactly these ids."""
    if not path.exists() or path.stat().st_size != ids.nbytes:
        return False
    return np.array_equal(np.memmap(path, dtype=ids.dtype, mode="r"), ids)


def write(ids: Ids, path: Path) -> None:
    """Write the file atomically: a reader or a second writer sees all of it or nothing. Raises StorageFull."""
    with replacing(path) as file:
        file.write(np.ascontiguousarray(ids).data)
