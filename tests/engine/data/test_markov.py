"""Laws of the synthetic Markov source, checked by enumeration of all strings."""

import pickle
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from bench.engine.data import DataError, load, summarize
from bench.engine.data.markov_chain import find_stationary
from bench.engine.data.sources.markov import Markov
from bench.engine.data.sources.text import TextFile

SIZES = [(1, 2, 5), (1, 3, 4), (2, 2, 5), (2, 3, 4), (3, 2, 3), (3, 2, 6)]  # order, alphabet, length


def enumerate_law(chain, length):
    """All strings [A**L, L] and their probabilities, multiplied out symbol by symbol."""
    strings = list(product(range(chain.alphabet), repeat=length))
    return np.array(strings), np.array([probability(chain, string) for string in strings])


def probability(chain, string):
    p = chain.start[number(string[: chain.order], chain.alphabet)]
    for i in range(chain.order, len(string)):
        p *= chain.law[number(string[i - chain.order : i], chain.alphabet), string[i]]
    return p


def number(block, alphabet):
    return int("".join(map(str, block)), alphabet)


@pytest.mark.parametrize(("order", "alphabet", "length"), SIZES)
def test_entropy_is_that_of_all_strings(order, alphabet, length):
    spec = Markov(order=order, alphabet=alphabet, length=length, seed=order)
    chain = spec.draw_chain()
    strings, p = enumerate_law(chain, length)
    assert p.sum() == pytest.approx(1, abs=1e-12)  # float64 sums, here and below
    assert chain.entropy(length) == pytest.approx(-(p * np.log(p)).sum(), rel=1e-12)
    assert summarize(spec, Path()).entropy_nats == chain.entropy(length)
    assert np.allclose(chain.nats(strings), -np.log(p), rtol=1e-12)
    assert p @ chain.nats(strings) == pytest.approx(chain.entropy(length), rel=1e-12)


@pytest.mark.parametrize(("order", "alphabet", "length"), SIZES)
def test_the_chain_is_stationary(order, alphabet, length):
    chain = Markov(order=order, alphabet=alphabet, length=length).draw_chain()
    strings, p = enumerate_law(chain, order + 1)
    first = np.bincount(strings[:, :-1] @ chain._powers(), p)
    second = np.bincount(strings[:, 1:] @ chain._powers(), p)
    assert np.allclose(first, chain.start, atol=1e-14)
    assert np.allclose(second, chain.start, atol=1e-14)


def test_rare_steps_keep_their_digits():
    law = np.array([[1.0, 1e-18], [3e-18, 1.0]])  # subtraction from 1 would lose the small ones
    assert np.allclose(find_stationary(law), [0.75, 0.25], rtol=1e-14)


@pytest.mark.parametrize(("order", "alphabet"), [(1, 6), (2, 4), (3, 3)])
def test_samples_cost_the_entropy_on_average(tmp_path, order, alphabet):
    spec = Markov(order=order, alphabet=alphabet, length=32)
    data = load(spec, Path(), tmp_path)
    for split in ("train", "valid", "test"):
        nats = data.exact_nats(data.sequences(split))
        assert nats.dtype == torch.float64
        assert nats.shape == (getattr(spec, split),)
        error = nats.std() / len(nats) ** 0.5
        assert abs(nats.mean() - data.summary.entropy_nats) < 4 * error


@pytest.mark.parametrize(("order", "alphabet", "length"), [(1, 3, 3), (2, 2, 4)])
def test_samples_follow_the_law_of_strings(order, alphabet, length):
    chain = Markov(order=order, alphabet=alphabet, length=length).draw_chain()
    strings, p = enumerate_law(chain, length)
    count = 50_000
    x = chain.sample(count, length, np.random.default_rng(0))
    codes = alphabet ** np.arange(length - 1, -1, -1)
    seen = np.bincount(x @ codes, minlength=len(strings))
    assert (abs(seen - count * p) < 5 * np.sqrt(count * p * (1 - p)) + 1).all()  # 5 binomial standard deviations


def test_windows_never_straddle_two_sequences(tmp_path):
    data = load(Markov(length=12, train=20, valid=3, test=5), Path(), tmp_path)
    assert data.stride == 12
    assert data.starts("train") == 20
    assert torch.equal(data.windows("train", np.arange(20)), data.sequences("train"))


def test_splits_and_seeds_are_streams_of_their_own(tmp_path):
    data = load(Markov(train=8, valid=8, test=8), Path(), tmp_path)
    rows = torch.cat([data.sequences(split) for split in data.splits])
    assert len({tuple(row.tolist()) for row in rows}) == 24
    assert summarize(Markov(seed=1), Path()).fingerprint != summarize(Markov(), Path()).fingerprint
    assert summarize(Markov(), Path()) == summarize(Markov(), Path())


def test_more_training_changes_no_other_split(tmp_path):
    small, large = (load(Markov(train=count), Path(), tmp_path) for count in (8, 16))
    assert torch.equal(small.sequences("test"), large.sequences("test"))


def test_symbols_are_letters(tmp_path):
    data = load(Markov(alphabet=4, length=8), Path(), tmp_path)
    assert data.decode(torch.tensor([[0, 1], [2, 3]])) == "abcd"
    assert data.count_bytes(data.sequences("test")) == data.summary.tokens["test"] == 1024 * 8


def test_text_has_no_exact_law(tmp_path):
    (tmp_path / "text.txt").write_text("ab" * 2000)
    data = load(TextFile(path="text.txt"), tmp_path, tmp_path / "cache")
    assert data.exact_nats(data.sequences("test")) is None
    assert data.summary.entropy_nats is None


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("length", {"order": 4, "alphabet": 2, "length": 3}),
        ("order", {"order": 3, "alphabet": 26}),
        ("concentration", {"concentration": 1e-5}),
        ("concentration", {"concentration": 1e308}),
    ],
)
def test_a_chain_that_cannot_be_names_its_field(field, settings):
    with pytest.raises(DataError, match=field) as caught:
        summarize(Markov(**settings), Path())
    assert caught.value.field == field
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.field, str(again)) == (field, str(caught.value))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"order": 0}, {"order": 11}, {"order": True}, {"alphabet": 1}, {"alphabet": 27}, {"seed": -1}),
        *({"concentration": 0.0}, {"concentration": float("nan")}, {"train": 0}, {"valid": 0}, {"test": 0}),
    ],
)
def test_settings_outside_their_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Markov(**wrong)


def test_whole_numbers_are_fine_where_a_fraction_is_meant():
    assert Markov(concentration=1).concentration == 1.0


@pytest.mark.parametrize(("field", "sizes"), [("train", {"train": 10**12}), ("test", {"test": 10**9, "length": 100})])
def test_more_symbols_than_memory_holds_are_refused(field, sizes):
    with pytest.raises(DataError, match=f"lower {field} or length") as error:
        Markov(**sizes).draw_chain()
    assert error.value.field == field
