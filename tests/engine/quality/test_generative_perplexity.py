"""Scorers from outside the suite, and what is told before anything runs."""

import json
from pathlib import Path

import pytest

from bench import load
from bench.cli.main import main
from bench.launch.exit_codes import FAILED
from tests.end_to_end.test_quality_chain import ALONE, carry_out, written
from tests.support.stories import stories


@pytest.fixture
def model(tmp_path) -> Path:
    return stories(tmp_path / "stories")


def test_an_outside_scorer_scores_texts_and_says_its_name(model, tmp_path):
    suite = written(tmp_path, "{kind: huggingface, model: stories}", arms=ALONE)
    carry_out(suite, tmp_path / "runs")
    table = load(tmp_path / "runs")
    assert "scorer" not in set(table["role"])
    found = table[(table["metric"] == "gen_ppl") & (table["texts"] == "12 x 32")].set_index(["arm", "way"])
    assert found["protocol"].str.contains("stories (local folder)", regex=False).all()
    values = found["value"]
    assert values["data", ""] < values["shuffled text", ""]
    assert values["data", ""] < values["MDLM", "ancestral, 4 calls"]


def test_a_scorer_whose_weights_are_cut_off_loses_nothing_and_can_be_put_right(model, tmp_path, capsys):
    suite, runs = written(tmp_path, "{kind: huggingface, model: stories}", arms=ALONE), tmp_path / "runs"
    whole = (model / "model.safetensors").read_bytes()
    (model / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert main(["run", str(suite), "--runs", str(runs)]) == FAILED
    table = load(runs)
    states = table.groupby("stage")["status"].agg(set).to_dict()
    assert states["quality"] == {"failed"}
    assert all(states[stage] == {"done"} for stage in ("train", "bound", "samples", "trajectories"))
    reasons = table.loc[table["stage"] == "quality", "reason"]
    assert reasons.str.contains("stories").all()
    page = (runs / "reports" / "texts" / "index.html").read_text()
    assert "Incomplete" in page
    texts = {file: file.read_bytes() for file in runs.glob("cells/*/samples-*/result.json")}
    assert len(texts) == 2
    (model / "model.safetensors").write_bytes(whole)
    carry_out(suite, runs)  # other weights are another scorer
    assert {file: file.read_bytes() for file in texts} == texts
    table = load(runs)
    assert set(table["status"]) == {"done"}


def test_a_scorer_that_goes_away_after_planning_is_a_failure_with_its_reason(model, tmp_path, capsys):
    suite, runs = written(tmp_path, "{kind: huggingface, model: stories}", arms=ALONE), tmp_path / "runs"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "vocab_size": 300}))
    carry_out(suite, runs)
    table = load(runs)
    assert set(table.loc[table["stage"] == "quality", "status"]) == {"failed"}
    assert table.loc[table["stage"] == "samples", "status"].eq("done").all()
