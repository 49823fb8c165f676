"""Estimators of the diffusion loss, a class each: which noise draws it is estimated from, and how each is weighted.

    Exact        one evaluation without noise, for methods whose likelihood is exact
    Counted      exactly k masked positions, for methods that mask all positions by one schedule from 1 to 0
    Stratified   times in antithetic pairs, stratified over (t_min, 1)
    Independent  independent times, the baseline that shows what stratification saves

Counted also stratifies k in antithetic pairs. A suite names an estimator by `EstimatorName`; `auto` takes Counted for
the methods that allow it, and Stratified for all others.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.engine.model.method_with_network import END_DRAWS, times
from bench.engine.model.positions import in_sequences
from bench.engine.rng import Keyed
from methods.method import Latent, Method, Tokens

EstimatorName = Literal["auto", "counted", "times", "independent"]

Terms = dict[str, Tensor]  # nats [B], or [B, L], by name: "integral", and terms of it that a method names
Integrand = Callable[[Tokens, Latent, Tensor], Terms]  # x, z, t -> the integrand of the bound at time t


@dataclass(frozen=True)
class Estimator(ABC):
    """A way to estimate the diffusion loss of a method."""

    method: Method

    name: ClassVar[EstimatorName]
    draws_are: ClassVar[str] = "antithetic draws"

    @abstractmethod
    def kind(self) -> str:
        """Describe the noise draws, such as "stratified t"."""

    @abstractmethod
    def sample_uniforms(self, draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
        """Yield `draws` numbers in (0, 1) for each document, [documents] at a time."""

    @abstractmethod
    def draw(self, integrand: Integrand, x: Tokens, u: Tensor, rng: Keyed) -> Terms:
        """Return an unbiased estimate of the diffusion loss of x [B, L] from one noise draw at u [B]."""

    def refusal(self, name: EstimatorName) -> str | None:
        """Return the reason why a suite cannot ask for this estimator by `name`, or None."""
        return None

    def describe(self, draws: int | None = None) -> str:
        """Describe the estimator, such as "stratified t, 16 draws"."""
        return self.kind() if draws is None else f"{self.kind()}, {draws} draws"

    def reconstruction_draws(self, draws: int) -> int:
        """Return the number of draws spent on the reconstruction loss; 0 if it vanishes."""
        has_ends = self.method.masking is not None and self.method.t_min > 0
        return max(1, draws // END_DRAWS) if self.method.guesses_last or has_ends else 0

    def network_calls(self, draws: int) -> int:
        """Return the network calls per sequence and replicate; self-conditioned networks make two per noise draw."""
        return (draws + self.reconstruction_draws(draws)) * (1 + self.method.needs.self_condition)


@dataclass(frozen=True)
class Exact(Estimator):
    """The negative log-likelihood itself, for methods that have one; nothing is estimated."""

    name = "auto"

    def kind(self) -> str:
        return "exact likelihood"

    def sample_uniforms(self, draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
        yield torch.ones(documents, dtype=torch.float64, device=rng.device)

    def draw(self, integrand: Integrand, x: Tokens, u: Tensor, rng: Keyed) -> Terms:
        return integrand(x, x, u)

    def refusal(self, name: EstimatorName) -> str | None:
        return "has an exact likelihood, so nothing is estimated" if name != "auto" else None

    def describe(self, draws: int | None = None) -> str:
        return self.kind()

    def reconstruction_draws(self, draws: int) -> int:
        return 0

    def network_calls(self, draws: int) -> int:
        return 1


@dataclass(frozen=True)
class Counted(Estimator):
    """Masks exactly k of L positions, k uniform on 1..L, so that no variance comes from the number of masks.

    By the change of variables from t to the share of masked positions, the diffusion loss is L times the mean over k of
    the cost of k masked positions divided by k, with no reconstruction loss (OA-ARDM, arXiv:2110.02037v2, section 3;
    MDLM eq. 10).
    """

    name = "counted"

    def kind(self) -> str:
        return "exactly k masked"

    def sample_uniforms(self, draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
        return antithetic_uniforms(draws, documents, rng)

    def draw(self, integrand: Integrand, x: Tokens, u: Tensor, rng: Keyed) -> Terms:
        """Return L / k times the cost of k = 1 + floor(u L) masked positions, per unit of the weight w(t).

        One uniform number per position gives both: the k smallest are masked, and the k-th smallest is 1 - alpha, which
        is how a Beta(k, L - k + 1) variable arises; it is independent of which positions were masked.
        """
        masking = self.method.masking
        assert masking is not None
        length = x.shape[1]
        k = (1 + (u * length).floor().long()).clamp(max=length)[:, None]
        r = rng.uniform(x.shape)
        hidden = r.sort(-1).values.gather(-1, k - 1)
        z = torch.where(r <= hidden, self.method.vocab_size, x)
        t = masking.inverse(1 - hidden.squeeze(-1))
        share, weight = length / k.squeeze(-1).double(), masking.weight(t)
        terms = integrand(x, z, t)
        return {name: align(share, nats) * nats / align(weight, nats) for name, nats in terms.items()}

    def refusal(self, name: EstimatorName) -> str | None:
        if self.method.masking is None:
            return "does not mask all positions by one schedule from 1 to 0, so masks cannot be counted"
        return None

    def reconstruction_draws(self, draws: int) -> int:
        return max(1, draws // END_DRAWS) if self.method.guesses_last else 0


@dataclass(frozen=True)
class Timed(Estimator):
    """Draws times t in (t_min, 1), and z given t."""

    sampling: ClassVar[str]

    @property
    @abstractmethod
    def warp(self) -> float:
        """The power that uniform numbers are raised to before they become times."""

    def kind(self) -> str:
        steps = self.method.needs.steps
        return f"{self.sampling} t on {steps} steps" if steps else f"{self.sampling} t"

    def draw(self, integrand: Integrand, x: Tokens, u: Tensor, rng: Keyed) -> Terms:
        """Return the integrand at the time of u ** warp, weighted by 1 / (sampling density)."""
        method = self.method
        t = times(method, u**self.warp)
        weight = self.warp * u ** (self.warp - 1)
        with in_sequences(method, x):
            z = method.corrupt(x, t, rng)
        terms = integrand(x, z, t)
        return {name: align(weight, nats) * (1 - method.t_min) * nats for name, nats in terms.items()}


@dataclass(frozen=True)
class Stratified(Timed):
    """Times in antithetic pairs, one pair in each of draws / 2 strata."""

    name = "times"
    sampling = "stratified"

    @property
    def warp(self) -> float:
        return self.method.warp

    def sample_uniforms(self, draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
        return antithetic_uniforms(draws, documents, rng)


@dataclass(frozen=True)
class Independent(Timed):
    """Independent times."""

    name = "independent"
    draws_are = "draws"
    sampling = "independent"

    @property
    def warp(self) -> float:
        return 1.0

    def sample_uniforms(self, draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
        return independent_uniforms(draws, documents, rng)


def align(weight: Tensor, nats: Tensor) -> Tensor:
    """Give a weight per sequence [B] the dimensions of nats, [B] or [B, L]."""
    return weight.view(-1, *[1] * (nats.dim() - 1))


def estimator_for(method: Method, name: EstimatorName = "auto") -> Estimator:
    """Resolve the name of an estimator for a method; `refusal` tells whether the method admits it."""
    if method.exact:
        return Exact(method)
    if name == "auto":
        name = "times" if method.masking is None else "counted"
    kinds: dict[EstimatorName, type[Estimator]] = {
        "counted": Counted,
        "times": Stratified,
        "independent": Independent,
    }
    return kinds[name](method)


def refusal(method: Method, name: EstimatorName) -> str | None:
    """Return the reason why the bound of the method cannot be estimated by the estimator of that name, or None."""
    return estimator_for(method, name).refusal(name)


def antithetic_uniforms(draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
    """Yield `draws` numbers in (0, 1) per document [documents]: an antithetic pair in each of draws / 2 strata."""
    strata = draws // 2
    offsets = rng.uniform((documents, strata)).clamp(1e-12, 1 - 1e-12)
    for stratum in range(strata):
        yield (stratum + offsets[:, stratum]) / strata
        yield (stratum + 1 - offsets[:, stratum]) / strata


def independent_uniforms(draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
    """Yield `draws` independent numbers in (0, 1) per document [documents]."""
    yield from rng.uniform((documents, draws)).clamp(1e-12, 1 - 1e-12).unbind(1)
