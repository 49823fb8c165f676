"""The oracle's posteriors are those that counting gives, for every kind of source and noise."""

from itertools import product

import pytest
import torch

from bench.certify.oracle import Hidden, Oracle, Table, from_chain
from bench.engine.data.sources.markov import Markov
from bench.engine.rng import Stream
from methods import METHODS, build

L, V = 4, 3
TEXTS = torch.tensor(list(product(range(V), repeat=L)))
NOISY = [name for name in METHODS if not build(name, V).needs.causal]


def random_law(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)


def chain(order: int) -> Hidden:
    return from_chain(Markov(order=order, alphabet=V, length=L).draw_chain(), L)


SOURCES = {
    "table": Table(random_law(V**L), V, L),
    "chain of order 1": chain(1),
    "chain of order 2": chain(2),
    "hidden": Hidden(random_law(4), random_law(4, 4), random_law(4, V), L),
}


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.no_grad():
        yield


def counted(source, log_q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """p(x_i | z) and p(x_i | z without z_i), text by text."""
    law = (-source.nats(TEXTS)).exp()
    places = torch.stack([log_q[:, i, TEXTS[:, i]] for i in range(L)], -1).exp()  # [B, N, L]
    whole, others = torch.zeros(2, *log_q.shape, dtype=torch.float64)
    for i, v in product(range(L), range(V)):
        fits = TEXTS[:, i] == v
        rest = places[..., [j for j in range(L) if j != i]].prod(-1)
        whole[:, i, v] = (law * places.prod(-1))[:, fits].sum(-1)
        others[:, i, v] = (law * rest)[:, fits].sum(-1)
    return whole / whole.sum(-1, keepdim=True), others / others.sum(-1, keepdim=True)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_law_is_a_law_and_its_samples_follow_it(source):
    law = (-source.nats(TEXTS)).exp()
    assert float(law.sum()) == pytest.approx(1, abs=1e-12)
    drawn = source.sample(40_000, torch.Generator().manual_seed(1))
    counts = torch.bincount(drawn @ V ** torch.arange(L - 1, -1, -1), minlength=V**L) / len(drawn)
    assert ((counts - law).abs() <= 5 * (law * (1 - law) / len(drawn)).sqrt() + 1e-12).all()


@pytest.mark.parametrize("order", [1, 2])
def test_a_chain_has_the_probabilities_that_the_data_report(order):
    known = Markov(order=order, alphabet=V, length=L).draw_chain()
    expected = torch.from_numpy(known.nats(TEXTS.numpy()))
    torch.testing.assert_close(from_chain(known, L).nats(TEXTS), expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_posteriors_under_the_noise_of_every_method_are_those_of_counting(source, name):
    method, x = build(name, V), TEXTS[::7]
    t = torch.linspace(0.2, 0.9, len(x), dtype=torch.float64)
    if method.needs.steps:
        t = (t * method.needs.steps).round() / method.needs.steps
    z = method.corrupt(x, t, Stream(3))
    log_q = method.log_noise(z, t[:, None].expand(x.shape)).double().clamp(min=-300)
    whole, others = counted(source, log_q)
    found = source.others(log_q)
    torch.testing.assert_close(found.exp(), others, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(source.whole(log_q, found).exp(), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_the_conditionals_of_a_text_make_up_its_probability(source):
    log_p = source.conditionals(TEXTS).gather(-1, TEXTS[..., None]).sum((1, 2))
    torch.testing.assert_close(-log_p, source.nats(TEXTS), rtol=1e-10, atol=0)


def test_the_oracle_of_a_causal_method_is_the_likelihood():
    source = SOURCES["hidden"]
    oracle = Oracle(build("ar", V), source)
    one = torch.ones(len(TEXTS), dtype=torch.float64)
    nats = oracle.costs(oracle.method.bound, TEXTS, TEXTS, one).sum(-1)
    torch.testing.assert_close(nats, source.nats(TEXTS), rtol=1e-10, atol=0)
