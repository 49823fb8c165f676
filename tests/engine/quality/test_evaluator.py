"""Texts beside held-out text, by a made-up scorer: what is handed to which metric, and what the protocol says."""

import math

import pytest
import torch
from pydantic import TypeAdapter

from bench.engine.data import DataSpec, load
from bench.engine.likelihood.standard_error import Estimate
from bench.engine.quality import QualitySpec, controls
from bench.engine.quality import evaluator as module
from bench.engine.quality.controls import CONTROLS
from bench.engine.quality.evaluator import HELD_OUT, SHOWN, QualityEvaluator
from bench.engine.quality.scorers.scorer import TextScores

SOURCE = {"source": "markov", "length": 16, "alphabet": 4, "train": 300, "valid": 120, "test": 110}


class MadeUp:
    """Finds the letter a twice as likely as its place in the alphabet deserves, and a text's features are its ids."""

    name, protocol = "made up", "every letter counted"

    def score(self, texts, ids):
        assert [len(text) for text in texts] == [ids.shape[1]] * len(ids)
        nats = torch.tensor(
            [sum(math.log(2 + "abcd".index(letter)) for letter in text) for text in texts], dtype=torch.float64
        )
        return TextScores(nats, torch.full((len(ids),), ids.shape[1]), ids.float())


@pytest.fixture
def data(tmp_path):
    return load(TypeAdapter(DataSpec).validate_python(SOURCE), tmp_path, tmp_path)


def test_perplexity_is_of_the_texts_and_mauve_of_the_texts_beside_as_many_held_out(data, monkeypatch):
    seen = []
    monkeypatch.setattr(module, "mauve", lambda *given: seen.append(given) or Estimate(0.5, 0.1, 0.1, 40))
    spec = QualitySpec.model_validate({"mauve": True, "seed": 7, "scorer": {"kind": "trained"}})
    ids = data.sequences("test")[:40]
    metrics = QualityEvaluator(spec, data, MadeUp()).evaluate(ids)
    ((features, real, seed),) = seen
    assert torch.equal(features, ids.float())
    assert torch.equal(real, data.sequences("valid")[:40].float())
    assert seed == 7
    nats = torch.log(2.0 + ids.double())
    measures = metrics.measures
    assert measures["gen_ppl"].value == pytest.approx(float(nats.mean().exp()), rel=1e-9)
    assert measures["gen_ppl_mean"].value == pytest.approx(float(nats.mean(1).exp().mean()), rel=1e-9)
    assert measures["mauve"].value == 0.5
    assert measures["sample_nats_per_token"].value == pytest.approx(float(data.exact_nats(ids).mean() / 16))
    for words in ("40 texts of 16 tokens", "divergence from 120 sequences of valid", "under made up: every letter",
                  "features of made up beside 40 sequences of valid", "copied: 16 tokens in a row"):  # fmt: skip
        assert words in metrics.protocol


def test_without_a_scorer_nothing_is_said_of_one(data):
    metrics = QualityEvaluator(QualitySpec(reference="test"), data, None).evaluate(data.sequences("valid"))
    assert not {"gen_ppl", "gen_ppl_mean", "mauve"} & metrics.measures.keys()
    assert "perplexity" not in metrics.protocol
    assert "divergence from 110 sequences of test" in metrics.protocol


def test_controls_are_measured_as_texts_are_and_keep_their_first_texts(data):
    evaluator = QualityEvaluator(QualitySpec(), data, MadeUp())
    results = evaluator.evaluate_controls(50, 16)
    texts = controls(data, QualitySpec(), 50, 16)
    assert tuple(results) == CONTROLS
    for name, result in results.items():
        assert result.texts == [data.decode(row) for row in texts[name][:SHOWN]]
        assert result.measures == evaluator.evaluate(texts[name]).measures
    assert results["copied text"].measures["copied"].value == 1


def test_no_more_held_out_text_is_read_than_said(tmp_path):
    source = SOURCE | {"length": 4, "valid": HELD_OUT + 9}
    data = load(TypeAdapter(DataSpec).validate_python(source), tmp_path, tmp_path)
    evaluator = QualityEvaluator(QualitySpec(copied=2), data, None)
    assert len(evaluator.held_out) == HELD_OUT
    assert f"divergence from {HELD_OUT} sequences" in evaluator.protocol(data.sequences("test"))


def test_the_work_ends_between_batches_when_it_is_asked_to(data):
    class Asked(Exception):
        pass

    def asked():
        raise Asked

    with pytest.raises(Asked):
        QualityEvaluator(QualitySpec(), data, MadeUp(), asked).evaluate(data.sequences("test"))
