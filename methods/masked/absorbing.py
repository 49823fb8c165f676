"""Masked (absorbing) diffusion: tokens turn into a mask and stay there.

MDLM, arXiv:2406.07524v2; MD4, arXiv:2406.04329v4. Both have the same bound; they differ in what the network is told and
in the parts that MDLM's ablation takes away again.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from methods.method import Latent, LogProbs, Method, Nats, Needs, Neighbour, Noise, Scores, Times, Tokens, pick
from methods.schedules import Linear, Schedule

Steps = Annotated[int, Field(ge=1)] | None  # None: continuous time


class Absorbing(Method):
    """Every position is masked alike, with probability 1 - alpha(t); masked ones are revealed by the network's guess.

    `carry_over` and `zero_masking` are MDLM's two substitutions: what is visible is known, and no mass stays on the
    mask. Without the first, the last guess is the network's own at every position, visible or not.
    """

    def __init__(
        self, vocab_size: int, schedule: Schedule, time: bool, steps: int | None, carry_over: bool, zero_masking: bool
    ):
        super().__init__()
        self.vocab_size = self.mask = vocab_size
        self.schedule = schedule
        self.carry_over, self.zero_masking = carry_over, zero_masking
        self.needs = Needs(
            time=time, extra_tokens=1, extra_scores=int(not zero_masking), steps=steps, trains_ends=not carry_over
        )
        if steps is not None:
            self.t_min = 0.0 if carry_over else 1 / steps  # the first step of D3PM is the network's own guess
        elif carry_over and schedule.reaches_both_ends:
            self.masking = schedule

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """All masks, but for the share alpha(1) of positions that holds a uniform token."""
        token = (rng.uniform(like.shape) * self.vocab_size).long().clamp(max=self.vocab_size - 1)
        return torch.where(rng.uniform(like.shape) < self._left(like), token, self.mask)

    def _left(self, like: Tokens) -> Nats:
        """alpha(1) at each position; the clamp takes away a rounding below 0."""
        return self.schedule.alpha(torch.ones_like(like, dtype=torch.float64)).clamp(min=0)

    def prior_gap(self, x: Tokens) -> Nats:
        """alpha(1) log V: the signal that is left at t = 1 against the prior above."""
        return self._left(x) * math.log(self.vocab_size)

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        keep = rng.uniform(x.shape) < self.schedule.alpha(t)[:, None]
        return torch.where(keep, x, self.mask)

    def scored(self, z: Latent) -> Bool[Tensor, "*P"] | None:
        return z == self.mask if self.carry_over else None

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """Log-softmax; with carry-over, a point mass where z is visible (MDLM section 3.2.3, SUBS)."""
        log_p = scores.log_softmax(-1)
        return substitute(log_p, z, self.mask) if self.carry_over else log_p

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """Cost of revealing the masked positions, zero elsewhere.

        Continuous time: w (log(1 + k) - log p_x - p_m / (1 - alpha) / (1 + k)), w = -alpha' / (1 - alpha),
        k = alpha p_m / (1 - alpha), p_m the mass left on the mask (MDLM eq. 10 where p_m = 0; in general the limit of
        D3PM's KL, arXiv:2107.03006v3, eq. 1). The visible positions cost nothing: both reverse processes keep them.
        """
        masked = (z == self.mask).to(t)
        if self.needs.steps is not None:
            return masked * self._step_cost(x, t, prediction)
        weight = masked * self.schedule.weight(t)
        cross_entropy = -pick(prediction, x)
        if self.zero_masking:
            return weight * cross_entropy
        alpha = self.schedule.alpha(t)
        left = prediction[..., self.mask].exp() / (1 - alpha)
        return weight * (torch.log1p(alpha * left) + cross_entropy - left / (1 + alpha * left))

    def _step_cost(self, x: Tokens, t: Times, prediction: LogProbs) -> Nats:
        """steps * KL(q(z_s | z_t, x) || p(z_s | z_t)) where z_t is the mask, s = t - 1 / steps (MDLM eq. 7 and 8)."""
        steps = self.needs.steps
        assert steps is not None
        s = (t - 1 / steps).clamp(min=0)
        alpha_t, alpha_s = self.schedule.alpha(t), self.schedule.signal(s)
        reveal = (alpha_s - alpha_t) / (1 - alpha_t)
        if self.zero_masking:
            return -steps * reveal * pick(prediction, x)
        mask_mass = prediction[..., self.mask].double().exp()
        excess_t = torch.log1p(alpha_t * mask_mass / (1 - alpha_t))
        stay = (1 - alpha_s) / (1 - alpha_t)
        hidden_s = torch.where(stay > 0, 1 - alpha_s, 1.0)  # at s = 0 the term is 0 log 0 = 0
        kept = stay * (excess_t - torch.log1p(alpha_s * mask_mass / hidden_s))
        return steps * (reveal * (excess_t - pick(prediction, x)) + kept)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """Where masked: (alpha_s - alpha_t) p_v for token v, 1 - alpha_s + alpha_s p_m to stay, normalised."""
        alpha_t, alpha_s = self.schedule.alpha(t)[..., None], self.schedule.alpha(s)[..., None]
        mass = prediction.double().exp()
        stay = 1 - alpha_s
        if not self.zero_masking:
            stay = stay + alpha_s * mass[..., self.mask :]
        mass = torch.cat([(alpha_s - alpha_t) * mass[..., : self.mask], stay.expand(*mass.shape[:-1], 1)], -1)
        return substitute((mass / mass.sum(-1, keepdim=True)).log(), z, self.mask)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor | None:
        """Where masked: -alpha' p_v / (1 - alpha + alpha p_m) to token v, p_m the mass left on the mask."""
        if self.needs.steps is not None:
            return None
        alpha, mass = self.schedule.alpha(t)[..., None], prediction.double().exp()
        stay = 1 - alpha if self.zero_masking else 1 - alpha + alpha * mass[..., self.mask :]
        reveal = -self.schedule.slope(t)[..., None] * mass[..., : self.mask] / stay
        return F.pad(torch.where((z == self.mask)[..., None], reveal, 0.0), (0, 1))

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """The guess itself, over the V tokens only: no mask is ever written."""
        return prediction if self.zero_masking else prediction[..., : self.mask].log_softmax(-1)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        alpha = self.schedule.alpha(t)[..., None]
        same = F.one_hot(z, self.mask + 1)[..., : self.mask]
        return torch.where((z == self.mask)[..., None], 1 - alpha, alpha * same).log()


def substitute(log_p: LogProbs, z: Latent, mask: int) -> LogProbs:
    """log_p where z is the mask, and where it is not a point mass on what is seen."""
    masked = (z == mask)[..., None]
    if masked.all():
        return log_p
    return torch.where(masked, log_p, point_mass(z, mask)[..., : log_p.shape[-1]].to(log_p))


def point_mass(z: Latent, mask: int) -> LogProbs:
    """Log-probabilities that are sure of z, over the tokens and the mask, float64."""
    return F.one_hot(z, mask + 1).double().log()


class Mdlm(Absorbing):
    """MDLM: the network is not told the time; its ablation takes away carry-over, zero masking, continuous time."""

    paper = "Sahoo et al. 2024, arXiv:2406.07524v2"
    neighbours = (Neighbour("md4"),)

    def __init__(
        self,
        vocab_size: int,
        schedule: Schedule = Linear(),
        carry_over: bool = True,
        zero_masking: bool = True,
        steps: Steps = None,
        time: bool = False,
    ):
        super().__init__(vocab_size, schedule, time, steps, carry_over, zero_masking)


class Md4(Absorbing):
    """MD4: the same bound, with a network that is told the time."""

    paper = "Shi et al. 2024, arXiv:2406.04329v4"
    neighbours = (Neighbour("mdlm"),)

    def __init__(self, vocab_size: int, schedule: Schedule = Linear(), time: bool = True, steps: Steps = None):
        super().__init__(vocab_size, schedule, time, steps, carry_over=True, zero_masking=True)
