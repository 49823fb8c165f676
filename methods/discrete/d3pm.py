"""D3PM: discrete diffusion in discrete time. Austin et al., arXiv:2107.03006v3."""

from typing import Annotated, Literal

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from methods.discrete.mixing import Mixing
from methods.discrete.uniform import UniformNoise
from methods.method import Latent, LogProbs, Nats, Needs, Neighbour, Noise, Times, Tokens, pick
from methods.schedules import Cosine, Linear, Schedule

Steps = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0)]


class D3pm(Mixing):
    """The bound is the sum over steps of KL(q(z_s | z_t, x) || p(z_s | z_t)).

    The step to s = 0 costs -log p(x | z) by the same reverse process, so there is no separate last guess. `hybrid` is
    the weight of the auxiliary cross-entropy in training, in nats per step and position (eq. 5); it never enters the
    bound.
    """

    paper = "Austin et al. 2021, arXiv:2107.03006v3"
    t_min = 0.0
    steps: int
    hybrid: float

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """`steps` times the cost of the step from t to t - 1 / steps."""
        return self.steps * self.step_cost(x, z, t, (t - 1 / self.steps).clamp(min=0), prediction)

    def objective(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The bound plus the auxiliary cross-entropy (eq. 5)."""
        return self.bound(x, z, t, prediction) - self.hybrid * self.steps * pick(prediction, x)


class D3pmAbsorb(D3pm):
    """D3PM-absorb: masks in discrete time; the network may leave mass on the mask, at a cost in the bound."""

    target: Literal["posterior", "leave-one-out"] = "posterior"
    neighbours = (Neighbour("mdlm", theirs={"steps": 1000, "zero_masking": False}),)

    def __init__(self, vocab_size: int, schedule: Schedule = Linear(), steps: Steps = 1000, hybrid: Share = 0.01):
        super().__init__()
        if schedule.alpha(torch.ones((), dtype=torch.float64)) > 1e-12:
            raise ValueError(f"the chain must end in masks alone, but {schedule} leaves signal at t = 1")
        self.vocab_size = self.mask = vocab_size
        self.states = vocab_size + 1
        self.schedule, self.steps, self.hybrid = schedule, steps, hybrid
        self.needs = Needs(time=True, extra_tokens=1, extra_scores=1, steps=steps)

    def mix(self, t: Times) -> tuple[Tensor, Tensor, Tensor]:
        """alpha(t), no uniform noise, and 1 - alpha(t) on the mask."""
        alpha = self.schedule.signal(t)
        return alpha, torch.zeros_like(alpha), 1 - alpha

    def scored(self, z: Latent) -> Bool[Tensor, "*P"] | None:
        """The masked positions; every position if training adds the cross-entropy."""
        return None if self.hybrid else z == self.mask

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """All masks."""
        return torch.full_like(like, self.mask)


class D3pmUniform(D3pm, UniformNoise):
    """D3PM-uniform: uniform noise in discrete time."""

    neighbours = (Neighbour("udlm", theirs={"schedule": "cosine"}, within=0.02),)  # the limit of many steps

    def __init__(self, vocab_size: int, schedule: Schedule = Cosine(), steps: Steps = 1000, hybrid: Share = 0.0):
        UniformNoise.__init__(self, vocab_size, schedule)
        self.steps, self.hybrid = steps, hybrid
        self.needs = Needs(time=True, steps=steps)
