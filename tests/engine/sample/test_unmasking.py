"""Which masks are revealed, and when: laws are enumerated, and draws are held against them by chi-square."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from bench.certify import policy_laws
from bench.certify.oracle import Oracle
from bench.certify.sampler_checks import fit_law, propagate
from bench.engine.model.method_with_network import Model
from bench.engine.sample.policies import named, times
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.unmasking import Confidence, EntropyBounded, FirstHitting, Margin
from bench.engine.sample.sampler import SamplerSettings, refusal, sample
from bench.engine.sample.state import Prompt, SamplerState
from methods.discrete.sedd import SeddAbsorb
from methods.masked.absorbing import Md4, Mdlm
from methods.schedules import Cosine, Linear
from tests.engine.model.test_network import random_model
from tests.support.drawing import PAIRS, TRIPLES, drawn, flat, follows, watched
from tests.support.toys import L, V, model


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


# --- one token a call, and as many as the network is sure of


def seen_times(monkeypatch) -> list[tuple[Tensor, Tensor]]:
    """The times and the z of all network calls."""
    seen, look = [], SamplerState.predict

    def looking(self, t, rows=None):
        seen.append((t.clone(), self.z.clone()))
        return look(self, t, rows)

    monkeypatch.setattr(SamplerState, "predict", looking)
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
        assert abs(fit_law(tenths, torch.full((10,), 0.1).double()).z_score) < 4


def test_first_hitting_writes_a_token_a_call_and_tells_each_sequence_its_own_time(monkeypatch):
    made, count, length = random_model("md4"), 6, 9
    told, seen = watched(made), seen_times(monkeypatch)
    samples = sample(made, count, length, length, 0, FirstHitting())
    assert samples.network_calls == len(told) == length
    for left, (z, clock), (t, _) in zip(range(length, 0, -1), told, seen, strict=False):
        assert ((z == 5).sum(1) == left).all()
        assert torch.equal(clock, made.method.clock(t))
        assert len(clock.unique()) == count
    assert all((after < before).all() for (_, before), (_, after) in pairwise(told))
    orders = torch.stack([(before == 5) & (after != 5) for (before, _), (after, _) in pairwise(told)])
    assert (orders.sum(-1) == 1).all()
    assert len(orders.float().argmax(-1).T.unique(dim=0)) == count  # each its own order
    assert "set calls to 9" in (refusal(made.method, SamplerSettings(8, FirstHitting()), length) or "")


@pytest.mark.parametrize("method", [Mdlm(V), Md4(V, Cosine())], ids=lambda each: type(each).__name__)
def test_i22_first_hitting_with_an_oracle_is_exact(method):
    assert follows(drawn(Oracle(method, TRIPLES), FirstHitting(), 3, 3), TRIPLES.law)


@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=lambda each: type(each).__name__)
def test_i22_first_hitting_is_the_limit_of_ancestral_steps(schedule):
    """Of any network, told the time; what 500 steps are off by is below the noise of the draws."""
    made = model(Md4(V, schedule), seed=4)
    law = propagate(made, PAIRS, Ancestral(), torch.full((1, L), V), 500)  # type: ignore[arg-type]
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
    law = policy_laws.enumerate_law(network, named(name), length, calls)
    assert float(law.sum()) == pytest.approx(1, abs=1e-12)
    assert follows(drawn(network, named(name), calls, length), law)


def test_an_order_that_depends_on_visible_tokens_alone_keeps_the_law_and_confidence_does_not():
    oracle = MADE["oracle"][0]
    torch.testing.assert_close(policy_laws.enumerate_law(oracle, Margin(), 3, 4), TRIPLES.law, rtol=1e-9, atol=1e-12)
    assert follows(drawn(oracle, Margin(), 4, 3), TRIPLES.law)
    assert follows(drawn(oracle, EntropyBounded(budget=0.0), 3, 3), TRIPLES.law)
    biased = policy_laws.enumerate_law(oracle, Confidence(), 3, 4)
    assert float((biased - TRIPLES.law).abs().sum() / 2) > 0.02
    assert not follows(drawn(oracle, Confidence(), 4, 3), TRIPLES.law)


@pytest.mark.parametrize("name", ["confidence", "margin"])
@pytest.mark.parametrize("schedule", [Linear(), Cosine()], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("given", [0, 4])
def test_each_call_reveals_what_the_schedule_does_on_average(name, schedule, given):
    made, length, calls = flat(Mdlm(V, schedule)), 20, 7
    seen = watched(made)
    known = Prompt(torch.zeros(3, length, dtype=torch.long), (torch.arange(length) < given).expand(3, -1))
    sample(made, 3, length, calls, 0, named(name), known)
    for (z, _), t in zip(seen, times(made.method, calls), strict=False):
        expected = round((length - given) * float(1 - schedule.alpha(t)))
        assert ((z == V).sum(1) == expected).all()


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize(("budget", "calls"), [(0.0, 2), (0.5, 2), (0.5, 3), (0.9, 2), (9.0, 3)])
def test_the_least_uncertain_within_a_budget_follow_the_law_of_that_procedure(made, budget, calls):
    network, length = MADE[made]
    law = policy_laws.enumerate_law(network, EntropyBounded(budget=budget), length, calls)
    assert follows(drawn(network, EntropyBounded(budget=budget), calls, length), law)


def test_a_budget_of_nothing_reveals_a_token_a_call_a_large_one_all_and_what_is_sure_is_free():
    def masks(made: Model, budget: float, calls: int, known: Prompt | None = None) -> list[list[int]]:
        seen = watched(made)
        sample(made, 2, 6, calls, 0, EntropyBounded(budget=budget), known)
        return [(z == V).sum(1).tolist() for z, _ in seen]

    assert masks(flat(Mdlm(V)), 0.0, 99) == [[n, n] for n in (6, 5, 4, 3, 2, 1)]
    assert masks(flat(Mdlm(V)), 0.0, 3) == [[6, 6], [5, 5], [4, 4]]  # the rest at the last call
    assert masks(flat(Mdlm(V)), 2.0, 99) == [[6, 6], [4, 4], [2, 2]]  # a third would cost 2 log 3 = 2.2 beside it
    assert masks(flat(Mdlm(V)), 99.0, 99) == [[6, 6]]
    assert masks(flat(Mdlm(V), 0.0, 1e9, 0.0), 0.0, 99) == [[6, 6]]  # exactly no entropy
    fixed = torch.tensor([[False] * 6, [True] * 4 + [False] * 2])
    assert masks(flat(Mdlm(V)), 0.0, 99, Prompt(torch.zeros(2, 6).long(), fixed))[:3] == [[6, 2], [5, 1], [4, 0]]
