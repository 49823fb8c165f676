"""Readable names of tokens."""

import unicodedata
from collections import Counter

import torch

from bench.engine.data.dataset import Dataset


def name_tokens(data: Dataset) -> list[str]:
    """A readable name for each token, no two alike: its text made visible, or "id 7" where that is none or not its own.

    Only the second form holds a space, so that the two never meet.
    """
    names = [make_visible(data.decode(torch.tensor([id]))) for id in range(data.facts.vocab_size)]
    count = Counter(names)
    return [
        f"id {id}" if count[name] > 1 or "\N{REPLACEMENT CHARACTER}" in name or not name else name
        for id, name in enumerate(names)
    ]


def make_visible(text: str) -> str:
    r"""The text with each space as ␣, and as an escape what does not show or not by itself: \n, \x00, \u0301."""
    return "".join(
        "␣" if sign == " " else sign if is_visible(sign) else sign.encode("unicode_escape").decode("ascii")
        for sign in text
    )


def is_visible(sign: str) -> bool:
    """Whether the character shows when it stands alone."""
    return sign.isprintable() and not unicodedata.combining(sign)
