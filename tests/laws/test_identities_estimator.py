"""The estimator of bounds against the same bounds without sampling, and its errors against brute force.

Tolerances are four standard errors of the mean over documents, where nothing else is said.
"""

import pytest
import torch

import bench.engine.model.method_with_network
from bench.engine.likelihood.bound import Parts, bound
from bench.engine.likelihood.standard_error import ratio_estimate
from bench.engine.model.method_with_network import Model
from bench.engine.rng import Keyed
from methods.masked.absorbing import Md4, Mdlm
from methods.method import Method, pick
from methods.schedules import SCHEDULES, Cosine, Geometric, Linear, LinearSigma, MdlmCosine, Polynomial
from tests.methods.test_schedules import Shifted
from tests.support.toys import LAW, TEXTS, L, V, bayes, density, every_latent, exact_bound, integral, last_guess, model

COPIES = 500  # documents of each text

ARMS = {
    "neither": Mdlm(V, MdlmCosine(0.05), carry_over=False, zero_masking=False),
    "neither, 3 steps": Mdlm(V, steps=3, carry_over=False, zero_masking=False),
    "both ends short": Mdlm(V, LinearSigma(0.2, 1.5)),
    "both ends short, told t": Md4(V, Geometric(0.1, 2.0)),
    "1 step": Mdlm(V, steps=1),
    "4 steps, told t": Md4(V, Cosine(), steps=4),
}


@pytest.fixture(autouse=True)
def in_float64_without_gradients():
    with torch.no_grad():
        yield


def total(parts: Parts) -> torch.Tensor:
    return torch.stack(list(parts.values())).sum(0)


def assert_unbiased(found: torch.Tensor, exact: torch.Tensor) -> None:
    """`found` [COPIES, texts] has the mean `exact` [texts]; 1e-5 allows for the quadrature of the exact value."""
    error = found.std(0) / len(found) ** 0.5
    assert float(((found.mean(0) - exact).abs() - 4 * error).max()) < 1e-5


def drawn(made: Model, draws: int = 4, copies: int = COPIES, seed: int = 0) -> Parts:
    """The parts of the bound by document, each of shape [copies, texts], replicates averaged."""
    parts = bound(made, TEXTS.repeat(copies, 1), draws, 2, seed, batch_size=3000)
    return {name: part.mean(1).view(copies, len(TEXTS)) for name, part in parts.items()}


def bounds(made: Model) -> torch.Tensor:
    return torch.stack([exact_bound(made, x) for x in TEXTS])


@pytest.mark.parametrize("arm", ARMS)
def test_the_estimate_is_unbiased_for_every_text(arm):
    made = model(ARMS[arm])
    assert_unbiased(total(drawn(made)), bounds(made))


@pytest.mark.parametrize("options", [{"carry_over": False}, {"schedule": LinearSigma(0.2, 1.5)}], ids=repr)
def test_i27_where_t_is_drawn_the_interval_and_its_left_end_are_both_paid(options):
    made = model(Mdlm(V, **options))
    made.method.t_min = 0.3  # so late that a forgotten factor 1 - t_min is far outside the error
    parts = drawn(made)
    assert_unbiased(total(parts), bounds(made))
    assert_unbiased(parts["last_guess"], torch.stack([last_guess(made, x, 0.3) for x in TEXTS]))
    assert torch.equal(parts["prior_gap"][0], made.method.prior_gap(TEXTS).sum(-1))


def test_i27_counting_and_drawing_t_agree_up_to_the_total_correlation_at_t_min():
    """The same network with and without exact counting: the second bound pays for guessing the last tokens at once."""
    counted, timed = model(Mdlm(V)), model(Mdlm(V))
    timed.method.masking = None
    both = [drawn(made) for made in (counted, timed)]
    assert (both[0]["last_guess"] == 0).all()
    assert (both[0]["prior_gap"] == 0).all()
    assert (both[1]["last_guess"] > 0).any()
    assert_unbiased(total(both[1]), bounds(timed))
    torch.testing.assert_close(bounds(timed), bounds(counted), rtol=1e-5, atol=0)  # of order t_min^2


def test_i27_md4s_shift_is_off_as_the_formula_says():
    """F - e (c(0) + c(1)) + e L log V, with c the cross-entropy at mask rate u and F its integral, up to order e^2."""
    e = 1e-4
    schedule = Shifted(Linear(), e)
    made, whole = model(Md4(V, schedule, time=False)), model(Md4(V, time=False))
    for x in TEXTS:
        all_masked = density(whole, x, 1.0)
        one_masked = density(whole, x, 1e-9)
        theirs = integral(lambda t, x=x: density(made, x, t), 0.0, 1.0) + L * e * torch.tensor(V).double().log()
        formula = exact_bound(whole, x) - e * (one_masked + all_masked) + e * L * torch.tensor(V).double().log()
        assert float((theirs - formula).abs()) < 100 * e**2


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [None, 1, 3, 10])
@pytest.mark.parametrize("zero_masking", [True, False])
def test_a_network_that_knows_nothing_pays_log_v_for_every_token(name, steps, zero_masking):
    """Its sampler writes every text with probability V^-L and its bound has no slack: all ends have to be paid."""
    made = model(Mdlm(V, SCHEDULES[name](), steps=steps, zero_masking=zero_masking))
    made.network.table.zero_()
    if not zero_masking:
        made.network.table[..., V] = -torch.inf
    expected = torch.full((len(TEXTS),), L, dtype=torch.float64) * torch.tensor(V).double().log()
    torch.testing.assert_close(bounds(made), expected, rtol=1e-7, atol=0)  # quadrature of steep schedules


@pytest.mark.parametrize("method", [Mdlm(V, LinearSigma(0.1, 2.0)), Md4(V, Geometric(0.1, 2.0))], ids=["mdlm", "md4"])
def test_i16_the_true_posterior_pays_the_ends_and_nothing_else(method):
    """Bound = -log p(x) + E log q(z_1) / prior(z_1) + E log p(x | z) / prod p(x_i | z) at t_min, for every text."""
    made = bayes(method)
    made.method.t_min = 0.05
    alpha = float(method.schedule.alpha(torch.ones((), dtype=torch.float64)))
    each = torch.tensor([alpha / V] * V + [1 - alpha], dtype=torch.float64).log()
    log_prior = each[every_latent(method)].sum(-1)
    first, late = joint(method, 1.0), joint(method, 0.05)  # log q(x, z) [texts, Z]
    gap_of_prior = expected(first, first.logsumexp(0) - log_prior)
    gap_of_guess = expected(late, late - late.logsumexp(0)) - torch.stack([-last_guess(made, x, 0.05) for x in TEXTS])
    torch.testing.assert_close(bounds(made), -LAW.log() + gap_of_prior + gap_of_guess, rtol=1e-8, atol=1e-8)
    assert float(LAW @ gap_of_prior) > 1e-4
    assert float(LAW @ gap_of_guess) > 1e-4


def joint(method: Method, t: float) -> torch.Tensor:
    """log p(x) + log q(z | x) for every text and every z."""
    z = every_latent(method)
    log_q = method.log_noise(z, torch.full(z.shape, t, dtype=torch.float64))
    return LAW.log()[:, None] + torch.stack([pick(log_q, x.expand(z.shape)).sum(-1) for x in TEXTS])


def expected(log_joint: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """E over z given each text of value(x, z) or value(z)."""
    law = log_joint.log_softmax(-1).exp()
    return torch.where(law > 0, law * value, 0.0).sum(-1)


def test_the_noise_of_a_document_is_its_own():
    alone, together = Keyed(3, [7], 1), Keyed(3, [5, 6, 7, 8], 1)
    for shape in ((2,), (3, 4)):
        assert torch.equal(alone.uniform((1, *shape))[0], together.uniform((4, *shape))[2])
        assert torch.equal(alone.normal((1, *shape))[0], together.normal((4, *shape))[2])
    others = [Keyed(4, [7], 1), Keyed(3, [8], 1), Keyed(3, [7], 2)]
    drawn = [rng.uniform((1, 5)) for rng in (Keyed(3, [7], 1), *others)]
    assert len({float(values.sum()) for values in drawn}) == 4


def test_exact_counting_gives_every_schedule_the_same_value_draw_by_draw():
    found = [total(bound(model(Mdlm(V, schedule)), TEXTS, 4, 2, 0, 9)) for schedule in (Linear(), Cosine())]
    found += [total(bound(model(Md4(V, Polynomial(3.0), time=False)), TEXTS, 4, 2, 0, 9))]
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=0)  # the inverse of alpha loses some digits
    torch.testing.assert_close(found[2], found[0], rtol=1e-9, atol=0)


def test_the_memory_allowed_changes_no_value(monkeypatch):
    made = model(Mdlm(V, carry_over=False))
    whole = total(bound(made, TEXTS, 4, 2, 0, 9))
    monkeypatch.setattr(bench.engine.model.method_with_network, "SCORES_AT_ONCE", 4 * V)
    torch.testing.assert_close(total(bound(made, TEXTS, 4, 2, 0, 9)), whole, rtol=1e-12, atol=0)


def test_exact_counting_masks_k_positions_at_the_time_of_the_kth():
    """k uniform on 1..L, every position alike, 1 - alpha ~ Beta(k, L - k + 1) whatever the positions."""
    length, documents = 5, 20000
    made = model(Md4(V, Cosine()))
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(cost, x, z, t):
        seen.append((z == V, t))
        return torch.ones(x.shape, dtype=torch.float64)

    made.costs = record
    values = total(bound(made, torch.zeros(documents, length, dtype=torch.long), 2, 1, 0, documents))
    masked, t = seen[0]  # the first of the pair; the second is its mirror
    k, share = masked.sum(-1), 1 - Cosine().alpha(t)
    for count in range(1, length + 1):
        of_count = k == count
        n = int(of_count.sum())
        assert abs(n - documents / length) < 4 * (documents * 0.2 * 0.8) ** 0.5
        near(share[of_count], count / (length + 1))
        near(share[of_count].square(), count * (count + 1) / ((length + 1) * (length + 2)))
        for i in range(length):
            near(masked[of_count, i].double(), count / length)
            near(share[of_count & masked[:, i]], count / (length + 1))
    weight = Cosine().weight(t) * k / length**2  # `record` says that all positions together cost `length`
    second = Cosine().weight(seen[1][1]) * seen[1][0].sum(-1) / length**2
    torch.testing.assert_close(values[:, 0], (1 / weight + 1 / second) / 2, rtol=1e-9, atol=0)


def near(values: torch.Tensor, mean: float) -> None:
    """The mean of independent values is `mean` within four standard errors."""
    assert abs(float(values.mean()) - mean) <= 4 * float(values.std()) / len(values) ** 0.5 + 1e-12


def test_the_standard_error_covers_documents_and_noise():
    """Corpora drawn again and again: the error found is the spread of the values found, and covers as it should."""
    rng = torch.Generator().manual_seed(0)
    simulations, n, replicates = 3000, 60, 2
    found, hits = [], 0
    for _ in range(simulations):
        sizes = torch.randint(5, 20, (n,), generator=rng)
        level = 1.4 * sizes + 3 * torch.randn(n, generator=rng, dtype=torch.float64)
        nats = level[:, None] + 2 * torch.randn(n, replicates, generator=rng, dtype=torch.float64)
        found.append(ratio_estimate(nats, sizes))
        hits += abs(found[-1].value - 1.4) < 1.96 * found[-1].standard_error
    spread = torch.tensor([each.value for each in found]).var()
    claimed = torch.tensor([each.standard_error for each in found]).square().mean()
    assert float(claimed / spread) == pytest.approx(1, abs=4 * (2 / simulations) ** 0.5)  # of a sample variance
    assert hits / simulations == pytest.approx(
        0.95, abs=4 * (0.05 * 0.95 / simulations) ** 0.5 + 0.006
    )  # t, not normal


def test_the_monte_carlo_error_is_the_spread_over_repetitions_of_the_noise():
    made, pairs = model(Mdlm(V)), 400
    nats = total(bound(made, TEXTS, 2, 2 * pairs, 0, 9))
    sizes = torch.arange(1, 10)
    estimates = [ratio_estimate(nats[:, 2 * i : 2 * i + 2], sizes) for i in range(pairs)]
    spread = torch.tensor([each.value for each in estimates]).var()
    claimed = torch.tensor([each.monte_carlo_error for each in estimates]).square()
    error = float(claimed.std() / pairs**0.5 / claimed.mean()) + (2 / pairs) ** 0.5
    assert float(claimed.mean() / spread) == pytest.approx(1, abs=4 * error)
    exact = float(bounds(made).sum() / sizes.sum())
    values = torch.tensor([each.value for each in estimates], dtype=torch.float64)
    near(values, exact)


def test_of_sequences_of_one_size_the_standard_error_is_that_of_a_mean():
    nats = torch.tensor([[1.0, 3.0], [5.0, 7.0], [4.0, 4.0]], dtype=torch.float64)
    estimate = ratio_estimate(nats, torch.full((3,), 2))
    each = nats.mean(1) / 2
    assert estimate.value == pytest.approx(float(each.mean()), rel=1e-12)
    assert estimate.standard_error == pytest.approx(float(each.std()) / 3**0.5, rel=1e-12)


@pytest.mark.parametrize("told", [True, False])
def test_the_network_is_told_the_time_that_it_needs_and_none_below_its_training(told):
    made = model(Mdlm(V, carry_over=False, time=told))
    made.method.t_min = 0.9
    seen: list[torch.Tensor | None] = []
    made.network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[1]))
    t = torch.rand(len(TEXTS), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    made.costs(made.method.bound, TEXTS, TEXTS, t)
    if told:
        assert torch.equal(seen[0], t.clamp(min=0.9))
    else:
        assert seen == [None]
