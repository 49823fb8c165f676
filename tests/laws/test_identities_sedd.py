"""What holds exactly for SEDD, and for the rates by which every continuous method jumps back."""

from itertools import pairwise

import pytest
import torch

from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb, SeddUniform
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.method import Method, pick
from methods.schedules import Cosine, Geometric, Linear, LinearSigma
from tests.laws.test_identities import ENTROPY, bounds
from tests.support.toys import LAW, TEXTS, V, bayes, every_latent, model, prior_law, sampler_law

ABSORB = [SeddAbsorb(V), SeddAbsorb(V, Cosine()), SeddAbsorb(V, Geometric())]
UNIFORM = [SeddUniform(V), SeddUniform(V, Linear(1e-3)), SeddUniform(V, LinearSigma())]


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Geometric()], ids=repr)
def test_i2_masked_score_entropy_is_cross_entropy_and_the_excess_of_the_total(schedule):
    x, z = torch.tensor([0, 1, 2]), torch.tensor([V, V, 2])
    t, scores = torch.tensor([0.1, 0.6, 0.4], dtype=torch.float64), random(3, V)
    sedd, md4 = SeddAbsorb(V, schedule), Md4(V, schedule)
    total = scores.exp().sum(-1) / V
    expected = md4.bound(x, z, t, md4.read(scores, z, t)) + schedule.weight(t) * (total - 1 - total.log()) * (z == V)
    torch.testing.assert_close(sedd.bound(x, z, t, sedd.read(scores, z, t)), expected, rtol=1e-12, atol=1e-14)
    normal = sedd.perfect(scores.log_softmax(-1), scores, z, t)
    found = sedd.bound(x, z, t, sedd.read(normal, z, t))
    torch.testing.assert_close(found, md4.bound(x, z, t, md4.read(scores, z, t)), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("schedule", [Linear(1e-3), LinearSigma(), Geometric()], ids=repr)
def test_i5_uniform_score_entropy_with_scores_of_a_prediction_is_udlm(schedule):
    sedd, udlm = SeddUniform(V, schedule), Udlm(V, schedule)
    x, z = torch.tensor([1, 1, 1]), torch.tensor([0, 1, 2])
    prediction = random(1, V).log_softmax(-1).expand(3, V)
    for time in (0.05, 0.5, 0.97):
        t = torch.full((3,), time, dtype=torch.float64)
        scores = sedd.perfect(prediction, prediction, z, t)
        found = sedd.bound(x, z, t, sedd.read(scores, z, t))
        torch.testing.assert_close(found, udlm.bound(x, z, t, prediction), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", UNIFORM, ids=lambda method: str(method.schedule))
def test_tweedies_step_with_scores_of_a_prediction_is_udlms_step(method):
    z, prediction = torch.arange(V), random(V, V).log_softmax(-1)
    t, s = (torch.full((V,), time, dtype=torch.float64) for time in (0.7, 0.6))
    law = method.transition(z, t, s, method.perfect(prediction, prediction, z, t)).exp()
    torch.testing.assert_close(
        law, Udlm(V, method.schedule).transition(z, t, s, prediction).exp(), rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("method", [SeddAbsorb(V), SeddUniform(V)], ids=lambda method: type(method).__name__)
def test_a_law_that_had_to_be_cut_off_sums_to_more_than_one_and_no_other_does(method):
    z = torch.tensor([V]) if isinstance(method, SeddAbsorb) else torch.tensor([0])
    t, s = (torch.tensor([time], dtype=torch.float64) for time in (0.6, 0.1))
    small, large = (torch.full((1, V), value, dtype=torch.float64) for value in (0.0, 9.0))
    large[..., 1] = -9.0
    sums = [float(method.transition(z, t, s, method.read(f, z, t)).exp().sum()) for f in (small, large)]
    assert sums[0] == pytest.approx(1, abs=1e-12)
    assert sums[1] > 1.01


@pytest.mark.parametrize("method", [*ABSORB, *UNIFORM], ids=lambda method: f"{type(method).__name__} {method.schedule}")
def test_i16_with_perfect_scores_the_bound_is_the_entropy(method):
    found = float((LAW * bounds(bayes(method))).sum())
    assert -1e-6 < found - ENTROPY < 2e-2 * (1 if float(method.prior_gap(TEXTS[:1]).sum()) > 1e-6 else 0.1)


@pytest.mark.parametrize("method", [*ABSORB, *UNIFORM], ids=lambda method: f"{type(method).__name__} {method.schedule}")
def test_no_network_claims_more_than_all_the_probability(method):
    for seed in range(3):
        assert 0 < float(torch.exp(-bounds(model(method, seed))).sum()) <= 1 + 1e-6


CONTINUOUS = [Mdlm(V), Mdlm(V, Cosine(), zero_masking=False), Gidd(V, 0.2), Udlm(V), SeddAbsorb(V), SeddUniform(V)]


@pytest.mark.parametrize("method", CONTINUOUS, ids=lambda method: type(method).__name__)
def test_rates_are_what_short_steps_do(method: Method):
    """(p(z_s | z_t) - [z_s = z_t]) / (t - s) for s just below t."""
    z = torch.arange(V + method.needs.extra_tokens)
    t = torch.full(z.shape, 0.5, dtype=torch.float64)
    prediction = method.read(random(len(z), V + method.needs.extra_scores), z, t)
    rates, step = method.rates(z, t, prediction), 1e-6
    moved = method.transition(z, t, t - step, prediction).exp()
    moved = (moved / moved.sum(-1, keepdim=True)).scatter(-1, z[:, None], 0.0) / step
    assert (pick(rates, z) == 0).all()
    assert float(rates.sum()) > 0.1
    torch.testing.assert_close(rates, moved, rtol=1e-4, atol=1e-6)


def euler_law(made, times: list[float]) -> torch.Tensor:
    """The law over noisy texts of jumping by the rates from the prior along `times` [states^2]."""
    method, z = made.method, every_latent(made.method)
    law = prior_law(method)[z].prod(-1)
    for t, s in pairwise(times):
        at_t = torch.full(z.shape, t, dtype=torch.float64)
        jumps = (t - s) * method.rates(z, at_t, method.read(made.hidden(z, at_t[:, 0]), z, at_t)).nan_to_num(0.0)
        stay = (1 - jumps.sum(-1, keepdim=True)).clamp(min=0)
        moves = jumps + torch.nn.functional.one_hot(z, jumps.shape[-1]) * stay
        moves = moves / moves.sum(-1, keepdim=True)
        law = law @ (moves[:, 0, :, None] * moves[:, 1, None, :]).flatten(1)
    return law


@pytest.mark.parametrize("method", CONTINUOUS, ids=lambda method: type(method).__name__)
def test_i19_the_rates_of_perfect_scores_lead_from_the_prior_to_the_law(method):
    made, z = bayes(method), every_latent(method)
    aim = torch.stack([method.log_noise(z, torch.full(z.shape, 0.1, dtype=torch.float64))[:, i].exp() for i in (0, 1)])
    noised = torch.einsum("na,nb,ab->n", aim[0], aim[1], LAW.view(V, V))
    gaps = []
    for calls in (100, 400):
        times = torch.linspace(1, 0.1, calls + 1, dtype=torch.float64).clamp(max=1 - 1e-6).tolist()
        gaps.append(float((euler_law(made, times) - noised).abs().sum() / 2))
    assert gaps[1] < 0.03
    assert gaps[0] / gaps[1] > 1.7  # of order 1 / calls


@pytest.mark.parametrize("method", [SeddAbsorb(V), SeddUniform(V, Linear(1e-3))], ids=lambda m: type(m).__name__)
def test_i19_many_tweedie_steps_sample_the_law(method):
    coarse, fine = (
        float((sampler_law(bayes(method), torch.linspace(1, 1e-3, n).double().tolist()) - LAW).abs().sum() / 2)
        for n in (4, 100)
    )
    assert fine < 0.2 * coarse
    assert fine < 0.02


@pytest.mark.parametrize("method", [SeddAbsorb(V), SeddUniform(V)], ids=lambda method: type(method).__name__)
def test_what_a_network_is_told_is_sigma_and_finite(method):
    t = torch.tensor([0.0, 1e-3, 0.5, 1.0], dtype=torch.float64)
    told = method.clock(t)
    assert told.isfinite().all()
    assert told[0] == told[1]  # never a time below t_min
    torch.testing.assert_close(told[2], -method.schedule.alpha(t[2]).log(), rtol=2e-3, atol=1e-5)


def test_uniform_noise_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"leaves no signal at t = 1.*eps: 0.001"):
        SeddUniform(V, Linear())
