"""GIDD: masks, with uniform noise added around t = 1/2. von Rütte et al., arXiv:2503.04482."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from methods.discrete.mixing import ContinuousMixing
from methods.method import Latent, LogProbs, Nats, Needs, Neighbour, Noise, Times, Tokens

CLIP = 1.0  # w_max of the paper, used by weighting "clip"

Share = Annotated[float, Field(ge=0, lt=1)]
Exponent = Annotated[float, Field(gt=0, le=2)]


class Gidd(ContinuousMixing):
    """GIDD: masks, with uniform noise added around t = 1/2.

    q_t = ((1 - t) x + t mask + c_t uniform) / (1 + c_t), c_t = B (t (1 - t))^(gamma / 2) (GIDD section 4.1).

    `uniform_share` is the share of uniform tokens at t = 1/2. `weighting` selects the training loss: the bound, the
    bound with its weights clipped at 1, or the paper's dynamic weights. The reported bound does not depend on it.
    """

    paper = "von Rütte et al. 2025, arXiv:2503.04482"
    neighbours = (Neighbour("mdlm", own={"uniform_share": 0.0}),)
    warp = 2.0

    def __init__(
        self,
        vocab_size: int,
        uniform_share: Share = 0.1,
        gamma: Exponent = 1.0,
        weighting: Literal["bound", "clip", "dynamic"] = "bound",
    ):
        super().__init__()
        self.vocab_size = self.mask = vocab_size
        self.states = vocab_size + 1
        self.needs = Needs(time=True, extra_tokens=1)
        self.gamma, self.weighting = gamma, weighting
        self.height = 2**gamma * uniform_share / (1 - uniform_share)  # B

    def bump(self, t: Times) -> Tensor:
        """c(t), the unnormalised mass of uniform noise."""
        return self.height * (t * (1 - t)) ** (self.gamma / 2)

    def mix(self, t: Times) -> tuple[Tensor, Tensor, Tensor]:
        """alpha, the uniform noise per token, and the mass on the mask."""
        c = self.bump(t)
        return (1 - t) / (1 + c), c / self.vocab_size / (1 + c), t / (1 + c)

    def rate(self, z: Latent, t: Times) -> Tensor:
        """1 / ((1 - t) C) into the mask, (c + (1 - t) c') / ((1 - t) V C) into each token, C = 1 + c."""
        c = self.bump(t)
        token = c * (1 + self.gamma / 2 * (1 - 2 * t) / t) / self.vocab_size
        return torch.where(z == self.mask, 1.0, token) / ((1 - t) * (1 + c))

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        """All masks."""
        return torch.full_like(like, self.mask)

    def objective(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        """The mismatch with the weights selected by `weighting` (GIDD section 4.2)."""
        if self.weighting == "bound":
            return self.bound(x, z, t, prediction)
        weight = self.weight(x, z, t).clamp(max=CLIP) if self.weighting == "clip" else self.dynamic(x, z, t)
        return weight * self.mismatch(x, z, t, prediction)

    def dynamic(self, x: Tokens, z: Latent, t: Times) -> Tensor:
        """2 at masks, 1 at changed tokens, B / (V + 1) exp(gamma / 2 sigmoid(-t)) at unchanged tokens, at most 2.

        The last follows the public code, which counts the mask; the paper has B / V exp(-lambda / 2).
        """
        unchanged = self.height / self.states * torch.exp(self.gamma / 2 * torch.sigmoid(-t))
        return torch.where(z == self.mask, 2.0, torch.where(z == x, unchanged, 1.0)).clamp(max=2.0)
