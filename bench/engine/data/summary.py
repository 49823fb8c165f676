"""What is known of a source before anything is trained on it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bench.engine.data.source import Corpus, Source
from bench.engine.data.tokenizers.tokenizer import CHUNK, Ids, Level, Vocabulary
from bench.engine.errors import DataError

Content = bytes | memoryview  # the ids of a split, or a digest of the text


@dataclass(frozen=True)
class Facts:
    """Sizes, identity and reference lines of a source cut into sequences of `length` tokens."""

    source: str
    length: int  # L, tokens of a sequence
    vocab_size: int
    level: Level
    sequences: dict[str, int]  # by split, packed without overlap
    tokens: dict[str, int]  # by split, all of them
    fingerprint: str  # sha256 of the text, the sizes of its splits and the vocabulary; not of the length
    notes: tuple[str, ...]  # plain sentences for the report
    entropy_nats: float | None = None  # exact entropy of a sequence, nats, where the law is known
    unigram_nats: float | None = None  # cross-entropy of the test split under the frequencies of training, per token

    @property
    def are_read(self) -> bool:
        """Whether the text was read; if not, these are the facts that are known beforehand."""
        return self.unigram_nats is not None


def facts(spec: Source, base: Path) -> Facts:
    """The facts of a source, read and checked; relative paths start at `base`. Raises DataError.

    Nothing is written, but that a text that has to be fetched is kept in the user's cache.
    """
    return describe(spec, spec.corpus(base))


def foresee(spec: Source, base: Path) -> Facts:
    """The facts of a source without fetching anything: those that are published where the text is not here yet."""
    awaited = spec.awaited()
    if awaited is None:
        return facts(spec, base)
    known = spec.published()
    assert known is not None, f"source {spec.source} fetches a text of which nothing is published"
    outlined = outline(spec, known.vocabulary, spec.divide(known.tokens), [known.digest.encode()])
    return replace(outlined, notes=(*outlined.notes, awaited))


def describe(spec: Source, corpus: Corpus) -> Facts:
    """The facts of a corpus that has been read. Raises DataError where a split holds no whole sequence."""
    known, tokens = spec.published(), {name: len(ids) for name, ids in corpus.splits.items()}
    content = [known.digest.encode()] if known else [ids.data for ids in corpus.splits.values()]
    outlined = outline(spec, corpus.vocabulary, tokens, content)
    return replace(
        outlined,
        entropy_nats=corpus.chain.entropy(spec.length) if corpus.chain else None,
        unigram_nats=unigram_nats(corpus.splits, corpus.vocabulary.size),
        notes=(*outlined.notes, *corpus.notes),
    )


def outline(spec: Source, vocabulary: Vocabulary, tokens: dict[str, int], content: Sequence[Content]) -> Facts:
    """The facts that do not take the text itself."""
    check_length(spec.length, undivided(tokens))
    check_reserve(spec, tokens)
    sequences = {name: count // spec.length for name, count in tokens.items()}
    return Facts(
        source=spec.source,
        length=spec.length,
        vocab_size=vocabulary.size,
        level=vocabulary.level,
        sequences=sequences,
        tokens=tokens,
        fingerprint=fingerprint(vocabulary, tokens, content),
        notes=(f"The test split holds {sequences['test']:,} sequences of {spec.length:,} tokens.", *told(tokens)),
    )


def undivided(tokens: dict[str, int]) -> dict[str, int]:
    """The sizes of the splits as they were before the end of the training split was reserved."""
    whole = {**tokens, "train": tokens["train"] + tokens.get("reserve", 0)}
    return {name: count for name, count in whole.items() if name != "reserve"}


def told(tokens: dict[str, int]) -> tuple[str, ...]:
    """A sentence on what is reserved, where something is."""
    if "reserve" not in tokens:
        return ()
    whole = undivided(tokens)["train"]
    return (f"The last {tokens['reserve']:,} of the {whole:,} tokens of training are reserved: no arm sees them.",)


def check_length(length: int, tokens: dict[str, int]) -> None:
    """Raise DataError("length") unless each split holds a sequence of `length` tokens."""
    split = min(tokens, key=lambda name: tokens[name])
    if tokens[split] < length:
        shorter = f"set length to at most {tokens[split]} or " if tokens[split] else ""
        message = f"the {split} split holds {tokens[split]:,} tokens, less than one sequence of length {length:,}"
        raise DataError("length", f"{message}; {shorter}give it more text")


def check_reserve(spec: Source, tokens: dict[str, int]) -> None:
    """Raise DataError("reserve") unless what is reserved, and what is left, each hold a sequence."""
    if "reserve" not in tokens:
        return
    split = min(("train", "reserve"), key=lambda name: tokens[name])
    if tokens[split] < spec.length:
        holds = f"the {split} split holds {tokens[split]:,} tokens, less than one sequence of length {spec.length:,}"
        change = "raise" if split == "reserve" else "lower"
        raise DataError("reserve", f"at reserve {spec.reserve:g} {holds}; {change} reserve or give it more text")


def fingerprint(vocabulary: Vocabulary, tokens: dict[str, int], content: Sequence[Content]) -> str:
    """sha256, in hex, of the vocabulary, the sizes of all splits and what is in them."""
    digest = hashlib.sha256(json.dumps([vocabulary.name, tokens]).encode())
    for part in content:
        digest.update(part)
    return digest.hexdigest()


def unigram_nats(splits: Mapping[str, Ids], vocab_size: int) -> float:
    """- sum_v p_test(v) log((n_train(v) + 1) / (N_train + V)), nats per token."""
    train, test = (count_tokens(splits[name], vocab_size) for name in ("train", "test"))
    log_p = np.log((train + 1) / (train.sum() + len(train)))
    return float(-(test / test.sum()) @ log_p)


def count_tokens(ids: Ids, vocab_size: int) -> Ids:
    """How often each id occurs, [V] int64."""
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(ids), CHUNK):
        counts += np.bincount(ids[start : start + CHUNK], minlength=vocab_size)
    return counts
