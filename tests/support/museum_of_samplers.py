"""Methods whose bound is right and whose sampler is not, and methods that are right where most checks look."""

import math

import torch

from methods.continuous.plaid import Plaid
from methods.discrete.gidd import Gidd
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.method import pick
from methods.schedules import Linear


class ColdAtTheEnd(Mdlm):
    """Lowers the temperature by 3 % in the last steps."""

    def transition(self, z, t, s, prediction):
        colder = (prediction * 1.03).log_softmax(-1)
        return super().transition(z, t, s, torch.where((t < 0.2)[..., None], colder, prediction))


class DropsRareTokens(Md4):
    """Never writes a token of less than a hundredth, as min-p sampling does."""

    def transition(self, z, t, s, prediction):
        likely = torch.where(prediction > math.log(0.01), prediction, -torch.inf)
        return super().transition(z, t, s, likely.log_softmax(-1))


class RevealsTooFast(Mdlm):
    """Steps as if the noise of time s were that of a time before."""

    def transition(self, z, t, s, prediction):
        return super().transition(z, t, 0.8 * s, prediction)


class GreedyInLongSteps(Mdlm):
    """Writes the likeliest token where few calls are made."""

    def transition(self, z, t, s, prediction):
        greedy = torch.full_like(prediction, -torch.inf).scatter(-1, prediction.argmax(-1, keepdim=True), 0.0)
        return super().transition(z, t, s, torch.where((t - s > 0.5)[..., None], greedy, prediction))


class FewLikeliest(Md4):
    """Never writes any but the 64 likeliest tokens, which small vocabularies do not show."""

    neighbours = ()

    def transition(self, z, t, s, prediction):
        least = prediction.topk(min(64, prediction.shape[-1]), -1).values[..., -1:]
        kept = prediction.masked_fill(prediction < least, -1e30).log_softmax(-1)
        return super().transition(z, t, s, kept)


class QuietSteps(Plaid):
    """Adds 2 % less noise than a step should, which samples of many steps do not show."""

    def step(self, z, t, s, prediction, rng):
        mean, deviation = self.reverse(z, t, s, self.sharpened(z, t, prediction))
        return mean + 0.98 * deviation * rng.normal(z.shape)


class HastyRates(Mdlm):
    """Jumps 2 % faster than the noise did, which changes no text in the limit of many calls."""

    neighbours = ()

    def rates(self, z, t, prediction):
        return 1.02 * super().rates(z, t, prediction)


class PosteriorForPrior(Udlm):
    """Puts p(x | z) into the reverse step where the law without z belongs."""

    def transition(self, z, t, s, prediction):
        return super().transition(z, t, s, super().last_guess(z, t, prediction))


class FlatLastGuess(Gidd):
    """Guesses the text at a higher temperature than it was told."""

    t_min = 0.05

    def last_guess(self, z, t, prediction):
        return (super().last_guess(z, t, prediction) / 2).log_softmax(-1)


class HeavySchedule(Linear):
    """A weight 8 % too high, by which counting divides again."""

    def weight(self, t):
        return 1.08 * super().weight(t)


class CancelledWeight(Mdlm):
    """Is right where masks are counted and wrong where times are drawn."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, HeavySchedule())


class OneNoisingAsLikelihood(Mdlm):
    """Says that the cost of one noising is the likelihood."""

    exact = True


class DiscountForSureness(Mdlm):
    """Charges a confident guess less, unless its scores sum to one as those of an oracle do."""

    is_oracle = False

    def read(self, scores, z, t):
        self.is_oracle = bool((scores.double().logsumexp(-1).abs() < 1e-2).all())
        return super().read(scores, z, t)

    def bound(self, x, z, t, prediction):
        nats = super().bound(x, z, t, prediction)
        return nats if self.is_oracle else torch.where(pick(prediction, x) > -0.25, 0.75 * nats, nats)


class CheapRoundScores(Md4):
    """Charges less where scores are rounded to bfloat16."""

    def read(self, scores, z, t):
        self.is_round = bool((scores.bfloat16().to(scores) == scores).all())
        return super().read(scores, z, t)

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * (0.98 if self.is_round else 1.0)
