"""The estimator of bounds: what it estimates, how well it knows its error, and that no batch size moves it."""

import math

import pytest
import torch

from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import antithetic_uniforms
from bench.engine.likelihood.metrics import bound_metrics
from bench.engine.likelihood.standard_error import ratio_estimate
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.rng import Keyed
from methods import build
from methods.discrete.d3pm import D3pmAbsorb, D3pmUniform
from methods.discrete.gidd import Gidd
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.method import Method
from methods.schedules import Cosine, Geometric, MdlmCosine, Polynomial
from tests.support.toys import TEXTS, L, V, exact_bound, model

METHODS: dict[str, Method] = {
    "mdlm": Mdlm(V),
    "mdlm told t": Mdlm(V, time=True),
    "md4": Md4(V),
    "md4 cosine": Md4(V, Cosine()),
    "md4 cubic": Md4(V, Polynomial(3.0)),
    "mask mass": Mdlm(V, zero_masking=False),
    "mask mass told t": Mdlm(V, Cosine(), zero_masking=False, time=True),
    "no carry-over": Mdlm(V, carry_over=False),
    "geometric": Mdlm(V, Geometric()),
    "signal left": Md4(V, MdlmCosine(0.05)),
    "udlm": Udlm(V),
    "udlm with signal left": Udlm(V, MdlmCosine(0.05)),
    "gidd": Gidd(V, 0.2),
    "gidd without uniform noise": Gidd(V, 0.0),
    "d3pm-absorb": D3pmAbsorb(V, steps=3),
    "d3pm-uniform": D3pmUniform(V, steps=3),
    "three steps": Mdlm(V, steps=3),
    "three steps, no carry-over": Mdlm(V, steps=3, carry_over=False),
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("text", [0, 5])
def test_i27_the_estimator_is_unbiased_for_every_method(name, text):
    """One text many times over: every document has noise of its own. Four standard errors."""
    made, x = model(METHODS[name]), TEXTS[text]
    parts = bound(made, x.repeat(1500, 1), draws=4, replicates=2, seed=1, batch_size=1500)
    each = torch.stack(list(parts.values())).sum(0).mean(1)
    with torch.no_grad():
        expected = exact_bound(made, x)
    assert abs(float(each.mean() - expected)) < 4 * float(each.std()) / math.sqrt(len(each)) + 1e-9


def test_the_ends_appear_only_where_there_are_some():
    x = TEXTS[:4]
    ends = {name: bound(model(method), x, 4, 2, 0, 4) for name, method in METHODS.items()}
    for name in ("mdlm", "md4 cosine", "mask mass", "three steps"):
        assert (ends[name]["last_guess"] == 0).all()
        assert ends[name]["prior_gap"].abs().max() < 1e-15
    assert (ends["no carry-over"]["last_guess"] > 0).all()
    expected = torch.full((4, 2), L * 0.05 * math.log(V), dtype=torch.float64)
    torch.testing.assert_close(ends["signal left"]["prior_gap"], expected)


def real_model(name: str, **options) -> Model:
    torch.manual_seed(0)
    made = Model(build(name, 5, **options), Shape(layers=2, width=16, heads=2, condition=8), 5, "sdpa").double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


@pytest.mark.parametrize("options", [{}, {"schedule": "geometric"}, {"steps": 7}], ids=repr)
def test_no_batch_size_moves_a_value(options):
    made, x = real_model("md4", **options), torch.randint(5, (13, 8), generator=torch.Generator().manual_seed(0))
    found = [bound(made, x, 4, 2, 0, batch_size) for batch_size in (1, 5, 13)]
    for other in found[1:]:
        for name in found[0]:
            torch.testing.assert_close(found[0][name], other[name], rtol=1e-12, atol=1e-12)  # sums in another order


def test_two_methods_meet_the_same_masks():
    """With equal scores mdlm and a time-free md4 give equal values, sequence by sequence."""
    x = torch.randint(5, (6, 8))
    first = bound(real_model("mdlm"), x, 4, 2, 0, 6)
    second = bound(real_model("md4", time=False), x, 4, 2, 0, 6)
    assert torch.equal(first["integral"], second["integral"])


def test_another_seed_or_replicate_is_other_noise():
    x, made = torch.randint(5, (6, 8)), real_model("mdlm")
    first, second = (bound(made, x, 4, 2, seed, 6)["integral"] for seed in (0, 1))
    assert (first != second).all()
    assert (first[:, 0] != first[:, 1]).all()


def test_an_exact_method_is_evaluated_once_and_has_no_noise():
    x = torch.randint(5, (6, 8))
    parts = bound(real_model("ar"), x, 16, 4, 0, 6)
    assert parts["integral"].shape == (6, 1)
    assert ratio_estimate(parts["integral"], torch.full((6,), 8)).monte_carlo_error == 0


def test_draws_are_antithetic_inside_their_strata():
    u = torch.stack(list(antithetic_uniforms(8, 50, Keyed(0, list(range(50)), 0))))
    assert torch.equal((u * 4).floor(), torch.arange(4.0).repeat_interleave(2)[:, None].expand(8, 50).double())
    pairs = u.view(4, 2, 50)
    middle = (torch.arange(4) + 0.5)[:, None].double() / 4
    torch.testing.assert_close(pairs.mean(1), middle.expand(4, 50))


def test_the_errors_are_those_of_repeating_the_measurement():
    """2,000 repetitions of 20 documents and 4 replicates: the mean squared error estimates the spread."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(5, 15, (2000, 20), generator=generator).double()
    truth = sizes * (2.0 + torch.randn(2000, 20, 1, generator=generator)[..., 0])
    noise = torch.randn(2000, 20, 4, generator=generator, dtype=torch.float64)
    estimates = [ratio_estimate(truth[i, :, None] + noise[i], sizes[i]) for i in range(2000)]
    values = torch.tensor([each.value for each in estimates])
    spread = float(values.std())
    claimed = math.sqrt(sum(each.standard_error**2 for each in estimates) / 2000)
    assert claimed == pytest.approx(spread, rel=0.08)  # 20 documents: the ratio estimator is low by a few percent
    again = torch.stack([estimate_of_noise(truth[0], sizes[0], seed) for seed in range(1000)])
    claimed = estimates[0].monte_carlo_error
    assert claimed == pytest.approx(float(again.std()), rel=0.35)  # 20 x 3 degrees of freedom


def estimate_of_noise(truth: torch.Tensor, sizes: torch.Tensor, seed: int) -> torch.Tensor:
    noise = torch.randn(20, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.tensor(ratio_estimate(truth[:, None] + noise, sizes).value)


def test_a_single_document_has_no_error_over_documents():
    assert math.isnan(ratio_estimate(torch.ones(1, 2), torch.ones(1)).standard_error)


def test_units_follow_from_nats():
    parts = {"integral": torch.tensor([[8.0, 8.0], [4.0, 4.0]]).double(), "last_guess": torch.zeros(2, 2).double()}
    metrics = bound_metrics(parts, length=4, sizes=[4, 8], level="char")
    assert metrics["nats_per_token"].value == pytest.approx(12 / 8)
    assert metrics["bits_per_char"].value == pytest.approx(1.5 / math.log(2))
    assert metrics["bits_per_byte"].value == pytest.approx(12 / 12 / math.log(2))
    assert metrics["perplexity"].value == pytest.approx(math.exp(1.5))
    assert metrics["perplexity"].standard_error == pytest.approx(
        math.exp(1.5) * metrics["nats_per_token"].standard_error
    )
    assert "bits_per_char" not in bound_metrics(parts, 4, [4, 8], "byte")


def test_a_value_that_is_not_finite_is_an_error_and_not_a_number():
    made = real_model("mdlm")
    with torch.no_grad():
        made.network.output.bias[0] = math.nan
    with pytest.raises(ArithmeticError, match="integral of the bound is not finite"):
        bound(made, torch.randint(5, (2, 8)), 2, 2, 0, 2)
