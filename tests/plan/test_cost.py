"""The closed form of a cell's cost against a count of what torch multiplies, for every registered method."""

import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import bench.engine.flops
import bench.engine.model.network
import bench.engine.train.trainer
from bench.engine.data import load
from bench.engine.data.sources.markov import Markov
from bench.engine.flops import FlopCounter
from bench.engine.likelihood.bound import bound
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Network, Shape
from bench.engine.sample.sampler import sample
from bench.engine.train.settings import Budget, Training
from bench.engine.train.trainer import Trainer
from bench.plan.cost import stage_flops
from bench.plan.plan import plan
from bench.suite.suite import read
from methods import METHODS, build

LENGTH, VOCABULARY, BATCH, DRAWS, CALLS = 12, 5, 8, 8, 4
SHARES = [  # of the sequences that are shown a guess in training: none or all, in place of a random share
    (name, share) for name in METHODS for share in ([0.0, 1.0] if build(name, 2).needs.self_condition else [0.0])
]


def unfused(q_BLHD: Tensor, k_BLHD: Tensor, v_BLHD: Tensor, causal: bool) -> Tensor:
    """Attention in plain products: the counter does not see into the fused kernel of the CPU."""
    q_BHLD, k_BHLD, v_BHLD = (part.transpose(1, 2) for part in (q_BLHD, k_BLHD, v_BLHD))
    scores = q_BHLD @ k_BHLD.transpose(-1, -2) / q_BHLD.shape[-1] ** 0.5
    hidden = torch.ones_like(scores).triu(1) * float(causal)
    return ((scores - 1e9 * hidden).softmax(-1) @ v_BHLD).transpose(1, 2)


@pytest.fixture(autouse=True)
def _all_is_seen(monkeypatch):
    monkeypatch.setattr(bench.engine.model.network, "attention", lambda name: unfused)


def shape(layers: int = 2, **sizes) -> Shape:
    return Shape(layers=layers, **{"width": 24, "heads": 2, "condition": 10, **sizes})


def made(name: str, layers: int) -> Model:
    """A model that scores every position, as the closed form supposes."""
    torch.manual_seed(0)
    method = build(name, VOCABULARY)
    method.scored = lambda z: None  # type: ignore[method-assign]
    return Model(method, shape(layers), VOCABULARY, "sdpa")


def price(name: str, layers: int) -> FlopCounter:
    return FlopCounter(build(name, VOCABULARY), shape(layers), LENGTH)


def counted(work) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def of_a_layer(work) -> int:
    """What one more layer adds to `work`, which is given the number of layers; a method's own products drop out."""
    return work(2) - work(1)


@pytest.mark.parametrize("sizes", [{}, {"mlp": "swiglu", "gates": "open"}], ids=["gelu", "swiglu"])
@pytest.mark.parametrize("name", METHODS)
def test_the_way_forward_is_counted_to_the_last_product(name, sizes):
    method = build(name, VOCABULARY)
    needs = method.needs
    network = Network(shape(**sizes), VOCABULARY, needs, "sdpa")
    ids = torch.zeros(1, LENGTH, dtype=torch.long)
    z = torch.zeros(1, LENGTH, needs.vector_width) if needs.vector_width else ids
    told = [torch.zeros(1)] if needs.time else [None]
    told += [z] if needs.self_condition else []

    def work(scored: int) -> int:
        return counted(lambda: network.head(network(z, *told)[0, :scored]))

    closed = FlopCounter(method, shape(**sizes), LENGTH)
    assert work(LENGTH) == closed.sequence()
    assert work(5) == closed.forward(LENGTH, scored=5)


@pytest.mark.parametrize("accumulate", [1, 4])  # at 4 a part holds 2 sequences, of whose ends one is trained
@pytest.mark.parametrize(("name", "share"), SHARES)
def test_a_layer_in_a_step_of_training_costs_what_is_counted(name, share, accumulate, tmp_path, monkeypatch):
    for module in (bench.engine.flops, bench.engine.train.trainer):
        monkeypatch.setattr(module, "SELF_CONDITIONED", share)
    data = load(Markov(length=LENGTH, alphabet=VOCABULARY, train=32, valid=4, test=4), tmp_path, tmp_path)

    def work(layers: int) -> int:
        trainer = Trainer(made(name, layers), data, Training(batch_size=BATCH), Budget(steps=1), 0, accumulate)
        return counted(lambda: [trainer.loss(x, t).backward() for x, t in trainer.batches()])

    assert of_a_layer(work) == of_a_layer(lambda layers: price(name, layers).training_step(BATCH, accumulate))


@pytest.mark.parametrize("name", METHODS)
def test_a_layer_in_the_bound_costs_what_is_counted(name):
    x = torch.zeros(3, LENGTH, dtype=torch.long)
    found = of_a_layer(lambda layers: counted(lambda: bound(made(name, layers), x, DRAWS, 2, 0, len(x))))
    assert found == of_a_layer(lambda layers: price(name, layers).bound(len(x), DRAWS, 2))


@pytest.mark.parametrize("name", METHODS)
def test_a_layer_in_drawn_texts_costs_what_is_counted(name):
    found = of_a_layer(lambda layers: counted(lambda: sample(made(name, layers), 2, LENGTH, CALLS, 0)))
    assert found == of_a_layer(lambda layers: price(name, layers).samples(2, CALLS))


def test_every_stage_of_a_cell_costs_what_is_counted_when_it_is_done(tiny, tmp_path):
    suite = read(tiny)
    cell, spec = plan(suite).cells[0], suite.spec  # autoregressive: all its products are those of the network
    data = load(spec.data, tmp_path, tmp_path)
    model = Model(build("ar", data.summary.vocab_size), spec.network.shape(), data.summary.vocab_size, "sdpa")
    trainer = Trainer(model, data, spec.training, spec.budget, 0)
    training, (asked,) = spec.training, spec.evaluation.bound
    valid = data.sequences("valid")[: training.validation_sequences]

    def validate() -> dict[str, float]:
        bound(model, valid, training.validation_draws, 1, 0, 64)
        return {"value": 0.0}

    found = {
        "train": counted(lambda: trainer.run(validate, tmp_path, math.inf)),
        "bound": counted(lambda: bound(model, data.sequences("test"), asked.draws, asked.replicates, 0, 64)),
        "samples": counted(lambda: sample(model, 2, data.summary.length, 4, 0)),
    }
    assert {stage.name: stage_flops(suite, cell)[stage.folder] for stage in cell.stages} == found


def test_each_way_of_drawing_has_its_own_cost_and_quality_counts_as_nothing(tiny):
    text = tiny.read_text().replace(
        "samples: {count: 2, calls: 4}",
        """samples:
    - {count: 2, calls: 4, arms: [MDLM]}
    - {count: 6, calls: 8, arms: [MDLM]}
  trajectories: {count: 1, calls: 4}
  quality: {copied: 4}""",
    )
    tiny.write_text(text)
    suite = read(tiny)
    planned = plan(suite)
    mdlm = planned.cells[1]
    found = [(stage.name, stage_flops(suite, mdlm)[stage.folder]) for stage in mdlm.stages]
    one = dict(found)["trajectories"]
    assert [cost for name, cost in found if name == "samples"] == [2 * one, 12 * one]
    assert [cost for name, cost in found if name == "quality"] == [0.0, 0.0]
    assert set(stage_flops(suite, planned.quality_cells[0]).values()) == {0.0}
