"""Each data block that cannot be used is refused with the field at fault, the value and the way out."""

import lzma
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from bench.engine.data import SOURCES, DataError, DataSpec, summarize

PROSE = "It was the best of times, it was the worst of times.\n" * 40
WHOLE = {"source": "text-file", "path": "text.txt", "length": 16}


def make(**block):
    """The settings of a data block, as the harness reads them."""
    return TypeAdapter(DataSpec).validate_python(block)


@pytest.fixture
def folder(tmp_path):
    """A folder with `text.txt` in it."""
    (tmp_path / "text.txt").write_text(PROSE, encoding="utf-8")
    return tmp_path


BAD_FILES = {
    "missing.txt": (None, "no such file"),
    "nul.txt": (b"some text\0more", "nul.txt: not text: byte 9 is NUL"),
    "latin.txt": ("some caf\u00e9".encode("latin-1"), "latin.txt: not UTF-8 text: byte 8"),
    "empty.txt": (b"", "no text"),
    "blank.txt": (b" \n\t\n" * 500, "no text"),
    "same.txt": (b"a" * 5000, "nothing but 'a'"),
    "broken.xz": (lzma.compress(b"text" * 999)[:-20], "not a whole .xz"),
    "plain.gz": (b"text" * 999, "not a whole .gz"),
    "x" * 300: (None, "cannot be read"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_text_is_a_fault_of_the_path(tmp_path, name):
    content, reason = BAD_FILES[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        summarize(make(source="text-file", path=name), tmp_path)
    assert caught.value.field == "path"
    assert name in str(caught.value)


def test_a_bad_file_in_a_folder_is_named(folder):
    (folder / "z.bin").write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"z\.bin: not UTF-8 text: byte 2"):
        summarize(make(source="text-file", path="."), folder)


def test_a_strange_character_is_no_text8(tmp_path):
    (tmp_path / "text8").write_text("plain text and Then")
    for source in ("text8", "text8-part"):
        with pytest.raises(DataError, match="character 15 is 'T'") as caught:
            summarize(make(source=source, path="text8"), tmp_path)
        assert caught.value.field == "path"


def test_a_text_shorter_than_a_sequence_is_a_fault_of_the_length(folder):
    shortest = min(summarize(make(**WHOLE), folder).tokens.values())
    assert summarize(make(**{**WHOLE, "length": shortest}), folder).sequences["valid"] == 1
    with pytest.raises(DataError, match=f"at most {shortest} ") as caught:
        summarize(make(**{**WHOLE, "length": shortest + 1}), folder)
    assert caught.value.field == "length"


def test_a_split_that_leaves_nothing_is_a_fault_of_valid(tmp_path):
    (tmp_path / "text8").write_text("the quick brown fox " * 50)
    with pytest.raises(DataError, match="leave nothing of 1,000") as caught:
        summarize(make(source="text8-part", path="text8", valid=500, test=500), tmp_path)
    assert caught.value.field == "valid"


def test_a_python_without_its_reference_is_a_fault_of_the_source(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataError, match="text-file") as caught:
        summarize(make(source="pydoc"), Path())
    assert caught.value.field == "source"


@pytest.mark.parametrize("source", SOURCES)
def test_settings_are_frozen_and_strict(source):
    paths = {"path": "a"} if "path" in SOURCES[source].model_fields else {}
    spec = make(source=source, **paths)
    assert isinstance(spec, SOURCES[source])
    assert spec.length == 128
    for wrong in ({"length": 0}, {"length": "128"}, {"length": 12.5}, {"lenght": 128}):
        with pytest.raises(ValidationError):
            make(source=source, **paths, **wrong)
    with pytest.raises(ValidationError):
        spec.length = 3
