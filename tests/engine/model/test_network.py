"""The transformer and the packing around it."""

import importlib.util

import pytest
import torch

from bench.engine.model import method_with_network as model_module
from bench.engine.model.attention import attention
from bench.engine.model.method_with_network import Model, times
from bench.engine.model.network import PRESETS, Network, Shape, rotary_angles, rotate
from bench.engine.rng import Keyed, Stream, seed_for
from methods import build
from methods.method import Needs

SHAPE = Shape(layers=2, width=16, heads=2, condition=8)


def random_model(name: str, shape: Shape = SHAPE, **options) -> Model:
    """In float64, with every weight random: the head and the time modulation start at zero otherwise."""
    torch.manual_seed(0)
    made = Model(build(name, 5, **options), shape, 5, "sdpa").double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def scores(made: Model, z: torch.Tensor, t: float = 0.5) -> torch.Tensor:
    return made.network.head(made.hidden(z, torch.full((len(z),), t, dtype=torch.float64)))


def test_a_causal_network_does_not_see_the_token_it_scores_nor_those_after_it():
    made, x = random_model("ar"), torch.randint(5, (1, 9))
    for position in range(9):
        other = x.clone()
        other[:, position:] = (other[:, position:] + 1 + torch.randint(4, (9 - position,))) % 5
        same = (scores(made, x) == scores(made, other)).all(-1)[0]
        assert same[: position + 1].all()
        assert not same[position + 1 :].any()


def test_every_position_of_a_masked_network_sees_every_other():
    made, x = random_model("mdlm"), torch.randint(5, (1, 6))
    for position in range(6):
        other = x.clone()
        other[:, position] = (other[:, position] + 1) % 5
        assert (scores(made, x) != scores(made, other)).any(-1).all()


def test_the_order_of_tokens_matters():
    made = random_model("mdlm")
    assert not torch.allclose(
        scores(made, torch.tensor([[1, 2, 3]]))[:, 0], scores(made, torch.tensor([[1, 3, 2]]))[:, 0]
    )


def test_a_time_free_network_does_not_react_to_time_and_a_timed_one_does():
    z = torch.randint(6, (3, 7))
    assert torch.equal(scores(random_model("mdlm"), z, 0.2), scores(random_model("mdlm"), z, 0.9))
    assert not torch.allclose(scores(random_model("md4"), z, 0.2), scores(random_model("md4"), z, 0.9))
    assert not torch.allclose(
        scores(random_model("mdlm", time=True), z, 0.2), scores(random_model("mdlm", time=True), z, 0.9)
    )


def test_rotary_attention_depends_on_distance_alone():
    turns = rotary_angles(12, 8, torch.device("cpu"))
    q, k = torch.randn(8), torch.randn(8)
    q_all, k_all = (rotate(vector.expand(1, 12, 1, 8), turns)[0, :, 0] for vector in (q, k))
    products = q_all @ k_all.T
    for shift in range(-11, 12):
        diagonal = products.diagonal(shift)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-4, atol=1e-4)  # float32 angles
    assert products.std() > 0.1


@pytest.mark.parametrize(("preset", "millions"), [("micro", 0.34), ("tiny", 1.0), ("small", 85.0), ("medium", 302.2)])
def test_presets_have_the_sizes_that_they_promise(preset, millions):
    with torch.device("meta"):
        network = Network(PRESETS[preset], 27, Needs(extra_tokens=1), "sdpa")
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(millions * 1e6, rel=0.02)


def test_only_what_a_method_needs_is_built():
    for name, has_time, has_start in [("ar", False, True), ("mdlm", False, False), ("md4", True, False)]:
        network = random_model(name).network
        assert (network.time is not None, network.start is not None) == (has_time, has_start)


def test_untrained_networks_guess_evenly():
    """The head starts at zero, so every method starts from the same loss, log V."""
    made = Model(build("md4", 5), SHAPE, 5, "sdpa")
    assert (scores(made, torch.randint(6, (2, 4))) == 0).all()


@pytest.mark.parametrize("mlp", ["gelu", "swiglu"])
def test_dropout_acts_in_training_only(mlp):
    made = random_model("mdlm", Shape(layers=2, width=18, heads=3, mlp=mlp, dropout=0.5))
    z = torch.randint(6, (2, 7))
    assert torch.equal(scores(made, z), scores(made, z))
    made.train()
    assert not torch.equal(scores(made, z), scores(made, z))


def test_parameters_are_counted_by_where_they_are():
    made = random_model("mdlm")
    counts = made.parameter_counts()
    assert counts["parameters"] == sum(parameter.numel() for parameter in made.parameters())
    assert counts["parameters"] - counts["parameters_non_embedding"] == 6 * 16 + 5 * 16 + 5
    assert counts["parameters_method"] == 0


@pytest.mark.parametrize("options", [{}, {"carry_over": False}, {"zero_masking": False}])
def test_packing_in_pieces_changes_neither_costs_nor_gradients(options, monkeypatch):
    made = random_model("mdlm", **options)
    x, t = torch.randint(5, (4, 9)), torch.rand(4, dtype=torch.float64)
    z = made.method.corrupt(x, t, Stream(0))
    results = []
    for at_once in (2**26, 7 * 5):  # all positions in one piece; a handful at a time
        monkeypatch.setattr(model_module, "SCORES_AT_ONCE", at_once)
        made.zero_grad()
        costs = made.costs(made.method.bound, x, z, t)
        costs.mean().backward()
        gradient = torch.cat([p.grad.flatten() for p in made.parameters() if p.grad is not None])
        results.append((costs.detach(), gradient))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-9, atol=1e-12)


def test_costs_are_those_of_the_whole_tensor():
    made, x = random_model("mdlm"), torch.randint(5, (4, 9))
    t = torch.rand(4, dtype=torch.float64)
    z = made.method.corrupt(x, t, Stream(0))
    each = t[:, None].expand_as(x)
    whole = made.method.bound(x, z, each, made.method.read(scores(made, z), z, each))
    torch.testing.assert_close(made.costs(made.method.bound, x, z, t), whole, rtol=1e-12, atol=1e-12)


def test_times_lie_inside_their_interval_and_on_the_grid():
    u = torch.tensor([1e-12, 0.25, 0.5, 1 - 1e-12], dtype=torch.float64)
    continuous = times(build("mdlm", 5), u)
    assert ((continuous > 1e-3) & (continuous < 1)).all()
    torch.testing.assert_close(times(build("mdlm", 5, steps=4), u) * 4, torch.tensor([1.0, 2, 3, 4]).double())
    copying = times(build("mdlm", 5, steps=4, carry_over=False), u)  # the step at 1 / 4 is the last guess
    torch.testing.assert_close(copying * 4, torch.tensor([2.0, 2, 3, 4]).double())


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is not None, reason="flash-attn is installed here")
def test_an_attention_backend_that_is_missing_is_an_error_with_the_way_out():
    with pytest.raises(ImportError, match=r"diffusion-bench\[flash\].*attention: sdpa"):
        attention("flash")


def test_every_purpose_has_a_seed_of_its_own():
    seeds = {
        seed_for(seed, purpose) for seed in range(20) for purpose in ("init", "order", "noise", "dropout", "samples")
    }
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_noise_belongs_to_the_document_and_not_to_its_batch():
    together, alone = Keyed(0, [5, 6, 7], 1), Keyed(0, [6], 1)
    for _ in range(3):
        assert torch.equal(together.uniform((3, 4))[1], alone.uniform((1, 4))[0])
        assert torch.equal(together.normal((3, 2))[1], alone.normal((1, 2))[0])
    first = [Keyed(*key).uniform((1, 1)).item() for key in [(0, [6], 1), (1, [6], 1), (0, [7], 1), (0, [6], 2)]]
    assert len(set(first)) == 4
