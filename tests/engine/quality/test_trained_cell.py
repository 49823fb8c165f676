"""A trained cell as a scorer: its nats are those of the bound, and what cannot score says why."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.cli.sample import load, open_cell
from bench.engine.likelihood.bound import bound
from bench.engine.quality.scorers import ScorerError, Trained, TrainedCell
from bench.engine.quality.scorers.open_scorer import open_scorer
from bench.engine.quality.scorers.trained_cell import CellScorer
from tests.support.changed_records import rewrite
from tests.support.scoring import cell_of, copied, source, train_cells

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    return train_cells(tmp_path_factory.mktemp("runs"))


def test_a_cell_scores_what_the_bound_measures(runs):
    cell = cell_of(runs, "ar")
    scorer = CellScorer(cell, source(runs), CPU, "AR", batch=5)
    x = source(runs).sequences("test")
    model, _ = load(open_cell(cell, "cpu"))
    scored = scorer.score([""] * len(x), x)
    parts = bound(model, x, 2, 2, 0, 64)
    torch.testing.assert_close(scored.nats, sum(parts.values()).squeeze(1), rtol=1e-6, atol=1e-6)  # float32
    assert scored.tokens.tolist() == [12] * len(x)
    hidden = model.hidden(x, torch.ones(len(x), dtype=torch.float64))
    torch.testing.assert_close(scored.features, hidden[:, -1].detach(), rtol=1e-5, atol=1e-5)
    assert scorer.score([""], x[:1, :4]).nats < scored.nats[0]  # shorter texts need no window


@torch.no_grad()
def test_a_cell_reads_longer_texts_window_by_window(runs):
    cell = cell_of(runs, "ar")
    scorer, (model, _) = CellScorer(cell, source(runs), CPU, "AR"), load(open_cell(cell, "cpu"))
    model.eval()
    x = source(runs).sequences("train")[:6].view(2, 36)[:, :31]

    def nats(start: int, end: int) -> Tensor:
        part, t = x[:, start:end], torch.ones(2, dtype=torch.float64)
        return model.costs(model.method.bound, part, part, t)

    expected = nats(0, 12).sum(1) + sum(nats(start, start + 12)[:, 6:].sum(1) for start in (6, 12, 18))
    expected += nats(24, 31)[:, 6:].sum(1)
    torch.testing.assert_close(scorer.score(["", ""], x).nats, expected, rtol=1e-6, atol=1e-6)


def test_a_cell_of_another_vocabulary_is_refused(runs):
    cell = cell_of(runs, "ar")
    CellScorer(cell, source(runs, seed=1), CPU, "AR")  # other data of the same three letters will do
    told = r"another vocabulary: 3 symbols 'abc', where the suite's has 4 symbols 'abcd'; .* same data source"
    with pytest.raises(ScorerError, match=told) as caught:
        CellScorer(cell, source(runs, alphabet=4), CPU, "AR")
    assert caught.value.field == "path"


def test_a_cell_whose_data_changed_is_refused(runs, tmp_path):
    cell = copied(cell_of(runs, "ar"), tmp_path)
    job = json.loads((cell / "job.json").read_text())
    job["data"]["seed"] = 1
    rewrite(cell / "job.json", job)
    with pytest.raises(ScorerError, match="changed since cell"):
        CellScorer(cell, source(tmp_path, seed=2), CPU, "AR")


def test_cells_that_cannot_score_are_refused(runs, tmp_path):
    data = source(runs)
    with pytest.raises(ScorerError, match='of method "mdlm", whose likelihood is a bound'):
        CellScorer(cell_of(runs, "mdlm"), data, CPU, "MDLM")
    with pytest.raises(ScorerError, match="is no cell"):
        CellScorer(tmp_path, data, CPU, "AR")
    cell = copied(cell_of(runs, "ar"), tmp_path)
    weights = cell / "train" / "checkpoint.pt"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ScorerError, match="is not a whole checkpoint"):
        CellScorer(cell, data, CPU, "AR")
    weights.unlink()
    with pytest.raises(ScorerError, match="is missing"):
        CellScorer(cell, data, CPU, "AR")


def test_the_suites_own_scorer_is_a_cell_too(runs):
    cell, x = cell_of(runs, "ar"), source(runs).sequences("test")
    own = open_scorer(Trained(), runs, source(runs), CPU, steps=6, trained=cell)
    other = open_scorer(TrainedCell(path=f"cells/{cell.name}"), runs, source(runs), CPU, steps=6)
    assert own.name == "AR of this suite (6 steps, seed 1000003)"
    assert other.name in other.protocol
    assert torch.equal(own.score([""] * 16, x).nats, other.score([""] * 16, x).nats)
