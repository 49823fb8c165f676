"""Readable names of tokens."""

import unicodedata
from collections import Counter

import torch

from bench.engine.data.dataset import Dataset


def name_tokens(data: Dataset) -> list[str]:
    """Return a unique, readable name for each token: its text made visible, or "id 7" if that is empty or ambiguous.

    Only the second form contains a space, so the two never collide.
    """
    names = [make_visible(data.decode(torch.tensor([id]))) for id in range(data.summary.vocab_size)]
    count = Counter(names)
    return [
        f"id {id}" if count[name] > 1 or "\N{REPLACEMENT CHARACTER}" in name or not name else name
        for id, name in enumerate(names)
    ]


def make_visible(text: str) -> str:
    r"""Replace spaces by ␣ and characters that do not show by themselves by escapes: \n, \x00, \u0301."""
    return "".join(_visible(character) for character in text)


def is_visible(character: str) -> bool:
    """Return True if the character shows when it stands alone."""
    return character.isprintable() and not unicodedata.combining(character)


def _visible(character: str) -> str:
    if character == " ":
        return "␣"
    return character if is_visible(character) else character.encode("unicode_escape").decode("ascii")
