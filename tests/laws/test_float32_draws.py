"""`docs/float32-draws.md`: draws of few bits lower entropy and perplexity together, and its table says so."""

import math
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

import bench
from bench.certify.random_network import VOCAB_SIZE, random_network
from bench.cli.main import main
from bench.engine.likelihood.bound import bound
from bench.launch.exit_codes import DONE
from methods import METHODS, PLUGINS, build, plug
from tests.conftest import ROOT

DOCUMENT = (ROOT / "docs" / "float32-draws.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
PLAIN, FINE, COARSE = "MDLM", "Gumbel 24 bits", "Gumbel 14 bits"
FEW, MANY = 64, 1024  # calls of the first and of the last way of drawing
FALLS = ("gen_ppl", "unigram_entropy")
CLEAR = 3.0  # combined standard errors


class Prescribed:
    """Noise whose uniform numbers are given."""

    def __init__(self, u: Tensor):
        self.u = u

    def uniform(self, shape) -> Tensor:
        assert self.u.shape == shape
        return self.u


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """An empty folder with the files of the document; its method is registered."""
    for kind, block in BLOCKS:
        if kind in ("python", "yaml"):
            head, _, body = block.partition("\n")
            (tmp_path / head.removeprefix("# ")).write_text(body)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    plug(tmp_path / "gumbel.py")
    yield tmp_path
    for name in [name for name, plugin in PLUGINS.items() if plugin.path]:
        del METHODS[name], PLUGINS[name]


def wins(share: float, bits: int, most: int) -> float:
    """2^bits times the probability that a token of that share is drawn against the rest, counted: for the k-th largest
    uniform number of the token, k up to `most`, how many numbers above 0 of the rest lose against it."""
    law = torch.tensor([share, 1 - share], dtype=torch.float64).log().expand(most, 2)
    token = 1 - (torch.arange(1, most + 1, dtype=torch.float64) - 0.9) / 2**bits  # each within what it is rounded from
    low, high = torch.ones(most, dtype=torch.long), torch.full((most,), 2**bits - 1, dtype=torch.long)
    draw = runpy.run_path("gumbel.py")["draw"]
    for _ in range(bits + 1):  # halved until they meet: numbers of the rest lose below `low`, win from `high` on
        middle = (low + high) // 2
        loses = draw(law, bits, Prescribed(torch.stack([token, (middle + 0.5) / 2**bits], -1))) == 0
        low, high = torch.where(loses, middle + 1, low), torch.where(loses, high, middle)
    assert torch.equal(low, high)
    return float((low - 1).double().sum()) / 2**bits


def predicted(expected: float) -> float:
    """1 / (exp(1 / lambda) - 1), as the document says."""
    return 1 / math.expm1(1 / expected)


def distances(table: pd.DataFrame, arm: str, calls: int) -> dict[str, float]:
    """By how many combined standard errors an arm is below MDLM at the same number of calls."""
    found = {}
    for metric in FALLS:
        rows = table[(table["metric"] == metric) & table["way"].str.contains(f", {calls} calls")].set_index("arm")
        own, other = rows.loc[arm], rows.loc[PLAIN]
        found[metric] = (other["value"] - own["value"]) / math.hypot(own["standard_error"], other["standard_error"])
    return found


def quoted() -> dict[tuple[str, int], dict[str, tuple[float, float]]]:
    """The numbers of the document's table: arm and calls -> metric -> value and standard error."""
    lines = [line.strip("| ").split("|") for line in DOCUMENT.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line] for line in lines if len(line) == 4 and "±" in line[2]]
    pairs = [(row, [tuple(map(float, cell.split(" ± "))) for cell in row[2:]]) for row in rows]
    return {(row[0], int(row[1])): dict(zip(FALLS, numbers, strict=True)) for row, numbers in pairs if row[1].isdigit()}


@pytest.mark.parametrize("expected", [0.1, 0.3, 1.0, 8.0])
def test_the_law_of_draws_is_what_the_document_says(folder, expected):
    for bits in (14, 24):
        counted = wins(expected / 2**bits, bits, most=400)
        rounding = 2.0 ** (2 - bits)  # the numbers of the rest are coarse as well
        assert counted == pytest.approx(predicted(expected), rel=0.02, abs=rounding)


def test_a_step_among_many_has_lower_entropy_in_float32(folder):
    """A step of 2^17 at t = 1/2 with guesses as rare as 1 / rank, counted."""
    guess = torch.arange(1, 28, dtype=torch.float64).pow(-2)
    guess /= guess.sum()
    drawn = torch.tensor([wins(float(share) * 2 / 2**17, 24, most=6000) for share in guess], dtype=torch.float64)
    drawn /= drawn.sum()
    entropy, lower = (float(-(p * p.log()).sum()) for p in (guess, drawn))
    assert lower < entropy - 0.02  # nats; the float64 draws of the harness have the law itself
    assert drawn[-1] / guess[-1] < 0.9 < 1 < drawn[0] / guess[0]


def test_the_document_plans(folder, capsys):
    assert main(["plan", "draws.yaml", "--plugin", "gumbel.py"]) == DONE
    told = capsys.readouterr().out
    assert all(arm in told for arm in (PLAIN, FINE, COARSE))


def test_the_way_of_drawing_leaves_the_bound_as_it_is(folder):
    x = torch.arange(24).view(2, 12) % VOCAB_SIZE
    networks = (build("mdlm", VOCAB_SIZE), *(build("gumbel-mdlm", VOCAB_SIZE, bits=bits) for bits in (24, 14)))
    plain, *others = (bound(random_network(method, 0.5, 0), x, 4, 2, 0, len(x)) for method in networks)
    for other in others:
        assert all(torch.equal(nats, other[part]) for part, nats in plain.items())  # bit for bit


def test_the_numbers_of_the_document_say_what_it_concludes():
    rows = quoted()
    assert set(rows) == {(arm, calls) for arm in (PLAIN, FINE, COARSE) for calls in (64, 256, 1024)}
    for metric in FALLS:
        (plain, plain_error), (coarse, coarse_error) = rows[PLAIN, MANY][metric], rows[COARSE, MANY][metric]
        assert plain - coarse > CLEAR * math.hypot(plain_error, coarse_error)
        fine, fine_error = rows[FINE, MANY][metric]
        assert abs(plain - fine) < CLEAR * math.hypot(plain_error, fine_error)


@pytest.mark.slow
def test_few_bits_lower_entropy_and_perplexity_together_and_nothing_else_does(folder):
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert commands
    for command in commands:
        assert main(command.split()[1:]) == DONE
    table = bench.load(folder / "runs")
    bounds = table[(table["metric"] == "nats_per_token") & (table["stage"] == "bound") & (table["role"] == "arm")]
    assert len(bounds) == 3
    assert bounds["value"].nunique() == 1  # bit for bit
    quality = table[table["stage"] == "quality"]
    assert all(z > CLEAR for z in distances(quality, COARSE, MANY).values())
    assert all(abs(z) < CLEAR for z in distances(quality, FINE, MANY).values())
    assert all(abs(z) < CLEAR for z in distances(quality, COARSE, FEW).values())
