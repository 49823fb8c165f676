"""Which substrings of the texts stand in the training split: exact, in memory that grows with the texts alone.

The texts' substrings are sorted by a 64-bit hash; training is read piece by piece, hashed, sieved by a table of the
upper bits of the texts' hashes, and what is left is looked up and compared token by token. An index of training (a
suffix array takes 8 bytes a token and minutes to sort) would only pay for many sets of texts in one process.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.engine.data.tokenizers.tokenizer import Ids

PIECE = 1 << 18  # training tokens that are hashed at once, so that they stay in the cache
SIEVE_BITS = 24  # a table of 16 MB: a million substrings of texts let one training substring in 16 through

Hashes = NDArray[np.uint64]


def occurring(texts: Ids, train: Ids, length: int, stride: int) -> NDArray[np.bool_]:
    """Whether the `length` tokens from each start on, of texts [n, L], stand in the ids train [N]: [n, L - length + 1].

    With a `stride` above 1 training is sequences of so many tokens, and nothing that crosses their ends counts.
    """
    substrings = sliding_window_view(texts, length, axis=1).reshape(-1, length)
    weights, hashes, first, group = _hashed(texts, substrings, length)
    distinct = substrings[first]
    sieve = np.zeros(1 << SIEVE_BITS, dtype=bool)
    sieve[_upper(hashes)] = True
    found = np.zeros(len(hashes), dtype=bool)
    for start in range(0, len(train) - length + 1, PIECE):
        piece = np.asarray(train[start : start + PIECE + length - 1])
        keys = _hash(piece, weights)
        at = np.flatnonzero(sieve[_upper(keys)])
        if stride > 1:
            at = at[(start + at) % stride + length <= stride]
        where = np.searchsorted(hashes, keys[at]).clip(max=len(hashes) - 1)
        hit = (hashes[where] == keys[at]) & ~found[where]
        same = (sliding_window_view(piece, length)[at[hit]] == distinct[where[hit]]).all(1)
        found[where[hit][same]] = True
    return found[group].reshape(len(texts), -1)


def _hashed(texts: Ids, substrings: Ids, length: int) -> tuple[Hashes, Hashes, NDArray[np.int64], NDArray[np.int64]]:
    """Weights under which no two substrings share a hash, the distinct hashes in order, where each first stands, and
    which of them each substring has. Weights are drawn again until that holds: once in 10^7 draws for 10^6 substrings.
    """
    for attempt in range(10):
        weights = _weights(attempt, length)
        hashes, first, group = np.unique(_hash(texts, weights), return_index=True, return_inverse=True)
        group = group.ravel()
        if (substrings[first][group] == substrings).all():
            return weights, hashes, first, group
    raise AssertionError(f"ten hashes of {len(substrings)} substrings of {length} tokens are not distinct")


def _weights(attempt: int, length: int) -> Hashes:
    """Random odd factors, one for each token of a substring."""
    return np.random.default_rng([attempt, length]).integers(2**64, size=length, dtype=np.uint64) | np.uint64(1)


def _hash(ids: Ids, weights: Hashes) -> Hashes:
    """sum_j weights_j ids_(i + j) modulo 2^64 for each start i: ids [..., L] -> [..., L - length + 1]."""
    wide, width = ids.astype(np.uint64), ids.shape[-1] - len(weights) + 1
    total = np.zeros((*ids.shape[:-1], width), dtype=np.uint64)
    for j, weight in enumerate(weights):
        total += weight * wide[..., j : j + width]
    return total


def _upper(hashes: Hashes) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - SIEVE_BITS)).astype(np.int64)
