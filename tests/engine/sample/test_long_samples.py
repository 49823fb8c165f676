"""Texts longer than those of training: window after window, each the continuation of the one before."""

from itertools import pairwise

import pytest
import torch

import bench.engine.sample.sampler
from bench.certify.false_alarms import GoodnessOfFit
from bench.certify.oracle import Hidden, from_chain
from bench.engine.data.sources.markov import Markov
from bench.engine.sample.policies import Policy
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.unmasking import EntropyBounded, FirstHitting
from bench.engine.sample.sampler import SamplerSettings, Samples, sample, sample_long
from bench.engine.sample.settings import SamplesSpec
from bench.engine.stages.draw_samples import draw_samples
from methods.autoregressive import Autoregressive
from methods.masked.absorbing import Md4, Mdlm
from methods.method import Method
from methods.schedules import Cosine
from tests.engine.model.test_network import random_model
from tests.engine.sample.test_infilling import Before

WINDOW = 6


@pytest.fixture
def windows(monkeypatch) -> list[Samples]:
    """The windows that are drawn."""
    seen: list[Samples] = []

    def drawing(*given, **named):
        seen.append(sample(*given, **named))
        return seen[-1]

    monkeypatch.setattr(bench.engine.sample.sampler, "sample", drawing)
    return seen


@pytest.mark.parametrize("stride", [1, 2, 4, 5])
@pytest.mark.parametrize("name", ["ar", "mdlm", "gidd", "plaid", "d3pm-uniform"])
def test_each_window_begins_with_the_tokens_before_it_and_calls_add_up(name, stride, windows):
    made, length = random_model(name), 17
    calls = []
    made.network.blocks[0].register_forward_hook(lambda *_: calls.append(1))
    samples = sample_long(made, 3, WINDOW, length, stride, 0, SamplerSettings(5))
    assert samples.ids.shape == (3, length)
    assert ((samples.ids >= 0) & (samples.ids < 5)).all()
    assert len(windows) == 1 + -(-(length - WINDOW) // stride)
    for number, window in enumerate(windows):
        part = samples.ids[:, number * stride : number * stride + WINDOW]
        assert torch.equal(window.ids[:, : part.shape[1]], part)
    for before, after in pairwise(windows):
        assert torch.equal(after.ids[:, : WINDOW - stride], before.ids[:, stride:])
    assert samples.network_calls == sum(window.network_calls for window in windows) == len(calls)
    if name == "ar":
        assert [window.network_calls for window in windows] == [WINDOW, *[stride] * (len(windows) - 1)]
    else:
        assert all(window.network_calls <= 5 for window in windows)


def test_windows_draw_from_noise_of_their_own_and_the_seed_decides_it(windows):
    made = random_model("gidd")
    samples = [sample_long(made, 40, WINDOW, 12, 5, seed, SamplerSettings(5)).ids for seed in (0, 0, 1)]
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])
    assert not torch.equal(windows[0].ids[:, 1:], windows[1].ids[:, 1:])


def test_a_suite_draws_texts_of_the_length_that_it_asks_for():
    made = random_model("mdlm")
    for length, stride, number in ((None, None, 1), (4, None, 1), (WINDOW, None, 1), (7, None, 2), (20, 2, 8)):
        spec = SamplesSpec(count=2, calls=3, length=length, stride=stride)
        drawn = draw_samples(made, spec, WINDOW, 0)
        assert drawn.ids.shape == (2, length or WINDOW)
        assert number <= drawn.network_calls <= 3 * number


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize(
    ("method", "calls", "policy"),
    [
        (Autoregressive(4), 1, Ancestral()),
        (Mdlm(4), 4, FirstHitting()),
        (Md4(4, Cosine()), 4, FirstHitting()),
        (Mdlm(4), 4, EntropyBounded(budget=0.0)),
    ],
    ids=lambda value: value.label() if isinstance(value, Policy) else type(value).__name__,
)
def test_a_chain_goes_on_across_windows_by_its_own_law(method: Method, calls: int, policy: Policy, stride: int):
    """What a chain of order 1 remembers is in any window; all pairs, and those across the ends of windows alone."""
    chain = Markov(order=1, alphabet=4, length=4).draw_chain()
    source: Hidden = from_chain(chain, 4)
    law = torch.from_numpy(chain.law)
    ids = sample_long(Before(method, source), 1500, 4, 13, stride, 0, SamplerSettings(calls, policy)).ids
    borders = torch.arange(4, 13, stride)
    for firsts in (torch.arange(12), borders - 1):
        pairs = ids[:, firsts] * 4 + ids[:, firsts + 1]
        counts = torch.bincount(pairs.flatten(), minlength=16).view(4, 4)
        expected = counts.sum(1, keepdim=True) * law
        assert abs(GoodnessOfFit(float(((counts - expected).square() / expected).sum()), 12).z_score) < 4
