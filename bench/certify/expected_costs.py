"""Expected costs of every position at a given time: over all states that a position can have, or over draws of vectors.

Noise falls on each position by itself, and the tokens of `Independent` know nothing of each other. So one batch of as
many texts as there are states, in which the states are shifted by one from position to position, holds every state at
every position, and gives the expectation of a cost without drawing anything.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.certify.oracle import Oracle, Source, normalised
from bench.certify.verb_values import count_states, noise_texts
from bench.engine.model.method_with_network import Cost, Model
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Stream
from methods.method import Latent, LogProbs, Method, Nats, Scores, Tokens, pick

DRAWS = 64  # of vectors, which cannot be enumerated
NODES, LAST_NODES = 3, 16  # of the quadrature over a short interval, and over one up to t = 1


@dataclass(eq=False)
class Independent(Source):
    """Independent tokens of one law [V]."""

    law: Tensor
    length: int

    def __post_init__(self) -> None:
        self.vocab_size = len(self.law)

    def sample(self, count: int, generator: torch.Generator) -> Tokens:
        return torch.multinomial(self.law, count * self.length, True, generator=generator).view(count, self.length)

    def log_evidence(self, log_q: Tensor) -> Nats:
        return (log_q + self.law.log()).logsumexp(-1).sum(-1)

    def others(self, log_q: Tensor) -> LogProbs:
        return normalised(self.law.log()).expand_as(log_q)


class Shifted(Oracle):
    """The oracle with a number of nats added to all of its scores."""

    shift = 0.0

    def hidden(self, z: Latent, t: Tensor, guess: Tensor | None = None) -> Scores:
        return super().hidden(z, t, guess) + self.shift


class Sure(Oracle):
    """A network that gives one token more nats than all others, whatever it is shown."""

    token = 0
    nats = 0.0

    def hidden(self, z: Latent, t: Tensor, guess: Tensor | None = None) -> Scores:
        width = self.vocab_size + self.method.needs.extra_scores
        scores = torch.zeros(*z.shape[:2], width, dtype=self.dtype)
        scores[..., self.token] = self.nats
        return scores


@torch.no_grad()
def expected_costs(model: Model, cost: Cost, x: Tokens, time: float) -> Nats:
    """The expected cost of each position of a text x [L] at one time [L]."""
    z, weight = arrange_states(model.method, x, time)
    texts, t = x.expand(len(z), -1), torch.full((len(z),), time, dtype=torch.float64)
    nats = model.costs(cost, texts, z, t)
    return torch.where(weight > 0, weight * nats, 0.0).sum(0)


def arrange_states(method: Method, x: Tokens, time: float) -> tuple[Latent, Tensor]:
    """States z [B, L] of the positions of a text x [L], and their probabilities [B, L] at one time."""
    if method.needs.causal:
        return x[None], torch.ones(1, len(x), dtype=torch.float64)
    if method.needs.vector_width:
        t = torch.full((DRAWS,), time, dtype=torch.float64)
        z = noise_texts(method, x.expand(DRAWS, -1), t, Stream(0))
        return z, torch.full((DRAWS, len(x)), 1 / DRAWS, dtype=torch.float64)
    states = count_states(method)
    z = (torch.arange(states)[:, None] + torch.arange(len(x))) % states
    log_q = log_noise(method, z, torch.full(z.shape, time, dtype=torch.float64))
    return z, pick(log_q, x.expand(z.shape)).double().exp()


def log_noise(method: Method, z: Latent, t: Tensor) -> LogProbs:
    """log q(z_i | x_i = v) at all positions of z [B, L]."""
    with in_sequences(method, z):
        return method.log_noise(z, t)


def remaining_nats(method: Method, law: Tensor, x: Tokens, time: float) -> Nats:
    """What is left to pay at one time: the expectation of -log p(x_i | z_i) of independent tokens, x [L] -> [L]."""
    z, weight = arrange_states(method, x, time)
    log_q = log_noise(method, z, torch.full(weight.shape, time, dtype=torch.float64)).double()
    log_p = (log_q + law.log()).log_softmax(-1)
    return torch.where(weight > 0, -weight * pick(log_p, x.expand(weight.shape)), 0.0).sum(0)


def gauss_legendre(low: float, high: float, nodes: int) -> list[tuple[float, float]]:
    """Times and weights of an integral from low to high.

    Towards t = 1 a schedule may have a root: there t = high - (high - low) v^2.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    v = (points + 1) / 2
    if high < 1:
        return list(zip(low + (high - low) * v, (high - low) * weights / 2, strict=True))
    return list(zip(high - (high - low) * v**2, (high - low) * weights * v, strict=True))


def integrate(model: Model, x: Tokens, low: float, high: float) -> Nats:
    """The integral of the expected bound over a short interval of continuous time, or up to t = 1 [L]."""
    nodes = gauss_legendre(low, high, NODES if high < 1 else LAST_NODES)
    return torch.stack([weight * expected_costs(model, model.method.bound, x, time) for time, weight in nodes]).sum(0)


def refine(model: Model, x: Tokens, low: float, high: float, cost: Nats, tolerance: Nats, depth: int = 20) -> Nats:
    """The same by halves, where they do not agree with the whole."""
    middle = (low + high) / 2
    first, second = integrate(model, x, low, middle), integrate(model, x, middle, high)
    if depth == 0 or bool(((first + second - cost).abs() <= tolerance).all()):
        return first + second
    total = refine(model, x, low, middle, first, tolerance, depth - 1)
    return total + refine(model, x, middle, high, second, tolerance, depth - 1)
