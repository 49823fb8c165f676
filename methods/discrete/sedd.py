"""SEDD: the network predicts concrete scores, the ratios s_y = p_t(y) / p_t(z) for changing one token.

Lou et al., arXiv:2310.16834v3.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from methods.discrete.uniform import UniformNoise
from methods.masked.absorbing import Absorbing
from methods.method import Latent, LogProbs, Nats, Neighbour, Scores, Times, Tokens, pick, substitute
from methods.schedules import Geometric, Linear, Schedule

GUESSED = 300  # times the noise on a token at t_min: from there on, the last guess is right up to 1e-5
EPS = 1e-3  # signal left by SEDD's log-linear noise; bounds the sigma that conditions the network


def total_noise(schedule: Schedule, t: Times) -> Tensor:
    """sigma = -log alpha for the schedule shortened to end at alpha = EPS, which is finite at t = 1."""
    return -torch.log(EPS + (1 - EPS) * schedule.alpha(t))


class SeddAbsorb(Absorbing):
    """SEDD-absorb: score entropy with masks, conditioned on sigma; mu = s (1 - alpha) / alpha need not sum to 1.

    `read` returns log mu = scores - log V. The public code has log s = scores - log(exp(sigma) - 1) - log V, which
    includes the factor of time. With normalised mu, this is MD4.
    """

    paper = "Lou et al. 2024, arXiv:2310.16834v3"
    neighbours = (Neighbour("md4"),)
    normalises = False

    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__(vocab_size, schedule, time=True, steps=None, carry_over=True, zero_masking=True)

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """log mu if z is masked; elsewhere, a point mass on z."""
        return substitute(scores - math.log(self.vocab_size), z, self.mask)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """w (-log mu_x + S - 1), S = sum of mu, w = -alpha' / (1 - alpha), at masks (SEDD section 3.3)."""
        total = prediction.exp().sum(-1, dtype=torch.float64)
        return (z == self.mask) * self.schedule.weight(t) * (total - 1 - pick(prediction, x))

    def addends(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> dict[str, Nats]:
        """`normalisation`: w (S - 1 - log S) >= 0, the cost of S != 1; the rest is MD4's bound of mu / S.

        The bound of section 3.3 has -log mu_x + S - 1 = -log(mu_x / S) + (S - 1 - log S).
        """
        log_total = prediction.double().logsumexp(-1)
        return {"normalisation": (z == self.mask) * self.schedule.weight(t) * (log_total.expm1() - log_total)}

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """Tweedie (section 4.2): (alpha_s - alpha_t) / (1 - alpha_t) mu_v for token v, the remainder to stay masked.

        A negative remainder is clamped to 0; the row then sums to more than 1.
        """
        alpha_t, alpha_s = self.schedule.alpha(t)[..., None], self.schedule.signal(s)[..., None]
        reveal = (alpha_s - alpha_t) / (1 - alpha_t) * prediction.double().exp()
        moved = torch.cat([reveal, (1 - reveal.sum(-1, keepdim=True)).clamp(min=0)], -1).log()
        return substitute(moved, z, self.mask)

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """mu, normalised."""
        return prediction.log_softmax(-1)

    def perfect(self, posterior: LogProbs, leave_one_out: LogProbs, z: Latent, t: Times) -> Scores:
        """Scores for which mu = p(x_i | z)."""
        return posterior + math.log(self.vocab_size)

    def clock(self, t: Times) -> Tensor:
        """sigma(t), at most -log EPS."""
        return total_noise(self.schedule, super().clock(t))


class SeddUniform(UniformNoise):
    """SEDD-uniform: score entropy with uniform noise, conditioned on sigma; the scores are log s, 0 at z itself."""

    paper = "Lou et al. 2024, arXiv:2310.16834v3"
    target: Literal["posterior", "leave-one-out"] = "leave-one-out"
    neighbours = (Neighbour("udlm", theirs={"schedule": "geometric"}),)
    normalises = False
    warp = 2.0

    def __init__(self, vocab_size: int, schedule: Schedule = Geometric()):
        super().__init__(vocab_size, schedule)
        if schedule.alpha(torch.ones((), dtype=torch.float64)) <= 0:
            hint = "give one that leaves some, such as {name: linear, eps: 0.001}"
            raise ValueError(f"{schedule} leaves no signal at t = 1, where the score entropy has no bound; {hint}")

        # the last guess takes the law of z at t_min for that of x, which is right for tokens that noise rarely draws
        noise = (1 - float(schedule.alpha(torch.tensor(self.t_min, dtype=torch.float64)))) / vocab_size
        self.rarest_guess = GUESSED * noise

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """log s, with log s_z = 0."""
        return scores.scatter(-1, z[..., None], 0.0)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """-alpha' / (alpha V) sum over y of s_y - r_y - r_y log(s_y / r_y), r_y = q(y | x) / q(z | x) (section 3.3).

        r takes two values: `ratio_x` at x, and `ratio` at the V - 1 other tokens.
        """
        alpha, noise, _ = self.mix(t)
        q_z = alpha * (z == x) + noise
        ratio_x, ratio = (alpha + noise) / q_z, noise / q_z
        sum_s, sum_log_s = prediction.exp().sum(-1, dtype=torch.float64), prediction.sum(-1, dtype=torch.float64)
        log_s_x = pick(prediction, x)

        term_x = ratio_x * (log_s_x - ratio_x.log() + 1)
        term_others = ratio * (sum_log_s - log_s_x - (self.vocab_size - 1) * (ratio.log() - 1))
        return self._speed(t) * (sum_s - term_x - term_others)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """Tweedie (section 4.2): the scores carried back to time s, times q(z_t | z_s).

        Negative scores are clamped to 0; the row then sums to more than 1.
        """
        keep = (self.schedule.signal(t) / self.schedule.signal(s))[..., None]
        score_t = prediction.double().exp()
        score_s = (score_t - (1 - keep) * score_t.mean(-1, keepdim=True)) / keep
        return (score_s.clamp(min=0) * self.landing(z, t, s)).log()

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        """-alpha' / (alpha V) s_y to every other token y."""
        return (self._speed(t)[..., None] * prediction.double().exp()).scatter(-1, z[..., None], 0.0)

    def perfect(self, posterior: LogProbs, leave_one_out: LogProbs, z: Latent, t: Times) -> Scores:
        """log p_t(y) - log p_t(z) for every token y."""
        log_p = self.marginal(leave_one_out, t).log()
        return log_p - pick(log_p, z)[..., None]

    def clock(self, t: Times) -> Tensor:
        """sigma(t), at most -log EPS."""
        return total_noise(self.schedule, super().clock(t))

    def _speed(self, t: Times) -> Tensor:
        """The rate at which noise turns a token into one particular other token."""
        return -self.schedule.slope(t) / (self.schedule.alpha(t) * self.vocab_size)
