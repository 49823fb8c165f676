"""A self-conditioned network is shown its own first guess of the same z, which carries no gradient."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

import bench.engine.model.method_with_network
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.rng import Stream
from bench.engine.train.trainer import SELF_CONDITIONED, Progress, Trainer
from methods.continuous.plaid import WIDTH, Plaid

V, B, L = 5, 4, 3
X = torch.arange(B * L).view(B, L) % V
T = torch.tensor([0.05, 0.3, 0.6, 0.95], dtype=torch.float64)


@pytest.fixture
def made() -> Model:
    """A small transformer in float64, none of whose weights is zero."""
    torch.manual_seed(0)
    model = Model(Plaid(V), Shape(layers=1, width=16, heads=2, condition=8), V, "sdpa").double()
    for parameter in model.network.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model


def noised(model: Model) -> Tensor:
    return model.method.corrupt(X, T, Stream(1))


def everyone() -> Tensor:
    return torch.ones(B, dtype=torch.bool)


def seen(model: Model) -> list[tuple[Tensor, Tensor, Tensor]]:
    """A list that grows by what the network is shown: vectors, clock, guess."""
    shown: list[tuple[Tensor, Tensor, Tensor]] = []
    model.network.register_forward_hook(lambda _, inputs, __: shown.append(tuple(each.clone() for each in inputs)))
    return shown


def test_rows_that_are_not_picked_are_shown_zeros_and_the_others_the_networks_guess(made):
    z, rows = noised(made), torch.tensor([True, False, True, False])
    found = made.guess(z, T, rows)
    assert found.shape == (B, L, WIDTH)
    assert (found[~rows] == 0).all()
    blank = torch.zeros(B, L, WIDTH, dtype=torch.float64)
    scores = made.network.head(made.network(made.method.feed(z, T), made.method.clock(T), blank))
    expected = made.method.feedback(made.method.read(scores, z, T[:, None].expand(B, L)))
    torch.testing.assert_close(found[rows], expected[rows], rtol=1e-9, atol=1e-12)
    assert float(found[rows].detach().abs().min(-1).values.max()) > 1e-3


def test_a_guess_carries_no_gradient(made):
    z = noised(made)
    assert z.requires_grad
    assert not made.guess(z, T, everyone()).requires_grad


def test_no_row_picked_needs_no_call(made):
    shown = seen(made)
    assert (made.guess(noised(made), T, ~everyone()) == 0).all()
    assert not shown


@torch.no_grad()
def test_evaluation_always_makes_the_guess_in_a_first_pass_on_the_same_z_at_the_same_time(made):
    z, shown = noised(made), seen(made)
    costs = made.costs(made.method.bound, X, z, T)
    (first, second) = shown
    for one, other in zip(first[:2], second[:2], strict=True):
        assert torch.equal(one, other)
    assert (first[2] == 0).all()
    guess = made.guess(z, T, everyone())
    assert torch.equal(second[2], guess)
    assert torch.equal(costs, made.costs(made.method.bound, X, z, T, guess))
    blank = made.costs(made.method.bound, X, z, T, torch.zeros_like(guess))
    assert float((costs - blank).abs().max()) > 1e-3


def test_the_guess_does_not_depend_on_how_much_memory_is_allowed(made, monkeypatch):
    z = noised(made)
    whole = made.guess(z, T, everyone())
    monkeypatch.setattr(bench.engine.model.method_with_network, "SCORES_AT_ONCE", 2 * V)
    torch.testing.assert_close(made.guess(z, T, everyone()), whole, rtol=1e-12, atol=1e-14)


def gradients(model: Model) -> list[Tensor]:
    """Of the objective with its couplings, for a fixed guess."""
    method, z = model.method, noised(model)
    costs = model.costs(method.objective, X, z, T, model.guess(z, T, everyone()))
    loss = method.couple(costs, X, z, T).mean()
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_the_gradients_do_not_depend_on_how_much_memory_is_allowed(made, monkeypatch):
    """The curve's, for which the costs are differentiated twice, among them."""
    whole = gradients(made)
    monkeypatch.setattr(bench.engine.model.method_with_network, "SCORES_AT_ONCE", 5 * V)
    for expected, found in zip(whole, gradients(made), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


def trained(model: Model) -> Trainer:
    trainer = Trainer.__new__(Trainer)
    trainer.model, trainer.noise, trainer.progress = model, Stream(2), Progress()
    return trainer


def test_training_shows_a_guess_to_its_share_of_the_sequences(made):
    count, shown = 2000, seen(made)
    trainer, cost = trained(made), partial(made.costs, made.method.objective)
    with torch.no_grad():
        made.method.couple = lambda nats, *_: nats  # type: ignore[method-assign]
        trainer.noised_loss(cost, X[:1].expand(count, L), T[1].expand(count))
    rest, first, second = (len(inputs[0]) for inputs in shown)
    assert first == second == count - rest
    assert abs(first / count - SELF_CONDITIONED) < 4 * (SELF_CONDITIONED * (1 - SELF_CONDITIONED) / count) ** 0.5


@pytest.mark.parametrize("shown", [True, False])
def test_sequences_that_are_shown_a_guess_teach_the_network_alone(made, shown):
    total = trained(made).summed_loss(partial(made.costs, made.method.objective), X, T, shown)
    total.backward()
    taught = [p.grad is not None and bool(p.grad.any()) for p in made.method.parameters()]
    assert taught == [not shown] * len(taught)
    assert all(p.requires_grad for p in made.method.parameters())
    assert made.network.output.weight.grad is not None


def test_a_share_that_is_shown_a_guess_leaves_the_mean_a_mean(made):
    """Whatever is shown, the loss is the mean over all positions: with a cost of one everywhere it is one."""
    trainer = trained(made)
    made.method.couple = lambda nats, *_: nats  # type: ignore[method-assign]
    loss = trainer.noised_loss(lambda x, z, t, guess: torch.ones(x.shape, dtype=torch.float64), X, T)
    assert float(loss) == 1.0
