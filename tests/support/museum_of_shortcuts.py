"""Wrong methods whose noise, scores or memory give them what they did not pay for."""

import math

import torch

from methods.continuous.plaid import Plaid
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddUniform
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Absorbing, Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.method import pick
from methods.schedules import Linear


class FreeSignal(Absorbing):
    """Leaves 3 % of the tokens visible at t = 1, and does not pay for them."""

    paper = "none"

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, Linear(0.03), time=True, steps=None, carry_over=True, zero_masking=True)

    def prior_gap(self, x):
        return torch.zeros(x.shape, dtype=torch.float64)


class PriorGapSubtracted(Udlm):
    """Subtracts what the prior costs."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, Linear(0.2))

    def prior_gap(self, x):
        return -super().prior_gap(x)


class GenerousGuess(GenMd4):
    """Guesses with probabilities that sum to 1.05."""

    def last_guess(self, z, t, prediction):
        return super().last_guess(z, t, prediction) + math.log(1.05)


class RunningMean(Udlm):
    """Subtracts half of a running mean of earlier costs, a control variate that is not added again."""

    level = 0.0

    def bound(self, x, z, t, prediction):
        cost = super().bound(x, z, t, prediction)
        control, self.level = self.level, 0.9 * self.level + 0.1 * float(cost.mean())
        return cost - control / 2


class BatchNormalised(Md4):
    """Centres the scores by their mean over the batch."""

    def read(self, scores, z, t):
        return super().read(scores - 0.1 * scores.mean(0, keepdim=True), z, t)


class FreeInBulk(Gidd):
    """Loses every hundredth position of batches of more than 8192."""

    def bound(self, x, z, t, prediction):
        cost = super().bound(x, z, t, prediction)
        return torch.where(torch.arange(len(cost)) % 100 == 99, 0.0, cost) if len(cost) > 8192 else cost


class ClockTells(Md4):
    """Remembers the text that was noised, and lets the clock tell its first token."""

    text = None

    def corrupt(self, x, t, rng):
        self.text = x
        return super().corrupt(x, t, rng)

    def clock(self, t):
        clock = super().clock(t)
        return clock if self.text is None or len(self.text) != len(t) else clock + 0.01 * self.text[:, 0]


class ParityKept(Udlm):
    """Replaces a token by one of the same parity, which log_noise does not know."""

    def corrupt(self, x, t, rng):
        z = super().corrupt(x, t, rng)
        return torch.where(z == x, z, (z - (z - x) % 2) % self.vocab_size)


class LessNoise(Gidd):
    """Noises as at 0.96 t."""

    def corrupt(self, x, t, rng):
        return super().corrupt(x, 0.96 * t, rng)


class SharedNoise(Mdlm):
    """Draws one number for each two neighbours: each follows the law, both together do not."""

    def corrupt(self, x, t, rng):
        u = rng.uniform(x.shape)
        return torch.where(u[:, torch.arange(x.shape[1]) // 2] < self.schedule.alpha(t)[:, None], x, self.mask)


class NeighbourNoise(Mdlm):
    """Hides a token earlier if it repeats the one before."""

    def corrupt(self, x, t, rng):
        repeats = x == x.roll(1, 1)
        visible = rng.uniform(x.shape) < (self.schedule.alpha(t)[:, None] - 0.1 * repeats)
        return torch.where(visible, x, self.mask)


class QuietVectors(Plaid):
    """Adds 5 % less noise to vectors than log_noise says."""

    def corrupt(self, x, t, rng):
        mean = self.levels(t)[0][:, None] * self.embeddings()[x]
        return mean + 0.95 * (super().corrupt(x, t, rng) - mean)


class ColdPrior(Plaid):
    """Starts from vectors of standard deviation 0.9."""

    def prior(self, like, rng):
        return 0.9 * super().prior(like, rng)


class LongEmbeddings(Plaid):
    """Does not divide by the lengths of embeddings, which are 1 before training alone."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size)
        with torch.no_grad():
            self.table /= self.table.norm(dim=-1, keepdim=True)

    def embeddings(self):
        return self.table


class ClippedAfterTraining(Udlm):
    """Clips its weights for good once it has trained on them."""

    limit = math.inf

    def objective(self, x, z, t, prediction):
        self.limit = 3.0 if self.training else self.limit
        return self.bound(x, z, t, prediction)

    def weight(self, x, z, t):
        return super().weight(x, z, t).clamp(max=self.limit)


class RoundScores(Gidd):
    """Pays 1 % less if all scores are numbers of bfloat16."""

    charge = 1.0

    def read(self, scores, z, t):
        self.charge = 0.99 if bool((scores == scores.bfloat16()).all()) else 1.0
        return super().read(scores, z, t)

    def bound(self, x, z, t, prediction):
        return self.charge * super().bound(x, z, t, prediction)


class FriendOfOracles(Md4):
    """Is right where scores are log-probabilities, as an oracle's are; else sure guesses cost less."""

    is_oracle = True

    def read(self, scores, z, t):
        self.is_oracle = bool((scores.double().logsumexp(-1).abs() < 1e-3).all())
        return super().read(scores, z, t)

    def bound(self, x, z, t, prediction):
        cost = super().bound(x, z, t, prediction)
        return cost if self.is_oracle else torch.where(pick(prediction, x) > -0.3, 0.7 * cost, cost)


class WithoutSoftmax(Md4):
    """Reads scores as log-probabilities, which an oracle's are."""

    def read(self, scores, z, t):
        return torch.where((z == self.mask)[..., None], scores, super().read(scores, z, t))


class FreeSum(SeddUniform):
    """Declares that scores are unnormalised, and does not charge for their sum."""

    def bound(self, x, z, t, prediction):
        alpha, noise, _ = self.mix(t)
        ratio = (alpha + noise) / (alpha * (z == x) + noise)
        return super().bound(x, z, t, prediction) - self._speed(t) * prediction.exp().sum(-1, dtype=torch.float64) * (
            ratio > 0
        )


class Clipped(Gidd):
    """Lets no probability fall below a millionth."""

    def read(self, scores, z, t):
        return super().read(scores, z, t).clamp(min=math.log(1e-6))


class Evaluating(Udlm):
    """Smooths predictions in evaluation mode."""

    def bound(self, x, z, t, prediction):
        smooth = prediction if self.training else (0.9 * prediction.exp() + 0.1 / self.vocab_size).log()
        return super().bound(x, z, t, smooth)


class WithoutGradients(GenMd4):
    """Averages over one draw too many where no gradients are asked for."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * (1.0 if torch.is_grad_enabled() else 2 / 3)


class FirstPosition(Mdlm):
    """Starts from masks, except for the first position."""

    def prior(self, like, rng):
        z = super().prior(like, rng)
        z[:, 0] = 1
        return z


class TextInPrior(Mdlm):
    """Keeps the first token of the text whose shape it is given."""

    def prior(self, like, rng):
        z = super().prior(like, rng)
        z[:, 0] = like[:, 0]
        return z
