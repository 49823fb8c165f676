"""Plaid: Gaussian diffusion of learned token embeddings. Gulrajani and Hashimoto, arXiv:2305.18619v1."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from methods.method import Latent, LogProbs, Method, Nats, Needs, Noise, Scores, Times, Tokens

WIDTH = 16  # embedding dimension
HIDDEN = 1024  # hidden units of the learned schedule
WARM_UP = 0.05  # fraction of training over which the output prior is phased in (5,000 of 92,000 steps)


class Schedule(nn.Module):
    """gamma(t): a learned monotone curve between two learned end points (VDM, Kingma et al., arXiv:2107.00630)."""

    def __init__(self, start: float, end: float):
        super().__init__()
        self.ends = nn.Parameter(torch.tensor([start, end]))
        self.inner = nn.Parameter(torch.randn(HIDDEN, 1))
        self.bias = nn.Parameter(torch.randn(HIDDEN))
        self.outer = nn.Parameter(torch.randn(1, HIDDEN))

    def shape(self) -> list[nn.Parameter]:
        """The parameters of the curve, without its end points."""
        return [self.inner, self.bias, self.outer]

    def forward(self, t: Times) -> tuple[Tensor, Tensor]:
        """gamma and d gamma / dt at times t, float64; each distinct time is evaluated once."""
        times, index = t.flatten().unique(return_inverse=True)
        knots = torch.cat([times, times.new_tensor([0.0, 1.0])])
        inner, outer = F.softplus(self.inner.double()), 0.01 * F.softplus(self.outer.double())
        tanh = torch.tanh((knots[:, None] - 0.5) @ inner.T + self.bias.double())
        curve = (tanh @ outer.T)[:, 0]
        slope = ((1 - tanh**2) @ (outer * inner.T).T)[:, 0]

        (start, end), rise = self.ends.double(), curve[-1] - curve[-2]
        gamma = start + (end - start) * (curve[:-2] - curve[-2]) / rise
        gamma_slope = (end - start) * slope[:-2] / rise
        return gamma[index].view_as(t), gamma_slope[index].view_as(t)


@dataclass(frozen=True)
class Line:
    """gamma(t): linear between two fixed end points."""

    start: float
    end: float

    def __call__(self, t: Times) -> tuple[Tensor, Tensor]:
        """gamma and d gamma / dt at times t."""
        rise = self.end - self.start
        return self.start + rise * t, torch.full_like(t, rise)


class Plaid(Method):
    """Plaid: Gaussian diffusion of learned token embeddings.

    z = alpha e_x + sigma noise, alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma), with unit embeddings e.

    The scores are the network's log-prior of each token given the other positions, to which `read` adds the likelihood
    of z itself (output prior). The predicted embedding is the mean under the result (categorical reparameterisation).

    gamma = log(sigma^2 / alpha^2) initially runs from `gamma_start` to `gamma_end`; training learns both end points and
    the curve between them. Without `learned_schedule`, it stays linear between the initial end points.

    With `self_conditioning`, the network is fed its previous prediction. Without `reparameterise`, the network predicts
    the embedding vector directly, with one extra score per coordinate; the token law then serves the last guess alone.
    """

    paper = "Gulrajani and Hashimoto 2023, arXiv:2305.18619v1"
    needs = Needs(time=True, trains_ends=True, vector_width=WIDTH, self_condition=True)
    target: Literal["posterior", "leave-one-out"] = "leave-one-out"
    t_min = 0.0
    score_temperature = 1.0
    widening = ({"gamma_start": -1.0, "gamma_end": 2.0}, {"gamma_start": -2.0, "gamma_end": 4.0}, {})

    def __init__(
        self,
        vocab_size: int,
        gamma_start: float = -3.0,
        gamma_end: float = 6.0,
        self_conditioning: bool = True,
        learned_schedule: bool = True,
        reparameterise: bool = True,
    ):
        super().__init__()
        if gamma_start >= gamma_end:
            raise ValueError(f"gamma_start {gamma_start} is not below gamma_end {gamma_end}")
        self.vocab_size, self.reparameterise = vocab_size, reparameterise
        self.needs = replace(self.needs, self_condition=self_conditioning, extra_scores=0 if reparameterise else WIDTH)
        self.table = nn.Parameter(torch.randn(vocab_size, WIDTH))
        self.schedule = (Schedule if learned_schedule else Line)(gamma_start, gamma_end)

    @property
    def guesses_last(self) -> bool:
        """True, although t_min is 0: the vectors are still noisy there."""
        return True

    def embeddings(self) -> Float[Tensor, "V D"]:
        """e, the rows of the table scaled to unit length."""
        return self.table / (self.table.norm(dim=-1, keepdim=True) + 1e-8)

    def levels(self, t: Times) -> tuple[Tensor, Tensor]:
        """alpha(t) and sigma(t) [*P, 1], to broadcast over vectors."""
        gamma = self.schedule(t)[0][..., None]
        return gamma.neg().sigmoid().sqrt(), gamma.sigmoid().sqrt()

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """alpha e_x + sigma noise."""
        alpha, sigma = (level[:, None] for level in self.levels(t))
        return alpha * self.embeddings()[x] + sigma * rng.normal((*x.shape, self.table.shape[1]))

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """Standard normal vectors."""
        return rng.normal((*like.shape, self.table.shape[1]))

    def prior_gap(self, x: Tokens) -> Nats:
        """KL(N(alpha e_x, sigma^2) || N(0, 1)) at t = 1, equal for all tokens since e_x has unit length."""
        alpha, sigma = self.levels(torch.ones((), dtype=torch.float64, device=x.device))
        gap = alpha**2 + self.table.shape[1] * (sigma**2 - 1 - 2 * sigma.log())
        return (gap / 2).expand(x.shape)

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """log p(v | z): the scores plus the likelihood of z, which is phased in during warm-up.

        Without reparameterisation, the coordinates of the predicted embedding follow unchanged.
        """
        prior_weight = min(1.0, self.progress / WARM_UP)
        tokens, vector = scores[..., : self.vocab_size], scores[..., self.vocab_size :]
        log_p = (tokens + prior_weight * self.log_noise(z, t).to(scores)).log_softmax(-1)
        return log_p if self.reparameterise else torch.cat([log_p, vector], -1)

    def guess(self, prediction: LogProbs) -> Float[Tensor, "*P D"]:
        """The predicted embedding: the mean under the prediction, or the vector that it contains."""
        if not self.reparameterise:
            return prediction[..., self.vocab_size :]
        embeddings = self.embeddings()
        return prediction.exp() @ embeddings.to(prediction)

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """The token log-probabilities, without the vector."""
        return prediction[..., : self.vocab_size]

    def likeliest(self, prediction: LogProbs) -> Tokens:
        """The most likely token; without reparameterisation, that of the nearest embedding.

        In that case the token law is trained at t = 0 alone.
        """
        if self.reparameterise:
            return super().likeliest(prediction)
        return (self.guess(prediction) @ self.embeddings().to(prediction).T).argmax(-1)

    def perfect(self, posterior: LogProbs, leave_one_out: LogProbs, z: Latent, t: Times) -> Scores:
        """log p(x_i | z without z_i); without reparameterisation, also the mean embedding under p(x_i | z)."""
        if self.reparameterise:
            return super().perfect(posterior, leave_one_out, z, t)
        return torch.cat([leave_one_out, posterior.exp() @ self.embeddings().to(posterior)], -1)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """gamma' exp(-gamma) / 2 |e_x - guess|^2 (section 2; VDM eq. 17)."""
        gamma, slope = self.schedule(t)
        error = (self.embeddings()[x] - self.guess(prediction)).double().square().sum(-1)
        return slope * torch.exp(-gamma) / 2 * error

    def reverse(self, z: Latent, t: Times, s: Times, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of z_s given z_t and a predicted embedding (VDM eq. 32 and 33)."""
        (alpha_t, _), (alpha_s, sigma_s) = self.levels(t), self.levels(s)
        c = -torch.expm1(self.schedule(s)[0] - self.schedule(t)[0])[..., None]
        return alpha_s * (z * (1 - c) / alpha_t + c * guess), sigma_s * c.sqrt()

    def sharpened(self, z: Latent, t: Times, prediction: LogProbs) -> Float[Tensor, "*P D"]:
        """The predicted embedding with its implied noise divided by the score temperature, as in the public code."""
        guess = self.guess(prediction)
        if self.score_temperature == 1:
            return guess
        alpha = self.levels(t)[0]
        return (z - (z - alpha * guess) / self.score_temperature) / alpha

    def step(self, z: Latent, t: Times, s: Times, prediction: LogProbs, rng: Noise) -> Latent:
        """Draw from the Gaussian reverse step."""
        mean, std = self.reverse(z, t, s, self.sharpened(z, t, prediction))
        return mean + std * rng.normal(z.shape)

    def flow(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> Latent:
        """DDIM (arXiv:2010.02502): keep the predicted embedding and the implied noise, rescaled to time s."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.levels(t), self.levels(s)
        guess = self.sharpened(z, t, prediction)
        return alpha_s * guess + sigma_s * (z - alpha_t * guess) / sigma_t

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """alpha / sigma^2 <e_v, z>: log N(z; alpha e_v, sigma^2) up to terms that do not depend on v."""
        (alpha, sigma), embeddings = self.levels(t), self.embeddings()
        return (alpha / sigma**2 * z).to(embeddings) @ embeddings.T

    def clock(self, t: Times) -> Tensor:
        """gamma / 10, whose range of about 1 suits the network's time embedding."""
        return self.schedule(t)[0] / 10

    def feed(self, z: Latent, t: Times) -> Tensor:
        """z scaled to unit variance; a random token's embedding has variance 1 / D."""
        alpha, sigma = (level[:, None] for level in self.levels(t))
        return z / (alpha**2 / z.shape[-1] + sigma**2).sqrt()

    def feedback(self, prediction: LogProbs) -> Tensor:
        """The predicted embedding, scaled to unit variance."""
        return self.guess(prediction) * self.table.shape[1] ** 0.5

    def couple(self, objective: Nats, x: Tokens, z: Latent, t: Times) -> Nats:
        """Give the curve of the schedule the gradient of the mean squared cost of a row, which reduces its variance.

        The expected diffusion loss depends on the end points alone, so the curve is trained to spread the cost evenly
        over time (VDM appendix I). The value of the objective does not change.
        """
        if isinstance(self.schedule, Line) or not t.any():  # at t = 0 the curve is fixed
            return objective

        curve, cost = self.schedule.shape(), objective.mean(-1)
        surrogate = ((2 * cost.detach() - 1) * cost).mean()
        gradients = torch.autograd.grad(surrogate, curve, retain_graph=True)
        pairs = zip(curve, gradients, strict=True)
        return objective + torch.stack([((p - p.detach()) * g).sum() for p, g in pairs]).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """As in the public code: a high learning rate, and weight decay for the end points alone."""
        shape, ends = ([], []) if isinstance(self.schedule, Line) else (self.schedule.shape(), [self.schedule.ends])
        return [
            {"params": [self.table, *shape], "learning_rate": 1e-2, "weight_decay": 0.0},
            {"params": ends, "learning_rate": 1e-2, "weight_decay": 0.1},
        ]

    def learned(self) -> dict[str, Tensor]:
        """The two end points; nothing if they are fixed."""
        if isinstance(self.schedule, Line):
            return {}
        start, end = self.schedule.ends.detach().double()
        return {"gamma_start": start, "gamma_end": end}
