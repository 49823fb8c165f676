"""Methods that know positions, from a plug-in to a report: trained, bounded by its estimator, sampled and scored."""

from pathlib import Path

import pytest

import bench
from bench.cli.main import main
from bench.launch.exit_codes import DONE
from methods import METHODS, PLUGINS
from tests.conftest import ROOT, TINY

PLUGIN = ROOT / "tests" / "support" / "positioned.py"
ARMS = "  - {label: STAGGERED, method: staggered}\n  - {label: SHARPENED, method: sharpened}\n"


@pytest.fixture
def registry():
    """Whatever a test registers is forgotten after it."""
    before = dict(METHODS), dict(PLUGINS)
    yield
    for store, content in zip((METHODS, PLUGINS), before, strict=True):
        store.clear()
        store.update(content)


def test_a_suite_trains_bounds_samples_and_scores_methods_that_know_positions(tmp_path: Path, registry, capsys):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(TINY.replace("  - {label: AR, method: ar}\n  - {label: MDLM, method: mdlm}\n", ARMS))
    arguments = ["--runs", str(tmp_path / "runs"), "--plugin", str(PLUGIN)]
    assert main(["run", str(suite), *arguments]) == DONE

    table = bench.load(tmp_path / "runs")
    bounds = table[(table["metric"] == "nats_per_token") & (table["stage"] == "bound")].set_index("arm")
    assert bounds["way"].to_dict() == {
        "STAGGERED": "stratified t, 2 draws",
        "SHARPENED": "exactly k masked, 2 draws",
    }
    assert (bounds["value"] > 0).all()
    assert set(table[table["stage"] == "samples"]["arm"]) == {"STAGGERED", "SHARPENED"}

    text = tmp_path / "text.txt"
    text.write_text("abcabcabcabcabc")  # longer than the sequences of training
    capsys.readouterr()
    for label in ("STAGGERED", "SHARPENED"):
        assert main(["score", f"tiny/{label}", str(text), "--json", *arguments]) == DONE
        assert "nats" in capsys.readouterr().out
