"""GIDD: masks, with a bump of uniform noise in the middle of time. arXiv:2503.04482."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from methods.method import Latent, LogProbs, Nats, Needs, Noise, Times, Tokens
from methods.mixing import ContinuousMixing

Share = Annotated[float, Field(ge=0, lt=1)]
Exponent = Annotated[float, Field(gt=0, le=2)]


class Gidd(ContinuousMixing):
    """q_t = ((1 - t) x + t mask + c_t uniform) / (1 + c_t), c_t = B (t (1 - t))^(gamma / 2) (GIDD section 4.1).

    `uniform_share` is the share of uniform tokens at t = 1/2. `weighting` is what training minimises: the bound, the
    bound with its weights clipped to at most 1, or the paper's dynamic weights; the bound that is reported never changes.
    """

    paper = "von Rütte et al. 2025, arXiv:2503.04482"
    neighbours = ("mdlm",)

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
        """c(t)."""
        return self.height * (t * (1 - t)) ** (self.gamma / 2)

    def mix(self, t: Times) -> tuple[Tensor, Tensor]:
        c = self.bump(t)
        uniform = (c / self.vocab_size)[..., None].expand(*c.shape, self.vocab_size)
        return (1 - t) / (1 + c), torch.cat([uniform, t[..., None]], -1) / (1 + c)[..., None]

    def rate(self, z: Latent, t: Times) -> Tensor:
        """The mask arrives at 1 / ((1 - t) C), each token at (c + (1 - t) c') / ((1 - t) V C), C = 1 + c."""
        c = self.bump(t)
        token = c * (1 + self.gamma / 2 * (1 - 2 * t) / t) / self.vocab_size
        return torch.where(z == self.mask, 1.0, token) / ((1 - t) * (1 + c))
