"""`bench score`: the bound of given texts is the one that a suite reports, per text and per token, with its errors."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from bench.cli.main import main
from bench.cli.score import score
from bench.engine import storage
from bench.engine.stages.context import CellContext
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.results.find_cell import find
from tests.conftest import TINY

ARMS = "  - {label: GIDD, method: gidd}\n  - {label: Plaid, method: plaid}\nseeds"
LABELS = ("AR", "MDLM", "GIDD", "Plaid")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Finished runs on three letters: an exact likelihood, counted masks, times, and vectors."""
    folder = tmp_path_factory.mktemp("scored")
    (folder / "tiny.yaml").write_text(TINY.replace("seeds", ARMS))
    assert main(["run", str(folder / "tiny.yaml"), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


def bound_of(runs: Path, label: str) -> tuple[CellContext, dict[str, np.ndarray], dict]:
    """The cell, the bound of its test sequences as recorded, and the recorded measures."""
    cell = find(runs, f"tiny/{label}")
    job = storage.read_job(cell)
    assert job is not None
    (folder,) = cell.glob("bound-*")
    with np.load(folder / "sequences.npz") as parts:
        recorded = {name: parts[name] for name in parts}
    return CellContext(cell, job), recorded, json.loads((folder / "result.json").read_text())["measures"]


@pytest.mark.parametrize("label", LABELS)
def test_the_test_split_has_the_bound_that_its_suite_reports(runs, label):
    context, recorded, measures = bound_of(runs, label)
    texts = [context.data.decode(row) for row in context.data.sequences("test")]
    scores = score(context.folder, texts, device="cpu")
    totals = sum(recorded[name] for name in ("prior_gap", "integral", "last_guess")).mean(1)
    assert [text.nats.value for text in scores.texts] == pytest.approx(totals.tolist(), rel=1e-12)
    for name, estimate in scores.metrics.items():
        assert estimate.value == pytest.approx(measures[name]["value"], rel=1e-12)
        assert estimate.standard_error == pytest.approx(measures[name]["standard_error"], rel=1e-12)
        assert estimate.monte_carlo_error == pytest.approx(measures[name]["monte_carlo_error"], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("label", LABELS)
def test_tokens_add_up_to_their_text_whatever_its_length(runs, label):
    scores = score(find(runs, f"tiny/{label}"), ["a", "abc" * 5, "c" * 24], device="cpu")
    for text, length in zip(scores.texts, (1, 15, 24), strict=True):
        assert len(text.tokens) == len(text.by_token) == length
        assert sum(token.value for token in text.by_token) == pytest.approx(text.nats.value, rel=1e-9)
        assert text.metrics["nats_per_token"].value * length == pytest.approx(text.nats.value)
        if length > 1:  # a masked method scores a single letter without noise
            assert (text.nats.monte_carlo_error == 0) == (label == "AR")


def test_tokens_of_an_exact_method_are_its_conditional_probabilities(runs):
    (text,) = score(find(runs, "tiny/AR"), ["abcab"], device="cpu").texts
    (shorter,) = score(find(runs, "tiny/AR"), ["abc"], device="cpu").texts
    assert [token.value for token in text.by_token[:3]] == pytest.approx([token.value for token in shorter.by_token])


def test_more_draws_change_the_bound_by_no_more_than_its_error(runs):
    cell = find(runs, "tiny/MDLM")
    estimates = [score(cell, ["abcabc"], {"draws": draws, "replicates": 16}, "cpu").texts[0].nats for draws in (2, 128)]
    difference = estimates[0].value - estimates[1].value
    assert abs(difference) < 4 * math.hypot(*(estimate.monte_carlo_error for estimate in estimates))
    assert estimates[1].monte_carlo_error < estimates[0].monte_carlo_error


def test_the_command_prints_texts_and_tokens_with_claims_and_errors(runs, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("abc\n\nccb\n")
    arguments = ["score", "tiny/MDLM", str(tmp_path / "mine.txt"), "--runs", str(runs), "--lines", "--tokens"]
    assert main(arguments) == DONE
    out = capsys.readouterr().out
    assert "text 2" in out
    assert "text 3" not in out
    assert out.count("<=") >= 6
    assert " ± " in out
    assert '"<=" marks an upper bound with a certificate' in out
    assert "2 replicates" in out

    assert main([*arguments, "--json", "--replicates", "3"]) == DONE
    content = json.loads(capsys.readouterr().out)
    assert [text["text"] for text in content["texts"]] == ["abc", "ccb"]
    assert [token["token"] for token in content["texts"][0]["tokens"]] == ["a", "b", "c"]
    assert content["all"]["bits_per_char"]["standard_error"] > 0
    assert "3 replicates" in content["protocol"]


@pytest.mark.parametrize(
    ("text", "options", "sentence"),
    [
        ("abcx", [], "has no 'x'"),
        ("\n\n", [], "there is no text in it"),
        ("abc", ["--estimator", "counted"], "cannot be counted"),
    ],
)
def test_what_cannot_be_scored_is_refused_with_a_sentence(text, options, sentence, runs, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text(text)
    assert main(["score", "tiny/GIDD", str(tmp_path / "mine.txt"), "--runs", str(runs), *options]) == USAGE_ERROR
    assert sentence in capsys.readouterr().err


def test_a_missing_file_is_named(runs, tmp_path, capsys):
    assert main(["score", "tiny/AR", str(tmp_path / "none.txt"), "--runs", str(runs)]) == USAGE_ERROR
    assert f"{tmp_path / 'none.txt'}" in (message := capsys.readouterr().err)
    assert "there is no such file" in message


def test_input_that_is_not_text_is_refused_with_its_byte(runs, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ca\xff")))
    assert main(["score", "tiny/AR", "-", "--runs", str(runs)]) == USAGE_ERROR
    assert "standard input: not UTF-8 text: byte 2" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--draws", "3"], ["--draws", "0"], ["--replicates", "1"]])
def test_numbers_of_draws_that_give_no_error_are_refused(option, runs, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["score", "tiny/AR", "-", "--runs", str(runs), *option])
    assert stop.value.code == USAGE_ERROR
    assert "of at least 2" in capsys.readouterr().err


def test_the_standard_input_is_read(runs, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"cab\n")))
    assert main(["score", "tiny/AR", "-", "--runs", str(runs), "--json"]) == DONE
    content = json.loads(capsys.readouterr().out)
    assert content["kind"] == "exact"
    assert content["texts"][0]["text"] == "cab"
    assert content["all"]["nats_per_token"]["standard_error"] is None
