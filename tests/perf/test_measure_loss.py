"""`bench perf loss`: what it measures, and when it says that a limit was not kept."""

import re
import sys

import pytest

from bench.cli.main import main
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.perf import measure_loss as perf

SMALL = ["--vocabulary", "3000", "--length", "32", "--batch", "4", "--width", "32"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the resident set is read as Linux tells it")


def test_it_measures_every_method_that_is_named_and_compares_gradients(capsys, monkeypatch):
    monkeypatch.setattr(perf, "LIMIT", 1e6)  # so small a loss is lost beside what a process takes anyway
    assert main(["perf", "loss", "mdlm", "plaid", *SMALL]) == DONE
    told = capsys.readouterr().out
    assert "V = 3,000" in told
    assert all(name in told for name in ("mdlm", "plaid"))


def test_a_limit_that_is_not_kept_is_a_failure(monkeypatch):
    monkeypatch.setattr(perf, "_measure_in_subprocess", lambda name, sizes: found | {"difference": 1.0})
    sizes = perf.Sizes(1000, 10, 10, 8, "cpu")
    found = {"peak": 0.1 * sizes.full, "seconds": 1.0, "scored": 5, "difference": 0.0}
    assert not perf.loss(["mdlm"], sizes)
    monkeypatch.setattr(perf, "_measure_in_subprocess", lambda name, sizes: found)
    assert perf.loss(["mdlm"], sizes)
    monkeypatch.setattr(perf, "_measure_in_subprocess", lambda name, sizes: found | {"peak": 0.3 * sizes.full})
    assert not perf.loss(["mdlm"], sizes)


def test_unknown_methods_are_told(capsys):
    assert main(["perf", "loss", "mdln"]) == USAGE_ERROR
    assert 'did you mean "mdlm"' in capsys.readouterr().err


def test_a_plan_is_measured(capsys):
    assert main(["perf", "plan", "--arms", "10"]) == DONE
    told = capsys.readouterr().out
    assert re.fullmatch(r"a grid of 10 arms: [\d.]+ s\n10 arms that all differ: [\d.]+ s\n", told)
