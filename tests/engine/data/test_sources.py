"""Laws of the text sources and of the sequences, windows and files cut from them."""

import gzip
import hashlib
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from bench.engine.data import DataError, DataSpec, load, summarize
from bench.engine.data.sources import text as text_module
from bench.engine.data.sources.text import read_topics, reduce_text

REPO = Path(__file__).resolve().parents[3]
SHARED = REPO.parent / "shared" / "data"
SPLITS = ("train", "valid", "test")
PROSE = "It was the best of times, it was the wörst of times — 世界 𝄞!\n" * 40  # characters of 1, 2, 3 and 4 bytes
WHOLE = {"source": "text-file", "path": "text.txt", "length": 16}


def make(**block):
    """The settings of a data block, as the harness reads them."""
    return TypeAdapter(DataSpec).validate_python(block)


@pytest.fixture
def folder(tmp_path):
    """A folder with `text.txt` in it."""
    (tmp_path / "text.txt").write_text(PROSE, encoding="utf-8")
    return tmp_path


@pytest.fixture
def text8_part():
    """The first 12,549,840 characters of text8."""
    path = SHARED / "text8" / "text8_first_12549840.txt.xz"
    if not path.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{path} is not there")
    return path


def without_inspection(summary):
    """The facts that `load` knows as well."""
    inspected = {"unseen_tokens", "symbols_seen_once", "suspect_characters", "notes"}
    return {
        name: value
        for name, value in vars(summary).items()
        if name not in inspected and not name.startswith(("sequences_", "passages_", "repeated_"))
    }


def open_data(folder, **changes):
    return load(make(**{**WHOLE, **changes}), folder, folder / ".cache")


@pytest.mark.parametrize("level", ["char", "byte"])
def test_splits_are_the_whole_text_in_order_without_overlap(folder, level):
    data = open_data(folder, level=level)
    ids = torch.from_numpy(np.concatenate([data.splits[split] for split in SPLITS]).astype(np.int64))
    assert data.decode(ids) == PROSE
    sizes = [data.summary.tokens[split] for split in SPLITS]
    assert sizes == [len(data.splits[split]) for split in SPLITS]
    assert np.allclose(np.array(sizes) / sum(sizes), [0.9, 0.05, 0.05], atol=1 / sum(sizes))  # to one token


def test_vocabulary_is_the_sorted_characters_of_the_text(folder):
    data = open_data(folder)
    assert data.decode(torch.arange(data.summary.vocab_size)) == "".join(sorted(set(PROSE)))
    assert open_data(folder, level="byte").summary.vocab_size == 256


@pytest.mark.parametrize("level", ["char", "byte"])
def test_bytes_are_those_of_utf8(folder, level):
    data = open_data(folder, level=level)
    ids = torch.from_numpy(data.splits["train"].astype(np.int64))
    assert data.count_bytes(ids) == len(data.decode(ids).encode("utf-8"))
    sequences = data.sequences("train")
    assert data.count_bytes(sequences) == sum(data.count_bytes(row) for row in sequences)


def test_bytes_that_stop_within_a_character_are_counted_and_shown(folder):
    data = open_data(folder, level="byte")
    ids = torch.tensor(list("ö".encode()[:1]))
    assert (data.decode(ids), data.count_bytes(ids)) == ("\ufffd", 1)


def test_ids_outside_the_vocabulary_are_refused(folder):
    data = open_data(folder)
    for wrong in (-1, data.summary.vocab_size):
        with pytest.raises(AssertionError, match="outside 0"):
            data.decode(torch.tensor([wrong]))


def test_sequences_are_the_split_packed_without_overlap(folder):
    data = open_data(folder)
    for split in SPLITS:
        sequences = data.sequences(split)
        assert sequences.dtype == torch.int64
        assert sequences.shape == (data.summary.tokens[split] // 16, 16) == (data.summary.sequences[split], 16)
        assert sequences.flatten().tolist() == data.splits[split][: sequences.numel()].tolist()


def test_windows_start_anywhere_and_reach_the_last_token(folder):
    data = open_data(folder)
    ids = data.splits["train"].tolist()
    starts = np.arange(data.starts("train"))
    assert data.windows("train", starts).tolist() == [ids[s : s + 16] for s in starts]
    assert data.windows("train", starts[-1:])[0, -1] == ids[-1]
    for wrong in (-1, len(starts)):
        with pytest.raises(AssertionError, match="outside 0"):
            data.windows("train", np.array([wrong]))


def test_ids_is_read_only_memory_maps_of_the_smallest_type(folder):
    for vocab_size, dtype in ((256, np.uint8), (257, np.uint16), (65_537, np.int32)):
        text = "".join(map(chr, range(0x10000, 0x10000 + vocab_size))) * 2
        (folder / "text.txt").write_text(text, encoding="utf-8")
        data = open_data(folder)
        ids = data.splits["train"]
        assert isinstance(ids, np.memmap)
        assert ids.dtype == dtype
        assert not ids.flags.writeable
        assert data.decode(torch.from_numpy(ids.astype(np.int64))) == text[: len(ids)]


def test_facts_write_nothing_and_equal_those_of_load(folder):
    before = sorted(folder.rglob("*"))
    known = summarize(make(**WHOLE), folder)
    assert sorted(folder.rglob("*")) == before
    assert without_inspection(open_data(folder).summary) == without_inspection(known)


def test_fingerprint_follows_each_character_and_the_level_but_not_the_length(folder):
    first = summarize(make(**WHOLE), folder).fingerprint
    assert summarize(make(**{**WHOLE, "length": 32}), folder).fingerprint == first
    assert summarize(make(**WHOLE, level="byte"), folder).fingerprint != first
    for place in (0, len(PROSE) // 2, len(PROSE) * 92 // 100, len(PROSE) - 2):  # in each split
        (folder / "text.txt").write_text(f"{PROSE[:place]}w{PROSE[place + 1 :]}", encoding="utf-8")
        assert summarize(make(**WHOLE), folder).fingerprint != first


def test_fingerprint_follows_the_vocabulary(folder):
    (folder / "a.txt").write_text("ab" * 200)
    (folder / "b.txt").write_text("xy" * 200)  # the same ids of other characters
    assert len({summarize(make(**{**WHOLE, "path": path}), folder).fingerprint for path in ("a.txt", "b.txt")}) == 2


@pytest.mark.parametrize(("ending", "opener"), [(".xz", lzma.open), (".gz", gzip.open)])
def test_packed_text_equals_plain_text(folder, ending, opener):
    with opener(folder / f"text.txt{ending}", "wb") as stream:
        stream.write(PROSE.encode())
    assert summarize(make(**{**WHOLE, "path": f"text.txt{ending}"}), folder) == summarize(make(**WHOLE), folder)


def test_a_folder_is_its_files_in_order_without_hidden_ones(tmp_path):
    files = {
        "b.txt": "bbbb" * 50,
        "a/z.txt": "aaaa" * 50,
        "a.txt": "cccc" * 50,
        ".no": "x",
        ".git/no": "\0",
        "c/.no": "y",
    }
    for name, content in files.items():
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(content)
    (tmp_path / "text.txt").write_text("\n".join([files["a/z.txt"], files["a.txt"], files["b.txt"]]))
    assert summarize(make(**{**WHOLE, "path": "corpus"}), tmp_path) == summarize(make(**WHOLE), tmp_path)


def test_unigram_nats_are_those_of_smoothed_frequencies(folder):
    data = open_data(folder)
    train, test = data.splits["train"].tolist(), data.splits["test"].tolist()
    total = len(train) + data.summary.vocab_size
    expected = -np.mean([np.log((train.count(v) + 1) / total) for v in test])
    assert data.summary.unigram_nats == pytest.approx(expected, rel=1e-12)  # float64 sums


def test_a_writer_overtaken_by_another_leaves_whole_files(folder, monkeypatch):
    replace, overtaken = Path.replace, []

    def replace_late(draft, path):
        monkeypatch.setattr(Path, "replace", replace)
        overtaken.append(open_data(folder))
        replace(draft, path)

    monkeypatch.setattr(Path, "replace", replace_late)
    late = open_data(folder)
    for split in SPLITS:
        assert late.splits[split].tolist() == overtaken[0].splits[split].tolist()
    assert sorted(path.name for path in Path(late.splits["train"].filename).parent.iterdir()) == [
        "test.bin",
        "train.bin",
        "valid.bin",
    ]


def test_two_processes_may_load_at_once(folder):
    code = (
        "import sys; from pathlib import Path; from bench.engine.data import load\n"
        "from bench.engine.data.sources.text import TextFile\n"
        "data = load(TextFile(path='text.txt', length=16), Path(sys.argv[1]), Path(sys.argv[1], '.cache'))\n"
        "print(data.decode(data.sequences('train')).encode())"
    )
    start = [sys.executable, "-c", code, str(folder)]
    both = [subprocess.Popen(start, cwd=REPO, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {process.communicate(timeout=120)[0] for process in both}
    data = open_data(folder)
    assert outputs == {f"{data.decode(data.sequences('train')).encode()}\n"}


def test_a_damaged_cache_is_written_again(folder):
    path = Path(open_data(folder).splits["valid"].filename)
    for damage in (b"", b"\0" * path.stat().st_size):
        path.write_bytes(damage)
        data = open_data(folder)
        assert data.decode(torch.from_numpy(data.splits["valid"].astype(np.int64))) in PROSE


def test_reduction_is_that_of_text8():
    assert reduce_text("In 1984, Don't\n PANIC: café x2") == "in one nine eight four don t panic caf x two"


def test_pydoc_splits_share_almost_nothing():
    text = read_topics()
    head, tail = text[: len(text) * 90 // 100], text[len(text) * 95 // 100 :]
    known = {head[i : i + 50] for i in range(len(head) - 49)}
    shared = np.mean([tail[i : i + 50] in known for i in range(len(tail) - 49)])
    assert shared < 0.005  # 0.16 where repeated paragraphs stay


def test_pydoc_is_english_in_27_symbols(tmp_path):
    known = summarize(make(source="pydoc"), tmp_path)
    assert known.vocab_size == 27
    assert set(read_topics()) == set(" abcdefghijklmnopqrstuvwxyz")
    assert "  " not in read_topics()
    assert sum(known.tokens.values()) > 250_000
    assert known.sequences["test"] > 90
    assert known.unigram_nats / np.log(2) == pytest.approx(4.1, abs=0.05)  # bits; English in 27 symbols
    assert any(f"Python {sys.version.split()[0]}" in note for note in known.notes)


def test_text8_part_is_split_from_its_end(text8_part):
    spec = make(source="text8-part", path=str(text8_part))
    known = summarize(spec, Path())
    assert known.tokens == {"train": 11_549_840, "valid": 500_000, "test": 500_000}
    assert known.vocab_size == 27
    assert known.sequences["test"] == 500_000 // 128
    assert any("not comparable" in note for note in known.notes)
    shifted = make(source="text8-part", path=str(text8_part), test=400_000)  # the same text, split elsewhere
    assert summarize(shifted, Path()).fingerprint != known.fingerprint


def test_text8_part_reads_as_the_file(text8_part, tmp_path):
    data = load(make(source="text8-part", path=str(text8_part), test=1_000), Path(), tmp_path)
    with lzma.open(text8_part, "rt") as stream:
        content = stream.read()
    assert data.decode(data.windows("train", np.array([0]))[0]) == content[:128]
    assert data.decode(torch.from_numpy(data.splits["test"].astype(np.int64))) == content[-1_000:]


def test_text8_refuses_a_part(text8_part):
    with pytest.raises(DataError, match=r"12,549,840 characters.*text8-part") as caught:
        summarize(make(source="text8", path=str(text8_part)), Path())
    assert caught.value.field == "path"


def test_text8_is_known_by_its_sum_and_split_90_5_5(tmp_path, monkeypatch):
    content = "the quick brown fox " * 500
    (tmp_path / "text8").write_text(content)
    monkeypatch.setattr(text_module, "TEXT8_CHARACTERS", len(content))
    spec = make(source="text8", path="text8")
    with pytest.raises(DataError, match="sha1"):
        summarize(spec, tmp_path)
    monkeypatch.setattr(text_module, "TEXT8_SHA1", hashlib.sha1(content.encode()).hexdigest())
    assert summarize(spec, tmp_path).tokens == {"train": 9_000, "valid": 500, "test": 500}
