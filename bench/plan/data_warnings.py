"""Warnings about the data of a suite: contamination, repetition and odd tokens."""

from collections.abc import Iterator
from typing import NamedTuple

from bench.engine.data.inspection import SPLIT_NAMES
from bench.suite.suite import Suite

LEAST_SHARE = 0.01  # of contaminated sequences: one that is known by heart takes at most its share from a bound
LEAST_REPEATED = 0.1  # share of a split: errors over sequences are then about 5 % too small
LEAST_UNSEEN = 0.001  # share of tokens that training never shows
LARGE_VOCABULARY = 256  # symbols
LEAST_SEEN_ONCE = 0.25  # share of a large vocabulary that occurs once


class Finding(NamedTuple):
    """What is hardly meant, with the number that says so."""

    about: str
    message: str
    number: float


def find_in_data(suite: Suite) -> Iterator[Finding]:
    """What is odd about the data; nothing for independent draws from a known distribution, which repeat by chance."""
    was_inspected = bool(suite.facts.repeated_sequences)
    if not was_inspected or suite.spec.data.independent_sequences:
        return
    yield from _find_contamination(suite)
    yield from _find_repetition(suite)
    yield from _find_odd_tokens(suite)


def _find_contamination(suite: Suite) -> Iterator[Finding]:
    """Held-out sequences in the text of training, or in that of the scorer.

    Short sequences occur in both by chance, so that passages of at least 50 tokens decide whether it is more than that.
    """
    facts = suite.facts
    places = (
        ("training", "data.sequences_in_training", facts.sequences_in_training, facts.passages_in_training),
        ("reserved", "data.sequences_in_reserve", facts.sequences_in_reserve, facts.passages_in_reserve),
    )
    for place, about, sequences, passages in places:
        for split, count in sequences.items():
            total = facts.sequences[split]
            if passages[split] > LEAST_SHARE * total:
                part = f"{count:,} of {total:,} {SPLIT_NAMES[split]} sequences"
                yield Finding(about, f"{part} also occur in the {place} text", count)


def _find_repetition(suite: Suite) -> Iterator[Finding]:
    facts = suite.facts
    count, total = facts.repeated_sequences["test"], facts.sequences["test"]
    if facts.repeated_passages["test"] > LEAST_REPEATED * total:
        repetition = f"{count:,} of {total:,} test sequences occur more than once in the test split"
        message = f"{repetition}, which makes errors over sequences too small"
        yield Finding("data.repeated_sequences", message, count)


def _find_odd_tokens(suite: Suite) -> Iterator[Finding]:
    """Characters that are rarely meant, tokens that training never shows, and symbols that occur once."""
    facts = suite.facts
    for name, count in facts.suspect_characters.items():
        plural = "" if count == 1 else "s"
        verb = "is a token" if count == 1 else "are tokens"
        yield Finding(
            "data.suspect_characters", f"{count:,} {name}{plural} in the text {verb}; {WAYS_OUT[name]}", count
        )

    unseen, tokens = facts.unseen_tokens["test"], facts.tokens["test"]
    if unseen > LEAST_UNSEEN * tokens:
        message = f"{unseen:,} of {tokens:,} test tokens are symbols that the training text does not hold"
        yield Finding("data.unseen_tokens", message, unseen)

    once, symbols = facts.symbols_seen_once, facts.vocab_size
    if facts.level == "char" and symbols > LARGE_VOCABULARY and once > LEAST_SEEN_ONCE * symbols:
        message = f"{once:,} of {symbols:,} symbols occur only once in the text; level: byte makes do with 256"
        yield Finding("data.symbols_seen_once", message, once)


REMOVE = "remove them unless they are meant"
WAYS_OUT = {
    "carriage return": "convert the line ends to those of Unix unless they are meant",
    "byte-order mark": "such marks belong at the start of a file only",
    "replacement character": "the text was decoded wrongly; decode the original again",
    "zero-width space": REMOVE,
    "word joiner": REMOVE,
    "soft hyphen": REMOVE,
    "control character": REMOVE,
    "decomposed character": "others are composed, so one character has two spellings; convert to normal form C",
}
