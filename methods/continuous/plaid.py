"""Plaid: Gaussian diffusion of learned embeddings of the tokens. Gulrajani and Hashimoto, arXiv:2305.18619v1."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from methods.method import Latent, LogProbs, Method, Nats, Needs, Noise, Scores, Times, Tokens

WIDTH = 16  # of an embedding
HIDDEN = 1024  # units of the schedule
WARM_UP = 0.05  # the share of training after which the likelihood of z counts in full (5,000 of 92,000 steps)


class Schedule(nn.Module):
    """gamma(t): two learned end points, and between them a learned monotone curve (Kingma et al., arXiv:2107.00630)."""

    def __init__(self, start: float, end: float):
        super().__init__()
        self.ends = nn.Parameter(torch.tensor([start, end]))
        self.inner = nn.Parameter(torch.randn(HIDDEN, 1))
        self.bias = nn.Parameter(torch.randn(HIDDEN))
        self.outer = nn.Parameter(torch.randn(1, HIDDEN))

    def shape(self) -> list[nn.Parameter]:
        """The parameters of the curve between its ends."""
        return [self.inner, self.bias, self.outer]

    def forward(self, t: Times) -> tuple[Tensor, Tensor]:
        """gamma and d gamma / dt at times t, float64; every time is computed once, however many positions share it."""
        times, place = t.flatten().unique(return_inverse=True)
        knots = torch.cat([times, times.new_tensor([0.0, 1.0])])
        inner, outer = F.softplus(self.inner.double()), 0.01 * F.softplus(self.outer.double())
        tanh = torch.tanh((knots[:, None] - 0.5) @ inner.T + self.bias.double())
        curve = (tanh @ outer.T)[:, 0]
        slope = ((1 - tanh**2) @ (outer * inner.T).T)[:, 0]
        (first, last), rise = self.ends.double(), curve[-1] - curve[-2]
        gamma = first + (last - first) * (curve[:-2] - curve[-2]) / rise
        return gamma[place].view_as(t), ((last - first) * slope[:-2] / rise)[place].view_as(t)


@dataclass(frozen=True)
class Line:
    """gamma(t): a straight line between two fixed end points."""

    start: float
    end: float

    def __call__(self, t: Times) -> tuple[Tensor, Tensor]:
        """gamma and d gamma / dt at times t."""
        rise = self.end - self.start
        return self.start + rise * t, torch.full_like(t, rise)


class Plaid(Method):
    """Plaid: Gaussian noise on learned embeddings of the tokens.

    z = alpha e_x + sigma noise, alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma), with unit embeddings e.

    The scores are the network's log-prior of each token from its neighbours, to which `read` adds the likelihood of z
    itself (output prior). The guess of an embedding is its mean under this law (categorical reparameterisation).

    gamma = log(sigma^2 / alpha^2) starts at `gamma_start` and ends at `gamma_end` before training, which moves both and
    learns the curve between them; without `learned_schedule` it stays a straight line from one to the other.

    With `self_conditioning` the network is shown its own previous guess. Without `reparameterise` the guess is any
    vector: the network has one more score for each of its coordinates, and the law serves the last guess alone.
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
        """At t = 0 the vectors are still noisy."""
        return True

    def embeddings(self) -> Float[Tensor, "V D"]:
        """e, the rows of the table scaled to length 1."""
        return self.table / (self.table.norm(dim=-1, keepdim=True) + 1e-8)

    def levels(self, t: Times) -> tuple[Tensor, Tensor]:
        """alpha(t) and sigma(t), with one more axis for vectors [*P, 1]."""
        gamma = self.schedule(t)[0][..., None]
        return gamma.neg().sigmoid().sqrt(), gamma.sigmoid().sqrt()

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        alpha, sigma = (level[:, None] for level in self.levels(t))
        return alpha * self.embeddings()[x] + sigma * rng.normal((*x.shape, self.table.shape[1]))

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        return rng.normal((*like.shape, self.table.shape[1]))

    def prior_gap(self, x: Tokens) -> Nats:
        """KL(N(alpha e_x, sigma^2) || N(0, 1)) at t = 1; the same for every token, as e_x has length 1."""
        alpha, sigma = self.levels(torch.ones((), dtype=torch.float64, device=x.device))
        gap = alpha**2 + self.table.shape[1] * (sigma**2 - 1 - 2 * sigma.log())
        return (gap / 2).expand(x.shape)

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """log p(v | z): the scores plus the likelihood of z; while training warms up, a growing share of it.

        Without reparameterisation the coordinates of the guess follow as they are.
        """
        share = min(1.0, self.progress / WARM_UP)
        tokens, vector = scores[..., : self.vocab_size], scores[..., self.vocab_size :]
        law = (tokens + share * self.log_noise(z, t).to(scores)).log_softmax(-1)
        return law if self.reparameterise else torch.cat([law, vector], -1)

    def guess(self, prediction: LogProbs) -> Float[Tensor, "*P D"]:
        """The mean embedding under the prediction, or the vector in it."""
        if not self.reparameterise:
            return prediction[..., self.vocab_size :]
        embeddings = self.embeddings()
        return prediction.exp() @ embeddings.to(prediction)

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        return prediction[..., : self.vocab_size]

    def likeliest(self, prediction: LogProbs) -> Tokens:
        """The token of the nearest embedding where the guess is a vector: its law is learned at t = 0 alone."""
        if self.reparameterise:
            return super().likeliest(prediction)
        return (self.guess(prediction) @ self.embeddings().to(prediction).T).argmax(-1)

    def perfect(self, whole: LogProbs, others: LogProbs, z: Latent, t: Times) -> Scores:
        """log p(x_i | z without z_i), and without reparameterisation the mean embedding under p(x_i | z)."""
        if self.reparameterise:
            return super().perfect(whole, others, z, t)
        return torch.cat([others, whole.exp() @ self.embeddings().to(whole)], -1)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """gamma' exp(-gamma) / 2 |e_x - guess|^2 (section 2; VDM eq. 17)."""
        gamma, slope = self.schedule(t)
        error = (self.embeddings()[x] - self.guess(prediction)).double().square().sum(-1)
        return slope * torch.exp(-gamma) / 2 * error

    def reverse(self, z: Latent, t: Times, s: Times, guess: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of z_s given z_t and a guess of the embedding (VDM eq. 32 and 33)."""
        (alpha_t, _), (alpha_s, sigma_s) = self.levels(t), self.levels(s)
        c = -torch.expm1(self.schedule(s)[0] - self.schedule(t)[0])[..., None]
        return alpha_s * (z * (1 - c) / alpha_t + c * guess), sigma_s * c.sqrt()

    def sharpened(self, z: Latent, t: Times, prediction: LogProbs) -> Float[Tensor, "*P D"]:
        """The guess whose implied noise is that of `guess` divided by the score temperature, as in the public code."""
        guess = self.guess(prediction)
        if self.score_temperature == 1:
            return guess
        alpha = self.levels(t)[0]
        return (z - (z - alpha * guess) / self.score_temperature) / alpha

    def step(self, z: Latent, t: Times, s: Times, prediction: LogProbs, rng: Noise) -> Latent:
        mean, deviation = self.reverse(z, t, s, self.sharpened(z, t, prediction))
        return mean + deviation * rng.normal(z.shape)

    def flow(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> Latent:
        """The guess stays, and so does the noise, scaled down to time s (DDIM, arXiv:2010.02502)."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.levels(t), self.levels(s)
        guess = self.sharpened(z, t, prediction)
        return alpha_s * guess + sigma_s * (z - alpha_t * guess) / sigma_t

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """alpha / sigma^2 <e_v, z>: log N(z; alpha e_v, sigma^2) but for terms that no token changes."""
        (alpha, sigma), embeddings = self.levels(t), self.embeddings()
        return (alpha / sigma**2 * z).to(embeddings) @ embeddings.T

    def clock(self, t: Times) -> Tensor:
        """gamma / 10: a range of about 1, for which the network's features of time are made."""
        return self.schedule(t)[0] / 10

    def feed(self, z: Latent, t: Times) -> Tensor:
        """z with unit variance: a random token's embedding has variance 1 / D."""
        alpha, sigma = (level[:, None] for level in self.levels(t))
        return z / (alpha**2 / z.shape[-1] + sigma**2).sqrt()

    def feedback(self, prediction: LogProbs) -> Tensor:
        """The mean embedding, with unit variance."""
        return self.guess(prediction) * self.table.shape[1] ** 0.5

    def couple(self, objective: Nats, x: Tokens, z: Latent, t: Times) -> Nats:
        """Gives the curve of the schedule the gradient of the mean square of a row's cost; the value stays.

        Its own gradient would be that of the mean, on which the curve has no say but through the network's faults:
        what it can do is to spread the cost evenly over time (VDM appendix I).
        """
        if isinstance(self.schedule, Line) or not t.any():
            return objective  # at t = 0 the curve is fixed, too
        curve, cost = self.schedule.shape(), objective.mean(-1)
        aim = ((2 * cost.detach() - 1) * cost).mean()
        gradients = torch.autograd.grad(aim, curve, retain_graph=True)
        pairs = zip(curve, gradients, strict=True)
        return objective + torch.stack([((p - p.detach()) * g).sum() for p, g in pairs]).sum()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """As in the public code: faster than a network learns, and decay for the ends alone."""
        shape, ends = ([], []) if isinstance(self.schedule, Line) else (self.schedule.shape(), [self.schedule.ends])
        return [
            {"params": [self.table, *shape], "learning_rate": 1e-2, "weight_decay": 0.0},
            {"params": ends, "learning_rate": 1e-2, "weight_decay": 0.1},
        ]

    def learned(self) -> dict[str, Tensor]:
        """The two ends; nothing where they are fixed."""
        if isinstance(self.schedule, Line):
            return {}
        start, end = self.schedule.ends.detach().double()
        return {"gamma_start": start, "gamma_end": end}
