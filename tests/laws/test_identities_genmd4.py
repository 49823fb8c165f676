"""What holds exactly for GenMD4, counted out on texts of two tokens, the gradient of its powers included."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from bench.engine.model.method_with_network import Model, last_guess_costs
from bench.engine.rng import Stream
from bench.engine.train.trainer import Progress, Trainer
from methods.masked.absorbing import Md4
from methods.masked.genmd4 import GenMd4
from methods.method import pick
from methods.schedules import Polynomial
from tests.laws.test_identities_sampler import MANY, count, surprise
from tests.support.toys import (
    LAW,
    TEXTS,
    L,
    V,
    bayes,
    densities,
    exact_bound,
    last_guess,
    model,
    probability,
    quadrature,
    sampler_law,
)

UNEQUAL = [(0.5, 1.0, 2.0), (1.3, 0.7, 0.6), (3.0, 0.9, 1.7)]


def made(powers: tuple[float, ...], decoder: str = "network", t_min: float = 1e-3) -> GenMd4:
    """The method with the given powers, one of each token."""
    method = GenMd4(V, decoder)  # type: ignore[arg-type]
    method.raw = nn.Parameter(torch.tensor(powers, dtype=torch.float64).expm1().log())
    method.t_min = t_min
    return method


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@torch.no_grad()
def bounds(network: Model) -> Tensor:
    """The bound of every text by quadrature, in the logarithm of t: near t = 0 it grows like a power of t [9]."""
    method = network.method
    logs, weights = quadrature(math.log(method.t_min), 0.0, nodes=100)
    whole = [(weights * logs.exp()) @ densities(network, x, logs.exp()) for x in TEXTS]
    ends = [last_guess(network, x, method.t_min) + method.prior_gap(x).sum() for x in TEXTS]
    return torch.stack(whole) + torch.stack(ends)


def timeless(method: GenMd4) -> Model:
    """A network that is told the time and does not heed it."""
    network = model(method)
    network.network.drift.data.zero_()
    return network


def test_powers_start_at_one_and_are_what_was_set():
    torch.testing.assert_close(GenMd4(V).powers(), torch.ones(V, dtype=torch.float64), rtol=1e-6, atol=0)  # float32
    torch.testing.assert_close(
        made(UNEQUAL[0]).powers(), torch.tensor(UNEQUAL[0], dtype=torch.float64), rtol=1e-12, atol=0
    )
    assert torch.equal(made(UNEQUAL[0]).learned()["power"], made(UNEQUAL[0]).powers())


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_i8_with_equal_powers_it_is_md4_with_polynomial_noise(power):
    genmd4, md4 = made((power,) * V), Md4(V, Polynomial(power))
    x, z = torch.tensor([0, 1, 2, 0]), torch.tensor([V, V, V, 0])
    t, s = (torch.tensor(times, dtype=torch.float64) for times in ([0.01, 0.5, 1.0, 0.4], [0.003, 0.2, 0.9, 0.1]))
    prediction = md4.read(random(4, V), z, t)
    assert torch.equal(genmd4.read(random(4, V), z, t), prediction)
    for name, more in (("bound", (x, z, t, prediction)), ("rates", (z, t, prediction)), ("log_noise", (z, t))):
        found, expected = (getattr(method, name)(*more) for method in (genmd4, md4))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)
    found, expected = (method.transition(z, t, s, prediction).exp() for method in (genmd4, md4))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-15)


def test_i8_a_common_power_does_not_change_the_bound():
    """Of a network that does not heed the time, MD4's among them."""
    expected = torch.stack([exact_bound(timeless(Md4(V, Polynomial(2.0))), x) for x in TEXTS])
    for power in (0.7, 1.0, 2.0):
        found = bounds(timeless(made((power,) * V, t_min=1e-12)))
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_i9_powers_that_differ_change_the_bound():
    equal, other = (bounds(timeless(made(powers, t_min=1e-12))) for powers in ((1.0, 1.0, 1.0), (0.6, 1.0, 1.8)))
    assert float((equal - other).abs().max()) > 0.05


@pytest.mark.parametrize("powers", UNEQUAL)
def test_i9_no_token_costs_less_than_nothing(powers):
    method, t = made(powers), torch.full((1000,), 0.3, dtype=torch.float64)
    masks, prediction = torch.full((1000,), V), (3 * random(1000, V)).log_softmax(-1)
    for v in range(V):
        x = torch.full((1000,), v)
        assert (method.bound(x, masks, t, prediction) > 0).all()
        assert (method.bound(x, x, t, method.read(prediction, x, t)) == 0).all()
        sure = torch.nn.functional.one_hot(x, V).double().log()
        torch.testing.assert_close(method.bound(x, masks, t, sure), torch.zeros_like(t), rtol=0, atol=1e-12)


@pytest.mark.parametrize("powers", UNEQUAL)
def test_the_cost_is_the_limit_of_the_divergence_of_a_step(powers):
    method, x, masks = made(powers), torch.arange(V), torch.full((V,), V)
    t, step = torch.full((V,), 0.4, dtype=torch.float64), 1e-6
    prediction = random(V, V).log_softmax(-1)
    sure = torch.nn.functional.one_hot(x, V).double().log()
    q, p = (method.transition(masks, t, t - step, guess).exp() for guess in (sure, prediction))
    expected = torch.special.xlogy(q, q / p).nan_to_num(0.0).sum(-1) / step
    torch.testing.assert_close(method.bound(x, masks, t, prediction), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("powers", UNEQUAL)
def test_i16_with_the_true_posterior_the_bound_is_the_likelihood_of_every_text(powers):
    torch.testing.assert_close(bounds(bayes(made(powers, t_min=1e-12))), -LAW.log(), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("powers", UNEQUAL)
def test_i16_at_the_usual_start_it_is_above_by_what_the_two_tokens_share(powers):
    """Where both are still masked the last guess writes them one by one."""
    method = made(powers)
    chance = method.hidden(torch.tensor(method.t_min, dtype=torch.float64)).detach()
    joint = LAW * chance[TEXTS].prod(-1)  # of a text and of both its tokens being masked
    joint = (joint / joint.sum()).view(V, V)
    lost = (joint / joint.sum(0, keepdim=True) / joint.sum(1, keepdim=True)).log().flatten()
    expected = -LAW.log() + chance[TEXTS].prod(-1) * lost
    torch.testing.assert_close(bounds(bayes(method)), expected, rtol=1e-8, atol=1e-8)


def test_the_papers_last_guess_costs_more_than_that_of_the_true_posterior():
    own, paper = ((LAW * bounds(bayes(made(UNEQUAL[0], decoder)))).sum() for decoder in ("network", "powers"))
    entropy = -(LAW * LAW.log()).sum()
    assert float(entropy) - 1e-9 < float(own) < float(paper)


@pytest.mark.parametrize("decoder", ["network", "powers"])
@pytest.mark.parametrize("powers", UNEQUAL)
def test_no_network_claims_more_than_all_the_probability(powers, decoder):
    for seed in range(2):
        claimed = float(torch.exp(-bounds(model(made(powers, decoder), seed))).sum())
        assert 0 < claimed <= 1 + 1e-6


def test_rates_are_what_short_steps_do():
    """(p(z_s | z_t) - [z_s = z_t]) / (t - s) for s just below t."""
    method, z, step = made(UNEQUAL[1]), torch.arange(V + 1), 1e-6
    t = torch.full(z.shape, 0.5, dtype=torch.float64)
    prediction = method.read(random(len(z), V), z, t)
    moved = method.transition(z, t, t - step, prediction).exp().scatter(-1, z[:, None], 0.0) / step
    assert (pick(method.rates(z, t, prediction), z) == 0).all()
    assert (method.rates(z, t, prediction).sum() > 0.1).all()
    torch.testing.assert_close(method.rates(z, t, prediction), moved, rtol=1e-4, atol=1e-6)


def test_transitions_are_laws_that_undo_the_noise_when_x_is_known():
    """sum over z_t of q(z_t | x) p(z_s | z_t, x) = q(z_s | x) for every time before."""
    method, z = made(UNEQUAL[0]), torch.arange(V + 1)
    for x, (t, s) in product(range(V), ((1.0, 0.6), (0.6, 0.59), (0.6, 1e-3))):
        sure = torch.nn.functional.one_hot(torch.full((V + 1,), x), V).double().log()
        at_t, at_s = torch.full((2, V + 1), t).double(), torch.full((2, V + 1), s).double()
        step = method.transition(z, at_t[0], at_s[0], sure).exp()
        torch.testing.assert_close(step.sum(-1), torch.ones(V + 1).double(), rtol=1e-12, atol=0)
        before, after = (method.log_noise(z, time)[:, x].exp() for time in (at_t[0], at_s[0]))
        torch.testing.assert_close(before @ step, after, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("powers", UNEQUAL)
def test_the_law_of_a_step_sums_to_one_for_every_guess(powers):
    method, z = made(powers), torch.arange(V + 1).repeat(100)
    t, s = (torch.full(z.shape, time, dtype=torch.float64) for time in (0.7, 0.2))
    law = method.transition(z, t, s, method.read(3 * random(len(z), V), z, t)).exp()
    torch.testing.assert_close(law.sum(-1), torch.ones(len(z)).double(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("powers", UNEQUAL)
def test_noised_texts_follow_the_law_of_the_noise(powers):
    method = made(powers)
    for x, t in ((TEXTS[1], 0.3), (TEXTS[5], 0.8)):
        z = method.corrupt(x.expand(MANY, L), torch.full((MANY,), t, dtype=torch.float64), Stream(1))
        assert abs(surprise(count(z, V + 1), probability(method, x, t).detach())) < 4


@torch.no_grad()
def test_with_the_true_posterior_many_steps_sample_the_law():
    gaps = []
    for calls in (5, 50):
        times = torch.linspace(1, 1e-3, calls, dtype=torch.float64).tolist()
        gaps.append(float((sampler_law(bayes(made(UNEQUAL[1])), times) - LAW).abs().sum() / 2))
    assert gaps[0] > 0.01
    assert gaps[1] < 0.15 * gaps[0]  # error of order 1 / calls


PAIRS = list(product(product((False, True), repeat=L), repeat=2))  # which of the tokens are masked, in z1 and in z2
WHERE = ["objective at 0.4", "objective at 0.95", "last guess of the network", "last guess by the powers"]


def setting(where: str) -> tuple[Model, float, bool]:
    """The network, the time, and whether it is the last guess that is paid."""
    network = model(made(UNEQUAL[0], "powers" if where.endswith("powers") else "network", t_min=0.03))
    return (network, 0.03, True) if where.startswith("last") else (network, float(where.split()[-1]), False)


def costs(network: Model, x: Tensor, z: Tensor, t: Tensor, last: bool) -> Tensor:
    """What training computes before `couple` [B, L]."""
    return last_guess_costs(network, x, z, t) if last else network.costs(network.method.objective, x, z, t)


def pair_gradient(network: Model, x: Tensor, z: Tensor, t: Tensor, last: bool, couple: bool) -> Tensor:
    """The gradient of the powers from one pair of noisings z [2, L] of one text."""
    found = costs(network, x, z, t, last)
    found = network.method.couple(found, x, z, t) if couple else found
    return torch.autograd.grad(found.mean(), network.method.raw, allow_unused=True, materialize_grads=True)[0]


def expected_gradients(where: str, x: Tensor, couple: bool) -> tuple[Tensor, Tensor]:
    """Of the estimate, in expectation over all pairs; and of the exact expected cost."""
    network, time, last = setting(where)
    method, two = network.method, x.expand(2, L)
    t = torch.full((2,), time, dtype=torch.float64)
    hidden = method.hidden(t[:1])[0, x]
    found, exact = torch.zeros(V, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for pair in PAIRS:
        masked = torch.tensor(pair)
        z = torch.where(masked, V, two)
        chance = torch.where(masked, hidden, 1 - hidden).prod(-1)
        found += chance.detach().prod() * pair_gradient(network, two, z, t, last, couple)
        exact = exact + chance.prod() * costs(network, two, z, t, last).mean()
    return found, torch.autograd.grad(exact, method.raw)[0]


@pytest.mark.parametrize("text", [1, 3, 8])
@pytest.mark.parametrize("where", WHERE)
def test_i24_the_gradient_of_the_powers_is_that_of_the_expected_cost(where, text):
    found, exact = expected_gradients(where, TEXTS[text], couple=True)
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)
    assert float(exact.abs().max()) > 1e-3


@pytest.mark.parametrize("where", WHERE)
def test_i24_without_couple_it_is_not(where):
    found, exact = expected_gradients(where, TEXTS[1], couple=False)
    assert float((found - exact).abs().max()) > 0.05 * float(exact.abs().max())


def test_couple_leaves_values_and_the_gradient_of_the_network_alone():
    network, time, _ = setting(WHERE[0])
    x, z, t = TEXTS[[1, 1, 5, 5]], torch.tensor([[V, V], [0, V], [1, V], [V, 2]]), torch.full((4,), time).double()
    plain = costs(network, x, z, t, last=False)
    coupled = network.method.couple(plain, x, z, t)
    assert torch.equal(plain, coupled)
    table = network.network.table
    found, expected = (torch.autograd.grad(c.mean(), table, retain_graph=True)[0] for c in (coupled, plain))
    assert torch.equal(found, expected)


class Seen(GenMd4):
    """Keeps what `couple` is given."""

    def couple(self, objective: Tensor, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        assert objective.shape == x.shape == z.shape
        self.given = [*getattr(self, "given", []), (x, t)]
        return super().couple(objective, x, z, t)


def test_training_puts_two_noisings_of_one_text_at_one_time_side_by_side():
    method = Seen(V)
    trainer = Trainer.__new__(Trainer)
    trainer.model, trainer.noise, trainer.progress = model(method), Stream(0), Progress()
    trainer.loss(TEXTS, torch.linspace(0.3, 0.9, len(TEXTS), dtype=torch.float64))
    inside, ends = method.given
    assert torch.equal(inside[0][::2], TEXTS)
    assert len(inside[1].unique()) == len(TEXTS)
    assert (ends[1] == method.t_min).all()
    for x, t in (inside, ends):
        assert torch.equal(x[::2], x[1::2])
        assert torch.equal(t[::2], t[1::2])


def test_log_q_is_the_logarithm_of_the_noise():
    method, x = made(UNEQUAL[2]), torch.tensor([0, 1, 2, 0])
    z, t = torch.tensor([V, V, 2, 0]), torch.tensor([0.01, 0.5, 0.9, 1.0 - 1e-9], dtype=torch.float64)
    torch.testing.assert_close(method._log_q(x, z, t), pick(method.log_noise(z, t), x), rtol=1e-9, atol=0)
