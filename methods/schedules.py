"""Noise schedules: the signal level alpha(t), its slope, and its inverse.

MDLM, arXiv:2406.07524v2, and its public code; MD4, arXiv:2406.04329v4, Table 1; SEDD, arXiv:2310.16834v3, section 5.
All formulas are evaluated in the dtype of t (float64 in the harness).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Small = Annotated[float, Field(ge=0, lt=0.5)]


@dataclass(frozen=True)
class Schedule(ABC):
    """A decreasing signal level alpha(t) for t in [0, 1]."""

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """The signal level at time t: the probability that a token is still clean."""

    @abstractmethod
    def slope(self, t: Tensor) -> Tensor:
        """d alpha / dt, at most 0."""

    @abstractmethod
    def inverse(self, alpha: Tensor) -> Tensor:
        """The time at which the signal level is `alpha`, which lies in [alpha(1), alpha(0)]."""

    def weight(self, t: Tensor) -> Tensor:
        """-alpha'(t) / (1 - alpha(t)), the rate at which masked tokens are revealed (MDLM eq. 10; MD4 eq. 5)."""
        return -self.slope(t) / (1 - self.alpha(t))

    def signal(self, t: Tensor) -> Tensor:
        """alpha(t) of a discrete-time chain, which starts from clean text: 1 at t = 0 for every schedule."""
        return torch.where(t > 0, self.alpha(t), 1.0)

    def signal_at_end(self, like: Tensor) -> Tensor:
        """alpha(1) in the shape of `like`, float64; the clamp removes a rounding error below 0."""
        return self.alpha(torch.ones_like(like, dtype=torch.float64)).clamp(min=0)

    @property
    def reaches_both_ends(self) -> bool:
        """True if alpha runs from 1 to 0: no noise at t = 0, and no signal left at t = 1."""
        ends = self.alpha(torch.tensor([0.0, 1.0], dtype=torch.float64))
        return bool((ends - torch.tensor([1.0, 0.0], dtype=torch.float64)).abs().max() < 1e-15)


@dataclass(frozen=True)
class Linear(Schedule):
    """alpha = 1 - (1 - eps) t, called log-linear by MDLM and SEDD; signal eps remains at t = 1."""

    eps: Small = 0.0

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - (1 - self.eps) * t

    def slope(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.eps - 1)

    def inverse(self, alpha: Tensor) -> Tensor:
        return (1 - alpha) / (1 - self.eps)

    def weight(self, t: Tensor) -> Tensor:
        return 1 / t  # avoids the rounding of 1 - (1 - t); eps cancels


@dataclass(frozen=True)
class Cosine(Schedule):
    """alpha = 1 - cos(pi/2 (1 - t)) (MD4, Table 1)."""

    def alpha(self, t: Tensor) -> Tensor:
        return 2 * torch.sin(math.pi / 4 * (1 - t)).square()

    def slope(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * torch.sin(math.pi / 2 * (1 - t))

    def inverse(self, alpha: Tensor) -> Tensor:
        return 1 - 4 / math.pi * torch.asin((alpha / 2).sqrt())

    def weight(self, t: Tensor) -> Tensor:
        return math.pi / 2 / torch.tan(math.pi / 2 * t)


@dataclass(frozen=True)
class Polynomial(Schedule):
    """alpha = 1 - t ** power (MD4, Table 1)."""

    power: Positive = 2.0

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t**self.power

    def slope(self, t: Tensor) -> Tensor:
        return -self.power * t ** (self.power - 1)

    def inverse(self, alpha: Tensor) -> Tensor:
        return (1 - alpha) ** (1 / self.power)

    def weight(self, t: Tensor) -> Tensor:
        return self.power / t


@dataclass(frozen=True)
class MdlmCosine(Schedule):
    """alpha = eps + (1 - eps) cos(pi t / 2) (MDLM's code); signal eps remains at t = 1."""

    eps: Small = 1e-3

    def alpha(self, t: Tensor) -> Tensor:
        return self.eps + (1 - self.eps) * torch.cos(math.pi / 2 * t)

    def slope(self, t: Tensor) -> Tensor:
        return -(1 - self.eps) * math.pi / 2 * torch.sin(math.pi / 2 * t)

    def inverse(self, alpha: Tensor) -> Tensor:
        return 2 / math.pi * torch.acos((alpha - self.eps) / (1 - self.eps))

    def weight(self, t: Tensor) -> Tensor:
        return math.pi / 2 / torch.tan(math.pi / 4 * t)  # sin / (1 - cos); eps cancels


@dataclass(frozen=True)
class MdlmCosineSquared(Schedule):
    """alpha = eps + (1 - eps) cos(pi t / 2)^2 (MDLM's code); signal eps remains at t = 1."""

    eps: Small = 1e-3

    def alpha(self, t: Tensor) -> Tensor:
        return self.eps + (1 - self.eps) * torch.cos(math.pi / 2 * t).square()

    def slope(self, t: Tensor) -> Tensor:
        return -(1 - self.eps) * math.pi / 2 * torch.sin(math.pi * t)

    def inverse(self, alpha: Tensor) -> Tensor:
        return 2 / math.pi * torch.acos(((alpha - self.eps) / (1 - self.eps)).sqrt())

    def weight(self, t: Tensor) -> Tensor:
        return math.pi / torch.tan(math.pi / 2 * t)


@dataclass(frozen=True)
class _Sigma(Schedule):
    """alpha = exp(-sigma(t)), defined by the total noise sigma, which grows from sigma_min to sigma_max."""

    sigma_min: Positive
    sigma_max: Positive

    def __post_init__(self) -> None:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} is not below sigma_max {self.sigma_max}")

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """The total noise, -log alpha(t)."""

    @abstractmethod
    def rate(self, t: Tensor) -> Tensor:
        """The noise rate, d sigma / dt."""

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-self.sigma(t))

    def slope(self, t: Tensor) -> Tensor:
        return -self.rate(t) * self.alpha(t)

    def weight(self, t: Tensor) -> Tensor:
        return self.rate(t) / torch.expm1(self.sigma(t))


@dataclass(frozen=True)
class LinearSigma(_Sigma):
    """sigma grows linearly from sigma_min to sigma_max (MDLM's code)."""

    sigma_min: Positive = 1e-3
    sigma_max: Positive = 7.0

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min + t * (self.sigma_max - self.sigma_min)

    def rate(self, t: Tensor) -> Tensor:
        return torch.full_like(t, self.sigma_max - self.sigma_min)

    def inverse(self, alpha: Tensor) -> Tensor:
        return (-alpha.log() - self.sigma_min) / (self.sigma_max - self.sigma_min)


@dataclass(frozen=True)
class Geometric(_Sigma):
    """sigma grows geometrically from sigma_min to sigma_max (SEDD, section 5)."""

    sigma_min: Positive = 1e-5
    sigma_max: Positive = 20.0

    def sigma(self, t: Tensor) -> Tensor:
        return self.sigma_min ** (1 - t) * self.sigma_max**t

    def rate(self, t: Tensor) -> Tensor:
        return self.sigma(t) * math.log(self.sigma_max / self.sigma_min)

    def inverse(self, alpha: Tensor) -> Tensor:
        return (-alpha.log() / self.sigma_min).log() / math.log(self.sigma_max / self.sigma_min)


SCHEDULES: dict[str, type[Schedule]] = {
    "linear": Linear,
    "cosine": Cosine,
    "polynomial": Polynomial,
    "mdlm-cosine": MdlmCosine,
    "mdlm-cosine-squared": MdlmCosineSquared,
    "linear-sigma": LinearSigma,
    "geometric": Geometric,
}
