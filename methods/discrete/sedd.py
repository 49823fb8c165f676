"""SEDD: the network gives the ratios s_y = p_t(y) / p_t(z) of changing one token. Lou et al., arXiv:2310.16834v3."""

import math
from typing import Literal

import torch
from torch import Tensor

from methods.discrete.uniform import UniformNoise
from methods.masked.absorbing import Absorbing, substitute
from methods.method import Latent, LogProbs, Nats, Neighbour, Scores, Times, Tokens, pick
from methods.schedules import Geometric, Linear, Schedule

EPS = 1e-3  # the signal that SEDD's log-linear noise leaves, and with it the largest sigma that a network is told


def total_noise(schedule: Schedule, t: Times) -> Tensor:
    """sigma = -log alpha, of a schedule that stops EPS short of alpha = 0, so that it is finite at t = 1."""
    return -torch.log(EPS + (1 - EPS) * schedule.alpha(t))


class SeddAbsorb(Absorbing):
    """SEDD-absorb: score entropy for masks, told sigma; its guesses mu = s (1 - alpha) / alpha need not sum to one.

    `read` returns log mu = scores - log V: the public code's log s = scores - log(exp(sigma) - 1) - log V without its
    factor of time. With normalised mu this is MD4.
    """

    paper = "Lou et al. 2024, arXiv:2310.16834v3"
    neighbours = (Neighbour("md4"),)

    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__(vocab_size, schedule, time=True, steps=None, carry_over=True, zero_masking=True)

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        return substitute(scores - math.log(self.vocab_size), z, self.mask)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """w (-log mu_x + S - 1), S = sum of mu, w = -alpha' / (1 - alpha), at masks (SEDD section 3.3)."""
        total = prediction.exp().sum(-1, dtype=torch.float64)
        return (z == self.mask) * self.schedule.weight(t) * (total - 1 - pick(prediction, x))

    def addends(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> dict[str, Nats]:
        """`normalisation`: w (S - 1 - log S), never negative, 0 where S = 1; the rest is MD4's bound of mu / S.

        From -log mu_x + S - 1 = -log(mu_x / S) + (S - 1 - log S) in the bound of section 3.3.
        """
        log_total = prediction.double().logsumexp(-1)
        return {"normalisation": (z == self.mask) * self.schedule.weight(t) * (log_total.expm1() - log_total)}

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """Tweedie (section 4.2): (alpha_s - alpha_t) / (1 - alpha_t) mu_v for token v, the rest of 1 to stay masked.

        The rest is below 0 where the mu sum to more than their share: it is cut off, and the row sums to above 1.
        """
        alpha_t, alpha_s = self.schedule.alpha(t)[..., None], self.schedule.signal(s)[..., None]
        reveal = (alpha_s - alpha_t) / (1 - alpha_t) * prediction.double().exp()
        moved = torch.cat([reveal, (1 - reveal.sum(-1, keepdim=True)).clamp(min=0)], -1).log()
        return substitute(moved, z, self.mask)

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        return prediction.log_softmax(-1)

    def perfect(self, whole: LogProbs, others: LogProbs, z: Latent, t: Times) -> Scores:
        return whole + math.log(self.vocab_size)

    def clock(self, t: Times) -> Tensor:
        return total_noise(self.schedule, super().clock(t))


class SeddUniform(UniformNoise):
    """SEDD-uniform: score entropy for uniform noise, told sigma; the scores are log s themselves, 0 at z."""

    paper = "Lou et al. 2024, arXiv:2310.16834v3"
    target: Literal["posterior", "leave-one-out"] = "leave-one-out"
    neighbours = (Neighbour("udlm", theirs={"schedule": "geometric"}),)
    warp = 2.0

    def __init__(self, vocab_size: int, schedule: Schedule = Geometric()):
        super().__init__(vocab_size, schedule)
        if schedule.alpha(torch.ones((), dtype=torch.float64)) <= 0:
            hint = "give one that leaves some, such as {name: linear, eps: 0.001}"
            raise ValueError(f"{schedule} leaves no signal at t = 1, where the score entropy has no bound; {hint}")

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        return scores.scatter(-1, z[..., None], 0.0)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """-alpha' / (alpha V) sum over y of s_y - r_y - r_y log(s_y / r_y), r_y = q(y | x) / q(z | x) (section 3.3).

        Two values of r occur: one at x, and `other` at the V - 1 other tokens.
        """
        alpha, each, _ = self.mix(t)
        q_z = alpha * (z == x) + each
        at_x, other = (alpha + each) / q_z, each / q_z
        scores, logs = prediction.exp().sum(-1, dtype=torch.float64), prediction.sum(-1, dtype=torch.float64)
        log_x = pick(prediction, x)
        of_x = at_x * (log_x - at_x.log() + 1)
        of_others = other * (logs - log_x - (self.vocab_size - 1) * (other.log() - 1))
        return self._speed(t) * (scores - of_x - of_others)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """Tweedie (section 4.2): the scores taken back to time s, times q(z_t | z_s).

        A score may come out below 0: it is cut off, and the row sums to above 1.
        """
        share = (self.schedule.signal(t) / self.schedule.signal(s))[..., None]
        score = prediction.double().exp()
        back = (score - (1 - share) * score.mean(-1, keepdim=True)) / share
        return (back.clamp(min=0) * self.landing(z, t, s)).log()

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        """-alpha' / (alpha V) s_y to every other token y."""
        return (self._speed(t)[..., None] * prediction.double().exp()).scatter(-1, z[..., None], 0.0)

    def perfect(self, whole: LogProbs, others: LogProbs, z: Latent, t: Times) -> Scores:
        log_p = self.marginal(others, t).log()
        return log_p - pick(log_p, z)[..., None]

    def clock(self, t: Times) -> Tensor:
        return total_noise(self.schedule, super().clock(t))

    def _speed(self, t: Times) -> Tensor:
        """How fast noise turns a token into any one other."""
        return -self.schedule.slope(t) / (self.schedule.alpha(t) * self.vocab_size)
