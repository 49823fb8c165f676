"""Taking back what was written: remasking keeps the noise as it is, corrections follow the law that they say."""

from itertools import product

import pytest
import torch
from torch import Tensor

from bench.certify import policy_laws
from bench.certify.sampler_checks import fit_law, propagate
from bench.engine.rng import Stream
from bench.engine.sample.policies import Policy, times
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.remasking import CLEAN, Remask, SelfCorrect
from bench.engine.sample.sampler import SamplerSettings, refusal, sample
from bench.engine.sample.state import Prompt, SamplerState
from methods import build
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.method import Method
from methods.schedules import Cosine, Linear, Polynomial
from tests.engine.model.test_network import random_model
from tests.support.drawing import MANY, PAIRS, at, drawn, flat, follows, watched
from tests.support.toys import L, V, model


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


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
    law = propagate(made, PAIRS, policy, torch.full((1, L), V), 5)  # type: ignore[arg-type]
    assert follows(drawn(made, policy, 5, L), law)
    plain = propagate(made, PAIRS, Ancestral(), torch.full((1, L), V), 5)  # type: ignore[arg-type]
    assert not follows(drawn(made, policy, 5, L), plain)


def test_confident_remasking_spares_what_was_sure_when_it_was_written():
    policy, made = Remask(rule="rescale", eta=0.9, confident=True), model(Mdlm(V), seed=5)
    law = policy_laws.enumerate_law(made, policy, L, 4)
    assert float(law.sum()) == pytest.approx(1, abs=1e-9)
    assert follows(drawn(made, policy, 4, L), law)


def test_what_is_written_is_as_sure_as_it_was_probable():
    made = model(SeddAbsorb(V), seed=5)  # its guesses do not sum to one: they are read as the last guess reads them
    walk = SamplerState(made, Prompt.empty(200, L), Stream(0))
    t, s = torch.tensor([1.0, 0.4], dtype=torch.float64)
    Remask(confident=True).move(walk, t, s)
    guess = policy_laws.masked_log_p(made, (V,) * L, 1.0).exp()
    written = walk.z != V
    expected = guess.expand(200, -1, -1).gather(-1, walk.z.clamp(max=V - 1)[..., None])[..., 0]
    assert written.any()
    torch.testing.assert_close(walk.confidence[written], expected[written], rtol=1e-12, atol=0)


def test_confident_shares_are_a_softmax_over_what_may_be_masked_again():
    """One step from a text that is all visible but for its last position, of which the first is known."""
    count, sure = 2**14, torch.tensor([0.1, 0.9, 0.2, 0.5, 1.0], dtype=torch.float64)
    known = Prompt(torch.zeros(count, 5, dtype=torch.long), torch.tensor([True, *[False] * 4]).expand(count, 5))
    walk, policy = SamplerState(flat(Mdlm(V)), known, Stream(0)), Remask(rule="rescale", eta=1.0, confident=True)
    walk.z, walk.confidence = torch.tensor([0, 1, 2, 0, V]).repeat(count, 1), sure.repeat(count, 1)
    t, s = torch.tensor([0.5, 0.3], dtype=torch.float64)
    policy.move(walk, t, s)
    expected = torch.cat([torch.zeros(1).double(), (-sure[1:4]).softmax(0) * 0.3 / 0.5, torch.tensor([0.3 / 0.5])])
    error = (expected * (1 - expected) / count).sqrt()
    assert ((walk.z == V).double().mean(0) - expected).abs().le(4 * error).all()


# --- self-correction


def corrections(monkeypatch) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """z before, what was drawn, its laws, and z after each correction, told by the guards around the private verb."""
    seen: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    correct, draws = SelfCorrect._correct, SamplerState.draw

    def correcting(self, walk, t):
        laws: list[tuple[Tensor, Tensor]] = []
        with monkeypatch.context() as inner:
            inner.setattr(
                SamplerState, "draw", lambda own, log_p: (laws.append((log_p, draws(own, log_p))), laws[-1][1])[1]
            )
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
    known = Prompt(torch.full((count, length), 2), fixed.expand(count, -1))
    samples = sample(made, count, length, 20, 0, policy, known)
    assert samples.network_calls == len(calls) <= 20
    assert len(seen) == len(calls) - 8
    for before, tokens, law, after in seen:
        for row in range(count):
            other = [i for i in range(length) if tokens[row, i] != before[row, i] and not fixed[i]]
            expected = before[row].clone()
            if other:
                best = max(other, key=lambda i: float(law[row, i].softmax(-1)[tokens[row, i]]))
                expected[best] = tokens[row, best]
            assert torch.equal(after[row], expected)
    assert torch.equal(samples.ids, seen[-1][-1])
    assert (samples.ids[:, fixed] == 2).all()
    assert sum(int((before != after).sum()) for before, _, _, after in seen) > count  # something was corrected


@pytest.mark.parametrize("name", ["gidd", "udlm"])
def test_corrected_texts_follow_the_law_of_that_procedure(name):
    policy, made = SelfCorrect(corrections=3, temperature=0.7), model(build(name, V), seed=3)
    before = propagate(made, PAIRS, Ancestral(), made.method.prior(torch.zeros(MANY, L).long(), Stream(0)), 4)  # type: ignore[arg-type]
    law = policy_laws.enumerate_law(made, policy, L, 7, before)
    assert float(law.sum()) == pytest.approx(1, abs=1e-9)
    assert float((law - before).abs().sum() / 2) > 0.05
    assert follows(drawn(made, policy, 7, L), law)


@pytest.mark.parametrize(
    ("name", "reason"), [("gidd", "leaves 1 of 33 calls"), ("sedd-uniform", "no probabilities of")]
)
def test_corrections_leave_calls_for_the_steps_and_need_probabilities(name, reason):
    assert reason in (refusal(build(name, V), SamplerSettings(33, SelfCorrect()), L) or "")
    assert (refusal(build(name, V), SamplerSettings(34, SelfCorrect()), L) is None) == (name == "gidd")


def test_corrections_are_drawn_at_their_temperature(monkeypatch):
    seen = corrections(monkeypatch)
    scores = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
    sample(flat(Gidd(V), *scores.tolist()), 2000, 4, 6, 0, SelfCorrect(corrections=3, temperature=0.25))
    law = (4 * scores).softmax(0)
    torch.testing.assert_close(seen[0][2][0, 0].softmax(-1), law, rtol=1e-9, atol=0)
    assert abs(fit_law(torch.bincount(seen[0][1].flatten(), minlength=V), law).z_score) < 4


def test_corrections_end_when_nothing_changes_and_fewer_calls_are_told():
    made = flat(Udlm(V), 0.0, 9.0, 0.0)  # at a temperature of 0.1 only token 1 is ever drawn
    seen = watched(made)
    samples = sample(made, 8, 5, 60, 0, SelfCorrect(corrections=50))
    wrong = (seen[10][0] != 1).sum(1)  # in the text that ten calls have made
    assert samples.network_calls == len(seen) == 10 + int(wrong.max()) + 1
    assert (samples.ids == 1).all()
    busy = flat(Udlm(V))
    assert sample(busy, 8, 5, 12, 0, SelfCorrect(corrections=6, temperature=9.0)).network_calls == 12
