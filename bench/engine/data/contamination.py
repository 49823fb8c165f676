"""Contamination: sequences of a split that occur verbatim elsewhere, in training for example.

All windows of the text are hashed by doubling (a window of 2 k tokens from two of k), in blocks of bounded memory.
Those whose hash is that of a sequence are compared with it token by token, so that the answer is exact.
"""

import numpy as np
from numpy.typing import NDArray

from bench.engine.data.tokenizers.tokenizer import Ids

Hashes = NDArray[np.uint64]
Flags = NDArray[np.bool_]

BLOCK = 1 << 16  # windows that are hashed at once: their hashes stay in the processor's cache
FILTER_BITS = range(16, 25)  # of the prefix of a hash that is looked up first; the table has at most 16 MiB
SPARSITY = 64  # entries of that table for each sequence, so that few other windows pass
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, 2^64 / golden ratio
HALF = np.uint64(32)
WORD = 8  # bytes of a hash


def find_sequences(sequences: Ids, text: Ids, stride: int = 1, least: int = 1) -> Flags:
    """Return for each of `sequences` [n, L] whether `least` windows of `text` [N] equal it.

    Windows start at multiples of `stride`.
    """
    count, length = sequences.shape
    if count == 0 or len(text) < length:
        return np.zeros(count, dtype=bool)

    packed, places = np.unique(_pack(sequences), return_inverse=True)
    targets = Targets(packed.view(sequences.dtype).reshape(-1, length), least)
    size = max(BLOCK, 4 * length)
    for start in range(0, len(text) - length + 1, size):
        targets.search(text[start : start + size + length - 1], -start % stride, stride)
        if targets.occur().all():
            break
    return targets.in_order(targets.occur())[places.ravel()]


class Targets:
    """Distinct sequences that are looked for, sorted by their hashes, until each has occurred `least` times."""

    def __init__(self, sequences: Ids, least: int):
        self.length, self.least = sequences.shape[1], least
        rows = max(1, BLOCK // self.length)
        parts = [self.hash_windows(sequences[i : i + rows])[:, 0] for i in range(0, len(sequences), rows)]
        hashes = np.concatenate(parts)
        self.order = np.argsort(hashes)
        self.hashes, self.sequences = hashes[self.order], sequences[self.order]
        self.counts = np.zeros(len(sequences), dtype=np.int64)  # occurrences; no more than `least` are looked for

        bits = min(max((SPARSITY * len(sequences)).bit_length(), FILTER_BITS[0]), FILTER_BITS[-1])
        self.shift = np.uint64(64 - bits)
        self.prefixes: Flags = np.zeros(1 << bits, dtype=bool)
        self.prefixes[self.hashes >> self.shift] = True

    def occur(self) -> Flags:
        """Return whether each sequence occurred at least `least` times."""
        flags: Flags = self.counts >= self.least
        return flags

    def in_order(self, flags: Flags) -> Flags:
        """Return flags of the sorted sequences in the order in which these were given."""
        ordered = np.empty_like(flags)
        ordered[self.order] = flags
        return ordered

    def search(self, block: Ids, first: int, stride: int) -> None:
        """Look for the sequences among the windows of a block that start at `first`, `first + stride`, ..."""
        hashes = self.hash_windows(block)
        starts = np.flatnonzero(self.prefixes[hashes >> self.shift])
        starts = starts[starts % stride == first % stride]
        hashes = hashes[starts]
        candidates = np.searchsorted(self.hashes, hashes)
        while (alike := self._has_hash(candidates, hashes)).any():  # twice only if different sequences have one hash
            starts, candidates, hashes = starts[alike], candidates[alike], hashes[alike]
            self._compare(block, starts, candidates)
            candidates = candidates + 1

    def _has_hash(self, candidates: Ids, hashes: Hashes) -> Flags:
        """Return whether there are these candidates and they have these hashes."""
        flags: Flags = self.hashes.take(candidates, mode="clip") == hashes
        return flags & (candidates < len(self.hashes))

    def _compare(self, block: Ids, starts: Ids, candidates: Ids) -> None:
        """Count the candidates that are the window at their start; a pair of window and candidate has one hash."""
        windows = np.lib.stride_tricks.sliding_window_view(block, self.length)
        remain = ~self.occur()[candidates]
        while remain.any():
            starts, candidates = starts[remain], candidates[remain]
            distinct, first = np.unique(candidates, return_index=True)  # the next start of each
            self.counts[distinct] += (windows[starts[first]] == self.sequences[distinct]).all(axis=1)
            remain = ~self.occur()[candidates]
            remain[first] = False

    def hash_windows(self, ids: Ids) -> Hashes:
        """Return the hash of each window along the last axis, [..., N] -> [..., N - L + 1]."""
        size = min(1 << (self.length.bit_length() - 1), WORD // ids.itemsize)
        hashes = _read_words(ids, size)
        while 2 * size <= self.length:
            hashes = _join(hashes, size)
            size *= 2
        return _join(hashes, self.length - size) if size < self.length else hashes


def _read_words(ids: Ids, size: int) -> Hashes:
    """Return each `size` tokens in a row, of 8 bytes at most, as one mixed integer, [..., N] -> [..., N - size + 1]."""
    ids = np.ascontiguousarray(ids)
    shape = (*ids.shape[:-1], ids.shape[-1] - size + 1)
    words = np.ndarray(shape, f"<u{size * ids.itemsize}", ids, strides=ids.strides)
    hashes = words.astype(np.uint64)
    hashes *= MULTIPLIER
    hashes ^= hashes >> HALF
    return hashes


def _join(hashes: Hashes, distance: int) -> Hashes:
    """Hash each window together with the one that starts `distance` tokens later."""
    joined = hashes[..., :-distance] * MULTIPLIER
    joined ^= joined >> HALF
    joined += hashes[..., distance:]
    return joined


def _pack(sequences: Ids) -> NDArray[np.void]:
    """Return each sequence as one value, [n, L] -> [n]."""
    rows = np.ascontiguousarray(sequences)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
