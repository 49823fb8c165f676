"""Texts go through the network a batch at a time: memory does not grow with their number, and they stay the same."""

import pytest
import torch

from bench.engine.sample import autoregressive
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.sampler import SamplerSettings, sample
from bench.engine.sample.state import Prompt
from tests.engine.model.test_network import random_model

LENGTH, COUNT = 8, 13
WAYS = [
    ("ar", "ancestral"),
    ("mdlm", "ancestral"),
    ("mdlm", "first-hitting"),
    ("mdlm", "confidence"),
    ("mdlm", "entropy-bounded"),
    ("mdlm", "remask"),
    ("gidd", "ancestral"),
    ("udlm", "euler"),
    ("plaid", "ancestral"),
]


@pytest.fixture
def small_batches(monkeypatch):
    """Batches of three texts."""
    monkeypatch.setattr(autoregressive, "TOKENS_AT_ONCE", {"cpu": 3 * LENGTH + 1})


@pytest.fixture
def shown(monkeypatch):
    """The number of texts that each call of the network was shown."""
    counts: list[int] = []

    def watch(model):
        for name in ("hidden", "extend"):

            def counted(z, *rest, original=getattr(model, name)):
                counts.append(len(z))
                return original(z, *rest)

            monkeypatch.setattr(model, name, counted)
        return counts

    return watch


@pytest.mark.parametrize(("method", "policy"), WAYS)
def test_texts_and_calls_do_not_depend_on_the_batches(method, policy, monkeypatch):
    model = random_model(method)
    settings = SamplerSettings(LENGTH, policy)
    prompt = Prompt.empty(COUNT, LENGTH)
    prompt.fixed[:, :2] = True
    whole = sample(model, COUNT, LENGTH, LENGTH, seed=0, settings=settings, prompt=prompt)
    monkeypatch.setattr(autoregressive, "TOKENS_AT_ONCE", {"cpu": 3 * LENGTH + 1})
    batched = sample(model, COUNT, LENGTH, LENGTH, seed=0, settings=settings, prompt=prompt)
    assert torch.equal(whole.ids, batched.ids)
    assert whole.network_calls == batched.network_calls
    assert whole.cut_off_share == batched.cut_off_share


@pytest.mark.parametrize(("method", "policy"), WAYS)
@pytest.mark.usefixtures("small_batches")
def test_the_network_is_never_shown_more_than_a_batch(method, policy, shown):
    model = random_model(method)
    counts = shown(model)
    sample(model, COUNT, LENGTH, LENGTH, seed=0, settings=SamplerSettings(LENGTH, policy))
    assert max(counts) == 3
    assert sum(counts) >= COUNT


@pytest.mark.usefixtures("small_batches")
def test_hidden_states_that_are_reused_are_those_of_the_same_batch(shown):
    model = random_model("mdlm")
    fresh = sample(model, COUNT, LENGTH, 64, seed=0)
    counts = shown(model)
    reused = sample(model, COUNT, LENGTH, 64, seed=0, policy=Ancestral(cached=True))
    assert torch.equal(fresh.ids, reused.ids)
    assert reused.network_calls < fresh.network_calls
    assert max(counts) <= 3
