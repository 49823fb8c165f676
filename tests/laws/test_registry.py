"""What every registered method has to pass, with its defaults, and no branch on which it is."""

import math

import pytest
import torch
from pydantic import TypeAdapter

from bench.engine.data import Dataset, DataSpec, load
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.estimators import antithetic_uniforms
from bench.engine.model import checkpoint
from bench.engine.model import head as pieces
from bench.engine.model import method_with_network as packing
from bench.engine.model.method_with_network import Model, times
from bench.engine.model.network import Shape
from bench.engine.rng import Keyed, Stream
from bench.engine.train.settings import Budget, Training
from bench.engine.train.trainer import Interrupted, Trainer
from methods import METHODS, build
from tests.engine.model.test_network import random_model
from tests.engine.train.test_trainer import trainer, value, weights

SHAPE = Shape(layers=2, width=32, heads=2, condition=16, gates="open")


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Dataset:
    """A Markov chain of 4 letters: of the 1.39 nats that they could carry, 1.01 are left."""
    folder = tmp_path_factory.mktemp("chain")
    spec = {"source": "markov", "length": 12, "alphabet": 4, "train": 16384, "valid": 16, "test": 256}
    return load(TypeAdapter(DataSpec).validate_python(spec), folder, folder / "data")


@pytest.mark.parametrize("name", METHODS)
def test_pieces_change_neither_costs_nor_gradients(name, monkeypatch):
    made, x = random_model(name), torch.randint(5, (4, 9))
    method, t = made.method, times(made.method, torch.tensor([0.05, 0.3, 0.6, 0.95], dtype=torch.float64))
    used: list[int] = []
    whole = pieces.chunked_costs
    monkeypatch.setattr(packing, "chunked_costs", lambda *given: (used.append(1), whole(*given))[1])
    results = []
    for at_once in (2**21, 7 * 5):  # all positions in one piece; a handful at a time
        monkeypatch.setattr(packing, "SCORES_AT_ONCE", at_once)
        made.zero_grad()
        z = method.corrupt(x, t, Stream(0))
        costs = made.costs(method.objective, x, z, t)
        costs.sum().backward()
        gradients = {key: p.grad for key, p in made.named_parameters() if p.grad is not None}
        results.append((costs.detach(), gradients))
    assert len(used) == 1
    (costs, gradients), (in_pieces, of_pieces) = results
    torch.testing.assert_close(in_pieces, costs, rtol=1e-12, atol=1e-12)
    assert float(costs.abs().sum()) > 0
    for key, gradient in gradients.items():
        torch.testing.assert_close(of_pieces[key], gradient, rtol=1e-9, atol=1e-11, msg=key)


@pytest.mark.parametrize("name", METHODS)
def test_the_bound_does_not_depend_on_the_batch(name):
    made, x = random_model(name), torch.randint(5, (5, 9))
    one, all_at_once = (bound(made, x, 4, 2, 0, size) for size in (1, 5))
    for part, nats in one.items():
        torch.testing.assert_close(all_at_once[part], nats, rtol=1e-9, atol=1e-9)
    total = sum(one.values())
    assert (total > 0).all()
    assert total.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_a_training_that_was_stopped_ends_as_one_that_was_not(name, chain, tmp_path):
    whole = trainer(chain, name, symbols=4)
    whole.run(value, tmp_path, 1e9)
    halves = trainer(chain, name, symbols=4)
    with pytest.raises(Interrupted):
        halves.run(value, tmp_path, 1e9, stop=lambda: halves.progress.step == 3)
    state, again = checkpoint.load(tmp_path), trainer(chain, name, symbols=4)
    assert state is not None
    again.resume(state)
    again.run(value, tmp_path, 1e9)
    assert torch.equal(weights(whole), weights(again))


NOISY = [name for name in METHODS if not build(name, 5).needs.causal]


@pytest.mark.parametrize("name", [name for name in NOISY if not build(name, 5).needs.vector_width])
def test_noise_follows_its_own_law(name):
    method, count = build(name, 5), 40_000
    x, states = torch.arange(5).repeat(count)[:, None], torch.arange(5 + method.needs.extra_tokens)
    for time in (0.3, 0.9):
        with torch.no_grad():
            z = method.corrupt(x, torch.full((len(x),), time, dtype=torch.float64), Stream(1))
            law = method.log_noise(states, torch.full(states.shape, time, dtype=torch.float64)).exp()
        seen = torch.bincount(x[:, 0] * len(states) + z[:, 0], minlength=5 * len(states)).view(5, -1).T / count
        error = (law * (1 - law) / count).sqrt()
        assert ((seen - law).abs() <= 4.5 * error).all()


@pytest.mark.parametrize("name", [name for name in NOISY if build(name, 5).needs.vector_width])
def test_the_likelihood_of_vectors_is_that_of_their_noise(name):
    """Under q(z | x) the ratio q(z | v) / q(z | x) has mean 1 for every token v."""
    method, count = build(name, 5), 40_000
    x = torch.randint(5, (count, 1), generator=torch.Generator().manual_seed(0))
    t = torch.full((count,), 0.6, dtype=torch.float64)
    with torch.no_grad():
        log_q = method.log_noise(method.corrupt(x, t, Stream(1))[:, 0], t).double()
    ratio = (log_q - log_q.gather(-1, x)).exp()
    assert ((ratio.mean(0) - 1).abs() <= 4 * ratio.std(0) / math.sqrt(count)).all()
    assert float(ratio.std()) > 0.1


@pytest.mark.parametrize("name", METHODS)
def test_the_same_noise_meets_every_document(name):
    """Evaluation draws its times in mirrored pairs, keyed by document: two replicates differ, the same one does not."""
    first, same, other = (list(antithetic_uniforms(4, 2, Keyed(0, [3, 4], r))) for r in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    u = times(build(name, 5), torch.stack(first))
    assert ((u > build(name, 5).t_min) & (u <= 1)).all()


@pytest.mark.parametrize("name", METHODS)
def test_training_ends_close_above_the_entropy_of_a_chain(name, chain, tmp_path):
    """Both ends included; paired with the exact -log p(x) of the very sequences, 256 documents of 16 x 2 draws."""
    torch.manual_seed(1)
    made = Model(build(name, 4), SHAPE, 4, "sdpa")
    rate, steps = (0.01, 150) if made.method.masking is not None else (0.005, 400)  # masked methods learn fast
    settings = Training(batch_size=64, learning_rate=rate, warmup_steps=20, decay="cosine", beta2=0.98, validations=0)
    run = Trainer(made, chain, settings, Budget(steps=steps), seed=0)
    run.run(value, tmp_path, 1e9)
    made.load_state_dict(run.ema.weights)
    x = chain.sequences("test")
    exact = chain.exact_nats(x)
    assert exact is not None
    nats = torch.stack(list(bound(made, x, 16, 2, 0, 256).values())).sum(0).mean(1)
    gap = (nats - exact) / 12
    mean, error = float(gap.mean()), float(gap.std()) / math.sqrt(len(gap))
    print(f"{name}: {mean:+.4f} +- {error:.4f} nats a token above the exact value")
    assert -4 * error < mean < 0.6 * (math.log(4) - float(exact.mean()) / 12)
