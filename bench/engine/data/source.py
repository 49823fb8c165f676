"""The contract of a source: a frozen block of settings that can `read` itself into a corpus."""

from abc import abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from bench.engine.data.sources.chain import Chain
from bench.engine.data.tokenizers.tokenizer import Ids, Vocabulary


@dataclass(frozen=True, eq=False)
class Corpus:
    """All that a source gives: ids by split, how to read them, and what the report should say of them."""

    vocabulary: Vocabulary
    splits: dict[str, Ids]  # "train", "valid", "test", and "reserve" where a part is reserved: ids [N]
    notes: tuple[str, ...] = ()  # plain sentences
    stride: int = 1  # tokens between two starts of a training window; L where sequences are independent
    chain: Chain | None = None  # the exact law, where there is one


@dataclass(frozen=True)
class Published:
    """What is known of a text that is the same everywhere, before it is read."""

    vocabulary: Vocabulary
    tokens: dict[str, int]  # by split, before anything is reserved
    digest: str  # of the text, which `read` verifies


class Source(BaseModel):
    """Settings of a source; a subclass adds its own fields, its name as `source: Literal[...]`, and `read`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    independent_sequences: ClassVar[bool] = False  # False: sequences are cut from running text, neighbours correlate

    source: str
    length: int = Field(default=128, gt=0)  # L, tokens of a sequence
    reserve: float = Field(default=0.0, ge=0, lt=1)  # share of the training split, its end, on which no arm is trained

    @abstractmethod
    def read(self, base: Path) -> Corpus:
        """The corpus; relative paths start at `base`. Raises DataError with the field at fault."""

    def corpus(self, base: Path) -> Corpus:
        """What `read` gives, with the reserved end of its training split as a split of its own. Raises DataError."""
        corpus = self.read(base)
        if self.reserve == 0:
            return corpus
        train = corpus.splits["train"]
        kept = self.divide({"train": len(train)}, corpus.stride)["train"]
        return replace(corpus, splits={**corpus.splits, "train": train[:kept], "reserve": train[kept:]})

    def divide(self, tokens: dict[str, int], stride: int = 1) -> dict[str, int]:
        """The sizes of the splits once the end of the training split is reserved, in whole strides."""
        if self.reserve == 0:
            return tokens
        reserved = round(self.reserve * tokens["train"] / stride) * stride
        return {**tokens, "train": tokens["train"] - reserved, "reserve": reserved}

    def published(self) -> Published | None:
        """What is known before reading, and is the identity of the text; None where that takes its ids."""
        return None

    def awaited(self) -> str | None:
        """A sentence on the text that `read` would have to fetch first; None where there is nothing to fetch."""
        return None


def cut(ids: Ids, train: int, valid: int) -> dict[str, Ids]:
    """`ids` split by position: the first `train`, the next `valid`, and the rest as test."""
    return {"train": ids[:train], "valid": ids[train : train + valid], "test": ids[train + valid :]}


def cut_by_share(ids: Ids) -> dict[str, Ids]:
    """`ids` split by position into 90, 5 and 5 %."""
    return cut(ids, *shares(len(ids)))


def shares(count: int) -> tuple[int, int]:
    """How many of `count` tokens `cut_by_share` gives to training and to validation."""
    train = count * 90 // 100
    return train, count * 95 // 100 - train
