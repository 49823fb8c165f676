"""Plaid without one of its parts: what is left of the method, and that the rest stays as it was, in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.certify.oracle import Oracle, Table
from bench.engine.likelihood.bound import bound
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.rng import Stream
from bench.engine.sample.sampler import sample
from bench.engine.train.trainer import Progress, Trainer
from methods import METHODS, build, describe, parameters
from methods.continuous.plaid import WARM_UP, WIDTH, Plaid
from methods.method import pick
from tests.laws.test_identities_plaid import TIMES, diffusion, made, random
from tests.support.toys import LAW, TEXTS, L, V, bayes

PARTS = ("self_conditioning", "learned_schedule", "reparameterise")
B = 4
X, T = TEXTS[1:5], torch.tensor([0.02, 0.3, 0.6, 0.95], dtype=torch.float64)


def without(*parts: str, vocab_size: int = V, **options: Any) -> Plaid:
    """The method without some of its parts, always with the same embeddings."""
    torch.manual_seed(0)
    return Plaid(vocab_size, **options, **dict.fromkeys(parts, False)).double()


def modelled(method: Plaid, spread: float | None = 0.5) -> Model:
    """A small transformer; with a spread, none of its weights is zero."""
    torch.manual_seed(1)
    model = Model(method, Shape(layers=1, width=16, heads=2, condition=8), method.vocab_size, "sdpa").double()
    if spread is not None:
        for parameter in model.network.parameters():
            nn.init.normal_(parameter, std=spread)
    return model


def training(model: Model) -> Trainer:
    """What computes the loss of training, and nothing else of it."""
    trainer = Trainer.__new__(Trainer)
    trainer.model, trainer.noise, trainer.progress = model, Stream(2), Progress()
    return trainer


def test_with_all_its_parts_it_is_the_method_itself():
    assert describe("plaid", dict.fromkeys(PARTS, True)) == {}
    assert build("plaid", V).needs == Plaid.needs
    told = " ".join((METHODS["plaid"].__doc__ or "").split())
    assert all(f"`{option}`" in told for option in parameters(METHODS["plaid"]))


def calls(model: Model) -> list[int]:
    """A list that grows by the number of things that each call shows the network."""
    shown: list[int] = []
    model.network.register_forward_hook(lambda _, inputs, __: shown.append(len(inputs)))
    return shown


@torch.no_grad()
def test_without_self_conditioning_the_network_is_shown_no_guess_and_called_once():
    for parts, expected in (((), [3, 3]), (("self_conditioning",), [2])):
        model = modelled(without(*parts))
        shown, z = calls(model), model.method.corrupt(X, T, Stream(0))
        model.costs(model.method.bound, X, z, T)
        assert shown == expected
        shown.clear()
        assert sample(model, 3, L, 4, 0).network_calls == 4
        assert shown == [expected[0]] * 4
        assert (model.network.guess is None) == bool(parts)


@torch.no_grad()
def test_without_self_conditioning_the_bound_is_that_of_a_guess_of_zeros():
    """The same weights, beside those that read the guess."""
    whole, less = modelled(without()), modelled(without("self_conditioning"))
    less.network.load_state_dict({n: p for n, p in whole.network.state_dict().items() if not n.startswith("guess")})
    z, blank = whole.method.corrupt(X, T, Stream(0)), torch.zeros(B, L, WIDTH, dtype=torch.float64)
    expected = whole.costs(whole.method.bound, X, z, T, blank)
    assert torch.equal(less.costs(less.method.bound, X, z, T), expected)
    assert not torch.allclose(whole.costs(whole.method.bound, X, z, T), expected)


def test_without_a_learned_schedule_gamma_is_a_line_between_its_ends():
    method, t = without("learned_schedule", gamma_start=-2.0, gamma_end=7.0), TIMES.clone().requires_grad_()
    gamma, slope = method.schedule(t)
    assert torch.equal(gamma.detach(), -2 + 9 * TIMES)
    (derivative,) = torch.autograd.grad(gamma.sum(), t)
    assert torch.equal(slope, derivative)
    assert (slope == 9.0).all()


def test_without_a_learned_schedule_the_embeddings_alone_are_learned():
    method = without("learned_schedule")
    assert [name for name, _ in method.named_parameters()] == ["table"]
    assert method.learned() == {}
    assert [group["params"] for group in method.parameter_groups()] == [[method.table], []]
    z = method.corrupt(X, T, Stream(0))
    costs = method.objective(X, z, T[:, None].expand(B, L), random(B, L, V).log_softmax(-1))
    assert method.couple(costs, X, z, T) is costs


def test_i25_a_line_and_a_curve_between_the_same_ends_have_the_same_integral():
    line, curve = without("learned_schedule"), made()
    line.table.data = curve.table.data
    torch.testing.assert_close(diffusion(line), diffusion(curve), rtol=1e-9, atol=1e-9)


def test_without_reparameterisation_the_guess_is_the_vector_of_the_network_whatever_its_length():
    method, z, scores = without("reparameterise"), random(6, WIDTH), 9 * random(6, V + WIDTH, seed=1)
    prediction = method.read(scores, z, TIMES)
    assert torch.equal(method.guess(prediction), scores[:, V:])
    assert torch.equal(method.feedback(prediction), 4 * scores[:, V:])
    gamma, slope = (values.detach() for values in method.schedule(TIMES))
    x = torch.arange(6) % V
    error = (method.embeddings().detach()[x] - scores[:, V:]).square().sum(-1)
    expected = slope * torch.exp(-gamma) / 2 * error
    torch.testing.assert_close(method.bound(x, z, TIMES, prediction).detach(), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("progress", [WARM_UP / 4, 1.0])
def test_without_reparameterisation_the_law_and_the_last_guess_are_those_of_the_method(progress):
    less, whole, z, scores = without("reparameterise"), without(), random(6, WIDTH), random(6, V + WIDTH, seed=1)
    less.progress = whole.progress = progress
    law = whole.read(scores[:, :V], z, TIMES)
    found = less.last_guess(z, TIMES, less.read(scores, z, TIMES))
    assert torch.equal(found, law)
    torch.testing.assert_close(found.exp().sum(-1).detach(), torch.ones(6).double(), rtol=1e-12, atol=0)


def test_the_vector_teaches_nothing_to_the_last_guess_and_the_law_nothing_to_the_bound():
    method, z, scores = without("reparameterise"), random(6, WIDTH), random(6, V + WIDTH, seed=1).requires_grad_()
    x = torch.arange(6) % V
    prediction = method.read(scores, z, TIMES)
    (of_bound,) = torch.autograd.grad(method.bound(x, z, TIMES, prediction).sum(), scores, retain_graph=True)
    (of_guess,) = torch.autograd.grad(pick(method.last_guess(z, TIMES, prediction), x).sum(), scores)
    assert not of_bound[:, :V].any()
    assert of_bound[:, V:].all()
    assert of_guess[:, :V].all()
    assert not of_guess[:, V:].any()


@torch.no_grad()
@pytest.mark.parametrize("vocab_size", [V, 40])
def test_perfect_scores_make_the_same_guess_and_the_same_bound_with_and_without_reparameterisation(vocab_size):
    """With fewer tokens than the embeddings have coordinates, and with more."""
    whole, less = (without(*parts, vocab_size=vocab_size) for parts in ((), ("reparameterise",)))
    less.schedule.load_state_dict(whole.schedule.state_dict())
    others, x = random(vocab_size, vocab_size, seed=3).log_softmax(-1), torch.arange(vocab_size)
    z, t = whole.embeddings() + random(vocab_size, WIDTH), torch.linspace(0, 1, vocab_size, dtype=torch.float64)
    law = (others + whole.log_noise(z, t)).log_softmax(-1)
    predictions = [method.read(method.perfect(law, others, z, t), z, t) for method in (whole, less)]
    mean = law.exp() @ whole.embeddings()
    for method, prediction in zip((whole, less), predictions, strict=True):
        torch.testing.assert_close(method.guess(prediction), mean, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(method.last_guess(z, t, prediction), law, rtol=1e-9, atol=1e-12)
    bounds = [m.bound(x, z, t, prediction) for m, prediction in zip((whole, less), predictions, strict=True)]
    torch.testing.assert_close(bounds[1], bounds[0], rtol=1e-9, atol=0)


@torch.no_grad()
def test_with_the_same_knowledge_no_part_changes_the_bound_but_through_the_curve():
    parts = {part: bound(bayes(without(part)), TEXTS, 4, 2, 0, len(TEXTS)) for part in PARTS}
    whole = bound(bayes(without()), TEXTS, 4, 2, 0, len(TEXTS))
    for name, nats in whole.items():
        torch.testing.assert_close(parts["self_conditioning"][name], nats, rtol=0, atol=0)
        torch.testing.assert_close(parts["reparameterise"][name], nats, rtol=1e-9, atol=1e-12)
        if name != "integral":
            torch.testing.assert_close(parts["learned_schedule"][name], nats, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("policy", ["ancestral", "ddim"])
def test_with_the_same_knowledge_the_same_texts_are_drawn(policy):
    knows = [Oracle(without(*parts), Table(LAW, V, L)) for parts in ((), *((p,) for p in (PARTS[0], PARTS[2])))]
    first, *others = (sample(each, 200, L, 8, 0, policy).ids for each in knows)
    assert all(torch.equal(ids, first) for ids in others)


def test_without_reparameterisation_the_token_that_is_shown_is_that_of_the_nearest_embedding():
    method = without("reparameterise")
    vectors = 3 * method.embeddings().detach() + 0.1 * random(V, WIDTH)
    law = random(V, V, seed=1).log_softmax(-1)
    assert method.likeliest(torch.cat([law, vectors], -1)).tolist() == list(range(V))
    assert torch.equal(without().likeliest(law), law.argmax(-1))
    seen: list[Tensor] = []
    sample(modelled(method), 3, L, 4, 0, watch=seen.append)
    assert len(seen) == 4
    assert all(int(ids.max()) < V for ids in seen)


def test_a_policy_for_tokens_is_refused_whatever_is_left():
    for part in PARTS:
        for policy in ("euler", "self-correct", "confidence"):
            with pytest.raises(ValueError, match="Plaid "):
                sample(modelled(without(part)), 1, L, 4, 0, policy)


@pytest.mark.parametrize("part", PARTS)
def test_every_parameter_learns(part):
    model = modelled(without(part))
    x, t = TEXTS.repeat(4, 1), torch.linspace(0.01, 0.99, 4 * len(TEXTS), dtype=torch.float64)
    training(model).loss(x, t).backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


@pytest.mark.parametrize("part", PARTS)
def test_a_short_training_lowers_the_bound(part):
    """Of texts whose second token is the first; the same noise before and after.

    The curve of the schedule, which takes its time, stays away."""
    model, x = modelled(without(*{part, PARTS[1]}), spread=None), torch.arange(V)[:, None].expand(V, L).repeat(24, 1)
    trainer, optimizer = training(model), torch.optim.Adam(model.parameters(), lr=1e-2)
    t = torch.linspace(0.01, 0.99, len(x), dtype=torch.float64)
    before = told(model, x)
    for _ in range(60):
        optimizer.zero_grad()
        trainer.loss(x, t[torch.randperm(len(x), generator=trainer.noise.generator)]).backward()
        optimizer.step()
    after = told(model, x)
    assert after < before - 0.2, (before, after)


def told(model: Model, x: Tensor) -> float:
    """The bound in nats per token."""
    return float(torch.stack(list(bound(model, x, 32, 1, 0, len(x)).values())).sum(0).mean()) / L
