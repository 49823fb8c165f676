"""Byte-order marks at the start of files are no tokens; other characters that are rarely meant are counted."""

import unicodedata

import pytest
from pydantic import TypeAdapter

from bench.engine.data import DataSpec, characters, load, summarize
from bench.engine.data.text_files import read_text

PROSE = "It was the best of times, it was the wörst of times.\n" * 60
MARK = "\ufeff"


def look_at(folder, level="char", **changes):
    block = {"source": "text-file", "path": "text.txt", "length": 16, "level": level, **changes}
    return summarize(TypeAdapter(DataSpec).validate_python(block), folder)


def write(folder, text):
    (folder / "text.txt").write_bytes(text.encode())
    return folder


@pytest.mark.parametrize("level", ["char", "byte"])
def test_a_byte_order_mark_at_the_start_is_no_token(tmp_path, level):
    plain = look_at(write(tmp_path, PROSE), level)
    assert look_at(write(tmp_path, MARK + PROSE), level) == plain


def test_each_file_of_a_folder_may_start_with_a_byte_order_mark(tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_bytes((MARK + PROSE).encode())
    assert read_text(tmp_path) == f"{PROSE}\n{PROSE}"


@pytest.mark.parametrize("level", ["char", "byte"])
@pytest.mark.parametrize(
    ("character", "name"),
    [
        (MARK, "byte-order mark"),
        ("\r", "carriage return"),
        ("\ufffd", "replacement character"),
        ("\u200b", "zero-width space"),
        ("\u2060", "word joiner"),
        ("\u00ad", "soft hyphen"),
        ("\x01", "control character"),
        ("\x92", "control character"),
    ],
)
def test_characters_that_are_rarely_meant_are_counted(tmp_path, level, character, name):
    text = PROSE.replace("\n", f"{character}\n")
    facts = look_at(write(tmp_path, text), level)
    assert facts.suspect_characters == {name: 60}


@pytest.mark.parametrize("level", ["char", "byte"])
def test_usual_characters_are_none_of_them(tmp_path, level):
    text = "Grüße,\t„hier“ – das\u00a0ist\fein Text\u2026 世界 👩\u200d🚀 می\u200cخواهم café\n" * 60
    assert look_at(write(tmp_path, text), level).suspect_characters == {}


@pytest.mark.parametrize("level", ["char", "byte"])
def test_two_spellings_of_one_character_are_counted(tmp_path, level):
    decomposed = unicodedata.normalize("NFD", PROSE)
    assert look_at(write(tmp_path, decomposed), level).suspect_characters == {}  # one spelling throughout
    assert look_at(write(tmp_path, decomposed + PROSE), level).suspect_characters == {"decomposed character": 60}


def test_marks_within_the_text_stay_tokens(tmp_path):
    facts = look_at(write(tmp_path, PROSE + MARK + PROSE))
    assert facts.vocab_size == look_at(write(tmp_path, PROSE)).vocab_size + 1


@pytest.mark.parametrize("level", ["char", "byte"])
def test_tokens_that_training_never_shows_and_symbols_that_occur_once(tmp_path, level):
    facts = look_at(write(tmp_path, PROSE[:-1] + "qqqz"), level)
    assert facts.unseen_tokens == {"valid": 0, "test": 4}
    assert facts.symbols_seen_once == 1


def test_workers_load_the_data_without_looking_at_all_of_it(tmp_path):
    spec = TypeAdapter(DataSpec).validate_python({"source": "text-file", "path": "text.txt", "length": 16})
    summary = load(spec, write(tmp_path, PROSE + "\r"), tmp_path / "cache").summary
    assert summary.suspect_characters == summary.sequences_in_training == {}


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_characters_across_borders_of_chunks_are_counted_once(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(characters, "CHUNK", chunk)
    facts = look_at(write(tmp_path, PROSE.replace("\n", f"{MARK}\ufffd\x92\n")), "byte")
    assert facts.suspect_characters == {"byte-order mark": 60, "replacement character": 60, "control character": 60}
