"""What is known of a source before anything is trained on it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.errors import DataError
from bench.data.source import Corpus, Source
from bench.data.vocabulary import CHUNK, Ids, Level


@dataclass(frozen=True)
class Facts:
    """Sizes, identity and reference lines of a source cut into sequences of `length` tokens."""

    source: str
    length: int  # L, tokens of a sequence
    vocab_size: int
    level: Level
    sequences: dict[str, int]  # by split, packed without overlap
    tokens: dict[str, int]  # by split, all of them
    fingerprint: str  # sha256 of the ids of all splits, their sizes and the vocabulary; not of the length
    entropy_nats: float | None  # exact entropy of a sequence, nats, where the law is known
    unigram_nats: float  # cross-entropy of the test split under the frequencies of training, nats per token
    notes: tuple[str, ...]  # plain sentences for the report


def facts(spec: Source, base: Path) -> Facts:
    """The facts of a source, read and checked, nothing written; relative paths start at `base`. Raises DataError."""
    return describe(spec, spec.read(base))


def describe(spec: Source, corpus: Corpus) -> Facts:
    """The facts of a corpus that has been read. Raises DataError("length") where a split holds no whole sequence."""
    tokens = {name: len(ids) for name, ids in corpus.splits.items()}
    check_length(spec.length, tokens)
    sequences = {name: count // spec.length for name, count in tokens.items()}
    return Facts(
        source=spec.source,
        length=spec.length,
        vocab_size=corpus.vocabulary.size,
        level=corpus.vocabulary.level,
        sequences=sequences,
        tokens=tokens,
        fingerprint=fingerprint(corpus),
        entropy_nats=corpus.chain.entropy(spec.length) if corpus.chain else None,
        unigram_nats=unigram_nats(corpus),
        notes=(f"The test split holds {sequences['test']:,} sequences of {spec.length:,} tokens.", *corpus.notes),
    )


def check_length(length: int, tokens: dict[str, int]) -> None:
    """Raise DataError("length") unless each split holds a sequence of `length` tokens."""
    split = min(tokens, key=lambda name: tokens[name])
    if tokens[split] < length:
        shorter = f"set length to at most {tokens[split]} or " if tokens[split] else ""
        message = f"the {split} split holds {tokens[split]:,} tokens, less than one sequence of length {length:,}"
        raise DataError("length", f"{message}; {shorter}give it more text")


def fingerprint(corpus: Corpus) -> str:
    """sha256, in hex, of the vocabulary and of the sizes and ids of all splits."""
    sizes = {name: len(ids) for name, ids in corpus.splits.items()}
    digest = hashlib.sha256(json.dumps([corpus.vocabulary.name, sizes]).encode())
    for ids in corpus.splits.values():
        digest.update(ids.data)
    return digest.hexdigest()


def unigram_nats(corpus: Corpus) -> float:
    """- sum_v p_test(v) log((n_train(v) + 1) / (N_train + V)), nats per token."""
    train, test = (count_tokens(corpus.splits[name], corpus.vocabulary.size) for name in ("train", "test"))
    log_p = np.log((train + 1) / (train.sum() + len(train)))
    return float(-(test / test.sum()) @ log_p)


def count_tokens(ids: Ids, vocab_size: int) -> Ids:
    """How often each id occurs, [V] int64."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(ids), CHUNK):
        counts += np.bincount(ids[start : start + CHUNK], minlength=vocab_size)
    return counts
