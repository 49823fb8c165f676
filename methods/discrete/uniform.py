"""Uniform diffusion: a token turns into any other. UDLM, arXiv:2412.10193v1."""

import torch
from torch import Tensor

from methods.discrete.mixing import ContinuousMixing, Mixing
from methods.method import Latent, Nats, Needs, Noise, Times, Tokens, draw_uniform
from methods.schedules import Linear, Schedule


class UniformNoise(Mixing):
    """Uniform noise over the V tokens; since no token is ever certain, the network is conditioned on time."""

    def __init__(self, vocab_size: int, schedule: Schedule):
        super().__init__()
        self.vocab_size = self.states = vocab_size
        self.schedule = schedule
        self.needs = Needs(time=True)

    def mix(self, t: Times) -> tuple[Tensor, Tensor, Tensor]:
        """alpha(t), (1 - alpha) / V per token, and no mass on a mask."""
        alpha = self.schedule.signal(t)
        return alpha, (1 - alpha) / self.vocab_size, torch.zeros_like(alpha)

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """Draw uniform tokens."""
        return draw_uniform(like, self.vocab_size, rng)

    def prior_gap(self, x: Tokens) -> Nats:
        """KL(q(z_1 | x) || uniform)."""
        alpha, size = self.schedule.signal_at_end(x), self.states
        q_other = (1 - alpha) / size
        q_x = alpha + q_other
        return torch.xlogy(q_x, size * q_x) + (size - 1) * torch.xlogy(q_other, size * q_other)


class Udlm(UniformNoise, ContinuousMixing):
    """UDLM: uniform diffusion in continuous time."""

    paper = "Schiff et al. 2024, arXiv:2412.10193v1"
    warp = 2.0

    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__(vocab_size, schedule)

    def rate(self, z: Latent, t: Times) -> Tensor:
        """-alpha' / (alpha V), the same for every token."""
        return -self.schedule.slope(t) / (self.schedule.alpha(t) * self.states)
