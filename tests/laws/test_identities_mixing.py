"""What holds exactly between UDLM, GIDD, D3PM and their neighbours, counted out on texts of two tokens."""

import pytest
import torch

from methods.discrete.d3pm import D3pmAbsorb, D3pmUniform
from methods.discrete.gidd import Gidd
from methods.discrete.mixing import ContinuousMixing, excess
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Mdlm
from methods.method import pick
from methods.schedules import Cosine, Geometric, Linear, LinearSigma, MdlmCosine
from tests.laws.test_identities import ENTROPY, bounds
from tests.support.toys import LAW, TEXTS, L, Oracle, V, bayes, every_latent, model, probability, sampler_law

CONTINUOUS = [Udlm(V), Udlm(V, Cosine()), Udlm(V, MdlmCosine(0.05)), Gidd(V, 0.1), Gidd(V, 0.3, 2.0)]


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def random_prediction(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, V, generator=generator, dtype=torch.float64).log_softmax(-1)


def test_i3_gidd_without_uniform_noise_is_mdlm():
    x, z = torch.tensor([0, 1, 2]), torch.tensor([V, V, 2])
    t = torch.tensor([0.1, 0.7, 0.4], dtype=torch.float64)
    prediction = random_prediction(3)
    gidd, mdlm = (method.bound(x, z, t, prediction) for method in (Gidd(V, 0.0), Mdlm(V)))
    torch.testing.assert_close(gidd, mdlm * (z == V), rtol=1e-12, atol=1e-15)


def path_divergence(method: ContinuousMixing, x: int, z: int, t: float, prediction: torch.Tensor) -> float:
    """The bound as jump rates: sum over y of R log(R / R') - R + R', R = rate(z) q(y) / q(z), R' with the guess."""
    time = torch.tensor([t], dtype=torch.float64)
    known = torch.nn.functional.one_hot(torch.tensor([x]), V).double().log()
    q, p = method.marginal(known, time)[0], method.marginal(prediction[None], time)[0]
    rate = method.rate(torch.tensor([z]), time)[0]
    true, guessed = rate * q / q[z], rate * p / p[z]
    cost = torch.special.xlogy(true, true / guessed) - true + guessed
    cost[z] = 0.0
    return float(cost.sum())


@pytest.mark.parametrize("method", CONTINUOUS, ids=lambda method: type(method).__name__)
def test_i4_the_bound_is_the_divergence_of_jump_rates(method):
    prediction = random_prediction(1)
    for z in range(method.states):
        for t in (0.05, 0.5, 0.97):
            at = torch.tensor([1]), torch.tensor([z]), torch.tensor([t], dtype=torch.float64)
            expected = path_divergence(method, 1, z, t, prediction[0])
            assert float(method.bound(*at, prediction)) == pytest.approx(expected, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("method", CONTINUOUS, ids=lambda method: type(method).__name__)
def test_the_rate_is_that_of_its_own_mixture(method):
    """m' - alpha' / alpha m, by autograd."""
    with torch.enable_grad():
        t = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
        for z in range(method.states):
            alpha, mass = method.mix(t)[0], method.noise_at(torch.tensor([z]), t)[0]
            (slope,) = torch.autograd.grad(mass, t, retain_graph=True, allow_unused=True)
            (fall,) = torch.autograd.grad(alpha.sum(), t)
            expected = slope - fall / alpha * mass
            torch.testing.assert_close(
                method.rate(torch.tensor([z]), t).detach(), expected.detach(), rtol=1e-9, atol=1e-12
            )


@pytest.mark.parametrize("z", [0, 1])
def test_i5_udlm_has_the_form_that_its_paper_gives(z):
    """UDLM's own closed form (methods with x-bar = V alpha x + 1 - alpha)."""
    t, prediction = torch.tensor([0.35], dtype=torch.float64), random_prediction(1)
    alpha = 1 - t
    known, guess = (V * alpha * p + 1 - alpha for p in (torch.eye(V, dtype=torch.float64)[1], prediction[0].exp()))
    ratio = known / known[z]
    terms = ratio * (guess[z] * known / (guess * known[z])).log()
    expected = 1 / (V * alpha) * (-V / known[z] + V / guess[z] + terms.sum())
    found = Udlm(V).bound(torch.tensor([1]), torch.tensor([z]), t, prediction)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_i6_d3pm_absorb_costs_what_mdlm_with_mask_mass_costs():
    scores = torch.randn(3, V + 1, dtype=torch.float64)
    x, z = torch.tensor([0, 1, 2]), torch.tensor([V, V, 2])
    for step in (1, 4, 9):
        t = torch.full((3,), step / 10, dtype=torch.float64)
        mdlm, d3pm = Mdlm(V, zero_masking=False, steps=10), D3pmAbsorb(V, steps=10, hybrid=0.0)
        expected = mdlm.bound(x, z, t, mdlm.read(scores, z, t))
        torch.testing.assert_close(d3pm.bound(x, z, t, d3pm.read(scores, z, t)), expected, rtol=1e-9, atol=1e-10)


def test_the_hybrid_loss_is_no_part_of_the_bound():
    scores = torch.randn(3, V + 1, dtype=torch.float64)
    x, z, t = torch.tensor([0, 1, 2]), torch.tensor([V, V, 2]), torch.full((3,), 0.4, dtype=torch.float64)
    plain, hybrid = D3pmAbsorb(V, steps=10, hybrid=0.0), D3pmAbsorb(V, steps=10, hybrid=0.3)
    p = plain.read(scores, z, t)
    assert torch.equal(plain.bound(x, z, t, p), hybrid.bound(x, z, t, p))
    torch.testing.assert_close(hybrid.objective(x, z, t, p), plain.bound(x, z, t, p) - 0.3 * 10 * pick(p, x))
    assert hybrid.scored(z) is None
    assert plain.scored(z).tolist() == [True, True, False]


@pytest.mark.parametrize("method", [*CONTINUOUS, Udlm(V, Geometric())], ids=lambda method: type(method).__name__)
def test_i16_with_the_leave_one_out_posterior_the_bound_is_the_entropy(method):
    """Short of exact by what two tokens share at t_min, and by the signal that is left at t = 1."""
    found = float((LAW * bounds(bayes(method))).sum())
    assert -1e-7 < found - ENTROPY < 2e-2 * (1 if float(method.prior_gap(TEXTS[:1]).sum()) > 0 else 0.1)


class Wrong(Oracle):
    """An oracle that gives the full posterior where the method wants the leave-one-out one."""

    def hidden(self, z: torch.Tensor, t: torch.Tensor, guess: torch.Tensor | None = None) -> torch.Tensor:
        each = t[:, None].expand(z.shape)
        return super().hidden(z, t) + self.method.log_noise(z, each)


def test_i18_with_the_full_posterior_in_its_place_the_bound_is_far_above_the_entropy():
    made = model(Udlm(V), kind=Wrong)
    made.law = LAW
    assert float((LAW * bounds(made)).sum()) > ENTROPY + 0.3


@pytest.mark.parametrize("kind", [D3pmAbsorb, D3pmUniform])
def test_i17_with_the_true_posterior_more_steps_close_the_gap(kind):
    gaps = [float((LAW * bounds(bayes(kind(V, Linear(), steps=steps)))).sum()) - ENTROPY for steps in (20, 40, 80)]
    assert gaps[0] > gaps[1] > gaps[2] > 0
    assert gaps[1] / gaps[2] == pytest.approx(2, rel=0.25)


@pytest.mark.parametrize(
    "method", [Udlm(V), Gidd(V, 0.2), D3pmAbsorb(V, steps=100), D3pmUniform(V, steps=100)], ids=repr
)
def test_i19_with_the_true_posterior_many_steps_sample_the_law(method):
    lowest = max(method.t_min, 0.01)
    coarse, fine = (
        float(
            (sampler_law(bayes(method), torch.linspace(1, lowest, calls, dtype=torch.float64).tolist()) - LAW)
            .abs()
            .sum()
        )
        for calls in (4, 100)
    )
    assert fine < 0.2 * coarse
    assert fine < 0.02


@pytest.mark.parametrize("z", [0, 1])
def test_i26_d3pm_uniform_tends_to_udlm(z):
    x, t, prediction = torch.tensor([1]), torch.tensor([0.4], dtype=torch.float64), random_prediction(1)
    limit = Udlm(V).bound(x, torch.tensor([z]), t, prediction)
    gaps = [
        float((D3pmUniform(V, Linear(), steps=steps).bound(x, torch.tensor([z]), t, prediction) / limit - 1).abs())
        for steps in (500, 1000)
    ]
    assert gaps[1] < 5e-3
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    "method",
    [
        *CONTINUOUS,
        Gidd(V, 0.0),
        D3pmAbsorb(V, steps=3),
        D3pmUniform(V, steps=3),
        D3pmUniform(V, LinearSigma(0.5), steps=3),
    ],
    ids=lambda method: type(method).__name__,
)
def test_no_network_claims_more_than_all_the_probability(method):
    for seed in range(3):
        assert 0 < float(torch.exp(-bounds(model(method, seed))).sum()) <= 1 + 1e-9


@pytest.mark.parametrize("method", CONTINUOUS, ids=lambda method: type(method).__name__)
def test_noise_sums_to_one_and_its_steps_compose(method):
    """q(z_t | x) = sum over z_s of q(z_t | z_s) q(z_s | x)."""
    for t in (0.2, 0.9, 1.0):
        assert float(probability(method, TEXTS[1], t).sum()) == pytest.approx(1)
    known = torch.eye(V, dtype=torch.float64)[:1].log()
    s, t = (torch.tensor([time], dtype=torch.float64) for time in (0.3, 0.8))
    for z in range(method.states):
        landing = method.landing(torch.tensor([z]), t, s)
        composed = (landing * method.marginal(known, s)).sum()
        torch.testing.assert_close(composed, method.marginal(known, t)[0, z], rtol=1e-12, atol=1e-14)
    assert len(every_latent(method)) == method.states**L


def test_the_prior_gap_of_uniform_noise_is_its_divergence():
    method = Udlm(V, MdlmCosine(0.2))
    q = torch.tensor([0.2 + 0.8 / 3, 0.8 / 3, 0.8 / 3], dtype=torch.float64)
    expected = (q * (q * V).log()).sum()
    torch.testing.assert_close(method.prior_gap(TEXTS), expected.expand(len(TEXTS), L), rtol=1e-12, atol=0)


def test_the_excess_has_no_cancellation():
    d = torch.tensor([-0.5, -1e-3, -1e-9, 0.0, 1e-12, 1e-4, 9.99e-4, 1.001e-3, 3.0], dtype=torch.float64)
    exact = torch.tensor([float(excess_by_series(each)) for each in d.tolist()], dtype=torch.float64)
    torch.testing.assert_close(excess(d), exact, rtol=1e-9, atol=0)


def excess_by_series(d: float) -> float:
    """d - log(1 + d) from exact fractions where it cancels."""
    from fractions import Fraction

    if abs(d) > 0.1:
        return d - float(torch.log1p(torch.tensor(d, dtype=torch.float64)))
    exact = Fraction(d)
    return float(sum((-1) ** k * exact**k / k for k in range(2, 12)))


def test_gidd_and_udlm_stay_finite_up_to_the_end_of_time():
    for method in (Gidd(V, 0.2), Udlm(V)):
        t = torch.tensor([1e-3, 0.5, 1 - 1e-6, 1 - 1e-9, 1 - 1e-12], dtype=torch.float64)
        for z in range(method.states):
            found = method.bound(torch.ones(5).long(), torch.full((5,), z), t, random_prediction(1).expand(5, V))
            assert found.isfinite().all()
            assert (found >= 0).all()


def test_a_chain_that_does_not_end_in_masks_is_refused():
    with pytest.raises(ValueError, match="leaves signal at t = 1"):
        D3pmAbsorb(V, Geometric())
