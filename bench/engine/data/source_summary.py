"""Sizes, identity and reference values of a source, before anything is trained on it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bench.engine.data.source import Corpus, Source
from bench.engine.data.tokenizers.tokenizer import CHUNK, Ids, Level, Tokenizer
from bench.engine.invalid_setting import DataError

Counts = dict[str, int]
Content = bytes | memoryview  # the ids of a split, or a digest of the text


@dataclass(frozen=True)
class DataSummary:
    """Summary of a source whose text is cut into sequences of `length` tokens."""

    source: str
    length: int  # L, tokens per sequence
    vocab_size: int
    level: Level
    sequences: dict[str, int]  # by split, packed without overlap
    tokens: dict[str, int]  # by split
    fingerprint: str  # sha256 of the text, the sizes of its splits and the tokenizer; not of the length
    notes: tuple[str, ...]  # plain sentences for the report
    entropy_nats: float | None = None  # exact entropy of a sequence, nats, for synthetic sources
    unigram_nats: float | None = None  # cross-entropy of the test split under the unigrams of training, per token
    sequences_in_training: Counts = field(default_factory=dict)  # by split: sequences that occur verbatim in training
    passages_in_training: Counts = field(default_factory=dict)  # the same of at least 50 tokens around each sequence
    sequences_in_reserve: Counts = field(default_factory=dict)  # by split, as above, in the reserved text
    passages_in_reserve: Counts = field(default_factory=dict)
    repeated_sequences: Counts = field(default_factory=dict)  # by split: sequences that occur more than once in it
    repeated_passages: Counts = field(default_factory=dict)
    unseen_tokens: Counts = field(default_factory=dict)  # by split: tokens that are none of training's
    symbols_seen_once: int = 0  # in all splits together
    suspect_characters: Counts = field(default_factory=dict)  # by name: carriage returns, byte-order marks, ...

    @property
    def is_read(self) -> bool:
        """Whether the text was read; if not, the summary holds what is known beforehand."""
        return self.unigram_nats is not None


def summarize_corpus(spec: Source, corpus: Corpus) -> DataSummary:
    """Summarize a corpus that has been read. Raises DataError if a split holds no whole sequence."""
    text, tokens = spec.known_text(), {name: len(ids) for name, ids in corpus.splits.items()}
    content = [text.digest.encode()] if text else [ids.data for ids in corpus.splits.values()]
    summary = summarize_sizes(spec, corpus.tokenizer, tokens, content)
    return replace(
        summary,
        entropy_nats=corpus.chain.entropy(spec.length) if corpus.chain else None,
        unigram_nats=unigram_nats(corpus.splits, corpus.tokenizer.size),
        notes=(*summary.notes, *corpus.notes),
    )


def summarize_sizes(
    spec: Source, tokenizer: Tokenizer, tokens: dict[str, int], content: Sequence[Content]
) -> DataSummary:
    """Summarize what does not depend on the text itself."""
    check_length(spec.length, without_reserve(tokens))
    check_reserve(spec, tokens)
    sequences = {name: count // spec.length for name, count in tokens.items()}
    return DataSummary(
        source=spec.source,
        length=spec.length,
        vocab_size=tokenizer.size,
        level=tokenizer.level,
        sequences=sequences,
        tokens=tokens,
        fingerprint=fingerprint(tokenizer, tokens, content),
        notes=(
            f"The test split holds {sequences['test']:,} sequences of {spec.length:,} tokens.",
            *describe_reserve(tokens),
        ),
    )


def without_reserve(tokens: dict[str, int]) -> dict[str, int]:
    """Return the sizes of the splits before the end of the training split was reserved."""
    sizes = {**tokens, "train": tokens["train"] + tokens.get("reserve", 0)}
    return {name: count for name, count in sizes.items() if name != "reserve"}


def describe_reserve(tokens: dict[str, int]) -> tuple[str, ...]:
    """Return a sentence on what is reserved, if anything is."""
    if "reserve" not in tokens:
        return ()
    train = without_reserve(tokens)["train"]
    return (f"The last {tokens['reserve']:,} of the {train:,} tokens of training are reserved: no arm sees them.",)


def check_length(length: int, tokens: dict[str, int]) -> None:
    """Raise DataError("length") unless each split holds a sequence of `length` tokens."""
    split = min(tokens, key=lambda name: tokens[name])
    if tokens[split] < length:
        shorter = f"set length to at most {tokens[split]} or " if tokens[split] else ""
        message = f"the {split} split holds {tokens[split]:,} tokens, less than one sequence of length {length:,}"
        raise DataError("length", f"{message}; {shorter}give it more text")


def check_reserve(spec: Source, tokens: dict[str, int]) -> None:
    """Raise DataError("reserve") unless the reserved part and the rest of training each hold a sequence."""
    if "reserve" not in tokens:
        return
    split = min(("train", "reserve"), key=lambda name: tokens[name])
    if tokens[split] < spec.length:
        holds = f"the {split} split holds {tokens[split]:,} tokens, less than one sequence of length {spec.length:,}"
        change = "raise" if split == "reserve" else "lower"
        raise DataError("reserve", f"at reserve {spec.reserve:g} {holds}; {change} reserve or give it more text")


def fingerprint(tokenizer: Tokenizer, tokens: dict[str, int], content: Sequence[Content]) -> str:
    """Return the sha256, in hex, of the tokenizer, the sizes of all splits and their content."""
    digest = hashlib.sha256(json.dumps([tokenizer.name, tokens]).encode())
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def unigram_nats(splits: Mapping[str, Ids], vocab_size: int) -> float:
    """Return - sum_v p_test(v) log((n_train(v) + 1) / (N_train + V)), nats per token."""
    train, test = (count_tokens(splits[name], vocab_size) for name in ("train", "test"))
    log_p = np.log((train + 1) / (train.sum() + len(train)))
    return float(-(test / test.sum()) @ log_p)


def count_tokens(ids: Ids, vocab_size: int) -> Ids:
    """Count the occurrences of each id, [V] int64."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(ids), CHUNK):
        counts += np.bincount(ids[start : start + CHUNK], minlength=vocab_size)
    return counts
