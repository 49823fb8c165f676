"""The contract of a source: frozen settings that can `read` themselves into a corpus."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bench.engine.data.markov_chain import Chain
from bench.engine.data.tokenizers.tokenizer import Ids, Tokenizer


@dataclass(frozen=True, eq=False)
class Corpus:
    """The content of a source: ids by split, their tokenizer, and notes for the report."""

    tokenizer: Tokenizer
    splits: dict[str, Ids]  # "train", "valid", "test", and "reserve" if a part is reserved: ids [N]
    notes: tuple[str, ...] = ()  # plain sentences
    stride: int = 1  # tokens between two starts of a training window; L if sequences are independent
    chain: Chain | None = None  # the exact distribution, for synthetic sources


@dataclass(frozen=True)
class KnownText:
    """What is known, before it is read, of a text that is the same everywhere."""

    tokenizer: Tokenizer
    tokens: dict[str, int]  # by split, before anything is reserved
    digest: str  # of the text, verified by `read`


class Source(BaseModel):
    """Settings of a source; a subclass adds its own fields, its name as `source: Literal[...]`, and `read`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    independent_sequences: ClassVar[bool] = False  # False: sequences are cut from running text, neighbours correlate

    source: str
    length: int = Field(default=128, gt=0)  # L, tokens per sequence
    reserve: float = Field(default=0.0, ge=0, lt=1)  # share of the training split, at its end, that no arm trains on

    @abstractmethod
    def read(self, base: Path) -> Corpus:
        """Read the corpus; relative paths start at `base`. Raises DataError with the field at fault."""

    def corpus(self, base: Path) -> Corpus:
        """Read the corpus and split off the reserved end of its training split. Raises DataError."""
        corpus = self.read(base)
        if self.reserve == 0:
            return corpus
        train = corpus.splits["train"]
        size = self.divide({"train": len(train)}, corpus.stride)["train"]
        return replace(corpus, splits={**corpus.splits, "train": train[:size], "reserve": train[size:]})

    def divide(self, tokens: dict[str, int], stride: int = 1) -> dict[str, int]:
        """Return the sizes of the splits after the end of the training split is reserved, in whole strides."""
        if self.reserve == 0:
            return tokens
        reserved = round(self.reserve * tokens["train"] / stride) * stride
        return {**tokens, "train": tokens["train"] - reserved, "reserve": reserved}

    def known_text(self) -> KnownText | None:
        """Return what identifies the text without reading it, or None if its identity depends on its ids."""
        return None

    def pending_download(self) -> str | None:
        """Return a sentence on the text that `read` would have to download first, or None."""
        return None


def cut(ids: Ids, train: int, valid: int) -> dict[str, Ids]:
    """Split `ids` by position: the first `train`, the next `valid`, and the rest as test."""
    return {"train": ids[:train], "valid": ids[train : train + valid], "test": ids[train + valid :]}


def cut_by_share(ids: Ids) -> dict[str, Ids]:
    """Split `ids` by position into 90, 5 and 5 %."""
    return cut(ids, *shares(len(ids)))


def shares(count: int) -> tuple[int, int]:
    """Return how many of `count` tokens `cut_by_share` gives to training and to validation."""
    train = count * 90 // 100
    return train, count * 95 // 100 - train
