"""Texts so short that everything about them can be counted: V = 3 tokens, L = 2 positions, float64."""

from itertools import pairwise, product

import numpy as np
import torch
from torch import Tensor, nn

from bench.engine.model.method_with_network import Model
from bench.engine.model.positions import at_positions, in_sequences
from methods.method import Method, pick

V, L = 3, 2
TEXTS = torch.tensor(list(product(range(V), repeat=L)))  # [9, L]
LAW = torch.tensor([0.30, 0.05, 0.02, 0.01, 0.25, 0.04, 0.20, 0.03, 0.10], dtype=torch.float64)  # p(text)


class Lookup(nn.Module):
    """A network that knows nothing but a table: scores of every noisy text, moved by the clock where it is told one."""

    def __init__(self, states: int, scores: int, timed: bool, seed: int = 0):
        super().__init__()
        torch.manual_seed(seed)
        self.states = states
        self.table = nn.Parameter(torch.randn(states**L, L, scores, dtype=torch.float64))
        self.drift = nn.Parameter(torch.randn(states**L, L, scores, dtype=torch.float64) * float(timed))

    def forward(self, z: Tensor, clock: Tensor | None) -> Tensor:
        index = z[:, 0] * self.states + z[:, 1]
        moved = 0.0 if clock is None else torch.sin(3 * clock)[:, None, None] * self.drift[index]
        return self.table[index] + moved

    def head(self, hidden: Tensor) -> Tensor:
        return hidden


def model(method: Method, seed: int = 0, kind: type[Model] = Model) -> Model:
    """The harness's model with the table in the place of the transformer."""
    made = kind.__new__(kind)
    nn.Module.__init__(made)
    made.method, made.vocab_size, made.precision = method, V, "float32"
    states, scores = V + method.needs.extra_tokens, V + method.needs.extra_scores
    made.network = Lookup(states, scores, method.needs.time, seed)  # type: ignore[assignment]
    return made


class Oracle(Model):
    """The model whose network knows the law of the texts: exact posteriors by counting, through `method.perfect`."""

    law: Tensor

    def hidden(self, z: Tensor, t: Tensor, guess: Tensor | None = None) -> Tensor:
        each = t[:, None].expand(z.shape[:2])
        with in_sequences(self.method, z):
            by_token = self.method.log_noise(z, each)  # [B, L, V]
        by_place = torch.stack([by_token[:, i, TEXTS[:, i]] for i in range(L)], -1)  # [B, texts, L]
        whole, others = torch.empty(2, *each.shape, V, dtype=torch.float64)
        for i in range(L):
            rest = by_place.sum(-1) - by_place[..., i] if L > 1 else 0.0
            for v in range(V):
                fits = TEXTS[:, i] == v
                others[:, i, v] = (self.law.log() + rest)[:, fits].logsumexp(-1)
        whole = (others + by_token).log_softmax(-1).nan_to_num(0.0)  # a z that cannot be gives nothing to normalise
        others = others.log_softmax(-1).nan_to_num(0.0)
        with in_sequences(self.method, z):
            return self.method.perfect(whole.clamp(min=-300), others.clamp(min=-300), z, each)


def bayes(method: Method, law: Tensor = LAW) -> Model:
    """The model with the true posterior in the place of its network."""
    made = model(method, kind=Oracle)
    made.law = law  # type: ignore[assignment]
    return made


def every_latent(method: Method) -> Tensor:
    """All z, in the order of the table [states^L, L]."""
    return torch.tensor(list(product(range(V + method.needs.extra_tokens), repeat=L)))


def probability(method: Method, x: Tensor, t: float) -> Tensor:
    """q(z | x) of every z [states^L]."""
    z = every_latent(method)
    with in_sequences(method, z):
        log_q = method.log_noise(z, torch.full(z.shape, t, dtype=torch.float64))
    return pick(log_q, x.expand(z.shape)).sum(-1).exp()


def density(made: Model, x: Tensor, t: float, clock: float | None = None) -> Tensor:
    """E over z at time t of the integrand, summed over positions; `clock` overrides what the network is told."""
    method, z = made.method, every_latent(made.method)
    each = torch.full(z.shape, t, dtype=torch.float64)
    told = each[:, 0] if clock is None else torch.full((len(z),), clock, dtype=torch.float64)
    scores = made.hidden(z, told) if clock is None else made.network(z, told)
    with in_sequences(method, z):
        cost = method.bound(x.expand(z.shape), z, each, method.read(scores, z, each)).sum(-1)
    q = probability(method, x, t)
    return (q * torch.where(q > 0, cost, 0.0)).sum()


def densities(made: Model, x: Tensor, times: Tensor) -> Tensor:
    """`density` at each of the times [times], in one call of the network."""
    method, states = made.method, every_latent(made.method)
    z = states.repeat(len(times), 1)
    t = times.repeat_interleave(len(states))[:, None].expand(z.shape)
    scores = made.hidden(z, t[:, 0])
    with in_sequences(method, z):
        cost = method.bound(x.expand(z.shape), z, t, method.read(scores, z, t)).sum(-1)
        q = pick(method.log_noise(z, t), x.expand(z.shape)).sum(-1).exp()
    return (q * torch.where(q > 0, cost, 0.0)).view(len(times), -1).sum(-1)


def last_guess(made: Model, x: Tensor, t: float) -> Tensor:
    """E over z at time t of -log p(x | z)."""
    method, z = made.method, every_latent(made.method)
    each = torch.full(z.shape, t, dtype=torch.float64)
    scores = made.hidden(z, each[:, 0])
    with in_sequences(method, z):
        guess = method.last_guess(z, each, method.read(scores, z, each))
    q = probability(method, x, t)
    return (q * torch.where(q > 0, -pick(guess, x.expand(z.shape)).sum(-1), 0.0)).sum()


def integral(f, low: float, high: float, nodes: int = 48) -> Tensor:
    """Gauss-Legendre after t = low + (high - low) u^2 (3 - 2 u), which is flat at both ends."""
    total = torch.zeros((), dtype=torch.float64)
    for t, weight in zip(*quadrature(low, high, nodes), strict=True):
        total = total + float(weight) * f(float(t))
    return total


def quadrature(low: float, high: float, nodes: int = 48) -> tuple[Tensor, Tensor]:
    """The nodes and weights of `integral`."""
    points, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(nodes))
    u = (points + 1) / 2
    return low + (high - low) * u * u * (3 - 2 * u), (high - low) * 3 * weights * u * (1 - u)


def exact_bound(made: Model, x: Tensor) -> Tensor:
    """The bound of one text without any sampling, nats: by quadrature, or by the sum over the steps."""
    method = made.method
    steps = method.needs.steps
    if steps is not None:
        first = round(method.t_min * steps)
        total = densities(made, x, torch.arange(first + 1, steps + 1, dtype=torch.float64) / steps).sum() / steps
    else:
        times, weights = quadrature(0.0 if method.masking is not None else method.t_min, 1.0)
        total = weights @ densities(made, x, times)
        if method.masking is not None:
            return total
    ends = last_guess(made, x, method.t_min) if method.t_min > 0 else torch.zeros(())
    with in_sequences(method, x[None]):
        return total + ends + method.prior_gap(x[None]).sum()


def prior_law(method: Method) -> Tensor:
    """The law of the first position at t = 1, read off the noise: the mean over tokens of what is left [states]."""
    states = V + method.needs.extra_tokens
    one = torch.ones(states, dtype=torch.float64)
    with at_positions(method, torch.zeros(states, dtype=torch.long), L):
        return method.log_noise(torch.arange(states), one).exp().mean(-1)


def sampler_law(made: Model, times: list[float]) -> Tensor:
    """The exact law over texts of stepping from the prior along `times` and guessing at the last [9]."""
    method, z = made.method, every_latent(made.method)
    law = prior_law(method)[z].prod(-1)
    for t, s in pairwise(times):
        at_t, at_s = (torch.full(z.shape, time, dtype=torch.float64) for time in (t, s))
        scores = made.hidden(z, at_t[:, 0])
        with in_sequences(method, z):
            moves = method.transition(z, at_t, at_s, method.read(scores, z, at_t)).exp()
        moves = (moves / moves.sum(-1, keepdim=True)).nan_to_num(0.0)  # from a z that cannot be
        law = law @ (moves[:, 0, :, None] * moves[:, 1, None, :]).flatten(1)
    at_end = torch.full(z.shape, times[-1], dtype=torch.float64)
    scores = made.hidden(z, at_end[:, 0])
    with in_sequences(method, z):
        guess = method.last_guess(z, at_end, method.read(scores, z, at_end)).exp().nan_to_num(0.0)
    return law @ (guess[:, 0, :, None] * guess[:, 1, None, :]).flatten(1)
