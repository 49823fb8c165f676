"""Uniform noise: a token turns into any other, in continuous time. UDLM, arXiv:2412.10193v1."""

import torch
from torch import Tensor

from methods.discrete.mixing import ContinuousMixing, Mixing
from methods.method import Latent, Nats, Needs, Noise, Times, Tokens
from methods.schedules import Linear, Schedule


class UniformNoise(Mixing):
    """The noise is 1 / V on every token; nothing is ever known for sure, so the network is told the time."""

    def __init__(self, vocab_size: int, schedule: Schedule):
        super().__init__()
        self.vocab_size = self.states = vocab_size
        self.schedule = schedule
        self.needs = Needs(time=True)

    def mix(self, t: Times) -> tuple[Tensor, Tensor, Tensor]:
        alpha = self.schedule.signal(t)
        return alpha, (1 - alpha) / self.vocab_size, torch.zeros_like(alpha)

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        return self._any_token(like, rng)

    def prior_gap(self, x: Tokens) -> Nats:
        """KL(q(z_1 | x) || uniform) for a token with the share a = alpha(1) of signal left."""
        a, size = self.schedule.alpha(torch.ones_like(x, dtype=torch.float64)).clamp(min=0), self.states
        same, other = a + (1 - a) / size, (1 - a) / size
        return torch.xlogy(same, size * same) + (size - 1) * torch.xlogy(other, size * other)


class Udlm(UniformNoise, ContinuousMixing):
    """UDLM: the exact bound for uniform noise in continuous time."""

    paper = "Schiff et al. 2024, arXiv:2412.10193v1"
    warp = 2.0

    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__(vocab_size, schedule)

    def rate(self, z: Latent, t: Times) -> Tensor:
        """-alpha' / (alpha V), the same for every token."""
        return -self.schedule.slope(t) / (self.schedule.alpha(t) * self.states)
