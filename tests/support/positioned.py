"""Methods that know positions, as plug-ins: a schedule for each position, an order of generation, and a
parameterisation that depends on the position of a token."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.absorbing import Mdlm
from methods.method import Latent, LogProbs, Method, Nats, Needs, Noise, Scores, Times, Tokens, pick, substitute


class MaskedByPosition(Method):
    """Position i is masked with probability 1 - alpha_i(t), by one mask for all positions."""

    paper = "none: a toy"
    needs = Needs(extra_tokens=1, positions=True)

    def __init__(self, vocab_size: int):
        super().__init__()
        self.vocab_size = self.mask = vocab_size

    @abstractmethod
    def alpha(self, t: Times) -> Tensor:
        """The signal level of each of the positions P at times t, which broadcast with them."""

    @abstractmethod
    def slope(self, t: Times) -> Tensor:
        """The derivative of `alpha` at positions P."""

    def weight(self, t: Times) -> Tensor:
        """-alpha' / (1 - alpha); 0 where nothing is masked."""
        return -self.slope(t) / (1 - self.alpha(t)).clamp(min=1e-300)

    def corrupt(self, x: Tokens, t: Times, rng: Noise) -> Latent:
        return torch.where(rng.uniform(x.shape) < self.alpha(t[:, None]), x, self.mask)

    def prior(self, like: Tokens, rng: Noise) -> Latent:
        return torch.full_like(like, self.mask)

    def scored(self, z: Latent) -> Tensor:
        return z == self.mask

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        return substitute(scores.log_softmax(-1), z, self.mask)

    def bound(self, x: Tokens, z: Latent, t: Times, prediction: LogProbs) -> Nats:
        return (z == self.mask) * self.weight(t) * -pick(prediction, x)

    def transition(self, z: Latent, t: Times, s: Times, prediction: LogProbs) -> LogProbs:
        masked = (1 - self.alpha(t)).clamp(min=1e-300)
        stay = ((1 - self.alpha(s)) / masked).clamp(max=1)[..., None]
        mass = torch.cat([(1 - stay) * prediction.double().exp(), stay], -1)
        return substitute(mass.log(), z, self.mask)

    def rates(self, z: Latent, t: Times, prediction: LogProbs) -> Tensor:
        reveal = self.weight(t)[..., None] * prediction.double().exp()
        return F.pad(torch.where((z == self.mask)[..., None], reveal, 0.0), (0, 1))

    def log_noise(self, z: Latent, t: Times) -> LogProbs:
        alpha = self.alpha(t)[..., None]
        same = F.one_hot(z, self.mask + 1)[..., : self.mask]
        return torch.where((z == self.mask)[..., None], 1 - alpha, alpha * same).log()


class Staggered(MaskedByPosition):
    """alpha_i(t) = 1 - t ** w_i, with w_i from 1 at the first position to nearly 1 + `spread` at the last."""

    def __init__(self, vocab_size: int, spread: float = 1.0):
        super().__init__(vocab_size)
        self.spread = spread

    @property
    def power(self) -> Tensor:
        """w_i at positions P."""
        return 1 + self.spread * self.positions.double() / self.sequence_length

    def alpha(self, t: Times) -> Tensor:
        return 1 - t**self.power

    def slope(self, t: Times) -> Tensor:
        return -self.power * t ** (self.power - 1)


class Ordered(MaskedByPosition):
    """Written from left to right: each position is masked in a window of time of its own, the first in the last."""

    @property
    def start(self) -> Tensor:
        """The beginning of the window at positions P, whose length is 1 / L."""
        return (self.sequence_length - 1 - self.positions.double()) / self.sequence_length

    def alpha(self, t: Times) -> Tensor:
        return 1 - ((t - self.start) * self.sequence_length).clamp(0, 1)

    def slope(self, t: Times) -> Tensor:
        inside = (t > self.start) & (t <= self.start + 1 / self.sequence_length)
        return -inside.double() * self.sequence_length


class Sharpened(Mdlm):
    """Masks all positions by one schedule; scores count the more, the later a position stands, by a learned factor."""

    paper = "none: a toy"
    neighbours = ()

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size)
        self.needs = Needs(extra_tokens=1, positions=True)
        self.factor = nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    @property
    def sharpness(self) -> Tensor:
        """The factor of the scores at positions P [*P 1]."""
        return (1 + self.factor * self.positions / self.sequence_length)[..., None]

    def read(self, scores: Scores, z: Latent, t: Times) -> LogProbs:
        return super().read(self.sharpness * scores, z, t)

    def perfect(self, posterior: LogProbs, leave_one_out: LogProbs, z: Latent, t: Times) -> Scores:
        return super().perfect(posterior, leave_one_out, z, t) / self.sharpness

    def learned(self) -> dict[str, Tensor]:
        return {"factor": self.factor.detach()}


METHODS = {"staggered": Staggered, "ordered": Ordered, "sharpened": Sharpened}
