"""Right methods that no registered one is like, written against the contract alone: no check may reject them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.continuous.plaid import Plaid
from methods.method import Latent, LogProbs, Method, Nats, Needs, Noise, Times, Tokens, pick


class UnevenNoise(Method):
    """Noise that draws frequent tokens more often: q(z | x) = (1 - t) [z = x] + t pi(z), in continuous time."""

    paper = "none"
    target = "leave-one-out"
    warp = 2.0

    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.needs = Needs(time=True)
        self.register_buffer("pi", torch.linspace(0.0, -3.0, vocab_size, dtype=torch.float64).softmax(-1))

    def noised(self, log_p: LogProbs, t: Times) -> Tensor:
        """The law of z if that of x is given [*P, V]."""
        t = t[..., None]
        return (1 - t) * log_p.double().exp() + t * self.pi

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        token = torch.searchsorted(self.pi.cumsum(-1), rng.uniform(x.shape)).clamp(max=self.vocab_size - 1)
        return torch.where(rng.uniform(x.shape) < t[:, None], token, x)

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        return torch.searchsorted(self.pi.cumsum(-1), rng.uniform(like.shape)).clamp(max=self.vocab_size - 1)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """Rates pi(z) / (1 - t) q(y) / q(z) to every other token y, against the same with the prediction for x."""
        q, p = self.noised(F.one_hot(x, self.vocab_size).double().log(), t), self.noised(prediction, t)
        true, guess = q / pick(q, z)[..., None], p / pick(p, z)[..., None]
        cost = guess - true + torch.xlogy(true, true) - torch.where(true > 0, true * guess.log(), 0.0)
        return self.pi[z] / (1 - t) * cost.sum(-1)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        share = ((1 - t) / (1 - s))[..., None]
        landing = share * F.one_hot(z, self.vocab_size) + (1 - share) * self.pi[z][..., None]
        return (landing * self.noised(prediction, s)).log().log_softmax(-1)

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        return (prediction.double() + self.log_noise(z, t)).log_softmax(-1)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        t = t[..., None]
        return ((1 - t) * F.one_hot(z, self.vocab_size) + t * self.pi[z][..., None]).log()


class Exploding(Method):
    """Gaussian noise that grows: z = e_x + sigma noise, sigma geometric in t, for embeddings that are never learned."""

    paper = "none"
    target = "leave-one-out"
    t_min = 0.0
    width, lowest, highest = 8, 0.25, 12.0

    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.needs = Needs(time=True, vector_width=self.width)
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("table", torch.randn(vocab_size, self.width, generator=generator, dtype=torch.float64))

    @property
    def guesses_last(self) -> bool:
        return True

    def sigma(self, t: Times) -> Tensor:
        return self.lowest * (self.highest / self.lowest) ** t

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        return self.table[x] + self.sigma(t)[:, None, None] * rng.normal((*x.shape, self.width))

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        return self.highest * rng.normal((*like.shape, self.width))

    def prior_gap(self, x: Tokens) -> Nats:
        return self.table[x].square().sum(-1) / (2 * self.highest**2)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        inner = z @ self.table.T - self.table.square().sum(-1) / 2
        return inner / self.sigma(t)[..., None] ** 2

    def read(self, scores: Tensor, z: Latent, t: Times) -> LogProbs:
        return (scores.double() + self.log_noise(z, t)).log_softmax(-1)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """log(highest / lowest) / sigma^2 |e_x - guess|^2: half the fall of 1 / sigma^2 per unit of time."""
        error = (self.table[x] - prediction.exp() @ self.table).square().sum(-1)
        return math.log(self.highest / self.lowest) / self.sigma(t) ** 2 * error

    def step(self, z: Latent, t: Times, s: Times, prediction: LogProbs, rng: Noise) -> Latent:
        share = (self.sigma(s) / self.sigma(t))[..., None] ** 2
        mean = share * z + (1 - share) * (prediction.exp() @ self.table)
        return mean + (1 - share).sqrt() * self.sigma(s)[..., None] * rng.normal(z.shape)

    def feed(self, z: Latent, t: Times) -> Tensor:
        return z / (1 + self.sigma(t)[:, None, None] ** 2).sqrt()


class SteppedGaussian(Plaid):
    """Gaussian noise of fixed embeddings in discrete time, whose steps are those of the bound."""

    paper = "none"
    widening = ()

    def __init__(self, vocab_size: int, rounds: int = 500):
        super().__init__(vocab_size, self_conditioning=False, learned_schedule=False)
        self.needs = Needs(time=True, trains_ends=True, vector_width=self.needs.vector_width, steps=rounds)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The KL divergence of two Gaussian steps of the same width, times the number of steps."""
        steps = self.needs.steps
        signal_t, signal_s = (torch.exp(-self.schedule(time)[0]) for time in (t, (t - 1 / steps).clamp(min=0)))
        error = (self.embeddings()[x] - self.guess(prediction)).double().square().sum(-1)
        return steps * (signal_s - signal_t) / 2 * error
