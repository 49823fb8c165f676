"""The ways of drawing texts: each follows the law that it says, in the calls that it says, or is refused.

Laws are enumerated; what was drawn is held against them by chi-square, `surprise` of which 4 are allowed.
"""

import math
from itertools import pairwise, product

import pytest
import torch
from torch import Tensor, nn

from bench.certify import choosing
from bench.certify.court import follow, places, surprise
from bench.certify.oracle import Oracle, Table
from bench.model import Model
from bench.policies import POLICIES, Policy, named, times
from bench.policies.policy import trial
from bench.policies.remasking import CLEAN, Remask, SelfCorrect
from bench.policies.steps import Ancestral, Ddim, Euler
from bench.policies.unmasking import Confidence, EntropyBounded, FirstHitting, Margin
from bench.rng import Stream
from bench.sample import How, Known, Walk, sample, why_not
from bench.spec import SamplesSpec
from methods import METHODS, build
from methods.absorbing import Md4, Mdlm
from methods.genmd4 import GenMd4
from methods.gidd import Gidd
from methods.method import Method
from methods.schedules import Cosine, Linear, LinearSigma, Polynomial
from methods.sedd import SeddAbsorb
from methods.uniform import Udlm
from tests.test_network import random_model
from tests.toys import LAW, L, V, model

MANY = 2**14
PAIRS = Table(LAW, V, L)
TRIPLES = Table(torch.randn(V**3, generator=torch.Generator().manual_seed(0)).double().mul(1.5).softmax(0), V, 3)
MASKED = {"mdlm", "md4", "sedd-absorb"}  # all positions alike


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


class Flat(nn.Module):
    """A network that says the same of every position of any text."""

    def __init__(self, *scores: float):
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores, dtype=torch.float64))

    def forward(self, z: Tensor, clock: Tensor | None = None) -> Tensor:
        return self.scores.expand(*z.shape, -1)

    def head(self, hidden: Tensor) -> Tensor:
        return hidden


def flat(method: Method, *scores: float) -> Model:
    made = model(method)
    made.network = Flat(*scores or [0.0] * V)  # type: ignore[assignment]
    return made


def watched(made: Model) -> list[tuple[Tensor, Tensor | None]]:
    """What the network is shown and told, call by call."""
    seen: list[tuple[Tensor, Tensor | None]] = []
    made.network.register_forward_pre_hook(lambda _, given: seen.append((given[0].clone(), given[1])))
    return seen


def follows(ids: Tensor, law: Tensor) -> bool:
    return abs(surprise(torch.bincount(places(ids, V), minlength=len(law)), law)) < 4


def at(time: float, count: int = 1) -> Tensor:
    return torch.full((count,), time, dtype=torch.float64)


def drawn(made: Model, policy: Policy, calls: int, length: int, seed: int = 0) -> Tensor:
    return sample(made, MANY, length, calls, seed, policy).ids


# --- the times at which the network is called


@pytest.mark.parametrize("grid", ["uniform", "cosine", "log"])
@pytest.mark.parametrize("name", ["mdlm", "sedd-uniform", "gidd", "plaid"])
def test_a_grid_falls_from_one_to_the_last_guess_with_a_time_for_each_call(name, grid):
    method = build(name, V)
    if (name, grid) == ("plaid", "log"):
        with pytest.raises(ValueError, match="a log grid never reaches the t = 0 at which its last guess is made"):
            times(method, 2, grid)
        return
    assert times(method, 1, grid).tolist() == [1.0]
    for calls in (2, 3, 10, 1000):
        found = times(method, calls, grid)
        assert len(found) == calls
        steps_to_zero = name == "mdlm" and grid != "log"  # what is visible is final: the last guess is a step as others
        end = {"uniform": 1 / calls, "cosine": math.sin(math.pi / 2 / calls)}[grid] if steps_to_zero else method.t_min
        assert float(found[0]) == 1
        assert float(found[-1]) == (pytest.approx(end, rel=1e-12) if steps_to_zero else end)
        assert (found.diff() < 0).all()


def test_cosine_steps_grow_as_time_falls_and_log_steps_divide_by_the_same():
    method, u = Gidd(V), torch.linspace(0, 1, 9, dtype=torch.float64)
    cosine, log = times(method, 9, "cosine"), times(method, 9, "log")
    assert (cosine.diff().diff() < 0).all()
    assert float(-cosine.diff()[0]) < 0.3 / 9
    expected = method.t_min + (1 - method.t_min) * torch.cos(math.pi / 2 * u)
    torch.testing.assert_close(cosine, expected, rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(log[1:] / log[:-1], torch.full((8,), method.t_min ** (1 / 8)).double())


def test_a_last_guess_that_is_no_step_is_left_to_the_last_moment():
    """GenMD4 may guess by its powers alone, which know nothing of the text: few tokens may be left to them."""
    network, powers = GenMd4(V), GenMd4(V, decoder="powers")
    powers.raw.data = network.raw.data = torch.tensor([-1.0, 0.5, 2.0])
    laws = [follow(Oracle(each, PAIRS), PAIRS, Ancestral(), torch.full((1, L), V), 16) for each in (network, powers)]
    assert [float(times(each, 16)[-1]) for each in (network, powers)] == [1 / 16, powers.t_min]
    far, farther = (float((law - LAW).abs().sum() / 2) for law in laws)
    assert farther < 1.5 * far
    for method in (Mdlm(V), Md4(V, Cosine()), SeddAbsorb(V), Mdlm(V, zero_masking=False), Mdlm(V, LinearSigma())):
        assert float(times(method, 4)[-1]) == 0.25


@pytest.mark.parametrize("grid", ["uniform", "cosine", "log"])
def test_a_grid_of_discrete_time_lies_on_its_steps_or_is_refused(grid):
    method, fits = Mdlm(V, steps=20), []
    for calls in range(1, 21):
        reason = why_not(method, How(calls, Ancestral(grid=grid)), L)
        if reason is not None:
            assert f"{calls} calls do not fit on 20 steps of time on a {grid} grid; take fewer, or uniform" in reason
            continue
        fits.append(calls)
        numbers = times(method, calls, grid) * 20
        torch.testing.assert_close(numbers, numbers.round(), rtol=1e-12, atol=0)
        assert (len(numbers), float(numbers[0])) == (calls, 20)
        assert calls == 1 or round(float(numbers[-1])) == 1
        assert (numbers.diff() < -0.5).all()
    assert fits[:3] == [1, 2, 3]
    assert (20 in fits) == (grid == "uniform")
    reason = why_not(method, How(21, Ancestral(grid=grid)), L)
    assert reason == "cannot be stepped so: 21 calls are more than the 20 that 20 steps of time allow"


# --- ancestral steps whose network calls are kept


@pytest.mark.parametrize("carry_over", [True, False])
@pytest.mark.parametrize(("count", "calls"), [(1, 40), (5, 40), (4, 2)])
def test_kept_calls_change_no_text_and_only_sequences_that_changed_are_computed_again(count, calls, carry_over):
    made = random_model("mdlm", carry_over=carry_over)
    seen = watched(made)
    whole = sample(made, count, 9, calls, seed=3)
    every = [z for z, _ in seen]
    seen.clear()
    kept = sample(made, count, 9, calls, seed=3, policy=Ancestral(cached=True))
    assert torch.equal(kept.ids, whole.ids)
    again = [z[(z != before).any(1)] for before, z in pairwise(every)]
    expected = [every[0], *(rows for rows in again if len(rows))]
    assert kept.network_calls == len(seen) == len(expected)
    assert all(torch.equal(z, rows) for (z, _), rows in zip(seen, expected, strict=True))


def test_a_text_alone_takes_no_more_kept_calls_than_it_has_tokens_and_one():
    for carry_over, seed in product((True, False), range(3)):
        made = random_model("mdlm", carry_over=carry_over)
        seen = watched(made)
        assert sample(made, 1, 9, 400, seed, policy=Ancestral(cached=True)).network_calls == len(seen) <= 10
        assert len(seen) > 5


@pytest.mark.parametrize(("count", "texts"), [(1, 500), (3, 200)])
def test_kept_calls_are_as_many_as_expected(count, texts):
    """N (1 - (1 - 1/N)^(B L)) in N steps: as many as there are steps that write something. Four standard errors."""
    made, steps, tokens = flat(Mdlm(V)), 8, 6 * count
    seen = watched(made)
    calls = []
    for seed in range(texts):
        calls.append(sample(made, count, 6, steps, seed, policy=Ancestral(cached=True)).network_calls)
    assert sum(calls) == len(seen)
    expected = steps * (1 - (1 - 1 / steps) ** tokens)
    found = torch.tensor(calls).double()
    assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / math.sqrt(texts)


@pytest.mark.parametrize("name", ["md4", "udlm", "gidd", "plaid", "d3pm-absorb", "sedd-absorb", "genmd4"])
def test_no_call_is_kept_of_a_network_that_is_told_the_time(name):
    reason = why_not(build(name, V), How(4, Ancestral(cached=True)), L)
    assert "is told the time" in (reason or "")


# --- remasking

RULES = [Remask(eta=eta) for eta in (0.0, 0.02, 0.5, 1.0)] + [Remask(rule="star")]
RULES += [Remask(rule="rescale", eta=eta) for eta in (0.0, 0.3, 1.0)]


def step_of(policy: Remask, method: Method, t: float, s: float, log_p: Tensor) -> tuple[Tensor, Tensor]:
    """The law of a masked position at s, and how likely a visible one is masked again."""
    law = policy.law(method, torch.tensor([V]), at(t), at(s), log_p[None])
    return law[0].exp(), policy.masks_again(method, at(t), at(s))[0]


def sigma(policy: Remask, alpha_t: float, alpha_s: float) -> float:
    """As in ReMDM, section 4: the most that leaves probabilities, and what each rule takes of it."""
    most = min(1.0, (1 - alpha_s) / alpha_t) if alpha_t > 0 else 1.0
    return {"cap": min(policy.eta, most), "rescale": policy.eta * most, "star": 1 - alpha_s}[policy.rule]


@pytest.mark.parametrize("schedule", [Linear(), Cosine(), Polynomial(2.0)], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("policy", RULES, ids=Policy.label)
def test_i21_remasking_leaves_the_noise_as_it_is(policy, schedule):
    """q(z_t | x) and a step to s with the perfect guess is q(z_s | x), at every position and for every sigma."""
    method, states = Mdlm(V, schedule), torch.arange(V + 1)
    for x, (t, s) in product(range(V), [(1.0, 0.7), (0.7, 0.2), (0.2, 0.199), (0.013, 0.01), (0.01, 1e-3)]):
        known = torch.full((V,), -torch.inf, dtype=torch.float64)
        known[x] = 0.0
        masked, again = step_of(policy, method, t, s, known)
        before, after = (method.log_noise(states, at(time, V + 1))[:, x].exp() for time in (t, s))
        assert 0 <= float(again) <= 1
        assert float(again) == pytest.approx(sigma(policy, float(schedule.alpha(at(t))), float(schedule.alpha(at(s)))))
        visible = torch.zeros(V + 1, dtype=torch.float64)
        visible[x], visible[V] = 1 - again, again
        torch.testing.assert_close(before[V] * masked + before[x] * visible, after, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("policy", RULES, ids=Policy.label)
def test_laws_of_remasking_are_laws_at_every_time(policy):
    """With the most of sigma nothing stays masked, up to a rounding that must not make a probability of -1e-16."""
    t = times(Gidd(V), 997)
    for schedule in (Linear(), Cosine()):
        guess = torch.full((996, V), 1 / 3).double().log()
        law = policy.law(Mdlm(V, schedule), torch.full((996,), V), t[:-1], t[1:], guess)
        torch.testing.assert_close(law.exp().sum(-1), torch.ones(996).double(), rtol=1e-9, atol=0)


def test_i21_star_noises_its_guess_afresh_and_without_sigma_steps_are_ancestral():
    guess = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log()
    for schedule, (t, s) in product([Linear(), Cosine()], [(1.0, 0.7), (0.7, 0.2), (0.01, 1e-3)]):
        method = Mdlm(V, schedule)
        alpha = schedule.alpha(torch.tensor(s, dtype=torch.float64))
        masked, again = step_of(Remask(rule="star"), method, t, s, guess)
        torch.testing.assert_close(masked, torch.cat([alpha * guess.exp(), 1 - alpha[None]]), rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(again, 1 - alpha, rtol=1e-12, atol=0)
        masked, again = step_of(Remask(eta=0.0), method, t, s, guess)
        ancestral = method.transition(torch.tensor([V]), at(t), at(s), guess[None])[0].exp()
        torch.testing.assert_close(masked, ancestral, rtol=1e-12, atol=1e-15)
        assert float(again) == 0


@pytest.mark.parametrize("policy", [*RULES[2:5], RULES[-1]], ids=Policy.label)
def test_what_remasking_draws_follows_its_law(policy):
    made = model(Md4(V), seed=2)  # told the time
    law = follow(made, PAIRS, policy, torch.full((1, L), V), 5)  # type: ignore[arg-type]
    assert follows(drawn(made, policy, 5, L), law)
    plain = follow(made, PAIRS, Ancestral(), torch.full((1, L), V), 5)  # type: ignore[arg-type]
    assert not follows(drawn(made, policy, 5, L), plain)


def test_confident_remasking_spares_what_was_sure_when_it_was_written():
    policy, made = Remask(rule="rescale", eta=0.9, confident=True), model(Mdlm(V), seed=5)
    law = choosing.law_of(made, policy, L, 4)
    assert float(law.sum()) == pytest.approx(1, abs=1e-9)
    assert follows(drawn(made, policy, 4, L), law)


def test_what_is_written_is_as_sure_as_it_was_probable():
    made = model(SeddAbsorb(V), seed=5)  # its guesses do not sum to one: they are read as the last guess reads them
    walk = Walk(made, Known.nothing(200, L), Stream(0))
    t, s = torch.tensor([1.0, 0.4], dtype=torch.float64)
    Remask(confident=True).move(walk, t, s)
    guess = choosing.guesses(made, (V,) * L, 1.0).exp()
    written = walk.z != V
    expected = guess.expand(200, -1, -1).gather(-1, walk.z.clamp(max=V - 1)[..., None])[..., 0]
    assert written.any()
    torch.testing.assert_close(walk.sureness[written], expected[written], rtol=1e-12, atol=0)


def test_confident_shares_are_a_softmax_over_what_may_be_masked_again():
    """One step from a text that is all visible but for its last position, of which the first is known."""
    count, sure = 2**14, torch.tensor([0.1, 0.9, 0.2, 0.5, 1.0], dtype=torch.float64)
    known = Known(torch.zeros(count, 5, dtype=torch.long), torch.tensor([True, *[False] * 4]).expand(count, 5))
    walk, policy = Walk(flat(Mdlm(V)), known, Stream(0)), Remask(rule="rescale", eta=1.0, confident=True)
    walk.z, walk.sureness = torch.tensor([0, 1, 2, 0, V]).repeat(count, 1), sure.repeat(count, 1)
    t, s = torch.tensor([0.5, 0.3], dtype=torch.float64)
    policy.move(walk, t, s)
    expected = torch.cat([torch.zeros(1).double(), (-sure[1:4]).softmax(0) * 0.3 / 0.5, torch.tensor([0.3 / 0.5])])
    error = (expected * (1 - expected) / count).sqrt()
    assert ((walk.z == V).double().mean(0) - expected).abs().le(4 * error).all()


# --- one token a call, and as many as the network is sure of


def seen_times(monkeypatch) -> list[tuple[Tensor, Tensor]]:
    """The times and the z of all network calls."""
    seen, look = [], Walk.look

    def looking(self, t, rows=None):
        seen.append((t.clone(), self.z.clone()))
        return look(self, t, rows)

    monkeypatch.setattr(Walk, "look", looking)
    return seen


@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=lambda each: type(each).__name__)
def test_i22_hitting_times_are_order_statistics(schedule, monkeypatch):
    """1 - alpha of the k-th of L: (L + 1 - k) / (L + 1) on average, and U^(1 / n) of the one before."""
    length, count = 5, 4000
    seen = seen_times(monkeypatch)
    sample(flat(Md4(V, schedule)), count, length, length, 0, FirstHitting())
    hidden = torch.stack([1 - schedule.alpha(t) for t, _ in seen[:length]])
    for k, each in enumerate(hidden, start=1):
        assert abs(float(each.mean()) - (length + 1 - k) / (length + 1)) < 4 * float(each.std()) / math.sqrt(count)
    before = torch.cat([torch.ones(1, count).double(), hidden[:-1]])
    for left, share in zip(range(length, 0, -1), hidden / before, strict=True):
        tenths = torch.bincount((share**left * 10).long(), minlength=10)
        assert abs(surprise(tenths, torch.full((10,), 0.1).double())) < 4


def test_first_hitting_writes_a_token_a_call_and_tells_each_sequence_its_own_time(monkeypatch):
    made, count, length = random_model("md4"), 6, 9
    told, seen = watched(made), seen_times(monkeypatch)
    found = sample(made, count, length, length, 0, FirstHitting())
    assert found.network_calls == len(told) == length
    for left, (z, clock), (t, _) in zip(range(length, 0, -1), told, seen, strict=False):
        assert ((z == 5).sum(1) == left).all()
        assert torch.equal(clock, made.method.clock(t))
        assert len(clock.unique()) == count
    assert all((after < before).all() for (_, before), (_, after) in pairwise(told))
    orders = torch.stack([(before == 5) & (after != 5) for (before, _), (after, _) in pairwise(told)])
    assert (orders.sum(-1) == 1).all()
    assert len(orders.float().argmax(-1).T.unique(dim=0)) == count  # each its own order
    assert "calls has to be 9" in (why_not(made.method, How(8, FirstHitting()), length) or "")


@pytest.mark.parametrize("method", [Mdlm(V), Md4(V, Cosine())], ids=lambda each: type(each).__name__)
def test_i22_first_hitting_with_an_oracle_is_exact(method):
    assert follows(drawn(Oracle(method, TRIPLES), FirstHitting(), 3, 3), TRIPLES.law)


@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=lambda each: type(each).__name__)
def test_i22_first_hitting_is_the_limit_of_ancestral_steps(schedule):
    """Of any network, told the time; what 500 steps are off by is below the noise of the draws."""
    made = model(Md4(V, schedule), seed=4)
    law = follow(made, PAIRS, Ancestral(), torch.full((1, L), V), 500)  # type: ignore[arg-type]
    assert follows(drawn(made, FirstHitting(), L, L), law)


MADE = {
    "oracle": (Oracle(Mdlm(V), TRIPLES), 3),
    "told the time": (model(Md4(V, Cosine()), seed=6), 2),
    "unnormalised": (model(SeddAbsorb(V), seed=7), 2),
}


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("calls", [1, 2, 3, 4])  # of three tokens: all at once, 1 and 2, one a call
@pytest.mark.parametrize("name", ["confidence", "margin"])
def test_the_surest_first_follow_the_law_of_that_procedure(made, name, calls):
    network, length = MADE[made]
    law = choosing.law_of(network, named(name), length, calls)
    assert float(law.sum()) == pytest.approx(1, abs=1e-12)
    assert follows(drawn(network, named(name), calls, length), law)


def test_an_order_that_depends_on_visible_tokens_alone_keeps_the_law_and_confidence_does_not():
    oracle = MADE["oracle"][0]
    torch.testing.assert_close(choosing.law_of(oracle, Margin(), 3, 4), TRIPLES.law, rtol=1e-9, atol=1e-12)
    assert follows(drawn(oracle, Margin(), 4, 3), TRIPLES.law)
    assert follows(drawn(oracle, EntropyBounded(budget=0.0), 3, 3), TRIPLES.law)
    biased = choosing.law_of(oracle, Confidence(), 3, 4)
    assert float((biased - TRIPLES.law).abs().sum() / 2) > 0.02
    assert not follows(drawn(oracle, Confidence(), 4, 3), TRIPLES.law)


@pytest.mark.parametrize("name", ["confidence", "margin"])
@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("given", [0, 4])
def test_each_call_reveals_what_the_schedule_does_on_average(name, schedule, given):
    made, length, calls = flat(Mdlm(V, schedule)), 20, 7
    seen = watched(made)
    known = Known(torch.zeros(3, length, dtype=torch.long), (torch.arange(length) < given).expand(3, -1))
    sample(made, 3, length, calls, 0, named(name), known)
    for (z, _), t in zip(seen, times(made.method, calls), strict=False):
        expected = round((length - given) * float(1 - schedule.alpha(t)))
        assert ((z == V).sum(1) == expected).all()


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize(("budget", "calls"), [(0.0, 2), (0.5, 2), (0.5, 3), (0.9, 2), (9.0, 3)])
def test_the_least_uncertain_within_a_budget_follow_the_law_of_that_procedure(made, budget, calls):
    network, length = MADE[made]
    law = choosing.law_of(network, EntropyBounded(budget=budget), length, calls)
    assert follows(drawn(network, EntropyBounded(budget=budget), calls, length), law)


def test_a_budget_of_nothing_reveals_a_token_a_call_a_large_one_all_and_what_is_sure_is_free():
    def masks(made: Model, budget: float, calls: int, known: Known | None = None) -> list[list[int]]:
        seen = watched(made)
        sample(made, 2, 6, calls, 0, EntropyBounded(budget=budget), known)
        return [(z == V).sum(1).tolist() for z, _ in seen]

    assert masks(flat(Mdlm(V)), 0.0, 99) == [[n, n] for n in (6, 5, 4, 3, 2, 1)]
    assert masks(flat(Mdlm(V)), 0.0, 3) == [[6, 6], [5, 5], [4, 4]]  # the rest at the last call
    assert masks(flat(Mdlm(V)), 2.0, 99) == [[6, 6], [4, 4], [2, 2]]  # a third would cost 2 log 3 = 2.2 beside it
    assert masks(flat(Mdlm(V)), 99.0, 99) == [[6, 6]]
    assert masks(flat(Mdlm(V), 0.0, 1e9, 0.0), 0.0, 99) == [[6, 6]]  # exactly no entropy
    fixed = torch.tensor([[False] * 6, [True] * 4 + [False] * 2])
    assert masks(flat(Mdlm(V)), 0.0, 99, Known(torch.zeros(2, 6).long(), fixed))[:3] == [[6, 2], [5, 1], [4, 0]]


# --- self-correction


def corrections(monkeypatch) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """z before, what was drawn, its laws, and z after each correction, told by the guards around the private verb."""
    seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    correct, draws = SelfCorrect._correct, Walk.draw

    def correcting(self, walk, t):
        laws: list[tuple[Tensor, Tensor]] = []
        with monkeypatch.context() as inner:
            inner.setattr(Walk, "draw", lambda own, log_p: (laws.append((log_p, draws(own, log_p))), laws[-1][1])[1])
            before, assert_clean = walk.z.clone(), float(t)
            assert assert_clean == CLEAN
            goes_on = correct(self, walk, t)
        ((law, tokens),) = laws
        seen.append((before, tokens.view_as(before), law.view(*before.shape, -1), walk.z.clone()))
        assert goes_on == bool((before != walk.z).any())
        return goes_on

    monkeypatch.setattr(SelfCorrect, "_correct", correcting)
    return seen


@pytest.mark.parametrize("name", ["gidd", "udlm", "d3pm-uniform"])
def test_each_correction_writes_the_most_probable_of_the_tokens_that_came_out_otherwise(name, monkeypatch):
    made, count, length, policy = random_model(name), 6, 9, SelfCorrect(corrections=12, temperature=0.5)
    seen, calls = corrections(monkeypatch), watched(made)
    fixed = torch.arange(length) % 4 == 1
    known = Known(torch.full((count, length), 2), fixed.expand(count, -1))
    found = sample(made, count, length, 20, 0, policy, known)
    assert found.network_calls == len(calls) <= 20
    assert len(seen) == len(calls) - 8
    for before, tokens, law, after in seen:
        for row in range(count):
            other = [i for i in range(length) if tokens[row, i] != before[row, i] and not fixed[i]]
            expected = before[row].clone()
            if other:
                best = max(other, key=lambda i: float(law[row, i].softmax(-1)[tokens[row, i]]))
                expected[best] = tokens[row, best]
            assert torch.equal(after[row], expected)
    assert torch.equal(found.ids, seen[-1][-1])
    assert (found.ids[:, fixed] == 2).all()
    assert sum(int((before != after).sum()) for before, _, _, after in seen) > count  # something was corrected


@pytest.mark.parametrize("name", ["gidd", "udlm"])
def test_corrected_texts_follow_the_law_of_that_procedure(name):
    policy, made = SelfCorrect(corrections=3, temperature=0.7), model(build(name, V), seed=3)
    before = follow(made, PAIRS, Ancestral(), made.method.prior(torch.zeros(MANY, L).long(), Stream(0)), 4)  # type: ignore[arg-type]
    law = choosing.law_of(made, policy, L, 7, before)
    assert float(law.sum()) == pytest.approx(1, abs=1e-9)
    assert float((law - before).abs().sum() / 2) > 0.05
    assert follows(drawn(made, policy, 7, L), law)


@pytest.mark.parametrize(
    ("name", "reason"), [("gidd", "leaves 1 of 33 calls"), ("sedd-uniform", "no probabilities of")]
)
def test_corrections_leave_calls_for_the_steps_and_need_probabilities(name, reason):
    assert reason in (why_not(build(name, V), How(33, SelfCorrect()), L) or "")
    assert (why_not(build(name, V), How(34, SelfCorrect()), L) is None) == (name == "gidd")


def test_corrections_are_drawn_at_their_temperature(monkeypatch):
    seen = corrections(monkeypatch)
    scores = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    sample(flat(Gidd(V), *scores.tolist()), 2000, 4, 6, 0, SelfCorrect(corrections=3, temperature=0.25))
    law = (4 * scores).softmax(0)
    torch.testing.assert_close(seen[0][2][0, 0].softmax(-1), law, rtol=1e-9, atol=0)
    assert abs(surprise(torch.bincount(seen[0][1].flatten(), minlength=V), law)) < 4


def test_corrections_end_when_nothing_changes_and_fewer_calls_are_told():
    made = flat(Udlm(V), 0.0, 9.0, 0.0)  # at a temperature of 0.1 only token 1 is ever drawn
    seen = watched(made)
    found = sample(made, 8, 5, 60, 0, SelfCorrect(corrections=50))
    wrong = (seen[10][0] != 1).sum(1)  # in the text that ten calls have made
    assert found.network_calls == len(seen) == 10 + int(wrong.max()) + 1
    assert (found.ids == 1).all()
    busy = flat(Udlm(V))
    assert sample(busy, 8, 5, 12, 0, SelfCorrect(corrections=6, temperature=9.0)).network_calls == 12


# --- every policy with every method

EVERY = {
    **{name: named(name) for name in POLICIES if name != "self-correct"},
    "ancestral, cosine": Ancestral(grid="cosine"),
    "ancestral, cached": Ancestral(cached=True),
    "remask, most": Remask(rule="rescale", eta=1.0),
    "remask, star": Remask(rule="star"),
    "remask, confident": Remask(rule="rescale", eta=0.9, confident=True),
    "self-correct": SelfCorrect(corrections=4),
}
DIFFUSION = set(METHODS) - {"ar"}
ACCEPTED = dict.fromkeys(EVERY, MASKED) | {
    "ancestral": set(METHODS),
    "ancestral, cosine": set(METHODS),
    "ancestral, cached": {"mdlm", "ar"},
    "euler": DIFFUSION - {"plaid", "d3pm-absorb", "d3pm-uniform"},
    "ddim": {"plaid"},
    "first-hitting": MASKED - {"sedd-absorb"},  # whose scores set the pace
    "self-correct": {"gidd", "udlm", "d3pm-uniform"},
}


def counted(made: Model) -> list[int]:
    """Grows by one with every call of the network, with a cache or without."""
    calls: list[int] = []
    made.network.blocks[0].register_forward_hook(lambda *_: calls.append(1))  # type: ignore[union-attr,operator]
    return calls


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("policy", EVERY)
def test_every_method_is_drawn_from_in_the_calls_that_are_told_or_is_refused_with_a_reason(policy, name):
    made, length = random_model(name), 7
    how, calls = How(length, EVERY[policy]), counted(made)
    reason = why_not(made.method, how, length)
    if name not in ACCEPTED[policy]:
        assert reason
        with pytest.raises(ValueError, match=f"{type(made.method).__name__} "):
            sample(made, 3, length, length, 0, how=how)
        assert not calls
        return
    assert reason is None
    x = torch.tensor([[1, 4, 0, 2, 3, 3, 1]]).expand(3, -1)
    given = torch.arange(length) < 3 if name == "ar" else torch.tensor([0, 1, 0, 0, 1, 0, 1]).bool()
    for known in (None, Known(x, given.expand(3, -1))):
        calls.clear()
        found = sample(made, 3, length, length, 0, known=known, how=how)
        assert found.ids.shape == (3, length)
        assert ((found.ids >= 0) & (found.ids < 5)).all()
        assert found.network_calls == len(calls) <= length
        assert calls
        assert known is None or torch.equal(found.ids[:, given], x[:, given])


class Placed(Mdlm):
    """Lives on a device that refuses to meet tensors of the CPU, as a GPU does."""

    def __init__(self):
        super().__init__(V, LinearSigma())
        self.weight = nn.Parameter(torch.zeros(V, device="meta"))

    def read(self, scores, z, t):
        return (scores + self.weight).log_softmax(-1)


def test_a_method_is_asked_what_it_can_do_on_its_own_device():
    assert {each.device.type for each in trial(Placed())} == {"meta"}
    assert {each.device.type for each in trial(Mdlm(V))} == {"cpu"}


def test_policies_differ_in_what_they_are_hashed_by():
    sciences = [str(SamplesSpec(policy=policy).science()) for policy in EVERY.values()]  # type: ignore[arg-type]
    assert len(set(sciences)) == len(EVERY)
    assert SamplesSpec().science() == {}
    assert SamplesSpec(policy=Euler()).science() == {"policy": {"name": "euler"}}
    assert [Ddim().label(), Remask(rule="star").label()] == ["ddim", "remask (rule star)"]
