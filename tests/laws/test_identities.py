"""What holds exactly between methods, schedules and likelihoods, counted out on texts of two tokens."""

from itertools import combinations, pairwise, permutations

import numpy as np
import pytest
import torch

from bench.engine.model.method_with_network import Model
from methods.masked.absorbing import Md4, Mdlm
from methods.schedules import SCHEDULES, Cosine, Geometric, Linear, LinearSigma, MdlmCosine, Polynomial
from tests.support.toys import (
    LAW,
    TEXTS,
    L,
    V,
    bayes,
    density,
    every_latent,
    exact_bound,
    integral,
    last_guess,
    model,
    probability,
    sampler_law,
)

BOTH_ENDS = [Linear(), Cosine(), Polynomial(3.0)]
ENTROPY = float(-(LAW * LAW.log()).sum())
EVERY_OPTION = [
    {"carry_over": carry_over, "zero_masking": zero_masking, "steps": steps, "schedule": schedule}
    for carry_over in (True, False)
    for zero_masking in (True, False)
    for steps in (None, 3)
    for schedule in (Linear(), Cosine(), LinearSigma(0.5), MdlmCosine(0.05))
]


@pytest.fixture(autouse=True)
def in_float64_without_gradients():
    with torch.no_grad():
        yield


def bounds(made: Model) -> torch.Tensor:
    return torch.stack([exact_bound(made, x) for x in TEXTS])


def masked_cost(made: Model, x: torch.Tensor, hidden: tuple[int, ...], time: float = 0.5) -> torch.Tensor:
    """The cross-entropy of the hidden positions, nats."""
    z = x.clone()
    z[list(hidden)] = V
    scores = made.network(z[None], torch.tensor([time], dtype=torch.float64) if made.method.needs.time else None)[0]
    return -sum(scores.log_softmax(-1)[i, x[i]] for i in hidden)


@pytest.mark.parametrize("name", SCHEDULES)
def test_i1_mdlm_and_md4_have_the_same_bound_and_visible_tokens_cost_nothing(name):
    mdlm, md4 = Mdlm(5, SCHEDULES[name]()), Md4(5, SCHEDULES[name]())
    x, scores = torch.randint(5, (4, 7)), torch.randn(4, 7, 5, dtype=torch.float64)
    t = torch.rand(4, 1, dtype=torch.float64).expand(4, 7)
    z = torch.where(torch.rand(4, 7) < 0.5, 5, x)
    found = [method.bound(x, z, t, method.read(scores, z, t)) for method in (mdlm, md4)]
    assert torch.equal(found[0], found[1])
    assert (found[0][z != 5] == 0).all()
    assert (found[0][z == 5] > 0).all()


@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_i6_without_mask_mass_every_number_of_steps_costs_cross_entropy_over_t(steps):
    x, z = torch.tensor([0, 1, 2]), torch.tensor([V, V, 2])
    prediction = torch.randn(3, V, dtype=torch.float64).log_softmax(-1)
    method = Mdlm(V, steps=steps)
    for i in {1, (steps + 1) // 2, steps}:
        t = torch.full((3,), i / steps, dtype=torch.float64)
        expected = torch.where(z == V, -prediction.gather(-1, x[:, None]).squeeze(-1) / t, 0.0)
        torch.testing.assert_close(method.bound(x, z, t, prediction), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), LinearSigma()], ids=repr)
def test_i6_with_mask_mass_more_steps_tend_to_the_continuous_cost(schedule):
    x, z = torch.tensor([0]), torch.tensor([V])
    prediction = torch.tensor([[0.4, 0.1, -0.2, 0.7]], dtype=torch.float64).log_softmax(-1)
    t = torch.tensor([0.5], dtype=torch.float64)
    limit = Mdlm(V, schedule, zero_masking=False).bound(x, z, t, prediction)
    gaps = [
        float((Mdlm(V, schedule, zero_masking=False, steps=steps).bound(x, z, t, prediction) - limit).abs())
        for steps in (100, 200, 400)
    ]
    assert gaps[0] < 0.05 * float(limit)
    for coarse, fine in pairwise(gaps):
        assert coarse / fine == pytest.approx(2, rel=0.05)  # error of order 1 / steps


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Polynomial(2.0), Geometric()], ids=repr)
def test_i7_the_discrete_weight_tends_to_the_continuous_one(schedule):
    t, gaps = torch.tensor(0.6, dtype=torch.float64), []
    for steps in (1000, 2000):
        alpha_t, alpha_s = schedule.alpha(t), schedule.alpha(t - 1 / steps)
        gaps.append(float((steps * (alpha_s - alpha_t) / (1 - alpha_t) / schedule.weight(t) - 1).abs()))
    if schedule == Linear():
        assert max(gaps) < 1e-12
    else:
        assert gaps[0] < 0.05
        assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.05)


def test_i10_the_bound_of_a_time_free_network_does_not_depend_on_the_schedule():
    found = torch.stack([bounds(model(Mdlm(V, schedule))) for schedule in BOTH_ENDS])
    torch.testing.assert_close(found[0].expand_as(found), found, rtol=1e-9, atol=1e-9)


def test_i10_a_schedule_that_stops_short_differs_by_its_ends_alone():
    whole, short = bounds(model(Mdlm(V))), bounds(model(Mdlm(V, Geometric())))
    assert 0 < float((whole - short).abs().max()) < 1e-3


def test_i11_a_network_that_is_told_alpha_is_invariant_and_one_that_is_told_t_is_not():
    plain, cubic, x = model(Md4(V)), model(Md4(V, Polynomial(3.0))), TEXTS[3]
    told_t = [integral(lambda t, made=made: density(made, x, t), 0.0, 1.0) for made in (plain, cubic)]
    told_alpha = [
        integral(lambda t, made=made, power=power: density(made, x, t, clock=t**power), 0.0, 1.0)
        for made, power in ((plain, 1), (cubic, 3))
    ]
    assert abs(told_alpha[0] - told_alpha[1]) < 1e-6  # of the quadrature
    assert abs(told_t[0] - told_t[1]) > 1e-3


def test_i12_the_bound_is_the_mean_over_all_orders_of_revealing():
    made = model(Mdlm(V))
    for x in TEXTS:
        by_count = sum(
            torch.stack([masked_cost(made, x, hidden) / k for hidden in combinations(range(L), k)]).mean()
            for k in range(1, L + 1)
        )
        by_order = torch.stack([order_cost(made, x, order) for order in permutations(range(L))]).mean()
        torch.testing.assert_close(by_count, exact_bound(made, x), rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(by_order, exact_bound(made, x), rtol=1e-8, atol=1e-8)


def order_cost(made: Model, x: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """-log of the probability of writing x one token after the other in that order."""
    total = torch.zeros((), dtype=torch.float64)
    for done in range(L):
        hidden = tuple(sorted(order[done:]))
        z = x.clone()
        z[list(hidden)] = V
        total = total - made.network(z[None], None)[0].log_softmax(-1)[order[done], x[order[done]]]
    return total


def test_i13_a_network_that_is_told_t_needs_the_beta_law_of_alpha():
    """k masked, 1 - alpha ~ Beta(k, L - k + 1): by quadrature over its density."""
    made, x = model(Md4(V)), TEXTS[5]
    points, weights = np.polynomial.legendre.leggauss(60)
    total = torch.zeros((), dtype=torch.float64)
    for u, w in zip((points + 1) / 2, weights / 2, strict=True):
        for k in range(1, L + 1):
            law = {1: 2 * (1 - u), 2: 2 * u}[k]  # of 1 - alpha = t, for L = 2
            hidden = [masked_cost(made, x, subset, max(float(u), 1e-3)) / k for subset in combinations(range(L), k)]
            total = total + float(w * law) * torch.stack(hidden).mean()
    torch.testing.assert_close(total, exact_bound(made, x), rtol=1e-5, atol=1e-6)  # the clock's kink at t_min
    constant = sum(
        torch.stack([masked_cost(made, x, subset, 0.5) / k for subset in combinations(range(L), k)]).mean()
        for k in range(1, L + 1)
    )
    assert abs(constant - exact_bound(made, x)) > 1e-3  # any fixed time would be another network


def test_i14_the_bound_is_above_the_likelihood_of_the_sampler_by_jensen_over_orders():
    made = model(Mdlm(V))
    gaps = []
    for x in TEXTS:
        costs = torch.stack([order_cost(made, x, order) for order in permutations(range(L))])
        likelihood = -(costs.neg().logsumexp(0) - np.log(len(costs)))
        gaps.append(float(exact_bound(made, x) - likelihood))
    assert min(gaps) > -1e-9
    assert max(gaps) > 0.01


@pytest.mark.parametrize("options", [o for o in EVERY_OPTION if o["steps"]], ids=repr)
def test_i15_in_discrete_time_the_bound_is_above_the_likelihood_of_the_very_sampler(options):
    made = model(Mdlm(V, **options))
    law = sampler_law(made, [1.0, 2 / 3, 1 / 3])
    assert float(law.sum()) == pytest.approx(1)
    assert float((bounds(made) + law.log()).min()) > -1e-12


@pytest.mark.parametrize("zero_masking", [True, False])
@pytest.mark.parametrize("schedule", [Linear(), MdlmCosine(0.05)], ids=repr)
def test_the_cost_of_a_step_is_the_divergence_of_its_transition(schedule, zero_masking):
    method = Mdlm(V, schedule, zero_masking=zero_masking, steps=4)
    x, z = torch.tensor([0, 1, 2, 2]), torch.tensor([V, V, V, 2])
    scores = torch.randn(4, V + method.needs.extra_scores, dtype=torch.float64)
    for i in (2, 3, 4):
        t, s = (torch.full((4,), j / 4, dtype=torch.float64) for j in (i, i - 1))
        prediction = method.read(scores, z, t)
        known = torch.nn.functional.one_hot(x, prediction.shape[-1]).double().log()
        q, p = (method.transition(z, t, s, guess).exp() for guess in (known, prediction))
        expected = 4 * torch.special.xlogy(q, q / p).nan_to_num(0.0).sum(-1)
        torch.testing.assert_close(method.bound(x, z, t, prediction), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("zero_masking", [True, False])
def test_i15_one_step_leaves_no_gap(zero_masking):
    made = model(Mdlm(V, steps=1, zero_masking=zero_masking))
    lost = torch.zeros(len(TEXTS)) if zero_masking else lost_to_the_mask(made)
    torch.testing.assert_close(bounds(made), lost - sampler_law(made, [1.0]).log(), rtol=1e-12, atol=1e-12)


def lost_to_the_mask(made: Model) -> torch.Tensor:
    """What the bound charges for mass on the mask, which the sampler's last guess gives back, nats [9]."""
    masks = torch.full((1, L), V)
    kept = 1 - made.network(masks, None)[0].softmax(-1)[:, V]
    return (-kept.log().sum()).expand(len(TEXTS))


@pytest.mark.parametrize("schedule", BOTH_ENDS, ids=repr)
@pytest.mark.parametrize("kind", [Mdlm, Md4])
def test_i16_with_the_true_posterior_the_bound_is_the_likelihood_of_every_text(kind, schedule):
    torch.testing.assert_close(bounds(bayes(kind(V, schedule))), -LAW.log(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", [Geometric(), MdlmCosine(1e-3), LinearSigma()], ids=repr)
def test_i16_where_a_schedule_stops_short_its_ends_keep_the_bound_above_the_entropy(schedule):
    found = float((LAW * bounds(bayes(Mdlm(V, schedule)))).sum())
    assert -1e-9 < found - ENTROPY < 0.02


@pytest.mark.parametrize("schedule", [LinearSigma(), LinearSigma(0.5), Geometric()], ids=repr)
def test_i17_in_discrete_time_a_schedule_that_never_shows_all_has_no_free_guess(schedule):
    """What is still masked after the first step back is guessed, and paid for, in that step."""
    for steps in (1, 3, 1000):
        assert float((LAW * bounds(bayes(Mdlm(V, schedule, steps=steps)))).sum()) > ENTROPY - 1e-9


def test_i17_with_the_true_posterior_more_steps_close_the_gap_as_one_over_steps():
    gaps = [float((LAW * bounds(bayes(Mdlm(V, steps=steps)))).sum()) - ENTROPY for steps in (10, 20, 40)]
    assert gaps[0] > 0
    for coarse, fine in pairwise(gaps):
        assert coarse / fine == pytest.approx(2, rel=0.1)


def test_i17_with_the_true_posterior_many_steps_sample_the_law():
    distances = []
    for calls in (5, 50):
        times = torch.linspace(1, 1e-3, calls).tolist()
        distances.append(float((sampler_law(bayes(Mdlm(V)), times) - LAW).abs().sum() / 2))
    assert distances[0] > 0.02
    assert distances[0] / distances[1] == pytest.approx(10, rel=0.25)  # error of order 1 / calls


def test_i27_drawing_t_from_an_interval_is_off_as_the_formula_says():
    """MDLM's convention: t in [e, 1], alpha = 1 - (1 - e) t, the mean and not the integral (methods of its code)."""
    made, x, e = model(Mdlm(V)), TEXTS[4], 1e-2
    curve = [float(masked_cost(made, x, subset)) for subset in ((0,), (1,), (0, 1))]

    def cost(u: float) -> float:  # mean cross-entropy per masked token at mask rate u, times the number of tokens
        return (curve[0] + curve[1]) * (1 - u) + curve[2] * u

    theirs = integral(lambda t: density(made, x, t) * 1.0, e * (1 - e), 1 - e) / (1 - e)
    whole = exact_bound(made, x)
    expected = (float(whole) - first(cost, e * (1 - e)) - first(lambda u: cost(1 - u), e)) / (1 - e)
    assert float(theirs) == pytest.approx(expected, rel=1e-9)
    assert abs(float(theirs) - float(whole)) > 1e-4


def first(f, width: float) -> float:
    """The integral of a straight line from 0 to `width`."""
    return width * (f(0.0) + f(width)) / 2


@pytest.mark.parametrize("options", EVERY_OPTION, ids=repr)
def test_no_network_claims_more_than_all_the_probability(options):
    for seed in range(3):
        claimed = float(torch.exp(-bounds(model(Mdlm(V, **options), seed))).sum())
        assert 0 < claimed <= 1 + 1e-9


def test_missing_carry_over_costs_what_has_to_be_copied():
    full, copying = model(Mdlm(V)), model(Mdlm(V, carry_over=False))
    x = TEXTS[1]
    t_min = copying.method.t_min
    extra = exact_bound(copying, x) - exact_bound(full, x)
    lost = integral(lambda t: density(full, x, t), 0.0, t_min)
    torch.testing.assert_close(extra, last_guess(copying, x, t_min) - lost, rtol=1e-6, atol=1e-8)
    assert float(extra) > 0.1


@pytest.mark.parametrize("schedule", [MdlmCosine(0.05), LinearSigma()], ids=repr)
def test_the_prior_gap_is_the_divergence_from_the_prior(schedule):
    method = Mdlm(V, schedule)
    alpha = float(schedule.alpha(torch.ones((), dtype=torch.float64)))
    noised = torch.tensor([alpha, 0, 0, 1 - alpha], dtype=torch.float64)
    prior = torch.tensor([alpha / V, alpha / V, alpha / V, 1 - alpha], dtype=torch.float64)
    expected = torch.special.xlogy(noised, noised / prior).sum()
    torch.testing.assert_close(method.prior_gap(TEXTS), expected.expand(len(TEXTS), L), rtol=1e-12, atol=0)


@pytest.mark.parametrize("t", [0.2, 0.9])
def test_the_probabilities_of_noise_sum_to_one(t):
    method = Mdlm(V, Cosine())
    for x in TEXTS[:3]:
        assert float(probability(method, x, t).sum()) == pytest.approx(1)
    assert len(every_latent(method)) == (V + 1) ** L
