"""Diffusion towards a mixture of masks and uniform noise, q(z | x) = alpha_t [z = x] + noise_t(z).

This is what D3PM, UDLM and GIDD share. The prediction is the leave-one-out law p(x_i | z without z_i); the reverse
process puts it in the place of x (D3PM, arXiv:2107.03006v3, section 3.3; UDLM, arXiv:2412.10193v1; GIDD,
arXiv:2503.04482).
"""

from abc import abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.method import Latent, LogProbs, Method, Nats, Noise, Times, Tokens, pick


class Mixing(Method):
    """Masks and uniform noise in any mixture; a final class says how much of each there is at time t."""

    target: Literal["posterior", "leave-one-out"] = "leave-one-out"
    states: int  # ids that z may hold: V, or V + 1 with a mask

    @abstractmethod
    def mix(self, t: Times) -> tuple[Tensor, Tensor, Tensor]:
        """alpha(t), the mass of noise on each of the V tokens, and that on the mask, each [*P]."""

    def marginal(self, log_p: LogProbs, t: Times) -> Tensor:
        """q(z_t) when x is known through log_p alone [*P, states], float64."""
        alpha, each, masked = self.mix(t)
        p = alpha[..., None] * log_p.double().exp()
        tokens = p[..., : self.vocab_size] + each[..., None]
        if self.states == self.vocab_size:
            return tokens
        left = p[..., self.vocab_size :].sum(-1)  # what the network leaves on the mask
        return torch.cat([tokens, (masked + left)[..., None]], -1)

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        alpha, _, masked = (mass[:, None] for mass in self.mix(t))
        u, token = rng.uniform(x.shape), self._any_token(x, rng)
        return torch.where(u < alpha, x, torch.where(u < alpha + masked, self.vocab_size, token))

    def _any_token(self, like: Tokens, rng: Noise) -> Tokens:
        """A uniform token at each position."""
        return (rng.uniform(like.shape) * self.vocab_size).long().clamp(max=self.vocab_size - 1)

    def noise_at(self, z: Latent, t: Times) -> Tensor:
        """The mass of noise on z itself [*P]."""
        _, each, masked = self.mix(t)
        return torch.where(z < self.vocab_size, each, masked)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        same = F.one_hot(z, self.states)[..., : self.vocab_size]
        return (self.mix(t)[0][..., None] * same + self.noise_at(z, t)[..., None]).log()

    def share(self, t: Times, s: Times) -> Tensor:
        """alpha(t) / alpha(s): what stays as it is between s and t."""
        return self.mix(t)[0] / self.mix(s)[0]

    def jump(self, z: Latent, t: Times, s: Times) -> Tensor:
        """How likely noise between s and t turns any state into z [*P]; the clamp takes away roundings."""
        return (self.noise_at(z, t) - self.share(t, s) * self.noise_at(z, s)).clamp(min=0)

    def landing(self, z: Latent, t: Times, s: Times) -> Tensor:
        """q(z_t | z_s) for every state z_s [*P, states]."""
        return self.share(t, s)[..., None] * F.one_hot(z, self.states) + self.jump(z, t, s)[..., None]

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """p(z_s | z_t) = q(z_t | z_s) p(z_s) / p(z_t), the prediction in the place of x (GIDD eq. 6; D3PM eq. 3)."""
        return (self.landing(z, t, s) * self.marginal(prediction, s)).log().log_softmax(-1)

    def at(self, z: Latent, x: Tokens, t: Times, prediction: LogProbs) -> tuple[Tensor, Tensor]:
        """q(z | x), and the same with the prediction in the place of x, at one state z a position [*P], float64."""
        alpha, noise = self.mix(t)[0], self.noise_at(z, t)
        width = prediction.shape[-1]
        guess = torch.where(z < width, pick(prediction, z.clamp(max=width - 1)).double().exp(), 0.0)
        return alpha * (z == x) + noise, alpha * guess + noise

    def divergence(self, x: Tokens, t: Times, prediction: LogProbs) -> Nats:
        """KL of the law of z given x from that given the prediction, float64.

        With u the noise on each token it is, but for x and the mask, -u sum over v of log(1 + alpha p_v / u).
        """
        alpha, each, masked = self.mix(t)
        there = each > 0
        u = torch.where(there, each, 1.0)
        ratio = alpha / u
        log_p = prediction[..., : self.vocab_size]
        spread = torch.log1p(ratio[..., None] * log_p.double().exp()).sum(-1)
        known, guess = self.at(x, x, t, prediction)
        others = torch.where(there, -each * (spread - torch.log1p(ratio * pick(log_p, x).double().exp())), 0.0)
        left = prediction[..., self.vocab_size :].double().exp().sum(-1)
        return (xlogratio(known, guess) + others + xlogratio(masked, masked + alpha * left)).clamp(min=0)

    def step_cost(self, x: Tokens, z: Latent, t: Times, s: Times, prediction: LogProbs) -> Nats:
        """KL(q(z_s | z_t, x) || p(z_s | z_t)), nats; at s = 0 minus log p(x | z_t) (D3PM eq. 1).

        Any state jumps to z_t alike, so that the sum over z_s is the divergence at s, and z_s = z_t on top of it.
        """
        (q_t, p_t), (q_s, p_s) = self.at(z, x, t, prediction), self.at(z, x, s, prediction)
        jumped = self.jump(z, t, s) * self.divergence(x, s, prediction)
        stayed = self.share(t, s) * xlogratio(q_s, p_s)
        return (jumped + stayed) / q_t + p_t.log() - q_t.log()

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

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        """rate(z) p(y) / p(z) to every other state y (GIDD section 3.2)."""
        p = self.marginal(prediction, t)
        return (self.rate(z, t) / pick(p, z))[..., None] * p.scatter(-1, z[..., None], 0.0)

    def weight(self, x: Tokens, z: Latent, t: Times) -> Tensor:
        """rate(z) / q(z | x) [*P]; zero at a z that cannot be."""
        q_z = self.mix(t)[0] * (z == x) + self.noise_at(z, t)
        return torch.where(q_z > 0, self.rate(z, t) / torch.where(q_z > 0, q_z, 1.0), 0.0)

    def mismatch(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """KL(q || p) + IS(q(z), p(z)), IS(a, b) = a / b - log(a / b) - 1, q the law given x, p given the prediction."""
        q_z, p_z = self.at(z, x, t, prediction)
        there = q_z > 0
        ratio = torch.where(there, q_z, 1.0) / torch.where(there, p_z, 1.0)
        return self.divergence(x, t, prediction) + excess(ratio - 1)


def xlogratio(q: Tensor, p: Tensor) -> Tensor:
    """q log(q / p), 0 where q is 0, with no gradient there."""
    there = q > 0
    return q * (torch.where(there, q, 1.0).log() - torch.where(there, p, 1.0).log())


def excess(d: Tensor) -> Tensor:
    """d - log(1 + d) >= 0, without the cancellation near zero."""
    small = d.abs() < 1e-3
    near = torch.where(small, d, 0.0)
    series = near**2 * (1 / 2 - near * (1 / 3 - near * (1 / 4 - near * (1 / 5 - near / 6))))
    far = torch.where(small, 0.0, d)
    return torch.where(small, series, far - torch.log1p(far))
