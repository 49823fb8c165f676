"""What is given of a text stays, and the rest is drawn given it; who watches sees what each call is shown."""

from itertools import pairwise

import pytest
import torch

from bench.certify.oracle import Oracle, Table
from bench.certify.sampler_checks import fit_law, text_indices
from bench.engine.model.method_with_network import Model
from bench.engine.sample.policies import Euler, Policy, times
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.remasking import Remask, SelfCorrect
from bench.engine.sample.policies.unmasking import EntropyBounded, FirstHitting, Margin
from bench.engine.sample.sampler import sample
from bench.engine.sample.state import Prompt, SamplerState
from methods import build
from methods.discrete.d3pm import D3pmAbsorb
from methods.discrete.sedd import SeddAbsorb
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.schedules import Cosine
from tests.engine.model.test_network import random_model
from tests.support.toys import V

# --- what is given of a text


TRIPLES = Table(torch.randn(V**3, generator=torch.Generator().manual_seed(0)).double().mul(1.5).softmax(0), V, 3)
GIVEN = ({1: 2}, {0: 1, 2: 0})  # of the first and of the second half of the texts: which tokens are where


def powers() -> GenMd4:
    """GenMD4 as it may have learned: each token is masked at times of its own."""
    method = GenMd4(V)
    method.raw.data = torch.tensor([-1.0, 0.5, 2.0])
    return method


class Before(Oracle):
    """An oracle that takes t = 1 for the moment before it, when tokens may be visible; equal texts are read once."""

    def hidden(self, z, t, guess=None):
        t = t.clamp(max=1 - 1e-9)
        if len(t.unique()) > 1:
            return super().hidden(z, t, guess)
        texts, place = z.unique(dim=0, return_inverse=True)
        return super().hidden(texts, t[: len(texts)])[place]


def conditioned(made: Model, calls: int, policy: Policy) -> bool:
    """Whether texts with given tokens follow the law of the source given these tokens."""
    half = 2**12
    ids, fixed = torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.bool)
    for row, given in enumerate(GIVEN):
        for place, token in given.items():
            ids[row, place], fixed[row, place] = token, True
    known = Prompt(ids.repeat_interleave(half, 0), fixed.repeat_interleave(half, 0))
    samples = sample(made, 2 * half, 3, calls, 0, policy, known).ids
    assert (samples == known.ids)[known.fixed].all()
    right = True
    for drawn, row, keep in zip(samples.split(half), ids, fixed, strict=True):
        possible = (TRIPLES.texts == row)[:, keep].all(-1)
        law = torch.where(possible, TRIPLES.law, 0.0)
        counts = torch.bincount(text_indices(drawn, V), minlength=V**3)
        right &= abs(fit_law(counts, law / law.sum()).z_score) < 4
    return right


@pytest.mark.parametrize(
    ("method", "calls", "policy"),
    [
        (Mdlm(V), 128, Ancestral()),
        (Mdlm(V), 128, Ancestral(cached=True)),
        (Mdlm(V), 3, FirstHitting()),
        (Mdlm(V), 4, Margin()),
        (Mdlm(V), 3, EntropyBounded(budget=0.0)),
        (Md4(V, Cosine()), 128, Ancestral()),
        (Md4(V, Cosine()), 3, FirstHitting()),
        (SeddAbsorb(V), 128, Ancestral()),
        (SeddAbsorb(V), 128, Euler()),
        (powers(), 128, Ancestral()),
        (D3pmAbsorb(V, hybrid=0.0), 128, Ancestral()),
        (D3pmAbsorb(V), 128, Ancestral()),  # every position is scored, though visible tokens stay
    ],
    ids=lambda value: value.label() if isinstance(value, Policy) else type(value).__name__,
)
def test_masks_are_filled_by_the_law_given_what_is_known_wherever_that_is(method, calls, policy):
    assert conditioned(Before(method, TRIPLES), calls, policy)


def test_a_few_calls_do_not_fill_two_masks_by_their_joint_law():
    assert not conditioned(Before(Mdlm(V), TRIPLES), 2, Ancestral())


@pytest.mark.parametrize("policy", [Remask(rule="star"), Remask(rule="rescale", eta=1.0, confident=True), Euler()])
def test_known_tokens_are_shown_at_every_call_where_visible_tokens_are_final(policy):
    made, shown = random_model("mdlm"), []
    made.network.register_forward_pre_hook(lambda _, given: shown.append(given[0].clone()))
    fixed = torch.arange(9) % 3 == 1
    known = Prompt(torch.full((4, 9), 3), fixed.expand(4, -1))
    sample(made, 4, 9, 30, 0, policy, known)
    assert all((z[:, fixed] == 3).all() for z in shown)
    again = [(before != 5) & (after == 5) for before, after in pairwise(shown)]
    assert torch.stack(again).any() == isinstance(policy, Remask)


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("mdlm", Ancestral()),
        ("mdlm", Ancestral(cached=True)),
        ("md4", FirstHitting()),
        ("gidd", SelfCorrect(corrections=3)),
    ],
)
def test_who_watches_is_given_what_each_network_call_is_shown(name, policy):
    made, shown, seen = random_model(name), list[torch.Tensor](), list[torch.Tensor]()
    made.network.register_forward_pre_hook(lambda _, given: shown.append(given[0].clone()))
    samples = sample(made, 1, 9, 9, 0, policy, watch=seen.append)
    assert len(seen) == samples.network_calls
    assert torch.equal(torch.cat(seen), torch.cat(shown))
    assert torch.equal(samples.ids, sample(made, 1, 9, 9, 0, policy).ids)


def test_who_watches_vectors_is_given_the_likeliest_tokens_and_left_to_right_a_token_a_call():
    seen: list[torch.Tensor] = []
    found = sample(random_model("plaid"), 3, 9, 6, 0, watch=seen.append)
    assert len(seen) == found.network_calls
    assert all(((each >= 0) & (each < 5)).all() for each in seen)
    assert len(torch.stack(seen).unique(dim=0)) > 1
    seen.clear()
    known = Prompt(torch.full((2, 9), 3), (torch.arange(9) < 4).expand(2, -1))
    found = sample(random_model("ar"), 2, 9, 9, 0, prompt=known, watch=seen.append)
    assert len(seen) == found.network_calls == 5
    for written, each in enumerate(seen, start=4):
        assert torch.equal(each, found.ids.masked_fill(torch.arange(9) >= written, 5))


@pytest.mark.parametrize("name", ["gidd", "udlm", "plaid", "d3pm-uniform"])
def test_other_noise_shows_known_tokens_as_noisy_as_the_time_is(name, monkeypatch):
    made, seen, corrupt = random_model(name), [], type(build(name, 5)).corrupt
    monkeypatch.setattr(
        type(made.method), "corrupt", lambda self, x, t, rng: (seen.append(t.unique()), corrupt(self, x, t, rng))[1]
    )
    shown: list[torch.Tensor] = []
    look = SamplerState.predict
    monkeypatch.setattr(SamplerState, "predict", lambda self, t: (shown.append(self.z.clone()), look(self, t))[1])
    fixed = torch.arange(9) % 3 == 1
    known = Prompt(torch.full((4, 9), 3), fixed.expand(4, -1))
    samples = sample(made, 4, 9, 6, 0, prompt=known)
    assert torch.equal(torch.cat(seen), times(made.method, 6))
    assert (samples.ids[:, fixed] == 3).all()
    assert not torch.equal(shown[1][:, fixed], shown[2][:, fixed])


def test_a_causal_method_continues_a_beginning_by_its_own_law_and_fills_no_gaps():
    known = Prompt(torch.tensor([[2, 0, 0]]).expand(2**13, -1), torch.tensor([[True, False, False]]).expand(2**13, -1))
    samples = sample(Oracle(build("ar", V), TRIPLES), 2**13, 3, 3, 0, prompt=known)
    assert samples.network_calls == 2
    law = torch.where(TRIPLES.texts[:, 0] == 2, TRIPLES.law, 0.0)
    counts = torch.bincount(text_indices(samples.ids, V), minlength=V**3)
    assert abs(fit_law(counts, law / law.sum()).z_score) < 4
    gap = Prompt(known.ids, known.fixed.roll(1, 1))
    with pytest.raises(ValueError, match="a causal method can continue a text, not fill gaps"):
        sample(Oracle(build("ar", V), TRIPLES), 2**13, 3, 3, 0, prompt=gap)
