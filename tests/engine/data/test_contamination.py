"""The fast search for sequences agrees with a slow one, and the facts count what was planted."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from bench.engine.data import DataSpec, contamination, summarize
from bench.engine.data.contamination import find_sequences
from bench.engine.data.inspection import PASSAGE, cut_passages

LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz "))


def search_slowly(sequences, text, stride, least):
    """The same by comparing each sequence with each window."""
    length = sequences.shape[1]
    windows = [text[start : start + length] for start in range(0, len(text) - length + 1, stride)]
    return [sum((window == row).all() for window in windows) >= least for row in sequences]


@pytest.mark.parametrize("seed", range(120))
def test_the_fast_search_agrees_with_a_slow_one(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    length, alphabet, size, count = (int(rng.integers(1, most)) for most in (12, 5, 300, 30))
    stride, least = int(rng.choice([1, 1, 2, length])), int(rng.choice([1, 2, 3]))
    dtype = rng.choice(["u1", "<u2", "<i4"])
    text = rng.integers(alphabet, size=size).astype(dtype)
    sequences = rng.integers(alphabet, size=(count, length)).astype(dtype)
    monkeypatch.setattr(contamination, "BLOCK", int(rng.integers(1, 80)))  # borders of blocks anywhere
    assert find_sequences(sequences, text, stride, least).tolist() == search_slowly(sequences, text, stride, least)


def test_equal_hashes_of_different_sequences_change_nothing(monkeypatch):
    hash_windows = contamination.Targets.hash_windows
    monkeypatch.setattr(contamination.Targets, "hash_windows", lambda self, ids: hash_windows(self, ids) % np.uint64(3))
    rng = np.random.default_rng(0)
    text, sequences = rng.integers(3, size=200), rng.integers(3, size=(40, 5))
    for least in (1, 2):
        assert find_sequences(sequences, text, 1, least).tolist() == search_slowly(sequences, text, 1, least)


@pytest.mark.parametrize("length", [1, 7, 128, 1000])
@pytest.mark.parametrize("offset", [0, 1, 4099, 65_535, 65_536])
def test_sequences_planted_at_odd_offsets_are_counted(length, offset):
    rng = np.random.default_rng(length + offset)
    text = rng.integers(1000, 2000, size=200_000)
    sequences = rng.integers(1000, size=(20, length))
    text[offset : offset + 3 * length] = sequences[4:7].ravel()
    text[-length:] = sequences[9]
    assert np.flatnonzero(find_sequences(sequences, text)).tolist() == [4, 5, 6, 9]


def test_a_text_shorter_than_a_sequence_holds_none():
    nothing = np.zeros((3, 5), dtype=np.uint8)
    assert not find_sequences(nothing, np.zeros(4, dtype=np.uint8)).any()
    assert find_sequences(nothing[:0], np.zeros(40, dtype=np.uint8)).shape == (0,)


def test_passages_surround_their_sequences_within_the_split():
    ids = np.arange(1003)
    passages = cut_passages(ids, 16, PASSAGE)
    assert passages.shape == (1003 // 16, PASSAGE)
    for index, passage in enumerate(passages):
        assert {*range(16 * index, 16 * index + 16)} <= {*passage.tolist()}
    assert cut_passages(ids[:40], 16, PASSAGE).tolist() == [list(range(40))] * 2
    assert (cut_passages(ids, 16, 16) == ids[: 62 * 16].reshape(62, 16)).all()


def draw_text(count, seed=0):
    """Text without any repetition to speak of."""
    return "".join(np.random.default_rng(seed).choice(LETTERS, count))


def look_at(folder, **changes):
    block = {"source": "text-file", "path": ".", "length": 32, **changes}
    return summarize(TypeAdapter(DataSpec).validate_python(block), folder)


@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_document_that_is_twice_in_a_folder_is_counted_and_noted(tmp_path, level):
    (tmp_path / "a.txt").write_text(draw_text(8000))
    (tmp_path / "b.txt").write_text(draw_text(8000))
    facts = look_at(tmp_path, level=level)
    assert facts.sequences_in_training == facts.passages_in_training == {"valid": 25, "test": 25}
    assert facts.repeated_sequences == {"valid": 0, "test": 0}
    assert facts.notes[-1] == "25 of 25 test sequences also occur in the training text."


def test_text_without_repetition_is_clean(tmp_path):
    (tmp_path / "a.txt").write_text(draw_text(16_000))
    facts = look_at(tmp_path)
    for counts in (facts.sequences_in_training, facts.passages_in_training, facts.repeated_sequences):
        assert counts == {"valid": 0, "test": 0}
    assert facts.sequences_in_reserve == {}
    assert not any("occur" in note for note in facts.notes)


def test_the_reserved_text_is_searched_as_well(tmp_path):
    text = draw_text(18_000)
    (tmp_path / "a.txt").write_text(text + draw_text(1000, 1) + text[-1000:])
    facts = look_at(tmp_path, reserve=0.2)
    assert facts.sequences_in_training == {"valid": 0, "test": 0}
    assert facts.sequences_in_reserve == {"valid": 0, "test": 31}
    assert facts.notes[-1] == "31 of 31 test sequences also occur in the reserved text."


def test_repeated_sequences_are_those_of_one_split_at_any_offset(tmp_path):
    tail = draw_text(500, 1)
    (tmp_path / "a.txt").write_text(draw_text(18_500) + "x" * 500 + tail + tail)
    facts = look_at(tmp_path)
    assert facts.tokens["test"] == 1000
    assert facts.repeated_sequences["test"] == 30  # but for the one across the border


def test_short_sequences_that_recur_by_chance_are_told_from_copies(tmp_path):
    words = ["lagoon", "fjord", "marsh", "keel", "island", "anchor", "dune", "canal", "bridge", "jetty"]
    text = " ".join(np.random.default_rng(0).choice(words, 1500))
    (tmp_path / "a.txt").write_text(text)
    facts = look_at(tmp_path, length=12)
    assert facts.sequences_in_training["test"] > facts.sequences["test"] / 2
    assert facts.passages_in_training["test"] == 0
    assert facts.notes[-1].endswith(f"in the training text, 0 with {PASSAGE} tokens around.")


def test_independent_sequences_start_where_training_can_draw_them():
    """Windows across two sequences are none of training's, and chance needs no note."""
    block = {"source": "markov", "length": 4, "alphabet": 2, "train": 8, "valid": 64, "test": 64}
    spec = TypeAdapter(DataSpec).validate_python(block)
    facts, splits = summarize(spec, None), spec.read(None).splits
    rows = {tuple(row) for row in splits["train"].reshape(-1, 4).tolist()}
    expected = sum(tuple(row) in rows for row in splits["test"].reshape(-1, 4).tolist())
    assert facts.sequences_in_training["test"] == expected
    assert not any("occur" in note for note in facts.notes)
