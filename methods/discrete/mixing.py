"""Diffusion into a mixture of masks and uniform noise, q(z | x) = alpha_t [z = x] + noise_t(z).

The common part of D3PM, UDLM and GIDD. The network predicts the leave-one-out law p(x_i | z without z_i), which the
reverse process puts in the place of x (D3PM, arXiv:2107.03006v3, section 3.3; UDLM, arXiv:2412.10193v1; GIDD,
arXiv:2503.04482).
"""

from abc import abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.method import Latent, LogProbs, Method, Nats, Noise, Times, Tokens, draw_uniform, pick


class Mixing(Method):
    """Any mixture of masks and uniform noise; a final class defines the proportions at time t in `mix`."""

    target: Literal["posterior", "leave-one-out"] = "leave-one-out"
    states: int  # number of ids that z can hold: V, or V + 1 with a mask

    @abstractmethod
    def mix(self, t: Times) -> tuple[Tensor, Tensor, Tensor]:
        """alpha(t), the noise mass on each of the V tokens, and the mass on the mask, each [*P]."""

    def marginal(self, log_p: LogProbs, t: Times) -> Tensor:
        """The law of z_t if x is distributed by log_p [*P, states], float64."""
        alpha, uniform, masked = self.mix(t)
        p = alpha[..., None] * log_p.double().exp()
        tokens = p[..., : self.vocab_size] + uniform[..., None]
        if self.states == self.vocab_size:
            return tokens
        mask_mass = p[..., self.vocab_size :].sum(-1)  # what the network leaves on the mask
        return torch.cat([tokens, (masked + mask_mass)[..., None]], -1)

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """Keep each token with probability alpha; otherwise draw a mask or a uniform token."""
        alpha, _, masked = (mass[:, None] for mass in self.mix(t))
        u, token = rng.uniform(x.shape), draw_uniform(x, self.vocab_size, rng)
        return torch.where(u < alpha, x, torch.where(u < alpha + masked, self.vocab_size, token))

    def noise_at(self, z: Latent, t: Times) -> Tensor:
        """The noise mass on z itself [*P]."""
        _, uniform, masked = self.mix(t)
        return torch.where(z < self.vocab_size, uniform, masked)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """log (alpha [z = v] + noise on z)."""
        same = F.one_hot(z, self.states)[..., : self.vocab_size]
        return (self.mix(t)[0][..., None] * same + self.noise_at(z, t)[..., None]).log()

    def share(self, t: Times, s: Times) -> Tensor:
        """alpha(t) / alpha(s), the probability that a token is left alone between s and t."""
        return self.mix(t)[0] / self.mix(s)[0]

    def jump(self, z: Latent, t: Times, s: Times) -> Tensor:
        """The probability that noise between s and t turns any state into z [*P]; the clamp removes rounding errors."""
        return (self.noise_at(z, t) - self.share(t, s) * self.noise_at(z, s)).clamp(min=0)

    def landing(self, z: Latent, t: Times, s: Times) -> Tensor:
        """q(z_t | z_s) for every state z_s [*P, states]."""
        return self.share(t, s)[..., None] * F.one_hot(z, self.states) + self.jump(z, t, s)[..., None]

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """p(z_s | z_t) = q(z_t | z_s) p(z_s) / p(z_t), the prediction in the place of x (GIDD eq. 6; D3PM eq. 3)."""
        return (self.landing(z, t, s) * self.marginal(prediction, s)).log().log_softmax(-1)

    def at(self, z: Latent, x: Tokens, t: Times, prediction: LogProbs) -> tuple[Tensor, Tensor]:
        """q(z | x), and the same with the prediction in the place of x, at one state z per position [*P], float64."""
        alpha, noise = self.mix(t)[0], self.noise_at(z, t)
        width = prediction.shape[-1]
        guess = torch.where(z < width, pick(prediction, z.clamp(max=width - 1)).double().exp(), 0.0)
        return alpha * (z == x) + noise, alpha * guess + noise

    def divergence(self, x: Tokens, t: Times, prediction: LogProbs) -> Nats:
        """KL(q(z_t | x) || p(z_t)), the prediction in the place of x, float64.

        With u the noise mass per token, tokens other than x contribute -u sum over v of log(1 + alpha p_v / u).
        """
        alpha, uniform, masked = self.mix(t)
        is_noisy = uniform > 0
        ratio = alpha / torch.where(is_noisy, uniform, 1.0)
        log_p = prediction[..., : self.vocab_size]
        log_ratios = torch.log1p(ratio[..., None] * log_p.double().exp()).sum(-1)
        log_ratio_x = torch.log1p(ratio * pick(log_p, x).double().exp())

        term_x = xlogratio(*self.at(x, x, t, prediction))
        term_others = torch.where(is_noisy, -uniform * (log_ratios - log_ratio_x), 0.0)
        mask_mass = prediction[..., self.vocab_size :].double().exp().sum(-1)
        term_mask = xlogratio(masked, masked + alpha * mask_mass)
        return (term_x + term_others + term_mask).clamp(min=0)

    def step_cost(self, x: Tokens, z: Latent, t: Times, s: Times, prediction: LogProbs) -> Nats:
        """KL(q(z_s | z_t, x) || p(z_s | z_t)) in nats; at s = 0, -log p(x | z_t) (D3PM eq. 1).

        Every state jumps to z_t with the same probability. So the sum over z_s is the divergence at s, plus a term for
        z_s = z_t.
        """
        (q_t, p_t), (q_s, p_s) = self.at(z, x, t, prediction), self.at(z, x, s, prediction)
        jump_cost = self.jump(z, t, s) * self.divergence(x, s, prediction)
        stay_cost = self.share(t, s) * xlogratio(q_s, p_s)
        return (jump_cost + stay_cost) / q_t + p_t.log() - q_t.log()

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """log p(x | z): the prediction times the likelihood q(z | x), normalised over the V tokens."""
        return (prediction[..., : self.vocab_size].double() + self.log_noise(z, t)).log_softmax(-1)


class ContinuousMixing(Mixing):
    """The continuous-time limit, in which noise arrives at a rate."""

    @abstractmethod
    def rate(self, z: Latent, t: Times) -> Tensor:
        """The forward rate into z: m' - alpha' / alpha m, m the noise mass on z at time t [*P]."""

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """rate(z) / q(z) * (KL(q || p) + IS(q(z), p(z))) (GIDD theorem 1)."""
        return self.weight(x, z, t) * self.mismatch(x, z, t, prediction)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        """rate(z) p(y) / p(z) to every other state y (GIDD section 3.2)."""
        p = self.marginal(prediction, t)
        return (self.rate(z, t) / pick(p, z))[..., None] * p.scatter(-1, z[..., None], 0.0)

    def weight(self, x: Tokens, z: Latent, t: Times) -> Tensor:
        """rate(z) / q(z | x) [*P]; 0 if q(z | x) is 0."""
        q_z = self.mix(t)[0] * (z == x) + self.noise_at(z, t)
        return torch.where(q_z > 0, self.rate(z, t) / torch.where(q_z > 0, q_z, 1.0), 0.0)

    def mismatch(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """KL(q || p) + IS(q(z), p(z)), with the Itakura-Saito divergence IS(a, b) = a / b - log(a / b) - 1.

        q is the law of z given x, p that given the prediction.
        """
        q_z, p_z = self.at(z, x, t, prediction)
        possible = q_z > 0
        ratio = torch.where(possible, q_z, 1.0) / torch.where(possible, p_z, 1.0)
        return self.divergence(x, t, prediction) + excess(ratio - 1)


def xlogratio(q: Tensor, p: Tensor) -> Tensor:
    """q log(q / p); 0, without gradient, where q is 0."""
    positive = q > 0
    return q * (torch.where(positive, q, 1.0).log() - torch.where(positive, p, 1.0).log())


def excess(d: Tensor) -> Tensor:
    """d - log(1 + d) >= 0, by its series near 0 to avoid cancellation."""
    small = d.abs() < 1e-3
    near = torch.where(small, d, 0.0)
    series = near**2 * (1 / 2 - near * (1 / 3 - near * (1 / 4 - near * (1 / 5 - near / 6))))
    far = torch.where(small, 0.0, d)
    return torch.where(small, series, far - torch.log1p(far))
