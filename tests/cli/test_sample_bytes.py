"""Texts by cells of bytes, and what a terminal is shown of them."""

import os

import pytest
import torch
from pydantic import TypeAdapter

from bench.cli.prompt import encode, parse_template
from bench.cli.sample import PromptedSamples, split_pieces
from bench.cli.views.samples import show
from bench.engine.data import DataSpec, load
from bench.engine.sample.sampler import Samples


@pytest.fixture
def letters(tmp_path):
    """A dataset of bytes."""
    (tmp_path / "text.txt").write_text("Käse und Brot. " * 50)
    spec = {"source": "text-file", "path": "text.txt", "level": "byte", "length": 8}
    return load(TypeAdapter(DataSpec).validate_python(spec), tmp_path, tmp_path / "cache")


def test_of_bytes_every_character_can_be_given_and_a_gap_is_one_byte(letters):
    ids, fixed = encode(letters, parse_template("Kä__☃"))
    assert ids.tolist() == [*"Kä".encode(), 0, 0, *"☃".encode()]
    assert fixed.tolist() == [True] * 3 + [False] * 2 + [True] * 3


def test_bytes_of_an_argument_that_are_not_utf_8_are_taken_as_they_are(letters):
    argument = os.fsdecode(b"caf\xe9")
    ids, fixed = encode(letters, [(argument, True)])
    assert bytes(ids.tolist()) == b"caf\xe9"
    assert fixed.all()
    shown = split_pieces(letters, ids, fixed)
    assert shown == [("caf\N{REPLACEMENT CHARACTER}", True)]


def test_pieces_make_up_the_text_even_where_a_character_lies_across_an_edge(letters):
    ids, _ = encode(letters, [("Käse", True)])
    for edge in range(1, 5):
        pieces = split_pieces(letters, ids, torch.arange(5) < edge)
        assert "".join(text for text, _ in pieces) == "Käse"
        assert len(pieces) == (1 if edge == 2 else 2)


def test_what_was_given_is_bold_and_no_text_steers_the_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    pieces = [("gi[b]ven", True), ("dr\x1b[2Jaw\r\x07n\nö " + "x" * 300, False)]
    show(PromptedSamples(["text"], [pieces], Samples(torch.zeros(1, 4), 1, 0.0), 1.0, "told [/x]", ["a note"]))
    found = capsys.readouterr()
    assert "\x1b[1mgi[b]ven\x1b[0m" in found.out
    assert r"dr\x1b[2Jaw\r\x07n" + "\nö " + "x" * 300 in found.out
    assert "told [/x]" in found.out
    assert "note: a note" in found.err
