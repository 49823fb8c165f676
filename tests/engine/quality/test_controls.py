"""Laws of the controls: what each keeps of real text and what it loses."""

from collections import Counter

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from bench.engine.data import DataSpec, load
from bench.engine.quality import CONTROLS, JUDGED, QualitySpec, controls, text_metrics
from bench.engine.quality.controls import NgramModel

L = 24
DATA, SHUFFLED, NGRAMS, COPIED = CONTROLS
WORDS = ["the", "cat", "saw", "a", "dog", "and", "ran", "to", "that", "house", "in", "town", "by", "old", "sea"]


def open_data(folder, **block):
    return load(TypeAdapter(DataSpec).validate_python({"length": L, **block}), folder, folder / ".cache")


@pytest.fixture(scope="module", params=["running text", "sequences"])
def data(request, tmp_path_factory):
    """Running text, or independent sequences of a chain."""
    folder = tmp_path_factory.mktemp("data")
    if request.param == "sequences":
        return open_data(folder, source="markov", alphabet=8, train=600, valid=200, test=300, concentration=0.2)
    words = np.random.default_rng(0).choice(WORDS, 12_000)
    (folder / "text.txt").write_text(" ".join(words))
    return open_data(folder, source="text-file", path="text.txt")


def rows(ids):
    return {tuple(row) for row in ids.tolist()}


def ngrams(rows, order):
    return Counter(tuple(row[i : i + order]) for row in rows for i in range(len(row) - order + 1))


def training_rows(data):
    train = data.splits["train"]
    return (train.reshape(-1, L) if data.stride > 1 else train[None]).tolist()


@pytest.mark.parametrize("reference", ["valid", "test"])
def test_real_text_is_of_the_split_that_divergences_are_not_from(data, reference):
    made = controls(data, QualitySpec(reference=reference), 50, L)
    assert tuple(made) == CONTROLS
    assert all(ids.shape == (50, L) and ids.dtype == torch.int64 for ids in made.values())
    other = "test" if reference == "valid" else "valid"
    assert rows(made[DATA]) <= rows(data.sequences(other))
    assert len(rows(made[DATA])) == 50  # none stands twice
    assert not rows(made[DATA]) <= rows(data.sequences(reference))


def test_shuffled_text_keeps_each_texts_tokens(data):
    made = controls(data, QualitySpec(), 50, L)
    assert (made[SHUFFLED].sort(-1).values == made[DATA].sort(-1).values).all()
    assert (made[SHUFFLED] != made[DATA]).any(-1).all()
    assert rows(made[SHUFFLED].T) != rows(made[DATA].T)  # no order is shared by all texts


def test_copied_text_is_copied_and_ngrams_are_of_training(data):
    spec = QualitySpec(copied=20)
    made = controls(data, spec, 60, L)
    found = {
        name: text_metrics(ids, data.sequences("valid"), data.splits["train"], spec, data.stride)
        for name, ids in made.items()
    }
    assert rows(made[COPIED]) <= rows(data.sequences("train"))
    assert found[COPIED]["copied"].value == 1
    for name in (SHUFFLED, NGRAMS):
        assert found[name]["copied"].value < 0.2
    for name in (SHUFFLED, COPIED):
        assert found[name]["unigram_entropy"].value == pytest.approx(found[DATA]["unigram_entropy"].value, rel=0.1)
    assert found[SHUFFLED]["unigram_entropy"] == found[DATA]["unigram_entropy"]
    assert found[SHUFFLED]["js_2"].value > 3 * found[DATA]["js_2"].value
    assert found[NGRAMS]["js_2"].value < 2 * found[DATA]["js_2"].value
    assert all(set(row) <= set(JUDGED) for row in found.values())


@pytest.mark.parametrize("order", [1, 2, 4])
def test_ngram_texts_have_only_ngrams_of_training(data, order):
    """None crosses the end of a sequence: it would be no n-gram of the rows."""
    made = controls(data, QualitySpec(ngram=order), 200, L)[NGRAMS]
    known = ngrams(training_rows(data), order)
    assert set(ngrams(made.tolist(), order)) <= set(known)
    assert not set(ngrams(made.tolist(), order + 4)) <= set(ngrams(training_rows(data), order + 4))


def test_an_ngram_model_draws_by_counts():
    """The law of the next token after each context, against counts; four standard errors."""
    train = np.random.default_rng(0).integers(0, 3, 300).astype(np.uint8)
    train = np.where(train == 2, np.roll(train, 1), train)  # unlike after unlike contexts
    made = NgramModel(train, 3, 3, 1).sample(4000, 12, np.random.default_rng(1))
    known, drawn = (ngrams(ids.tolist(), 3) for ids in (train[None], made))
    for context, count in ngrams(made[:, :-1].tolist(), 2).items():
        total = sum(known[*context, token] for token in range(3))
        for token in range(3):
            p = known[*context, token] / total
            assert abs(drawn[*context, token] / count - p) <= 4 * np.sqrt(p * (1 - p) / count)


def test_running_text_starts_anywhere_and_sequences_at_their_start():
    train = np.tile(np.arange(4), 60).astype(np.uint8)
    anywhere = NgramModel(train, 2, 4, 1).sample(400, 6, np.random.default_rng(0))
    assert set(anywhere[:, 0]) == {0, 1, 2, 3}
    assert ((anywhere - anywhere[:, :1]) % 4 == np.arange(6) % 4).all()
    starts = NgramModel(train, 2, 4, 4).sample(400, 4, np.random.default_rng(0))
    assert (starts == np.arange(4)).all()


def test_an_unseen_context_is_cut_to_the_end_that_was_seen():
    """After 0 0 1 comes nothing in training, since it ends there; after 1 alone comes 2, after nothing anything."""
    train = np.array([1, 2, 2, 1, 2, 0, 0, 1], dtype=np.uint8)
    model = NgramModel(train, 4, 3, 1)
    draws = np.full((500, 3), [0, 0, 1])
    uniform = np.linspace(0, 1, 500, endpoint=False)
    assert set(model._next(draws + 1, uniform) - 1) == {2}
    last = NgramModel(np.array([0, 1, 0, 2], dtype=np.uint8), 3, 3, 1)
    assert Counter((last._next(np.full((400, 2), 3), uniform[:400] * 1.25) - 1).tolist()) == {0: 200, 1: 100, 2: 100}


def test_sequences_shorter_than_an_ngram_are_known_by_their_starts():
    train = np.array([0, 1, 1, 0, 1, 0, 1, 1], dtype=np.uint8)
    made = NgramModel(train, 7, 2, 4).sample(50, 4, np.random.default_rng(0))
    assert rows(made) == {(0, 1, 1, 0), (1, 0, 1, 1)}


def test_controls_are_the_same_for_the_same_seed_alone(data):
    made, again, other = (controls(data, QualitySpec(seed=seed), 20, L) for seed in (0, 0, 1))
    for name in CONTROLS:
        assert torch.equal(made[name], again[name])
        assert not torch.equal(made[name], other[name])


def test_a_split_gives_the_sequences_that_it_has(data):
    made = controls(data, QualitySpec(), 100_000 // L, L)
    for name, split in ((DATA, "test"), (SHUFFLED, "test"), (COPIED, "train")):
        assert len(made[name]) == min(100_000 // L, data.summary.sequences[split])
    assert rows(made[DATA]) == rows(data.sequences("test"))
    assert len(made[NGRAMS]) == 100_000 // L


@pytest.mark.parametrize("length", [L // 2, 2 * L + 3])
def test_controls_are_as_long_as_the_texts_and_do_not_overlap(data, length):
    made = controls(data, QualitySpec(), 9, length)
    assert all(ids.shape == (9, length) for ids in made.values())
    text = data.splits["test"].tolist()
    spacing = length if data.stride == 1 else -(-length // L) * L
    starts = range(0, len(text) - length + 1, spacing)
    assert rows(made[DATA]) <= {tuple(text[start : start + length]) for start in starts}
    assert len(rows(made[DATA])) == 9
    with pytest.raises(ValueError, match=r"the test split holds no text of 999,999 tokens .* draw shorter texts"):
        controls(data, QualitySpec(), 9, 999_999)


def test_orders_beyond_63_bits_are_refused():
    NgramModel(np.zeros(10, np.uint16), 4, 50_257, 1)
    with pytest.raises(ValueError, match=r"ngram 5 over 50,257 tokens .* lower evaluation\.quality\.ngram"):
        NgramModel(np.zeros(10, np.uint16), 5, 50_257, 1)
