"""Laws of methods that know positions, on texts of which everything can be counted."""

import math

import pytest
import torch
from torch import Tensor

from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import Counted, Stratified, estimator_for
from bench.engine.model.method_with_network import Model
from methods.masked.absorbing import Mdlm
from methods.method import Method
from tests.support.positioned import Ordered, Sharpened, Staggered
from tests.support.toys import LAW, TEXTS, V, bayes, densities, exact_bound, last_guess, model, quadrature, sampler_law

ENTROPY = float(-(LAW * LAW.log()).sum())


def bound_in_windows(made: Model, x: Tensor) -> Tensor:
    """The bound of one text by quadrature over each half of time, since the integrand of an order jumps between."""
    total = last_guess(made, x, made.method.t_min)
    for low, high in ((made.method.t_min, 0.5), (0.5, 1.0)):
        times, weights = quadrature(low, high)
        total = total + weights @ densities(made, x, times)
    return total


@pytest.mark.parametrize("method", [Staggered(V), Staggered(V, spread=3.0), Ordered(V), Sharpened(V)], ids=repr)
def test_the_bound_of_perfect_knowledge_is_the_entropy(method):
    """Both ends give away less than 1e-5 nats: both tokens are masked at t_min with a probability below 1e-5."""
    with torch.no_grad():
        mean = sum(p * float(bound_in_windows(bayes(method), x)) for p, x in zip(LAW.tolist(), TEXTS, strict=True))
    assert mean == pytest.approx(ENTROPY, abs=2e-5)


@pytest.mark.parametrize("method", [Staggered(V, spread=3.0), Ordered(V)], ids=repr)
def test_samples_of_perfect_knowledge_approach_the_law(method):
    few, many = (float((sampler_law(bayes(method), grid(steps)) - LAW).abs().sum()) / 2 for steps in (15, 240))
    assert many < max(1e-5, few / 8)  # an order errs in a step that reaches over two windows alone


def grid(steps: int) -> list[float]:
    return torch.linspace(1, 1e-9, steps, dtype=torch.float64).tolist()


def test_an_order_writes_each_position_given_those_before_it():
    """In as many steps as there are positions, samples follow the law exactly."""
    torch.testing.assert_close(sampler_law(bayes(Ordered(V)), [1.0, 0.5, 0.0]), LAW, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "kind"), [(Staggered(V, spread=2.0), Stratified), (Sharpened(V), Counted)], ids=["by times", "counted"]
)
def test_the_estimator_is_unbiased(method: Method, kind: type):
    """One text many times over, each with noise of its own. Four standard errors."""
    assert type(estimator_for(method)) is kind
    made, x = model(method), TEXTS[5]
    parts = bound(made, x.repeat(1500, 1), draws=4, replicates=2, seed=1, batch_size=1500)
    nats = torch.stack(list(parts.values())).sum(0).mean(1)
    with torch.no_grad():
        expected = exact_bound(made, x)
    assert abs(float(nats.mean() - expected)) < 4 * float(nats.std()) / math.sqrt(len(nats))


def test_without_a_spread_a_schedule_by_position_is_the_one_schedule_of_all():
    x = TEXTS[:6]
    both = [bound(model(method), x, 8, 2, 0, 6, estimator="times") for method in (Staggered(V, spread=0.0), Mdlm(V))]
    for name, nats in both[0].items():
        torch.testing.assert_close(nats, both[1][name], rtol=1e-12, atol=1e-12)
