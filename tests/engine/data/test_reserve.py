"""Laws of the reserved end of the training split, on which a suite's own scorer is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from bench.cli.main import main
from bench.engine.data import DataError, Dataset, DataSpec, load, preview, summarize
from bench.engine.data.source_summary import unigram_nats
from bench.engine.data.sources import text as text_module
from bench.launch.exit_codes import DONE
from bench.plan.plan import plan
from bench.suite.suite import SuiteError, read
from tests.conftest import TINY

PROSE = "It was the best of times, it was the worst of times. " * 40  # 2,120 characters, 1,908 of them for training
CHAIN = {"source": "markov", "length": 12, "alphabet": 3, "train": 64, "valid": 16, "test": 16}
FILE = {"source": "text-file", "path": "text.txt", "length": 16}


def make(**block):
    return TypeAdapter(DataSpec).validate_python(block)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(PROSE)
    return tmp_path


def open_data(folder: Path, block: dict, **changes) -> Dataset:
    return load(make(**{**block, **changes}), folder, folder / ".cache")


@pytest.mark.parametrize("block", [CHAIN, FILE], ids=["markov", "text-file"])
def test_the_reserve_is_the_end_of_training_and_nothing_else_moves(folder, block):
    whole, parted = open_data(folder, block), open_data(folder, block, reserve=0.3)
    joined = np.concatenate([parted.splits["train"], parted.splits["reserve"]])
    assert joined.tolist() == whole.splits["train"].tolist()
    assert len(parted.splits["reserve"]) == pytest.approx(0.3 * len(joined), abs=block["length"] / 2)
    for split in ("valid", "test"):
        assert parted.splits[split].tolist() == whole.splits[split].tolist()
    assert parted.summary.tokens == {name: len(ids) for name, ids in parted.splits.items()}


@pytest.mark.parametrize("share", [0.3, 0.29, 0.017, 0.98])
def test_independent_sequences_are_reserved_whole(folder, share):
    data = open_data(folder, CHAIN, reserve=share)
    whole = open_data(folder, CHAIN).sequences("train").tolist()
    assert data.sequences("train").tolist() + data.sequences("reserve").tolist() == whole


def test_sequences_and_windows_are_cut_from_the_reserve_as_from_any_split(folder):
    data = open_data(folder, FILE, reserve=0.5)
    ids = data.splits["reserve"]
    assert len(data.sequences("reserve")) == data.summary.sequences["reserve"] == len(ids) // 16
    last = data.starts("reserve") - 1
    assert data.windows("reserve", np.array([0, last])).tolist() == [ids[:16].tolist(), ids[-16:].tolist()]


@pytest.mark.parametrize("block", [CHAIN, FILE], ids=["markov", "text-file"])
def test_without_a_reserve_nothing_changes_and_with_one_the_fingerprint_does(folder, block):
    plain, zero, some, more = (summarize(make(**block, **own), folder) for own in ({}, *each(0, 0.25, 0.5)))
    assert plain == zero
    assert set(plain.tokens) == {"train", "valid", "test"}
    assert len({plain.fingerprint, some.fingerprint, more.fingerprint}) == 3
    assert some.notes[1].startswith("The last ")
    assert some.notes[1].endswith("are reserved: no arm sees them.")
    assert some.notes[0] == plain.notes[0]


def each(*shares: float) -> list[dict[str, float]]:
    return [{"reserve": share} for share in shares]


def test_cells_of_suites_without_a_reserve_keep_their_ids(tiny):
    """The ids that tests/suite/test_suite.py holds on to are of suites that say nothing; 0 says the same."""
    ids = [cell.id for cell in plan(read(tiny)).cells]
    for share, same in (("0", True), ("0.0", True), ("0.5", False)):
        tiny.write_text(TINY.replace("train: 64,", f"train: 64, reserve: {share},"))
        assert ([cell.id for cell in plan(read(tiny)).cells] == ids) is same


def test_a_text_that_is_still_to_be_fetched_is_parted_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "text8_path", lambda: tmp_path / "nothing")
    plain, parted = (preview(make(source="text8", **own), tmp_path) for own in ({}, {"reserve": 0.1}))
    assert parted.tokens == {"train": 81_000_000, "valid": 5_000_000, "test": 5_000_000, "reserve": 9_000_000}
    assert plain.tokens["train"] == 90_000_000
    assert plain.fingerprint != parted.fingerprint


def test_what_is_foreseen_of_a_published_text_is_what_is_found(tmp_path, monkeypatch):
    text = "abc def" * 100
    published = text_module.Text8(reserve=0.2).known_text()
    known = {"train": 630, "valid": 35, "test": 35}
    monkeypatch.setattr(text_module.Text8, "known_text", lambda self: type(published)(published.tokenizer, known, "x"))
    monkeypatch.setattr(text_module, "text8_path", lambda: tmp_path / "text8")
    beforehand = preview(make(source="text8", reserve=0.2, length=16), tmp_path)
    monkeypatch.setattr(text_module, "read_text8", lambda: text)
    summary = summarize(make(source="text8", reserve=0.2, length=16), tmp_path)
    assert (beforehand.fingerprint, beforehand.tokens) == (summary.fingerprint, summary.tokens)
    assert summary.tokens["reserve"] == 126


@pytest.mark.parametrize(("share", "split", "change"), [(0.001, "reserve", "raise"), (0.999, "train", "lower")])
@pytest.mark.parametrize("block", [CHAIN, FILE], ids=["markov", "text-file"])
def test_a_part_without_a_whole_sequence_is_refused(folder, block, share, split, change):
    with pytest.raises(DataError, match=rf"at reserve {share} the {split} split holds \d+ tokens.*{change}") as caught:
        summarize(make(**block, reserve=share), folder)
    assert caught.value.field == "reserve"


def test_a_length_that_no_text_holds_is_no_fault_of_the_reserve(folder):
    with pytest.raises(DataError, match="valid split holds 106 tokens") as caught:
        summarize(make(**{**FILE, "length": 5_000}, reserve=0.5), folder)
    assert caught.value.field == "length"


def test_a_reserve_that_does_not_fit_is_told_with_its_place(tiny):
    tiny.write_text(TINY.replace("train: 64,", "train: 64, reserve: 0.001,"))
    with pytest.raises(SuiteError, match=r"tiny.yaml:2:\d+: at reserve 0.001"):
        read(tiny)
    for share in (-0.1, 1.0):
        with pytest.raises(ValidationError):
            make(**CHAIN, reserve=share)


def test_the_scorer_trains_on_the_reserve_alone(folder):
    data = open_data(folder, FILE, reserve=0.4)
    own = data.with_reserve_as_train()
    assert own.splits["train"] is data.splits["reserve"]
    assert set(own.splits) == set(own.summary.tokens) == set(own.summary.sequences) == {"train", "valid", "test"}
    assert own.summary.tokens["train"] == len(data.splits["reserve"])
    assert torch.equal(own.sequences("train"), data.sequences("reserve"))
    assert torch.equal(own.sequences("test"), data.sequences("test"))
    assert own.summary.fingerprint == data.summary.fingerprint
    assert own.summary.unigram_nats == unigram_nats(own.splits, data.summary.vocab_size) != data.summary.unigram_nats
    with pytest.raises(DataError, match="reserves nothing"):
        open_data(folder, FILE).with_reserve_as_train()


def test_a_suite_with_a_reserve_runs_and_shows_it(tiny, capsys):
    tiny.write_text(TINY.replace("train: 64,", "train: 64, reserve: 0.25,"))
    assert main(["plan", str(tiny), "--runs", str(tiny.with_name("runs"))]) == DONE
    assert "48 train, 16 valid, 16 test, 16 reserve" in " ".join(capsys.readouterr().out.split())
