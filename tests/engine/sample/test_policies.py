"""The ways of drawing texts: each follows the law that it says, in the calls that it says, or is refused.

Laws are enumerated; what was drawn is held against them by chi-square, `surprise` of which 4 are allowed.
"""

import math
from itertools import pairwise, product

import pytest
import torch
from torch import nn

from bench.certify.oracle import Oracle
from bench.certify.sampler_checks import propagate
from bench.engine.model.method_with_network import Model
from bench.engine.sample.method_capabilities import trial
from bench.engine.sample.policies import POLICIES, named, times
from bench.engine.sample.policies.ancestral import Ancestral, Ddim, Euler
from bench.engine.sample.policies.remasking import Remask, SelfCorrect
from bench.engine.sample.sampler import SamplerSettings, refusal, sample
from bench.engine.sample.settings import SamplesSpec
from bench.engine.sample.state import Prompt
from methods import METHODS, build
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.schedules import Cosine, LinearSigma
from tests.engine.model.test_network import random_model
from tests.support.drawing import MASKED, PAIRS, flat, watched
from tests.support.toys import LAW, L, V


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


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
    laws = [propagate(Oracle(each, PAIRS), PAIRS, Ancestral(), torch.full((1, L), V), 16) for each in (network, powers)]
    assert [float(times(each, 16)[-1]) for each in (network, powers)] == [1 / 16, powers.t_min]
    far, farther = (float((law - LAW).abs().sum() / 2) for law in laws)
    assert farther < 1.5 * far
    for method in (Mdlm(V), Md4(V, Cosine()), SeddAbsorb(V), Mdlm(V, zero_masking=False), Mdlm(V, LinearSigma())):
        assert float(times(method, 4)[-1]) == 0.25


@pytest.mark.parametrize("grid", ["uniform", "cosine", "log"])
def test_a_grid_of_discrete_time_lies_on_its_steps_or_is_refused(grid):
    method, fits = Mdlm(V, steps=20), []
    for calls in range(1, 21):
        reason = refusal(method, SamplerSettings(calls, Ancestral(grid=grid)), L)
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
    reason = refusal(method, SamplerSettings(21, Ancestral(grid=grid)), L)
    assert reason == "cannot take these steps: 21 calls are more than the 20 that 20 steps of time allow"


# --- ancestral steps whose network calls are kept


@pytest.mark.parametrize("carry_over", [True, False])
@pytest.mark.parametrize(("count", "calls"), [(1, 40), (5, 40), (4, 2)])
def test_kept_calls_change_no_text_and_only_sequences_that_changed_are_computed_again(count, calls, carry_over):
    made = random_model("mdlm", carry_over=carry_over)
    seen = watched(made)
    samples = sample(made, count, 9, calls, seed=3)
    every = [z for z, _ in seen]
    seen.clear()
    kept = sample(made, count, 9, calls, seed=3, policy=Ancestral(cached=True))
    assert torch.equal(kept.ids, samples.ids)
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
    reason = refusal(build(name, V), SamplerSettings(4, Ancestral(cached=True)), L)
    assert "is conditioned on the time" in (reason or "")


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
    how, calls = SamplerSettings(length, EVERY[policy]), counted(made)
    reason = refusal(made.method, how, length)
    if name not in ACCEPTED[policy]:
        assert reason
        with pytest.raises(ValueError, match=f"{type(made.method).__name__} "):
            sample(made, 3, length, length, 0, settings=how)
        assert not calls
        return
    assert reason is None
    x = torch.tensor([[1, 4, 0, 2, 3, 3, 1]]).expand(3, -1)
    given = torch.arange(length) < 3 if name == "ar" else torch.tensor([0, 1, 0, 0, 1, 0, 1]).bool()
    for known in (None, Prompt(x, given.expand(3, -1))):
        calls.clear()
        samples = sample(made, 3, length, length, 0, prompt=known, settings=how)
        assert samples.ids.shape == (3, length)
        assert ((samples.ids >= 0) & (samples.ids < 5)).all()
        assert samples.network_calls == len(calls) <= length
        assert calls
        assert known is None or torch.equal(samples.ids[:, given], x[:, given])


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
