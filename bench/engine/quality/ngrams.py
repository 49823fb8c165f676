"""Exact numbering of n-grams: equal numbers mean equal n-grams, without hashing."""

import numpy as np
from numpy.typing import NDArray

Ngrams = NDArray[np.int64]  # [n, L - order + 1], the n-gram from each start on


def number_ngrams(order: int, *parts: Ngrams) -> list[Ngrams]:
    """Number the n-grams of each part [k, L] by 0, 1, ... over all parts.

    Numbers are digits in the base of the vocabulary, renumbered before they would exceed 63 bits. Raises ValueError if
    the texts of a part are shorter than an n-gram.
    """
    for part in parts:
        if part.shape[1] < order:
            raise ValueError(f"texts of {part.shape[1]} tokens hold no {order}-gram")
    base = 1 + max(int(part.max()) for part in parts)
    codes, size = [part[:, : part.shape[1] - order + 1] for part in parts], base
    for offset in range(1, order):
        if size * base >= 2**63:
            codes, size = _renumber(codes)
        codes = [
            code * base + part[:, offset : offset + code.shape[1]] for code, part in zip(codes, parts, strict=True)
        ]
        size *= base
    return _renumber(codes)[0]


def _renumber(codes: list[Ngrams]) -> tuple[list[Ngrams], int]:
    distinct, numbers = np.unique(np.concatenate([code.ravel() for code in codes]), return_inverse=True)
    ends = np.cumsum([code.size for code in codes])[:-1]
    split = np.split(numbers, ends)
    return [numbers.reshape(code.shape) for numbers, code in zip(split, codes, strict=True)], len(distinct)
