"""Finds the substrings of texts that occur in the training split: exact, in memory that grows with the texts alone.

The substrings of the texts are sorted by a 64-bit hash. Training is hashed chunk by chunk and filtered by a table of
the upper bits of the texts' hashes; what passes is looked up and compared token by token. An index of training (a
suffix array takes 8 bytes per token and minutes to sort) would pay only for many sets of texts in one process.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from bench.engine.data.tokenizers.tokenizer import Ids

CHUNK = 1 << 18  # training tokens that are hashed at once, so that they stay in the CPU cache
SIEVE_BITS = 24  # a table of 16 MB; with a million substrings, one training substring in 16 passes

Hashes = NDArray[np.uint64]


def find_copies(texts: Ids, train: Ids, length: int, stride: int) -> NDArray[np.bool_]:
    """Return whether the `length` tokens from each start on occur in train [N]: texts [n, L] -> [n, L - length + 1].

    With `stride` > 1, training consists of sequences of `stride` tokens, and matches across their boundaries do not
    count.
    """
    substrings = sliding_window_view(texts, length, axis=1).reshape(-1, length)
    weights, hashes, first, group = _hash_substrings(texts, substrings, length)
    distinct = substrings[first]
    sieve = np.zeros(1 << SIEVE_BITS, dtype=bool)
    sieve[_upper(hashes)] = True
    occurs = np.zeros(len(hashes), dtype=bool)
    for start in range(0, len(train) - length + 1, CHUNK):
        chunk = np.asarray(train[start : start + CHUNK + length - 1])
        keys = _hash(chunk, weights)
        offsets = np.flatnonzero(sieve[_upper(keys)])
        if stride > 1:
            offsets = offsets[(start + offsets) % stride + length <= stride]

        candidates = np.searchsorted(hashes, keys[offsets]).clip(max=len(hashes) - 1)
        hit = (hashes[candidates] == keys[offsets]) & ~occurs[candidates]
        equal = (sliding_window_view(chunk, length)[offsets[hit]] == distinct[candidates[hit]]).all(1)
        occurs[candidates[hit][equal]] = True
    return occurs[group].reshape(len(texts), -1)


def _hash_substrings(
    texts: Ids, substrings: Ids, length: int
) -> tuple[Hashes, Hashes, NDArray[np.int64], NDArray[np.int64]]:
    """Return hash weights without collisions, the sorted distinct hashes, their first positions, and each one's group.

    Weights are redrawn until no two substrings share a hash: once in 10^7 draws for 10^6 substrings.
    """
    for attempt in range(10):
        weights = _weights(attempt, length)
        hashes, first, group = np.unique(_hash(texts, weights), return_index=True, return_inverse=True)
        group = group.ravel()
        if (substrings[first][group] == substrings).all():
            return weights, hashes, first, group
    raise AssertionError(f"ten hashes of {len(substrings)} substrings of {length} tokens are not distinct")


def _weights(attempt: int, length: int) -> Hashes:
    """Draw random odd factors, one for each token of a substring."""
    return np.random.default_rng([attempt, length]).integers(2**64, size=length, dtype=np.uint64) | np.uint64(1)


def _hash(ids: Ids, weights: Hashes) -> Hashes:
    """Return sum_j weights_j ids_(i + j) modulo 2^64 for each start i: ids [..., L] -> [..., L - length + 1]."""
    wide, width = ids.astype(np.uint64), ids.shape[-1] - len(weights) + 1
    total = np.zeros((*ids.shape[:-1], width), dtype=np.uint64)
    for j, weight in enumerate(weights):
        total += weight * wide[..., j : j + width]
    return total


def _upper(hashes: Hashes) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - SIEVE_BITS)).astype(np.int64)
