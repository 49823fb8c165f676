"""Laws of what is measured of texts: by hand, by brute force, under changes that must or must not matter."""

import importlib.util
import itertools
import math
from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bench.engine.quality import JUDGED, QualitySpec, gen_ppl, gen_ppl_mean, text_metrics
from bench.engine.quality import copies as copied_module
from bench.engine.quality.copies import find_copies
from bench.engine.quality.ngrams import number_ngrams
from bench.engine.quality.text_statistics import (
    copied,
    distinct,
    divergence,
    longest_repeat,
    repetition,
    unigram_entropy,
)
from tests.support.letters import draw, ids, substrings

needs_mauve = pytest.mark.skipif(importlib.util.find_spec("mauve") is None, reason="the mauve library is not there")


# Each metric by hand.


def test_entropy_is_that_of_each_text_alone():
    found = unigram_entropy(ids("aabb", "aaaa", "abcd"))
    each = [math.log(2), 0.0, math.log(4)]
    assert found.value == pytest.approx(math.log(8) / 3)
    assert found.standard_error == pytest.approx(np.std(each, ddof=1) / math.sqrt(3))
    assert (found.monte_carlo_error, found.n) == (0.0, 3)


def test_distinct_counts_over_all_texts_and_repetition_inside_each():
    texts = ids("abab", "abcd")
    for order, all_of_them, inside in ((1, 4 / 8, (2 / 4, 0)), (2, 4 / 6, (1 / 3, 0)), (3, 4 / 4, (0, 0))):
        (grams,) = number_ngrams(order, texts)
        assert distinct(grams).value == pytest.approx(all_of_them)
        assert repetition(grams).value == pytest.approx(np.mean(inside))


def test_divergence_is_in_bits():
    """p = (1/2, 1/2), q = (1, 0): (KL(p | m) + KL(q | m)) / 2 with m = (3/4, 1/4)."""
    grams, others = number_ngrams(1, ids("abab"), ids("aaaa", "aaaa"))
    by_hand = (0.5 * math.log2(0.5 / 0.75) + 0.5 * math.log2(0.5 / 0.25) + math.log2(1 / 0.75)) / 2
    assert divergence(grams, others).value == pytest.approx(by_hand)
    assert divergence(others, grams).value == pytest.approx(by_hand)


@pytest.mark.parametrize(
    ("text", "longest"), [("a", 0), ("abc", 0), ("aba", 1), ("aaaa", 3), ("abcabc", 3), ("xabcyabcd", 3)]
)
def test_the_longest_repeat_may_overlap_itself(text, longest):
    assert longest_repeat(ids(text)).value == longest


def test_copies_are_counted_by_their_tokens():
    train = ids("abcdefgh")[0].astype(np.uint8)
    texts = ids("bcdex", "hgfed", "cdefg")
    assert find_copies(texts, train, 3, 1).tolist() == [[True, True, False], [False] * 3, [True] * 3]
    assert copied(texts, train, 3, 1).value == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_copies_do_not_cross_the_ends_of_independent_sequences():
    train = ids("abcdefgh")[0].astype(np.uint8)
    texts = ids("cdef", "efgh")
    assert find_copies(texts, train, 2, 1).all()
    assert find_copies(texts, train, 2, 4).tolist() == [[True, False, True], [True] * 3]


def test_training_as_long_as_a_substring_is_read_and_shorter_training_holds_none():
    assert find_copies(ids("abc"), ids("abc")[0], 3, 1).all()
    assert not find_copies(ids("abc"), ids("ab")[0], 3, 1).any()


def test_generative_perplexity_of_the_corpus_and_of_the_texts():
    nats, tokens = torch.tensor([2.0, 6.0], dtype=torch.float64), torch.tensor([1, 3])
    assert gen_ppl(nats, tokens).value == pytest.approx(math.exp(2))
    assert gen_ppl(nats, tokens).standard_error == pytest.approx(0)  # both texts agree
    tokens = torch.tensor([2, 2])
    assert gen_ppl(nats, tokens).value == pytest.approx(math.exp(2))
    found = gen_ppl_mean(nats, tokens)
    assert found.value == pytest.approx((math.exp(1) + math.exp(3)) / 2)
    assert found.standard_error == pytest.approx((math.exp(3) - math.exp(1)) / 2)


# Brute force.


@pytest.mark.parametrize("seed", range(4))
def test_all_agree_with_brute_force(seed):
    vocab = 2 + seed
    texts, others = draw(6, 17, vocab, seed), draw(9, 13, vocab, 50 + seed)
    train = draw(1, 90, vocab, 100 + seed)[0].astype(np.uint8)
    for order in range(1, 5):
        grams, real = number_ngrams(order, texts, others)
        mine = [substrings(text, order) for text in texts.tolist()]
        p, q = (Counter(itertools.chain(*rows)) for rows in (mine, [substrings(t, order) for t in others.tolist()]))
        assert distinct(grams).value == pytest.approx(len(p) / p.total())
        assert repetition(grams).value == pytest.approx(np.mean([1 - len(set(row)) / len(row) for row in mine]))
        shares = [(p[gram] / p.total(), q[gram] / q.total()) for gram in p | q]
        sides = [
            sum(x * math.log2(2 * x / (x + y)) for x, y in pairs if x) for pairs in (shares, [s[::-1] for s in shares])
        ]
        assert divergence(grams, real).value == pytest.approx(sum(sides) / 2, abs=1e-12)
        for stride in (1, 9):
            rows = train.reshape(-1, stride if stride > 1 else len(train)).tolist()
            known = {gram for row in rows for gram in substrings(row, order)}
            assert find_copies(texts, train, order, stride).tolist() == [
                [gram in known for gram in row] for row in mine
            ]
    longest = [
        max((n for n in range(len(text)) if len(set(s := substrings(text, n))) < len(s)), default=0)
        for text in texts.tolist()
    ]
    assert longest_repeat(texts).value == pytest.approx(np.mean(longest))


def test_numbers_of_ngrams_are_exact_beyond_63_bits():
    texts = np.random.default_rng(0).integers(0, 2, (5, 30)) * (2**31 - 1)
    for order in (2, 3, 7):
        (grams,) = number_ngrams(order, texts)
        expected = {gram for text in texts.tolist() for gram in substrings(text, order)}
        assert len(np.unique(grams)) == grams.max() + 1 == len(expected)


def test_substrings_that_share_a_hash_are_told_apart(monkeypatch):
    """First weights of one make anagrams collide; among the texts they are drawn again, in training compared."""
    drawn = copied_module._weights
    monkeypatch.setattr(copied_module, "_weights", lambda attempt, n: drawn(attempt, n) ** np.uint64(attempt > 0))
    train = ids("xxabcxx")[0].astype(np.uint8)
    assert find_copies(ids("cab"), train, 3, 1).tolist() == [[False]]  # one substring: no collision among the texts
    assert find_copies(ids("abc", "cab"), train, 3, 1).tolist() == [[True], [False]]


def test_pieces_of_training_leave_no_seam(monkeypatch):
    train = draw(1, 200, 30)[0].astype(np.uint8)
    copies = find_copies(train[None].astype(np.int64), train, 6, 1)
    monkeypatch.setattr(copied_module, "CHUNK", 7)
    assert copies.all()
    assert find_copies(train[None].astype(np.int64), train, 6, 1).all()
    expected = [start % 50 + 6 <= 50 for start in range(195)]
    assert find_copies(train[None], train, 6, 50)[0].tolist() == expected


# What must and must not matter.


def test_shuffling_inside_texts_keeps_unigrams_and_moves_bigrams():
    rng = np.random.default_rng(0)
    texts = np.cumsum(rng.integers(0, 2, (40, 60)), 1) % 6  # each token is the last one or the next
    others = np.cumsum(rng.integers(0, 2, (40, 60)), 1) % 6
    shuffled = rng.permuted(texts, axis=1)
    assert unigram_entropy(shuffled) == unigram_entropy(texts)
    before, after = ({n: number_ngrams(n, x, others) for n in (1, 2)} for x in (texts, shuffled))
    assert astuple(distinct(after[1][0])) == astuple(distinct(before[1][0]))
    assert divergence(*after[1]).value == pytest.approx(divergence(*before[1]).value)
    assert divergence(*after[2]).value > divergence(*before[2]).value + 0.2


@pytest.mark.parametrize("order", range(1, 5))
def test_a_text_is_not_divergent_from_itself_and_wholly_from_another_alphabet(order):
    texts = draw(20, 30, 4)
    assert divergence(*number_ngrams(order, texts, texts)).value == 0
    assert divergence(*number_ngrams(order, texts, texts + 4)).value == pytest.approx(1)


def test_more_texts_of_the_same_law_have_fewer_distinct_ngrams_and_diverge_less():
    """Why all rows of a table are measured at the same n."""
    texts, others = draw(400, 30), draw(400, 30, seed=1)
    for some, many in itertools.pairwise([25, 100, 400]):
        few, more = number_ngrams(3, texts[:some], others), number_ngrams(3, texts[:many], others)
        assert distinct(few[0]).value > distinct(more[0]).value
        assert divergence(*few).value > divergence(*more).value


def test_constant_texts_show_in_every_column():
    texts = torch.zeros(8, 32, dtype=torch.int64)
    metrics = text_metrics(texts, torch.from_numpy(draw(30, 32)), np.ones(100, np.uint8), QualitySpec(), 1)
    assert set(metrics) <= set(JUDGED)
    assert {name: metrics[name].value for name in ("unigram_entropy", "longest_repeat", "copied")} == {
        "unigram_entropy": 0,
        "longest_repeat": 31,
        "copied": 0,
    }
    for n in range(1, 5):
        assert metrics[f"distinct_{n}"].value == 1 / (8 * (33 - n))
        assert metrics[f"rep_{n}"].value == 1 - 1 / (33 - n)
        assert metrics[f"js_{n}"].value > 0.5 - 0.2 * (n == 1)
    assert all(type(each.value) is float and each.n == 8 for each in metrics.values())


# Refusals.


def test_what_cannot_be_measured_is_refused_with_the_way_out():
    texts, train = torch.zeros(2, 12).long(), np.zeros(50, np.uint8)
    with pytest.raises(
        ValueError, match=r"12 tokens hold no 16 in a row .* lower evaluation.quality.copied to at most 12"
    ):
        text_metrics(texts, texts, train, QualitySpec(), 1)
    assert QualitySpec(copied=12).length_refusal(12) is None
    with pytest.raises(ValueError, match="3 tokens hold no 4-gram"):
        text_metrics(texts[:, :3], texts, train, QualitySpec(copied=2), 1)
    with pytest.raises(ValueError, match="3 tokens hold no 4-gram"):
        text_metrics(texts, texts[:, :3], train, QualitySpec(copied=2), 1)


def test_nats_that_give_no_perplexity_are_refused():
    for metric in (gen_ppl, gen_ppl_mean):
        with pytest.raises(ValueError, match="1 of 2 texts have no token"):
            metric(torch.tensor([1.0, 0.0]), torch.tensor([3, 0]))
        for wrong in (math.inf, math.nan, 1e5):
            with pytest.raises(ArithmeticError, match="too many for a perplexity"):
                metric(torch.tensor([1.0, wrong]), torch.tensor([3, 3]))


def test_mauve_needs_a_scorer():
    with pytest.raises(ValidationError, match=r"give evaluation\.quality\.scorer"):
        QualitySpec(mauve=True)
    assert QualitySpec(mauve=True, scorer={"kind": "trained"}).mauve
    assert QualitySpec().science() == {}


def test_what_cannot_be_measured_is_known_from_the_sizes():
    many = {"train": 100_000, "valid": 12_000, "test": 14_000}
    mauve = QualitySpec.model_validate({"mauve": True, "scorer": {"kind": "trained"}})
    assert mauve.refusal(100, 100, 27, many) is None
    for spec, sizes, words in (
        (
            mauve,
            (99, 100, 27),
            "99 texts of 100 tokens beside 120 that are held out are too few for mauve, which needs",
        ),
        (mauve, (100, 130, 27), "100 texts of 130 tokens beside 92 that are held out are too few"),
        (QualitySpec(), (1, 12_001, 27), "a split holds no text of 12001 tokens to compare with; draw shorter texts"),
        (QualitySpec(ngram=5), (9, 100, 50_257), "ngram 5 over 50,257 tokens does not fit in 63 bits; lower ngram"),
        (QualitySpec(), (9, 12, 27), "hold no 16 in a row"),
    ):
        assert words in (spec.refusal(*sizes, many) or "")
