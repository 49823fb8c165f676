"""What only a GPU can show. Run by `make gpu`; everything here is left out where there is none."""

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from bench.engine.data import Dataset, DataSpec, load
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.metrics import mean_nats
from bench.engine.model import checkpoint
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.rng import Keyed
from bench.engine.sample.sampler import sample
from bench.engine.train.settings import Budget, Training
from bench.engine.train.trainer import Interrupted, Trainer
from methods import METHODS, build

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

SHAPE = Shape(layers=2, width=64, heads=2, condition=16)


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    spec = {"source": "markov", "length": 32, "alphabet": 5, "train": 256, "valid": 16, "test": 64}
    return load(TypeAdapter(DataSpec).validate_python(spec), tmp_path, tmp_path / "data")


def model(name: str, device: str, dtype=torch.float64, precision="float32", backend="sdpa") -> Model:
    """A network with random scores (the head starts at zero), equal on every device."""
    torch.manual_seed(0)
    made = Model(build(name, 5), SHAPE, 5, backend, precision).to(dtype)
    torch.nn.init.normal_(made.network.output.weight, std=0.3)
    return made.to(device)


def nats(made: Model, x: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(bound(made, x, 4, 2, 0, 16).values())).sum(0)


def test_evaluation_noise_is_the_same_on_every_device():
    drawn = [Keyed(0, [3, 4], 1, device).uniform((2, 5)).cpu() for device in ("cpu", "cuda")]
    assert torch.equal(*drawn)


@pytest.mark.parametrize("name", METHODS)
def test_bounds_on_the_gpu_equal_those_on_the_cpu_in_float64(name, data):
    x = data.sequences("test")
    torch.testing.assert_close(nats(model(name, "cuda"), x), nats(model(name, "cpu"), x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", METHODS)
def test_bounds_in_bfloat16_are_near_those_in_float32(name, data):
    """bfloat16 keeps 8 bits: a part in 256 of scores of about 1, averaged over thousands of tokens."""
    x = data.sequences("test")
    exact = mean_nats({"": nats(model(name, "cuda", torch.float32), x)}, 32).value
    rounded = mean_nats({"": nats(model(name, "cuda", torch.float32, "bfloat16"), x)}, 32).value
    assert abs(rounded - exact) < 0.01 * exact


@pytest.mark.parametrize("name", METHODS)
def test_samples_on_the_gpu_equal_those_on_the_cpu_in_float64(name):
    drawn = [sample(model(name, device), 4, 32, 16, seed=0) for device in ("cpu", "cuda")]
    assert torch.equal(drawn[0].ids, drawn[1].ids)
    assert drawn[0].network_calls == drawn[1].network_calls


@pytest.mark.parametrize("name", METHODS)
def test_training_on_the_gpu_follows_that_on_the_cpu(name, data):
    losses = []
    for device in ("cpu", "cuda"):
        run = Trainer(model(name, device), data, Training(batch_size=16), Budget(steps=5), seed=0)
        losses.append([run.step() for _ in range(5)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-7)


def test_training_in_bfloat16_learns_and_goes_on_after_a_stop(data, tmp_path):
    def run() -> Trainer:
        made = model("md4", "cuda", torch.float32, "bfloat16")
        return Trainer(made, data, Training(batch_size=32, learning_rate=3e-3), Budget(steps=60), seed=0)

    first = run()
    with pytest.raises(Interrupted):
        first.run(lambda: {"value": 0.0}, tmp_path, 1e9, stop=lambda: first.progress.step == 30)
    again, state = run(), checkpoint.load(tmp_path)
    assert state is not None
    again.resume(state)
    again.run(lambda: {"value": 0.0}, tmp_path, 1e9)
    assert again.progress.tokens == 60 * 32 * 32
    assert again.curve.train[-1]["value"] < again.curve.train[0]["value"]


@pytest.mark.parametrize("name", METHODS)
def test_a_compiled_network_equals_the_plain_one(name, data):
    x = data.sequences("test")
    plain, compiled = model(name, "cuda", torch.float32), model(name, "cuda", torch.float32)
    compiled.compile_network()
    torch.testing.assert_close(nats(compiled, x), nats(plain, x), rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="flash-attn is not installed")
@pytest.mark.parametrize("name", METHODS)
def test_flash_attention_equals_torchs_own(name, data):
    x = data.sequences("test")
    found = [nats(model(name, "cuda", torch.float32, "bfloat16", backend), x) for backend in ("sdpa", "flash")]
    assert math.isclose(float(found[0].mean()), float(found[1].mean()), rel_tol=5e-3)


@pytest.mark.parametrize("name", METHODS)
def test_a_compiled_network_trains_as_the_plain_one(name, data):
    losses = []
    for compiled in (False, True):
        made = model(name, "cuda", torch.float32)
        if compiled:
            made.compile_network()
        run = Trainer(made, data, Training(batch_size=16), Budget(steps=3), seed=0)
        losses.append([run.step() for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
