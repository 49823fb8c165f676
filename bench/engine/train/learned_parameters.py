"""What a method has learned beside the network: numbers, and numbers for each token by the token's name.

train/result.json holds all of it, tokens in the order of their ids: {"gamma_end": 6.1, "power": {"␣": 0.9, "a": 1.1}}.
What of it enters the tidy table is decided in rows.py.
"""

import unicodedata
from collections import Counter

import torch

from bench.engine.data import Dataset
from methods.method import Method

Learned = dict[str, float | dict[str, float]]  # a number, or a number for each token, by name


def collect(method: Method, data: Dataset) -> Learned:
    """What the method has learned, ready for JSON."""
    return {
        name: dict(zip(name_tokens(data), value.tolist(), strict=True)) if value.dim() else float(value)
        for name, value in method.learned().items()
    }


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
