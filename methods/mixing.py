"""Diffusion towards a mixture of noise, q(z | x) = alpha_t [z = x] + (1 - alpha_t) noise_t(z).

This is what D3PM, UDLM and GIDD share. The prediction is the leave-one-out law p(x_i | z without z_i); the reverse
process puts it in the place of x (D3PM, arXiv:2107.03006v3, section 3.3; UDLM, arXiv:2412.10193v1; GIDD,
arXiv:2503.04482).
"""

from abc import abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.method import Latent, LogProbs, Method, Nats, Noise, Times, Tokens, draw, pick


class Mixing(Method):
    """Any mixture; a final class says how much of each id there is at time t."""

    target: Literal["posterior", "leave-one-out"] = "leave-one-out"
    vocab_size: int  # V
    states: int  # ids that z may hold, at least V

    @abstractmethod
    def mix(self, t: Times) -> tuple[Tensor, Tensor]:
        """alpha(t) [*P], and the mass of noise (1 - alpha(t)) * noise_t on every state [*P, states]."""

    def marginal(self, log_p: LogProbs, t: Times) -> Tensor:
        """q(z_t) when x is known through log_p alone [*P, states], float64."""
        alpha, noise = self.mix(t)
        p = log_p.double().exp()
        return alpha[..., None] * F.pad(p, (0, self.states - p.shape[-1])) + noise

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        alpha, noise = self.mix(t)
        kept = rng.uniform(x.shape) < alpha[:, None]
        return torch.where(kept, x, draw(noise.log()[:, None].expand(*x.shape, -1), rng))

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        alpha, noise = self.mix(t)
        same = F.one_hot(z, self.states)[..., : self.vocab_size]
        return (alpha[..., None] * same + noise.gather(-1, z[..., None])).log()

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """p(z_s | z_t) = q(z_t | z_s) p(z_s) / p(z_t), the prediction in the place of x (GIDD eq. 6; D3PM eq. 3)."""
        return (self._landing(z, t, s) * self.marginal(prediction, s)).log().log_softmax(-1)

    def _landing(self, z: Latent, t: Times, s: Times) -> Tensor:
        """q(z_t | z_s) for every state z_s [*P, states]: stay as it is, or be drawn as noise between s and t."""
        (alpha_t, noise_t), (alpha_s, noise_s) = self.mix(t), self.mix(s)
        share = (alpha_t / alpha_s)[..., None]
        jump = (noise_t - share * noise_s).gather(-1, z[..., None]).clamp(min=0)  # the clamp takes away roundings
        return share * F.one_hot(z, self.states) + jump

    def step_cost(self, x: Tokens, z: Latent, t: Times, s: Times, prediction: LogProbs) -> Nats:
        """KL(q(z_s | z_t, x) || p(z_s | z_t)), nats; at s = 0 minus log p(x | z_t) (D3PM eq. 1)."""
        landing = self._landing(z, t, s)
        q, p = self.marginal(F.one_hot(x, self.vocab_size).double().log(), s), self.marginal(prediction, s)
        law, guess = landing * q, landing * p
        there = law > 0  # elsewhere 0 log 0 = 0, and no gradient
        ratio = torch.where(there, q, 1.0).log() - torch.where(there, p, 1.0).log()
        q_t, p_t = law.sum(-1), guess.sum(-1)
        return (law * ratio).sum(-1) / q_t + p_t.log() - q_t.log()

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """log p(x | z): the prediction times the evidence q(z | x), normalised over the V tokens."""
        return (prediction[..., : self.vocab_size].double() + self.log_noise(z, t)).log_softmax(-1)


class ContinuousMixing(Mixing):
    """The limit of ever smaller steps, in which noise arrives at a rate."""

    @abstractmethod
    def rate(self, z: Latent, t: Times) -> Tensor:
        """How fast noise turns a token into z: m' - alpha' / alpha m, m the mass of noise on z at time t [*P]."""

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """rate(z) / q(z) * (KL(q || p) + IS(q(z), p(z))) (GIDD theorem 1)."""
        return self.weight(x, z, t) * self.mismatch(x, z, t, prediction)

    def weight(self, x: Tokens, z: Latent, t: Times) -> Tensor:
        """rate(z) / q(z | x) [*P]; zero at a z that cannot be."""
        alpha, noise = self.mix(t)
        q_z = alpha * (z == x) + pick(noise, z)
        return torch.where(q_z > 0, self.rate(z, t) / torch.where(q_z > 0, q_z, 1.0), 0.0)

    def mismatch(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """KL(q || p) + IS(q(z), p(z)), IS(a, b) = a / b - log(a / b) - 1, of the laws of z given x and the prediction.

        Written through d = p / q - 1, which is exact where p and q are close: KL(q || p) = sum q (d - log(1 + d)), and
        IS the same function of q(z) / p(z) - 1.
        """
        alpha, noise = self.mix(t)
        known = F.pad(F.one_hot(x, self.vocab_size).double(), (0, self.states - self.vocab_size))
        guess = F.pad(prediction.double().exp(), (0, self.states - prediction.shape[-1]))
        q = alpha[..., None] * known + noise
        gain = alpha[..., None] * (guess - known)
        there = q > 0
        d = torch.where(there, gain, 0.0) / torch.where(there, q, 1.0)
        divergence = torch.where(there, q * excess(d), gain).sum(-1)
        d_z = pick(d, z)
        return divergence + excess(-d_z / (1 + d_z))


def excess(d: Tensor) -> Tensor:
    """d - log(1 + d) >= 0, without the cancellation near zero."""
    small = d.abs() < 1e-3
    near = torch.where(small, d, 0.0)
    series = near**2 * (1 / 2 - near * (1 / 3 - near * (1 / 4 - near * (1 / 5 - near / 6))))
    far = torch.where(small, 0.0, d)
    return torch.where(small, series, far - torch.log1p(far))
