"""Metrics of text that need no scorer: entropy, distinct n-grams, repetition, divergence, copies.

distinct-n: Li et al., arXiv:1510.03055. rep-n: Welleck et al., arXiv:1908.04319. Entropy of the token frequencies of
each text: Zheng et al., arXiv:2409.02908. Distinct-n and the divergence depend on the number and the length of the
texts, the others on their length, since few tokens contain few n-grams: only rows of the same n and L are comparable.
The control "data", real text of that n and L, is the floor of the divergence (which is not 0) and the target of the
others.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.engine.data.tokenizers.tokenizer import Ids
from bench.engine.likelihood.standard_error import Estimate
from bench.engine.quality.copies import find_copies
from bench.engine.quality.errors_over_texts import Rows, mean_estimate, pooled_estimate
from bench.engine.quality.ngrams import Ngrams, number_ngrams
from bench.engine.quality.settings import ORDERS, QualitySpec


def text_metrics(texts: Tensor, held_out: Tensor, train: Ids, spec: QualitySpec, stride: int) -> dict[str, Estimate]:
    """Return every metric that needs no scorer, of texts [n, L] against held_out [m, L'] and the training split [N].

    `stride` is that of the dataset. Raises ValueError if `spec.length_refusal` gives a reason.
    """
    reason = spec.length_refusal(texts.shape[1])
    if reason is not None:
        raise ValueError(reason)

    x, reference = texts.numpy(force=True), held_out.numpy(force=True)
    metrics = {"unigram_entropy": unigram_entropy(x), "longest_repeat": longest_repeat(x)}
    for order in ORDERS:
        grams, reference_grams = number_ngrams(order, x, reference)
        metrics[f"distinct_{order}"] = distinct(grams)
        metrics[f"rep_{order}"] = repetition(grams)
        metrics[f"js_{order}"] = divergence(grams, reference_grams)
    metrics["copied"] = copied(x, train, spec.copied, stride)
    return metrics


def unigram_entropy(texts: Ids) -> Estimate:
    """Return -sum p log p of the token frequencies p of a text, nats, mean over texts [n, L]; at most log L."""
    return mean_estimate(np.array([_entropy(np.unique(text, return_counts=True)[1]) for text in texts]))


def _entropy(counts: NDArray[np.int64]) -> float:
    p = counts / counts.sum()
    return float((p * np.log(1 / p)).sum())  # log(1 / p) avoids -0 for a single token


def distinct(grams: Ngrams) -> Estimate:
    """Return the share of distinct n-grams among all n-grams of all texts together; falls as texts are added."""

    def statistic(rows: Rows) -> float:
        subset = grams[rows].ravel()
        return int(np.count_nonzero(np.bincount(subset))) / subset.size

    return pooled_estimate(statistic, len(grams))


def repetition(grams: Ngrams) -> Estimate:
    """Return 1 - distinct / all n-grams within a text, mean over texts; rises with their length."""
    return mean_estimate(np.array([1 - len(np.unique(text)) / len(text) for text in grams]))


def divergence(grams: Ngrams, reference: Ngrams) -> Estimate:
    """Return the Jensen-Shannon divergence of n-gram frequencies p from q of held-out text, bits, 0..1.

    (KL(p | m) + KL(q | m)) / 2 with m = (p + q) / 2 (Lin, 1991). The frequencies of few texts differ from those of
    their own distribution, the more so the longer the n-gram: read it beside the control "data". The error is over the
    texts alone: the held-out text is the same for all rows.
    """
    count = 1 + max(int(grams.max()), int(reference.max()))
    reference_counts = np.bincount(reference.ravel(), minlength=count)

    def statistic(rows: Rows) -> float:
        counts = np.bincount(grams[rows].ravel(), minlength=count)
        occurring = np.flatnonzero(counts)  # elsewhere p is 0, and q contributes itself
        p, q = counts[occurring] / counts.sum(), reference_counts[occurring] / reference.size
        middle, both = (p + q) / 2, np.flatnonzero(q)
        terms = (p * np.log2(p / middle)).sum() + (q[both] * np.log2(q[both] / middle[both])).sum()
        elsewhere = (reference.size - int(reference_counts[occurring].sum())) / reference.size
        return max(0.0, float(terms + elsewhere) / 2)  # the terms may sum to less than 0 by rounding

    return pooled_estimate(statistic, len(grams))


def longest_repeat(texts: Ids) -> Estimate:
    """Return the length of the longest substring that repeats in a text, overlaps allowed; mean over texts [n, L]."""
    return mean_estimate(np.array([_longest(text) for text in texts], dtype=np.float64))


def _longest(text: Ids) -> int:
    """Return the length of the longest repeated substring, in O(L log^2 L) by prefix doubling.

    Substrings of 2^j tokens are named by pairs of names of their halves (Karp, Miller, Rosenberg, 1972) as long as one
    of them repeats; the longest is then composed of these powers, the largest first.
    """
    powers = [_names(text)]
    while _repeats(powers[-1]):
        half, names = 1 << (len(powers) - 1), powers[-1]
        powers.append(_names(_pairs(names, names[half:])))

    length, prefix = 0, np.zeros(len(text) + 1, dtype=np.int64)  # the empty substring at every start
    for j in reversed(range(len(powers) - 1)):
        longer = _names(_pairs(prefix, powers[j][length:]))
        if _repeats(longer):
            length, prefix = length + (1 << j), longer
    return length


def _pairs(first: Ngrams, second: Ngrams) -> Ngrams:
    """Number the pairs (first[i], second[i]), up to the length of `second`."""
    return first[: len(second)] * (1 + second.max(initial=0)) + second


def _names(codes: Ids) -> Ngrams:
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _repeats(names: Ngrams) -> bool:
    """Return True if a name of 0, 1, ..., max occurs twice."""
    return bool(names.max(initial=-1) + 1 < len(names))


def copied(texts: Ids, train: Ids, length: int, stride: int) -> Estimate:
    """Return the share of substrings of `length` tokens that occur in training, mean over texts [n, L]."""
    return mean_estimate(find_copies(texts, train, length, stride).mean(1))
