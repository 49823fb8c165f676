"""Texts by cells of plug-ins and of bytes, and what a terminal is shown of them."""

import pytest
import torch
from pydantic import TypeAdapter

from bench.cli.main import main
from bench.cli.prompt import encode, parse_template
from bench.cli.sample import PromptedSamples, split_pieces
from bench.cli.views.samples import show
from bench.engine.data import DataSpec, load
from bench.engine.sample.sampler import Samples
from bench.launch.exit_codes import DONE, USAGE_ERROR
from methods import METHODS, PLUGINS
from tests.conftest import TINY
from tests.methods.test_plugins import PLUGIN


@pytest.fixture
def registry():
    """Whatever a test registers is forgotten after it."""
    kept = [(store, dict(store)) for store in (METHODS, PLUGINS)]
    yield
    for store, content in kept:
        store.clear()
        store.update(content)


@pytest.mark.usefixtures("registry")
def test_cells_of_plug_ins_are_drawn_from_without_naming_the_file(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "own.yaml").write_text(TINY.replace("{label: AR, method: ar}", "{label: Mine, method: mine}"))
    runs = str(tmp_path / "runs")
    assert main(["run", str(tmp_path / "own.yaml"), "--runs", runs, "--plugin", str(tmp_path / "mine.py")]) == DONE
    METHODS.pop("mine")
    PLUGINS.pop("mine")
    assert main(["sample", "own/Mine", "--runs", runs, "--template", "a_b"]) == DONE
    assert "conditioning is exact" in capsys.readouterr().out
    (tmp_path / "mine.py").write_text(PLUGIN + "# a change\n")
    assert main(["sample", "own/Mine", "--runs", runs]) == USAGE_ERROR
    assert "changed since the suite was planned" in capsys.readouterr().err


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
