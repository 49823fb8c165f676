"""Noise and samples follow the laws they are drawn from, counted over all states of tiny texts.

Counts are compared by chi-square; `surprise` is about a standard normal number, and 4 of its units are allowed.
"""

import pytest
import torch
from torch import Tensor, nn

import bench.engine.model.method_with_network
from bench.engine.likelihood.bound import bound
from bench.engine.model.method_with_network import Model
from bench.engine.rng import Stream
from bench.engine.sample.policies import times
from bench.engine.sample.sampler import sample
from methods import build
from methods.masked.absorbing import Md4, Mdlm
from methods.method import draw, pick
from methods.schedules import SCHEDULES, Cosine, Geometric, Linear, LinearSigma, MdlmCosine, Polynomial
from tests.support.toys import TEXTS, L, V, every_latent, model, probability, sampler_law

MANY = 2**15


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


class Always:
    """Noise that is the same number everywhere."""

    def __init__(self, value: float):
        self.value = value

    def uniform(self, shape):
        return torch.full(shape, self.value, dtype=torch.float64)


def surprise(counts: Tensor, law: Tensor) -> float:
    """Chi-square of counts against their law in standard deviations (Wilson and Hilferty's cube root)."""
    assert (counts[law == 0] == 0).all()
    expected = (law * counts.sum())[law > 0]
    freedom = len(expected) - 1
    statistic = float(((counts[law > 0] - expected).square() / expected).sum())
    width = 2 / (9 * freedom)
    return ((statistic / freedom) ** (1 / 3) - (1 - width)) / width**0.5


def count(z: Tensor, states: int) -> Tensor:
    """How often each sequence of two ids occurs, in the order of `every_latent` [states^2]."""
    return torch.bincount(z[:, 0] * states + z[:, 1], minlength=states**L)


def test_each_row_is_drawn_from_its_own_law():
    log_p = torch.full((3, 4), -torch.inf)
    log_p[0, 2], log_p[1, 0], log_p[2, 3] = 0.0, -700.0, 900.0
    for value in (0.0, 0.5, 1 - 2**-53):
        assert draw(log_p, Always(value)).tolist() == [2, 0, 3]


@pytest.mark.parametrize("value", [0.0, 2**-1074, 0.5, 1 - 2**-53])
def test_a_state_without_mass_is_never_drawn(value):
    for weights in ([0, 0, 0.1, 0.7, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3, 0], [0.1] * 10 + [0], [0, 1e-300, 0]):
        log_p = torch.tensor(weights, dtype=torch.float64).log()[None]
        assert weights[int(draw(log_p, Always(value)))] > 0


def test_a_state_too_rare_for_float32_is_still_drawn():
    log_p = torch.tensor([[0.0, -27.0]])  # 1.9e-12, given in float32
    assert draw(log_p, Always(1 - 1e-12)).item() == 1
    assert draw(log_p, Always(1 - 1e-11)).item() == 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_noised_texts_follow_the_law_of_the_noise(name):
    method = Mdlm(V, SCHEDULES[name]())
    for x, t in ((TEXTS[1], 0.3), (TEXTS[5], 0.8)):
        z = method.corrupt(x.expand(MANY, L), torch.full((MANY,), t, dtype=torch.float64), Stream(1))
        assert abs(surprise(count(z, V + 1), probability(method, x, t))) < 4


def test_every_text_is_noised_at_its_own_time():
    t = torch.tensor([0.0, 1.0, 0.3, 0.7], dtype=torch.float64)
    for method in (Mdlm(V), Md4(V, Cosine())):
        z = method.corrupt(TEXTS[3].expand(4, 20000, L).reshape(-1, L), t.repeat_interleave(20000), Stream(2))
        share = (z == V).double().view(4, -1).mean(-1)
        expected = 1 - method.schedule.alpha(t)
        error = (expected * (1 - expected) / 40000).sqrt()
        assert ((share - expected).abs() <= 4 * error + 1e-15).all()


@pytest.mark.parametrize("schedule", [Linear(), MdlmCosine(0.2), LinearSigma(0.1, 1.0)], ids=repr)
def test_the_prior_is_the_noise_at_the_end_with_its_signal_spread_evenly(schedule):
    method = Md4(V, schedule)
    each = torch.stack([probability_of_one(method, v) for v in range(V)]).mean(0)
    z = method.prior(torch.zeros(MANY, L, dtype=torch.long), Stream(3))
    if schedule == Linear():
        assert (z == V).all()
    else:
        assert abs(surprise(count(z, V + 1), each[every_latent(method)].prod(-1))) < 4
    for v in range(V):
        q = probability_of_one(method, v)
        gap = torch.where(q > 0, q * (q / each).log(), 0.0).sum()
        torch.testing.assert_close(method.prior_gap(torch.tensor([v]))[0], gap, rtol=1e-12, atol=1e-15)


def probability_of_one(method, v: int) -> Tensor:
    """q(z | v) of every state at t = 1."""
    z = torch.arange(V + 1)
    return method.log_noise(z, torch.ones(V + 1, dtype=torch.float64))[:, v].exp()


ARMS = {
    "one call": (Mdlm(V), 1),
    "neither, told t": (Mdlm(V, Polynomial(2.0), carry_over=False, zero_masking=False, time=True), 3),
    "signal left in the prior": (Mdlm(V, LinearSigma(0.1, 1.0)), 2),
    "3 steps": (Mdlm(V, steps=3), 3),
    "2 calls of 3 steps": (Mdlm(V, steps=3), 2),
    "3 steps, neither": (Mdlm(V, steps=3, carry_over=False, zero_masking=False), 3),
    "both ends short, told t": (Md4(V, Geometric(0.1, 2.0)), 3),
}


@pytest.mark.parametrize("arm", ARMS)
def test_samples_follow_the_law_of_their_transitions(arm):
    method, calls = ARMS[arm]
    made = model(method)
    ids = sample(made, MANY, L, calls, seed=0).ids
    assert abs(surprise(count(ids, V), sampler_law(made, times(method, calls).tolist()))) < 4


def test_transitions_are_laws_that_undo_the_noise_when_x_is_known():
    """sum over z_t of q(z_t | x) p(z_s | z_t, x) = q(z_s | x) for every time before."""
    method = Mdlm(V, MdlmCosine(0.1))
    z = torch.arange(V + 1)
    for x in range(V):
        prediction = torch.full((V + 1, V), -torch.inf, dtype=torch.float64)
        prediction[:, x] = 0.0
        for t, s in ((1.0, 0.6), (0.6, 0.59), (0.6, 1e-3)):
            at_t, at_s = torch.full((2, V + 1), t).double(), torch.full((2, V + 1), s).double()
            step = method.transition(z, at_t[0], at_s[0], prediction).exp()
            torch.testing.assert_close(step.sum(-1), torch.ones(V + 1).double(), rtol=1e-12, atol=0)
            before, after = (method.log_noise(z, time)[:, x].exp() for time in (at_t[0], at_s[0]))
            torch.testing.assert_close(before @ step, after, rtol=1e-12, atol=1e-15)


def counted(made: Model) -> list[int]:
    """A list that grows by one with every call of the network."""
    calls: list[int] = []
    made.network.register_forward_hook(lambda *_: calls.append(1))
    return calls


@pytest.mark.parametrize("calls", [1, 2, 7])
@pytest.mark.parametrize("carry_over", [True, False])
def test_the_calls_made_are_those_reported_and_no_more_than_asked(calls, carry_over):
    made = model(Mdlm(V, carry_over=carry_over))
    seen = counted(made)
    samples = sample(made, 3, L, calls, seed=0)
    assert samples.network_calls == len(seen) <= calls
    assert samples.ids.shape == (3, L)
    assert ((samples.ids >= 0) & (samples.ids < V)).all()
    if not carry_over:
        assert len(seen) == calls


def test_calls_are_spared_when_nothing_is_masked():
    made = model(Mdlm(V))
    seen = counted(made)
    assert sample(made, 1, L, 400, seed=1).network_calls == len(seen) < 400
    assert len(seen) > 1


def test_samples_depend_on_the_seed_and_not_on_the_memory_allowed(monkeypatch):
    made = model(Mdlm(V, zero_masking=False))
    first = sample(made, 50, L, 5, seed=0).ids
    assert torch.equal(first, sample(made, 50, L, 5, seed=0).ids)
    assert not torch.equal(first, sample(made, 50, L, 5, seed=1).ids)
    monkeypatch.setattr(bench.engine.model.method_with_network, "SCORES_AT_ONCE", 7 * (V + 1))
    assert torch.equal(first, sample(made, 50, L, 5, seed=0).ids)


@pytest.mark.parametrize("method", [Mdlm(V), Md4(V, Cosine()), Mdlm(V, LinearSigma())], ids=repr)
def test_the_grid_falls_evenly_from_one_to_the_last_guess(method):
    assert times(method, 1).tolist() == [1.0]
    for calls in (2, 5, 100):
        found = times(method, calls)
        assert len(found) == calls
        assert found[0] == 1
        last_guess = found[-1:]  # a step to t = 0, as long as the others
        spacing = torch.full((calls,), 1 / calls, dtype=torch.float64)
        torch.testing.assert_close(torch.cat([-found.diff(), last_guess]), spacing, rtol=1e-9, atol=0)


@pytest.mark.parametrize("carry_over", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 17])
def test_the_discrete_grid_takes_whole_steps_down_to_the_first(steps, carry_over):
    method = Mdlm(V, steps=steps, carry_over=carry_over)
    assert times(method, 1).tolist() == [1.0]
    for calls in range(2, steps + 1):
        numbers = times(method, calls) * steps
        assert len(numbers) == calls
        torch.testing.assert_close(numbers, numbers.round(), rtol=1e-12, atol=0)
        assert (numbers[0].round(), numbers[-1].round()) == (steps, 1)
        assert (numbers.diff() < -0.5).all()
        assert float(numbers.diff().min() - numbers.diff().max()) > -1.5  # as even as whole steps allow
    with pytest.raises(ValueError, match=f"{steps + 1} calls are more than the {steps} that {steps} steps"):
        times(method, steps + 1)


class Prefix(nn.Module):
    """A causal table: scores of position i from the ids before it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Parameter(torch.randn(V, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(V, V, dtype=torch.float64))

    def forward(self, z: Tensor, clock: Tensor | None) -> Tensor:
        first = self.first.expand(len(z), 1, V)
        return torch.cat([first, self.second[z[:, 0]][:, None]], 1)[:, : z.shape[1]]

    def head(self, hidden: Tensor) -> Tensor:
        return hidden


def test_left_to_right_samples_follow_the_very_law_that_the_exact_method_reports():
    made = model(build("ar", V))
    made.network = Prefix()  # type: ignore[assignment]
    nats = bound(made, TEXTS, 2, 2, 0, 9)["integral"][:, 0]
    log_p = made.network.first.log_softmax(-1)[TEXTS[:, 0]]
    log_p = log_p + pick(made.network.second.log_softmax(-1)[TEXTS[:, 0]], TEXTS[:, 1])
    torch.testing.assert_close(nats, -log_p, rtol=1e-12, atol=0)
    samples = sample(made, MANY, L, 99, seed=0)
    assert samples.network_calls == L
    assert abs(surprise(count(samples.ids, V), log_p.exp())) < 4
