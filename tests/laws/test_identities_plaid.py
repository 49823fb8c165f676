"""What holds exactly for Plaid: its noise, its bound, its steps and the gradient of its schedule, in float64."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from bench.engine.likelihood.bound import bound
from bench.engine.rng import Stream
from methods.continuous.plaid import WARM_UP, WIDTH, Plaid
from methods.method import pick
from tests.reference.test_reference_plaid import Told
from tests.support.toys import LAW, TEXTS, L, V, bayes, integral

Curve = tuple[tuple[float, ...], ...]
TIMES = torch.tensor([0.0, 0.03, 0.3, 0.31, 0.8, 1.0], dtype=torch.float64)


EVEN = ((0.2, 0.8), (2.0, 2.0), (1.0, 1.0))  # of the curve: where its units rise, how steeply, how far
SLOW = ((0.5, 0.03, 0.97), (1.0, 60.0, 40.0), (3.0, 1.0, 2.0))  # in the middle, where the cost lies


def made(low: float = -3.0, high: float = 6.0, curve: Curve = EVEN, kind: type[Plaid] = Plaid) -> Plaid:
    """The method with given ends and a given curve between them."""
    torch.manual_seed(0)
    method = kind(V).double()
    centre, steep, far = torch.tensor(curve, dtype=torch.float64)
    parameters = (low, high), inverse_softplus(steep)[:, None], (0.5 - centre) * steep, inverse_softplus(far)[None]
    schedule = method.schedule
    schedule.ends, schedule.inner, schedule.bias, schedule.outer = (
        nn.Parameter(torch.as_tensor(values, dtype=torch.float64)) for values in parameters
    )
    return method


def inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def at(time: float, *shape: int) -> Tensor:
    return torch.full(shape, time, dtype=torch.float64)


def gammas(method: Plaid, t: Tensor) -> Tensor:
    return method.schedule(t)[0].detach()


@pytest.mark.parametrize("spread", [1.0, 5.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_random_curve_rises_from_one_end_to_the_other(seed, spread):
    torch.manual_seed(seed)
    method, t = Plaid(V).double(), torch.linspace(0, 1, 101, dtype=torch.float64)
    method.schedule.ends.data = torch.tensor([-2.5, 7.25], dtype=torch.float64)
    for parameter in method.schedule.shape():
        parameter.data *= spread
    gamma, slope = (values.detach() for values in method.schedule(t))
    assert (gamma.diff() > 0).all()
    assert (slope > 0).all()
    torch.testing.assert_close(gamma[[0, -1]], torch.tensor([-2.5, 7.25]).double(), rtol=1e-13, atol=0)


@pytest.mark.parametrize("curve", [EVEN, SLOW])
def test_the_curve_is_a_sum_of_rising_units_and_its_slope_the_derivative(curve):
    method, t = made(-2.0, 5.0, curve), TIMES.clone().requires_grad_()

    def rise(time: Tensor) -> Tensor:
        return sum(far * torch.tanh(steep * (time - centre)) for centre, steep, far in zip(*curve, strict=True))

    low, high = rise(torch.zeros((), dtype=torch.float64)), rise(torch.ones((), dtype=torch.float64))
    expected = -2 + 7 * (rise(t) - low) / (high - low)
    (derivative,) = torch.autograd.grad(expected.sum(), t)
    gamma, slope = (values.detach() for values in method.schedule(TIMES))
    torch.testing.assert_close(gamma, expected.detach(), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(slope, derivative, rtol=1e-9, atol=0)


def test_every_position_has_the_level_of_its_own_time():
    """Times are computed once each, whatever their order and shape."""
    t = torch.tensor([[0.7, 0.1, 0.7], [0.0, 0.7, 1.0]], dtype=torch.float64)
    gamma, slope = (values.detach() for values in made().schedule(t))
    for place in ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2)):
        alone = made().schedule(t[place])
        torch.testing.assert_close(gamma[place], alone[0].detach(), rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(slope[place], alone[1].detach(), rtol=1e-12, atol=0)


def test_levels_keep_the_variance_and_have_the_ratio_gamma():
    method = made()
    alpha, sigma = (level.detach().squeeze(-1) for level in method.levels(TIMES))
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha), rtol=1e-15, atol=0)
    torch.testing.assert_close(2 * (sigma / alpha).log(), gammas(method, TIMES), rtol=1e-12, atol=1e-14)
    assert torch.equal(method.clock(TIMES).detach(), gammas(method, TIMES) / 10)


def test_embeddings_have_length_one_whatever_the_table():
    method = made()
    method.table.data *= torch.tensor([[0.01], [1.0], [100.0]])
    torch.testing.assert_close(method.embeddings().detach().norm(dim=-1), torch.ones(V).double(), rtol=1e-6, atol=0)


def noised(method: Plaid, x: Tensor, t: Tensor) -> Normal:
    """q(z | x) at times t of the shape of x."""
    alpha, sigma = (level.detach() for level in method.levels(t))
    mean = alpha * method.embeddings().detach()[x]
    return Normal(mean, sigma.expand_as(mean))


def test_noise_follows_its_law():
    """Every coordinate of 4,096 vectors, within 5 standard errors."""
    method, x = made(), TEXTS[5].expand(2048, L)
    z = method.corrupt(x, at(0.4, 2048), Stream(0)).detach()
    law = noised(method, x, at(0.4, 2048, L))
    whitened = (z - law.mean) / law.stddev
    assert float(whitened.mean((0, 1)).abs().max()) < 5 / 4096**0.5
    assert float((whitened.var((0, 1)) - 1).abs().max()) < 5 * (2 / 4096) ** 0.5
    assert method.prior(x, Stream(0)).shape == z.shape


def test_log_noise_is_the_density_of_z_but_for_what_no_token_changes():
    method, z, t = made(), random(6, WIDTH), TIMES
    density = torch.stack([noised(method, torch.full((6,), v), t).log_prob(z).sum(-1) for v in range(V)], -1)
    torch.testing.assert_close(
        method.log_noise(z, t).detach().log_softmax(-1), density.log_softmax(-1), rtol=1e-6, atol=1e-6
    )


def test_read_adds_the_likelihood_of_z_and_warms_it_up():
    method, z, scores = made(), random(6, WIDTH), random(6, V, seed=1)
    likelihood = method.log_noise(z, TIMES)
    for progress, share in ((0.0, 0.0), (WARM_UP / 4, 0.25), (WARM_UP, 1.0), (1.0, 1.0)):
        method.progress = progress
        expected = (scores + share * likelihood).log_softmax(-1)
        torch.testing.assert_close(method.read(scores, z, TIMES), expected, rtol=1e-12, atol=1e-12)


def test_the_prior_gap_is_a_divergence_of_gaussians():
    for ends in ((-3.0, 6.0), (-1.0, 0.5)):
        method = made(*ends)
        law = noised(method, TEXTS, at(1.0, *TEXTS.shape))
        expected = kl_divergence(law, Normal(torch.zeros_like(law.mean), 1.0)).sum(-1)
        torch.testing.assert_close(method.prior_gap(TEXTS).detach(), expected, rtol=1e-7, atol=0)  # length 1 - 1e-8


def step_cost(method: Told, x: Tensor, z: Tensor, t: Tensor, s: Tensor, guess: Tensor) -> Tensor:
    """KL(q(z_s | z_t, x) || p(z_s | z_t)) at every position, of Gaussians."""
    true, guessed = (Normal(*method.reverse(z, t, s, e)) for e in (method.embeddings()[x], guess))
    return kl_divergence(true, guessed).sum(-1).detach()


def test_the_bound_is_the_limit_of_the_divergence_of_a_step():
    method, x = made(kind=Told), torch.arange(V)
    z, guess = random(V, WIDTH), 0.3 * random(V, WIDTH, seed=1)
    for time in (0.05, 0.5, 0.99):
        t = at(time, V)
        expected = step_cost(method, x, z, t, t - 1e-6, guess) / 1e-6
        torch.testing.assert_close(method.bound(x, z, t, guess).detach(), expected, rtol=1e-4, atol=0)


def test_the_bound_over_a_stretch_of_time_is_the_divergence_of_its_one_step_for_a_guess_that_stays():
    """(1 / SNR(s) - 1 / SNR(t)) is what both are in proportion to (VDM eq. 13)."""
    method, x = made(kind=Told), torch.arange(V)
    z, guess, low, high = random(V, WIDTH), 0.3 * random(V, WIDTH, seed=1), 0.2, 0.7
    whole = integral(lambda time: method.bound(x, z, at(time, V), guess).detach(), low, high)
    torch.testing.assert_close(whole, step_cost(method, x, z, at(high, V), at(low, V), guess), rtol=1e-9, atol=0)


@pytest.mark.parametrize("kind", ["step", "flow"])
def test_steps_that_know_the_truth_keep_the_law_of_the_noise(kind):
    """z_s is affine in z_t: a mean through a mean, and a variance through its slope."""
    method, x = made(kind=Told), torch.arange(V)
    truth = method.embeddings().detach()[x]
    for t, s in ((1.0, 0.9), (0.5, 0.49), (0.7, 0.0)):
        at_t, at_s = noised(method, x, at(t, V)), noised(method, x, at(s, V))

        def moved(z: Tensor, t: Tensor = at(t, V), s: Tensor = at(s, V)) -> tuple[Tensor, Tensor]:
            if kind == "flow":
                return method.flow(z, t, s, truth).detach(), torch.zeros(())
            mean, deviation = method.reverse(z, t, s, truth)
            return mean.detach(), deviation.detach()

        mean, deviation = moved(at_t.mean)
        slope = moved(at_t.mean + 1)[0] - mean
        torch.testing.assert_close(mean, at_s.mean, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(deviation**2 + slope**2 * at_t.variance, at_s.variance, rtol=1e-9, atol=0)


def test_a_step_draws_from_its_mean_and_deviation():
    method, z, prediction = made(), random(L, WIDTH), random(L, V, seed=1).log_softmax(-1)
    drawn = method.step(z, at(0.6, L), at(0.5, L), prediction, Stream(3))
    mean, deviation = method.reverse(z, at(0.6, L), at(0.5, L), method.guess(prediction))
    torch.testing.assert_close((drawn - mean) / deviation, Stream(3).normal((L, WIDTH)), rtol=1e-9, atol=1e-12)
    weights, embeddings = prediction.exp()[0], method.embeddings()
    torch.testing.assert_close(method.guess(prediction)[0], sum(weights[v] * embeddings[v] for v in range(V)))


def test_the_network_is_shown_vectors_of_unit_variance():
    """Of a random direction of embedding: |e|^2 / D is the variance of a coordinate."""
    method = made()
    signal, noise = (level[:, None] for level in method.levels(TIMES))
    shown = method.feed(signal * method.embeddings()[:1], TIMES).square().mean((1, 2))
    shown = shown + (method.feed(torch.ones(6, 1, WIDTH), TIMES) * noise).square().mean((1, 2))
    torch.testing.assert_close(shown.detach(), torch.ones(6).double(), rtol=1e-7, atol=0)
    sure = torch.nn.functional.one_hot(torch.arange(V), V).double().log()
    torch.testing.assert_close(
        method.feedback(sure).square().mean(-1).detach(), torch.ones(V).double(), rtol=1e-7, atol=0
    )


def diffusion(method: Plaid) -> Tensor:
    """The integral over time of the bound, for one noise and a network that is told gamma and nothing else."""
    x, noise, weights = torch.arange(V), random(V, WIDTH), random(WIDTH, V, seed=1)

    def density(time: float) -> Tensor:
        t = at(time, V)
        law = noised(method, x, t)
        z, told = law.mean + law.stddev * noise, method.clock(t)[:, None]
        scores = torch.sin(z @ weights + told) + told
        return method.bound(x, z, t, method.read(scores, z, t)).detach()

    return integral(density, 0.0, 1.0, nodes=120)


def test_i25_the_integral_depends_on_the_schedule_through_its_ends_alone():
    even, steep, wider = made(), made(curve=((0.1,), (3.0,), (1.0,))), made(high=5.0)
    assert float((gammas(even, TIMES) - gammas(steep, TIMES)).abs().max()) > 1
    torch.testing.assert_close(diffusion(even), diffusion(steep), rtol=1e-9, atol=1e-9)
    assert float((diffusion(even) - diffusion(wider)).abs().max()) > 1e-3


def gap(low: float, high: float) -> tuple[float, float]:
    """The bound of the perfect network above the entropy and its standard error, nats, by the harness's estimator."""
    copies = 800
    parts = bound(bayes(made(low, high, SLOW)), TEXTS.repeat(copies, 1), 32, 1, 0, batch_size=len(TEXTS) * copies)
    nats = torch.stack(list(parts.values())).sum(0).view(copies, len(TEXTS)) + LAW.log()
    return float((LAW * nats.mean(0)).sum()), float((LAW**2 * nats.var(0)).sum() / copies) ** 0.5


def test_i25_the_bound_of_the_perfect_network_closes_on_the_entropy_as_the_ends_widen():
    found = [gap(low, high) for low, high in ((0.5, 1.5), (-0.5, 2.5), (-8.0, 9.0))]
    for (wide, error), (wider, other) in pairwise(found):
        assert wide - wider > 4 * (error**2 + other**2) ** 0.5
    for value, error in found:
        assert value > -4 * error
        assert error < 0.015
    assert abs(found[-1][0]) < 4 * found[-1][1] + 1e-3


def trained(method: Plaid) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What training computes before `couple` for four rows [4, L], and x, z, t."""
    x, t = TEXTS[1:5], torch.tensor([0.02, 0.3, 0.6, 0.95], dtype=torch.float64)
    z = method.corrupt(x, t, Stream(4))
    prediction = method.read(random(4, L, V, seed=2), z, t[:, None].expand(4, L))
    return method.objective(x, z, t[:, None].expand(4, L), prediction), x, z, t


def test_couple_gives_the_curve_the_gradient_of_the_mean_square_and_the_rest_that_of_the_mean():
    method = made()
    costs, x, z, t = trained(method)
    coupled = method.couple(costs, x, z, t)
    assert torch.equal(coupled, costs)
    for parameter in method.parameters():
        aim = costs.mean(-1).square() if any(parameter is p for p in method.schedule.shape()) else costs
        (expected,) = torch.autograd.grad(aim.mean(), parameter, retain_graph=True)
        (found,) = torch.autograd.grad(coupled.mean(), parameter, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
        assert float(expected.abs().max()) > 1e-6


def test_at_the_ends_the_curve_has_no_gradient():
    method, x = made(), TEXTS[:4]
    z = method.corrupt(x, at(0.0, 4), Stream(5))
    last = -pick(method.last_guess(z, at(0.0, 4, L), method.read(random(4, L, V), z, at(0.0, 4, L))), x)
    assert method.couple(last, x, z, at(0.0, 4)) is last
    (last.mean() + method.prior_gap(x).mean()).backward()
    assert (method.schedule.ends.grad != 0).all()
    assert all(float(p.grad.abs().max()) < 1e-12 for p in method.schedule.shape())


def test_every_parameter_is_in_one_group_of_the_optimiser():
    method = made()
    grouped = [id(p) for group in method.parameter_groups() for p in group["params"]]
    assert sorted(grouped) == sorted(map(id, method.parameters()))
    assert {name: float(value) for name, value in method.learned().items()} == {"gamma_start": -3.0, "gamma_end": 6.0}
