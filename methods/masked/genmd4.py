"""GenMD4: masked diffusion with a learned schedule per token. Shi et al., arXiv:2406.04329v4, section 6."""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

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
    pick,
    point_mass,
    substitute,
)


class GenMd4(Method):
    """GenMD4: masked diffusion with a learned noise schedule per token.

    Token v is masked with probability t ** w_v, w_v > 0, so that training can mask rare tokens earlier than others.

    The time at which a mask appears is informative about the token, so the network is conditioned on time. `decoder`
    is the last guess at t_min: the network's own, which is exact for the true posterior, or the paper's, p(v)
    proportional to t ** w_v.
    """

    paper = "Shi et al. 2024, arXiv:2406.04329v4"
    neighbours = (Neighbour("md4", within=1e-6),)  # while all powers are 1, as at initialisation
    draws = 2  # the gradient of the powers compares two noise draws of one sequence

    def __init__(self, vocab_size: int, decoder: Literal["network", "powers"] = "network"):
        super().__init__()
        self.vocab_size = self.mask = vocab_size
        self.decoder = decoder
        self.needs = Needs(time=True, extra_tokens=1, trains_ends=True)
        if decoder == "powers":
            self.rarest_guess = 1.0  # the guess does not know the text
        self.raw = nn.Parameter(
            torch.full((vocab_size,), math.log(math.e - 1))
        )  # softplus gives powers of 1: MD4 with linear noise

    def powers(self) -> Float[Tensor, "V"]:
        """The powers w, float64."""
        return F.softplus(self.raw.double())

    def hidden(self, t: Times) -> Tensor:
        """1 - alpha_v(t) = t ** w_v for every token [*P, V]."""
        return t[..., None] ** self.powers()

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        """Mask token v with probability t ** w_v."""
        masked = t[:, None] ** self.powers().detach()[x]
        return torch.where(rng.uniform(x.shape) < masked, self.mask, x)

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """All masks."""
        return torch.full_like(like, self.mask)

    def scored(self, z: Latent) -> Bool[Tensor, "*P"] | None:
        """The masked positions."""
        return z == self.mask

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        """Log-softmax if z is masked; elsewhere, a point mass on z."""
        return substitute(scores.log_softmax(-1), z, self.mask)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """(sum of w_v mu_v - w_x (log mu_x + 1)) / t at masks: true rates w_x / t, predicted w_v mu_v / t."""
        w = self.powers()
        mean_power = (prediction.exp() * w.to(prediction)).sum(-1).double()
        return (z == self.mask) / t * (mean_power - w[x] * (pick(prediction, x) + 1))

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        """If masked: mu_v (1 - (s / t) ** w_v) for token v, else stay masked (q(z_s | z_t, v) averaged over v)."""
        stay = self.hidden(s / t)
        mu = prediction.double().exp()
        log_p = torch.cat([mu * (1 - stay), (mu * stay).sum(-1, keepdim=True)], -1).log()
        return substitute(log_p, z, self.mask)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        """w_v mu_v / t from the mask to token v."""
        reveal = self.powers() / t[..., None] * prediction.double().exp()
        return F.pad(torch.where((z == self.mask)[..., None], reveal, 0.0), (0, 1))

    def last_guess(self, z: Latent, t: Times, prediction: LogProbs) -> LogProbs:
        """The prediction, or with decoder "powers" p(v) proportional to t ** w_v."""
        if self.decoder == "network":
            return prediction
        by_power = (self.powers() * t.log()[..., None]).log_softmax(-1)
        return substitute(by_power, z, self.mask)

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        """t ** w_v for a mask; 1 - t ** w_v for the visible token itself, and 0 for any other."""
        hidden = self.hidden(t)
        visible = point_mass(z, self.mask)[..., : self.mask].exp() * (1 - hidden)
        return torch.where((z == self.mask)[..., None], hidden, visible).log()

    def couple(self, objective: Nats, x: Tokens, z: Latent, t: Times) -> Nats:
        """Add the score-function gradient of the powers, leave-one-out over two noise draws (appendix).

        With F the cost of a row and F' that of its partner: (F - F') grad log q(z | x), summed over both rows. The
        value of the objective does not change.
        """
        cost = objective.detach().sum(-1).view(-1, 2)
        advantage = (cost - cost.flip(1)).view(-1, 1)
        log_q = self._log_q(x, z, t[:, None])
        return objective + advantage * (log_q - log_q.detach())

    def _log_q(self, x: Tokens, z: Latent, t: Times) -> Nats:
        """log q(z_i | x_i) at every position."""
        masked, w = z == self.mask, self.powers()[x]
        revealed = torch.where(masked, 0.5, 1 - t**w)  # 0.5 at masks avoids the gradient of log 0
        return torch.where(masked, w * t.log(), revealed.log())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The powers are trained as the network is, with weight decay."""
        return [{"params": [self.raw]}]

    def learned(self) -> dict[str, Tensor]:
        """The power of each token."""
        return {"power": self.powers().detach()}
