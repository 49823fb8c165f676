"""The probe of the real evaluation: the bound of a document is that of the document alone."""

import json
from pathlib import Path

import pytest
import torch

from bench.cli.main import main
from bench.engine import storage
from bench.engine.likelihood.batch_probe import (
    EVALUATIONS_PER_DOCUMENT,
    FEWEST,
    MOST,
    TOLERANCES,
    BatchDependence,
    choose_documents,
    probe_batches,
)
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.text_scores import score_texts
from bench.engine.measurements import BatchProbe
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.records import BoundResult
from bench.launch.exit_codes import FAILED
from methods import METHODS, PLUGINS, build
from methods.autoregressive import Autoregressive
from methods.masked.absorbing import Mdlm
from methods.method import Method
from tests.conftest import TINY

V, LENGTH, DOCUMENTS, BATCH = 5, 8, 64, 24


class Mixing(Mdlm):
    """Moves every prediction a little towards the mean over all positions that are packed together."""

    def read(self, scores, z, t):
        law = 0.98 * scores.softmax(-1) + 0.02 * scores.softmax(-1).mean(0, keepdim=True)
        return super().read(law.log(), z, t)


class Discounting(Mdlm):
    """Forgets a twentieth of the cost where many positions are packed together."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * (0.95 if len(x) > 2 * LENGTH else 1.0)


class Remembering(Autoregressive):
    """Claims to know a little more with every call."""

    calls = 0

    def bound(self, x, z, t, prediction):
        self.calls += 1
        return super().bound(x, z, t, prediction) * 0.999**self.calls


class GeneralPrior(Mdlm):
    """Pays for what is left at t = 1 only in a batch of one."""

    def prior_gap(self, x):
        return super().prior_gap(x) + float(len(x) == 1)


def model_of(method: Method, precision: str = "float32") -> Model:
    torch.manual_seed(0)
    kind = "bfloat16" if precision == "bfloat16" else "float32"
    model = Model(method, Shape(layers=2, width=32, heads=2, condition=8, gates="open"), V, "sdpa", kind)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.double() if precision == "float64" else model


def probe(method: Method, precision: str = "float32", batch_size: int = BATCH, estimator: str = "auto") -> BatchProbe:
    x = torch.randint(V, (DOCUMENTS, LENGTH), generator=torch.Generator().manual_seed(0))
    model = model_of(method, precision)
    parts = bound(model, x, 4, 4, 3, batch_size, estimator=estimator)
    return probe_batches(model, x, parts, 4, 3, batch_size, estimator)


@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("name", METHODS)
def test_right_methods_stay_far_below_the_tolerance_of_their_precision(name, precision):
    found = probe(build(name, V), precision)
    assert found.documents == (32,)
    assert found.largest_difference < found.tolerance / 10
    assert found.tolerance == TOLERANCES[precision]


@pytest.mark.parametrize("estimator", ["auto", "times", "independent"])
def test_a_document_alone_meets_the_noise_that_it_met_in_its_batch(estimator):
    assert probe(build("mdlm", V), "float64", estimator=estimator).largest_difference < 1e-13


@pytest.mark.parametrize(
    ("kind", "part"),
    [(Mixing, "integral"), (Discounting, "integral"), (Remembering, "integral"), (GeneralPrior, "prior_gap")],
)
def test_a_method_whose_bound_depends_on_the_batch_is_told_apart(kind, part):
    message = (
        rf"the bound of a document depends on the batch that it is evaluated in: the {part} of document 32 by "
        rf"{kind.__name__} is [\d.]+ nats in a batch of 24 and [\d.]+ nats alone "
        r"\(float32 explains 1e-04 of \de[-+]\d\d\); a verb mixes documents"
    )
    with pytest.raises(BatchDependence, match=message):
        probe(kind(V))


def test_a_value_that_is_lost_alone_is_no_equality():
    class Silent(Mdlm):
        def prior_gap(self, x):
            return super().prior_gap(x) + (float("nan") if len(x) == 1 else 0.0)

    with pytest.raises(ArithmeticError, match="prior_gap of the bound is not finite: Silent gives 1 of 1 values"):
        probe(Silent(V))


def test_documents_are_chosen_by_what_they_cost():
    assert choose_documents(FEWEST // 2 - 1, 2) == ()
    assert choose_documents(FEWEST // 2, 2) == (FEWEST // 4,)
    assert choose_documents(EVALUATIONS_PER_DOCUMENT, 2) == (64, 192)
    assert len(choose_documents(10**6, 2)) == MOST
    for count in (1, 3, 100, 5000):
        for replicates in (1, 2, 64):
            documents = choose_documents(count, replicates)
            assert len(documents) * FEWEST <= count * replicates
            assert all(0 <= document < count for document in documents)


def test_scores_of_many_texts_are_probed_too():
    texts = [torch.arange(LENGTH) % V for _ in range(FEWEST)]
    spec = BoundSpec(draws=2)
    score_texts(model_of(build("mdlm", V)), texts, [LENGTH] * FEWEST, LENGTH, spec, BATCH)
    with pytest.raises(BatchDependence):
        score_texts(model_of(Mixing(V)), texts, [LENGTH] * FEWEST, LENGTH, spec, BATCH)


PLUGIN = """\
from methods.absorbing import Mdlm


class Averaging(Mdlm):
    \"""Averages its bound over the batch.\"""

    neighbours = ()

    def bound(self, x, z, t, prediction):
        nats = super().bound(x, z, t, prediction)
        return nats.mean().expand_as(nats)


METHODS = {"averaging": Averaging}
"""


@pytest.fixture
def registry():
    """Whatever a test registers is forgotten after it."""
    before = dict(METHODS), dict(PLUGINS)
    yield
    for store, content in zip((METHODS, PLUGINS), before, strict=True):
        store.clear()
        store.update(content)


def test_a_cell_whose_bound_depends_on_the_batch_fails_with_its_reason(tmp_path: Path, registry, capsys):
    (tmp_path / "plugin.py").write_text(PLUGIN)
    suite = tmp_path / "tiny.yaml"
    suite.write_text(TINY.replace("{label: AR, method: ar}", "{label: WRONG, method: averaging}"))
    arguments = [str(suite), "--runs", str(tmp_path / "runs"), "--plugin", str(tmp_path / "plugin.py")]
    assert main(["run", *arguments]) == FAILED
    assert "mixes documents" in capsys.readouterr().out  # the report gives the reason

    (failure,) = (tmp_path / "runs" / "cells").glob("*/bound-*/failure.json")
    reason = json.loads(failure.read_text())["reason"]
    assert reason.startswith("BatchDependence: the bound of a document depends on the batch")
    assert "the integral of document 8 by Averaging is" in reason

    (finished,) = (tmp_path / "runs" / "cells").glob("*/bound-*/result.json")  # of the other arm
    result = storage.read_result(finished.parent.parent, finished.parent.name)
    assert isinstance(result, BoundResult)
    assert result.batch_probe is not None
    assert result.batch_probe.documents == (8,)
