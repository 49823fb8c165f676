"""Wrong methods whose bound is wrong at some time, position or token, whatever was computed before."""

import torch

from methods.autoregressive import Autoregressive
from methods.continuous.plaid import Plaid
from methods.discrete.d3pm import D3pmUniform
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.schedules import Cosine


class SlowRate(Gidd):
    """Lets the noise arrive 2 % too fast for its own alpha."""

    def rate(self, z, t):
        return 1.02 * super().rate(z, t)


class HeavySchedule(Cosine):
    """Weighs 7 % too much, which counting divides out."""

    def weight(self, t):
        return 1.07 * super().weight(t)


class HeavyWeight(Md4):
    """Is right if masks are counted, and wrong if times are drawn."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, HeavySchedule())


class RareForFree(Udlm):
    """Pays a tenth less for the last token of the vocabulary."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * torch.where(x == self.vocab_size - 1, 0.9, 1.0)


class WithoutConstant(SeddAbsorb):
    """Leaves out the constant of the score entropy."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) + (z == self.mask) * self.schedule.weight(t)


class WithoutExcess(Gidd):
    """Leaves out the Itakura-Saito term."""

    def mismatch(self, x, z, t, prediction):
        return self.divergence(x, t, prediction)


class MaskCounted(Udlm):
    """Counts a mask that there is not among the tokens."""

    def rate(self, z, t):
        return super().rate(z, t) * self.states / (self.states + 1)


class InBits(GenMd4):
    """Says bits where nats are asked for."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * 1.4426950408889634


class FreeFirstStep(D3pmUniform):
    """Does not pay for the step to s = 0."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * (t * self.steps > 1.5)


class LostLastStep(Gidd):
    """Pays nothing above t = 0.97."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * (t < 0.97)


class UnchangedForLess(Gidd):
    """Pays 0.95 where z is x."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * torch.where(z == x, 0.95, 1.0)


class OwnToken(Autoregressive):
    """Adds a hundredth to the score of the token that it has to predict."""

    def read(self, scores, z, t):
        return super().read(scores + 0.01 * torch.nn.functional.one_hot(z, self.vocab_size), z, t)


class LatePositions(Md4):
    """Scores 32 positions alone."""

    def scored(self, z):
        masked = super().scored(z)
        return masked & (torch.arange(z.shape[-1]) < 32) if z.dim() > 1 else masked


class CheapSum(SeddAbsorb):
    """Charges 2 % less for a sum that is not one, which an oracle never shows."""

    neighbours = ()

    def bound(self, x, z, t, prediction):
        excess = prediction.exp().sum(-1, dtype=torch.float64) - 1
        return super().bound(x, z, t, prediction) - 0.02 * (z == self.mask) * self.schedule.weight(t) * excess


class PowersOfTwo(Gidd):
    """Is right for the small vocabularies of a test, and 3 % too cheap for larger ones of a power of two."""

    neighbours = ()

    def bound(self, x, z, t, prediction):
        is_power = self.vocab_size >= 16 and self.vocab_size.bit_count() == 1
        return super().bound(x, z, t, prediction) * (0.97 if is_power else 1.0)


class BytesForIds(Udlm):
    """Keeps ids in a byte."""

    def bound(self, x, z, t, prediction):
        return super().bound(x.to(torch.uint8).to(x), z, t, prediction)


class BytesForVectors(Plaid):
    """Keeps ids in a byte, where embeddings are looked up."""

    def bound(self, x, z, t, prediction):
        return super().bound(x.to(torch.uint8).to(x), z, t, prediction)


class MillionsForFree(Mdlm):
    """Is wrong for more than a thousand tokens."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * (0.9 if self.vocab_size > 1000 else 1.0)
