"""Masked (absorbing) diffusion: a token turns into a mask and stays masked.

`Mdlm` and `Md4`, at the end, are the two registered methods. They share the bound of `Absorbing` and differ in time
conditioning and in the components that MDLM ablates.

MDLM, arXiv:2406.07524v2; MD4, arXiv:2406.04329v4.
"""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from methods.method import (
    Latent,
    LogProbs,
    Method,
    Nats,
    Needs,
    Neighbour,
    Noise,
    Scores,
    Times,
    Tokens,
    draw_uniform,
    pick,
    substitute,
)
from methods.schedules import Linear, Schedule

Steps = Annotated[int, Field(ge=1)] | None  # None: continuous time


class Absorbing(Method):
    """Each position is masked independently with probability 1 - alpha(t), and revealed by the network's prediction.

    `carry_over` and `zero_masking` are MDLM's two substitutions (SUBS, section 3.2.3): a visible token is predicted
    with certainty, and no mass is left on the mask. What follows from `carry_over` and `steps`:

        carry_over  steps  t_min  last guess           scored
        yes         None   1e-3   at masked positions  masked positions
        no          None   1e-3   at every position    every position
        yes         T      0      none                 masked positions
        no          T      1 / T  at every position    every position

    In the first case, a schedule that runs from 1 to 0 allows exact mask counts (`masking`) and removes the last guess.
    Without `carry_over`, the network also guesses visible positions, and training adds that cost (`trains_ends`).
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
            self.t_min = 0.0 if carry_over else 1 / steps
        elif carry_over and schedule.reaches_both_ends:
            self.masking = schedule

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """Draw masks, and uniform tokens at a fraction alpha(1) of the positions."""
        token = draw_uniform(like, self.vocab_size, rng)
        return torch.where(rng.uniform(like.shape) < self.schedule.signal_at_end(like), token, self.mask)

    def prior_gap(self, x: Tokens) -> Nats:
        """alpha(1) log V: a token that is still visible at t = 1 is uniform under the prior."""
        return self.schedule.signal_at_end(x) * math.log(self.vocab_size)

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """Mask each token with probability 1 - alpha(t)."""
        visible = rng.uniform(x.shape) < self.schedule.alpha(t)[:, None]
        return torch.where(visible, x, self.mask)

    def scored(self, z: Latent) -> Bool[Tensor, "*P"] | None:
        """The masked positions; every position without carry-over."""
        return z == self.mask if self.carry_over else None

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """Log-softmax; with carry-over, a point mass at visible positions (MDLM section 3.2.3, SUBS)."""
        log_p = scores.log_softmax(-1)
        return substitute(log_p, z, self.mask) if self.carry_over else log_p

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The cost of revealing the masked positions; zero elsewhere, since both reverse processes keep visible tokens.

        Continuous time: w (log(1 + k) - log p_x - p_m / (1 - alpha) / (1 + k)), w = -alpha' / (1 - alpha),
        k = alpha p_m / (1 - alpha), p_m the mass on the mask (MDLM eq. 10 if p_m = 0; in general the limit of D3PM's
        KL, arXiv:2107.03006v3, eq. 1).
        """
        masked = (z == self.mask).to(t)
        if self.needs.steps is not None:
            return masked * self._step_cost(x, t, prediction)

        weight = masked * self.schedule.weight(t)
        cross_entropy = -pick(prediction, x)
        if self.zero_masking:
            return weight * cross_entropy

        alpha = self.schedule.alpha(t)
        mask_ratio = prediction[..., self.mask].exp() / (1 - alpha)
        return weight * (torch.log1p(alpha * mask_ratio) + cross_entropy - mask_ratio / (1 + alpha * mask_ratio))

    def _step_cost(self, x: Tokens, t: Times, prediction: LogProbs) -> Nats:
        """steps * KL(q(z_s | z_t, x) || p(z_s | z_t)) for a masked z_t, s = t - 1 / steps (MDLM eq. 7 and 8)."""
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
        masked_s = torch.where(stay > 0, 1 - alpha_s, 1.0)  # at s = 0 the term is 0 log 0 = 0
        stay_cost = stay * (excess_t - torch.log1p(alpha_s * mask_mass / masked_s))
        return steps * (reveal * (excess_t - pick(prediction, x)) + stay_cost)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """If masked: (alpha_s - alpha_t) p_v for token v, 1 - alpha_s + alpha_s p_m to stay masked, normalised."""
        alpha_t, alpha_s = self.schedule.alpha(t)[..., None], self.schedule.alpha(s)[..., None]
        mass = prediction.double().exp()
        stay = 1 - alpha_s
        if not self.zero_masking:
            stay = stay + alpha_s * mass[..., self.mask :]
        mass = torch.cat([(alpha_s - alpha_t) * mass[..., : self.mask], stay.expand(*mass.shape[:-1], 1)], -1)
        return substitute((mass / mass.sum(-1, keepdim=True)).log(), z, self.mask)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor | None:
        """If masked: -alpha' p_v / (1 - alpha + alpha p_m) to token v, p_m the mass on the mask."""
        if self.needs.steps is not None:
            return None
        alpha, mass = self.schedule.alpha(t)[..., None], prediction.double().exp()
        masked = 1 - alpha if self.zero_masking else 1 - alpha + alpha * mass[..., self.mask :]
        reveal = -self.schedule.slope(t)[..., None] * mass[..., : self.mask] / masked
        return F.pad(torch.where((z == self.mask)[..., None], reveal, 0.0), (0, 1))

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """The prediction, renormalised over the V tokens: a mask is never drawn."""
        return prediction if self.zero_masking else prediction[..., : self.mask].log_softmax(-1)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """1 - alpha for a mask; alpha for the visible token itself, and 0 for any other."""
        alpha = self.schedule.alpha(t)[..., None]
        same = F.one_hot(z, self.mask + 1)[..., : self.mask]
        return torch.where((z == self.mask)[..., None], 1 - alpha, alpha * same).log()


class Mdlm(Absorbing):
    """MDLM: no time conditioning; its ablations remove carry-over, zero masking, or continuous time."""

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
    """MD4: the same bound as MDLM, with time conditioning."""

    paper = "Shi et al. 2024, arXiv:2406.04329v4"
    neighbours = (Neighbour("mdlm"),)

    def __init__(self, vocab_size: int, schedule: Schedule = Linear(), time: bool = True, steps: Steps = None):
        super().__init__(vocab_size, schedule, time, steps, carry_over=True, zero_masking=True)
