"""What is measured of texts without a scorer: entropy, distinct n-grams, repetition, divergence, copies.

distinct-n: Li et al., arXiv:1510.03055. rep-n: Welleck et al., arXiv:1908.04319. Entropy of each text's own
frequencies: Zheng et al., arXiv:2409.02908. Distinct-n and the divergence depend on the number and the length of the
texts, the others on their length, since few tokens show few n-grams: rows are compared at the same n and L, and the row
"data", real text of that n and L, is the floor of the divergence (which is not 0) and the aim of the others.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.engine.data.tokenizers.tokenizer import Ids
from bench.engine.likelihood.standard_error import Estimate
from bench.engine.quality.copies import occurring
from bench.engine.quality.ngrams import Grams, numbered
from bench.engine.quality.settings import ORDERS, QualitySpec
from bench.engine.quality.standard_errors import Rows, mean, pooled


def measure(texts: Tensor, held_out: Tensor, train: Ids, spec: QualitySpec, stride: int) -> dict[str, Estimate]:
    """Every metric that needs no scorer, of texts [n, L] beside held_out [m, L'] and the training split [N].

    `stride` is Dataset.stride. Raises ValueError where `spec.too_short` has a reason.
    """
    reason = spec.too_short(texts.shape[1])
    if reason is not None:
        raise ValueError(reason)
    x, real = texts.numpy(force=True), held_out.numpy(force=True)
    found = {"unigram_entropy": unigram_entropy(x), "longest_repeat": longest_repeat(x)}
    for order in ORDERS:
        grams, others = numbered(order, x, real)
        found[f"distinct_{order}"] = distinct(grams)
        found[f"rep_{order}"] = repeated(grams)
        found[f"js_{order}"] = divergence(grams, others)
    return found | {"copied": copied(x, train, spec.copied, stride)}


def unigram_entropy(texts: Ids) -> Estimate:
    """-sum p log p of each text's own token frequencies p, nats, mean over texts [n, L]; at most log L."""
    return mean(np.array([_entropy(np.unique(text, return_counts=True)[1]) for text in texts]))


def _entropy(counts: NDArray[np.int64]) -> float:
    p = counts / counts.sum()
    return float((p * np.log(1 / p)).sum())  # not -0 for one token


def distinct(grams: Grams) -> Estimate:
    """Distinct n-grams over all n-grams of the texts together; falls as texts are added."""

    def statistic(rows: Rows) -> float:
        kept = grams[rows].ravel()
        return int(np.count_nonzero(np.bincount(kept))) / kept.size

    return pooled(statistic, len(grams))


def repeated(grams: Grams) -> Estimate:
    """1 - distinct / all n-grams inside a text, mean over texts; rises with their length."""
    return mean(np.array([1 - len(np.unique(text)) / len(text) for text in grams]))


def divergence(grams: Grams, others: Grams) -> Estimate:
    """Jensen-Shannon divergence of the frequencies p of the texts' n-grams from q of the held-out ones, bits, 0..1.

    (KL(p | m) + KL(q | m)) / 2 with m = (p + q) / 2 (Lin, 1991). Frequencies of few texts lie away from those of their
    own law, the more so the longer the n-gram: read it against the row "data". The error is over the texts alone: the
    held-out text is the same for all rows.
    """
    count = 1 + max(int(grams.max()), int(others.max()))
    real = np.bincount(others.ravel(), minlength=count)

    def statistic(rows: Rows) -> float:
        counts = np.bincount(grams[rows].ravel(), minlength=count)
        seen = np.flatnonzero(counts)  # elsewhere p is 0, and q adds itself
        p, q = counts[seen] / counts.sum(), real[seen] / others.size
        middle, both = (p + q) / 2, np.flatnonzero(q)
        terms = (p * np.log2(p / middle)).sum() + (q[both] * np.log2(q[both] / middle[both])).sum()
        unseen = (others.size - int(real[seen].sum())) / others.size
        return max(0.0, float(terms + unseen) / 2)  # the terms may sum to less than 0 by rounding

    return pooled(statistic, len(grams))


def longest_repeat(texts: Ids) -> Estimate:
    """Tokens of the longest substring that stands twice in a text, overlaps allowed; mean over texts [n, L]."""
    return mean(np.array([_longest(text) for text in texts], dtype=np.float64))


def _longest(text: Ids) -> int:
    """By names: substrings of 2^j tokens are numbered from pairs of halves (Karp, Miller, Rosenberg, 1972) as long as
    one stands twice; from these powers the longest is put together, the greatest first. O(L log^2 L)."""
    powers = [_names(text)]
    while _stands_twice(powers[-1]):
        half, names = 1 << (len(powers) - 1), powers[-1]
        powers.append(_names(_pairs(names, names[half:])))
    found, prefix = 0, np.zeros(len(text) + 1, dtype=np.int64)  # the empty text at every start
    for j in reversed(range(len(powers) - 1)):
        longer = _names(_pairs(prefix, powers[j][found:]))
        if _stands_twice(longer):
            found, prefix = found + (1 << j), longer
    return found


def _pairs(first: Grams, second: Grams) -> Grams:
    """Numbers of the pairs (first[i], second[i]), as far as there is a second."""
    return first[: len(second)] * (1 + second.max(initial=0)) + second


def _names(codes: Ids) -> Grams:
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _stands_twice(names: Grams) -> bool:
    """Whether a name of 0, 1, ..., max stands twice."""
    return bool(names.max(initial=-1) + 1 < len(names))


def copied(texts: Ids, train: Ids, length: int, stride: int) -> Estimate:
    """Share of the substrings of `length` tokens of a text that stand in the training split, mean over texts [n, L]."""
    return mean(occurring(texts, train, length, stride).mean(1))
