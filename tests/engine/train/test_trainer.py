"""Training: what it counts, what it resumes, what stops it."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from bench.engine.data import Dataset, DataSpec, load
from bench.engine.model import checkpoint
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.train.settings import Budget, Training
from bench.engine.train.trainer import Interrupted, Trainer, TrainingFailed, due
from methods import build

SHAPE = Shape(layers=1, width=16, heads=2, condition=8, dropout=0.1)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    spec = {"source": "markov", "length": 12, "alphabet": 3, "train": 64, "valid": 16, "test": 16}
    return load(TypeAdapter(DataSpec).validate_python(spec), tmp_path, tmp_path / "data")


def trainer(
    data: Dataset, name: str = "md4", steps: int = 8, accumulate: int = 1, options=None, symbols: int = 3, **settings
) -> Trainer:
    torch.manual_seed(1)
    model = Model(build(name, symbols, **(options or {})), SHAPE, symbols, "sdpa")
    return Trainer(
        model,
        data,
        Training(batch_size=8, validations=2, **settings),
        Budget(steps=steps),
        seed=0,
        accumulate=accumulate,
    )


def weights(trained: Trainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in [*trained.model.parameters(), *trained.ema.weights.values()]])


def value() -> dict[str, float]:
    return {"value": 1.0}


@pytest.mark.parametrize("name", ["ar", "mdlm", "md4"])
def test_resume_equals_no_stop_bit_for_bit(name, data, tmp_path):
    whole = trainer(data, name)
    whole.run(value, tmp_path, 1e9)
    halves = trainer(data, name)
    with pytest.raises(Interrupted):
        halves.run(value, tmp_path, 1e9, stop=lambda: halves.progress.step == 3)
    again = trainer(data, name)
    state = checkpoint.load(tmp_path)
    assert state is not None
    again.resume(state)
    assert again.progress.step == 3
    again.run(value, tmp_path, 1e9)
    assert torch.equal(weights(whole), weights(again))
    assert [point["value"] for point in whole.curve.train] == [point["value"] for point in again.curve.train]
    assert again.progress.tokens == 8 * 8 * 12


def test_a_resume_from_the_checkpoint_before_equals_no_stop_bit_for_bit(data, tmp_path):
    whole = trainer(data)
    whole.run(value, tmp_path / "whole", 1e9)
    halves = trainer(data)
    with pytest.raises(Interrupted):
        halves.run(value, tmp_path / "halves", 0.0, stop=lambda: halves.progress.step == 5)
    newest = tmp_path / "halves" / checkpoint.NAME
    newest.write_bytes(newest.read_bytes()[:-1] + b"X")

    again, (state, damage) = trainer(data), checkpoint.load_whole(tmp_path / "halves")
    assert state is not None
    assert "checkpoint.pt is not a whole checkpoint" in damage
    again.resume(state)
    assert again.progress.step == 4
    again.run(value, tmp_path / "halves", 1e9)
    assert torch.equal(weights(whole), weights(again))
    losses = [[point["value"] for point in trained.curve.train] for trained in (whole, again)]
    assert losses[0] == losses[1]


def test_a_checkpoint_that_forgets_a_stream_would_be_noticed(data, tmp_path):
    """The test above can fail: without the state of the noise the weights differ."""
    whole = trainer(data)
    whole.run(value, tmp_path, 1e9)
    halves = trainer(data)
    with pytest.raises(Interrupted):
        halves.run(value, tmp_path, 1e9, stop=lambda: halves.progress.step == 3)
    state, again = checkpoint.load(tmp_path), trainer(data)
    assert state is not None
    state["noise"] = again.noise.generator.get_state()
    again.resume(state)
    again.run(value, tmp_path, 1e9)
    assert not torch.equal(weights(whole), weights(again))


def test_parts_of_a_batch_add_up_to_the_whole(data, tmp_path):
    """Masks are drawn part by part, so the streams agree and only the order of the sums differs."""
    plain = Shape(layers=1, width=16, heads=2, condition=8)
    results = []
    for accumulate in (1, 4):
        torch.manual_seed(1)
        model = Model(build("mdlm", 3), plain, 3, "sdpa").double()
        run = Trainer(model, data, Training(batch_size=8), Budget(steps=3), seed=0, accumulate=accumulate)
        for _ in range(3):
            run.step()
        results.append(weights(run))
    torch.testing.assert_close(*results, rtol=0, atol=1e-10)  # Adam magnifies roundings of tiny gradients


def test_a_loss_that_is_not_finite_stops_with_its_reason(data, tmp_path):
    broken = trainer(data)
    with torch.no_grad():
        broken.model.network.output.bias[0] = math.nan
    with pytest.raises(TrainingFailed, match=r"non-finite loss or gradient \(loss nan.* at step 1 of 8; a smaller"):
        broken.run(value, tmp_path, 1e9)


def test_a_checkpoint_of_an_earlier_version_is_resumed(data, tmp_path):
    """It named the weights, the optimizer and two counters by other words."""
    halves = trainer(data)
    with pytest.raises(Interrupted):
        halves.run(value, tmp_path, 1e9, stop=lambda: halves.progress.step == 3)
    path = tmp_path / checkpoint.NAME
    state = torch.load(path, weights_only=True)
    state["average"], state["optimiser"] = state.pop("ema"), state.pop("optimizer")
    state["progress"]["noisings"] = state["progress"].pop("noise_draws")
    state["progress"]["ends"] = state["progress"].pop("end_draws")
    torch.save(state, path)
    (tmp_path / checkpoint.DIGESTS).unlink()

    normalized, resumed = checkpoint.load(tmp_path), trainer(data)
    assert normalized is not None
    assert normalized.keys() == halves.state().keys()
    resumed.resume(normalized)
    assert torch.equal(weights(halves), weights(resumed))
    assert resumed.progress == halves.progress


def test_a_checkpoint_that_counts_less_is_not_resumed(data):
    run = trainer(data)
    state = run.state()
    for name in ("end_draws", "noise_draws"):
        state["progress"] = {key: count for key, count in state["progress"].items() if key != name}
    with pytest.raises(ValueError, match="does not count end_draws, noise_draws; remove it to train again"):
        run.resume(state)


def test_what_was_counted_is_resumed(data, tmp_path):
    halves = trainer(data, "genmd4")
    with pytest.raises(Interrupted):
        halves.run(value, tmp_path, 1e9, stop=lambda: halves.progress.step == 3)
    again, state = trainer(data, "genmd4"), checkpoint.load(tmp_path)
    assert state is not None
    again.resume(state)
    again.run(value, tmp_path, 1e9)
    assert (again.progress.noise_draws, again.progress.end_draws) == (2 * 8 * 8, 2 * 2 * 8)


def test_two_trainings_with_one_seed_are_equal_and_with_two_differ(data, tmp_path):
    first = trainer(data)
    first.run(value, tmp_path, 1e9)
    same = trainer(data)
    same.run(value, tmp_path, 1e9)
    assert torch.equal(weights(first), weights(same))
    torch.manual_seed(1)
    model = Model(build("md4", 3), SHAPE, 3, "sdpa")
    other = Trainer(model, data, Training(batch_size=8, validations=2), Budget(steps=8), seed=1)
    other.run(value, tmp_path, 1e9)
    assert not torch.equal(weights(first), weights(other))


def test_the_rate_warms_up_and_falls():
    training = Training(learning_rate=1.0, warmup_steps=4, decay="cosine")
    rates = [training.rate_at(step, 20) for step in range(20)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[12] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.01
    assert Training(learning_rate=1.0).rate_at(0, 20) == 1.0


@pytest.mark.parametrize(("steps", "points"), [(10, 3), (7, 7), (5, 200), (1000, 10)])
def test_points_of_the_curve_are_spread_and_end_at_the_end(steps, points):
    at = [step for step in range(1, steps + 1) if due(step, steps, points)]
    assert len(at) == min(steps, points)
    assert at[-1] == steps


def test_the_average_forgets_the_start_as_its_ramp_says(data):
    run = trainer(data, steps=1)
    before = {name: tensor.clone() for name, tensor in run.ema.weights.items()}
    run.step()
    for name, tensor in run.model.state_dict().items():
        torch.testing.assert_close(run.ema.weights[name], before[name] + (1 - 2 / 11) * (tensor - before[name]))


def test_training_learns_the_chain_better_than_its_symbols_alone(data, tmp_path):
    """A Markov chain of 3 symbols: an autoregressive network gets clearly below the unigram entropy."""
    torch.manual_seed(1)
    model = Model(build("ar", 3), Shape(layers=1, width=32, heads=2), 3, "sdpa")
    run = Trainer(model, data, Training(batch_size=32, learning_rate=0.01), Budget(steps=150), seed=0)
    run.run(value, tmp_path, 1e9)
    assert data.summary.entropy_nats is not None
    entropy = data.summary.entropy_nats / 12
    assert run.curve.train[-1]["value"] < entropy + 0.5 * (data.summary.unigram_nats - entropy)


@pytest.mark.parametrize("options", [{"carry_over": False}, {"carry_over": False, "steps": 5}])
def test_ends_that_carry_gradients_are_trained(options, data):
    """Without carry-over the network has to learn to copy what it sees: the loss must say so."""
    run = trainer(data, "mdlm", options=options)
    x = data.sequences("train")[:8]
    method = run.model.method
    loss = run.loss(x, torch.full((8,), 0.6, dtype=torch.float64))
    assert method.needs.trains_ends
    assert float(loss.detach()) > math.log(3)  # a zero head guesses evenly: at least log 3 a token for the last guess
