"""Wrong methods, each wrong as a published harness was; the certificate has to reject them all."""

import torch

from methods.autoregressive import Autoregressive
from methods.discrete.d3pm import D3pmAbsorb
from methods.discrete.gidd import Gidd
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Absorbing, Mdlm
from methods.method import pick
from methods.schedules import Linear, MdlmCosine


class WithoutEnds(Gidd):
    """Forgets the last guess, as GIDD's public evaluation does."""

    @property
    def guesses_last(self) -> bool:
        return False


class Halved(Mdlm):
    """Averages over two draws where it should add them: every bound is half of what it is."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) / 2


class WrongMeaning(Udlm):
    """Puts the full posterior where the leave-one-out one belongs."""

    target = "posterior"


class TrainingLoss(Gidd):
    """Reports what it trains on."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, weighting="dynamic")

    def bound(self, x, z, t, prediction):
        return self.dynamic(x, z, t) * self.mismatch(x, z, t, prediction)


class WrongWeight(Mdlm):
    """Weighs by -alpha' / alpha in the place of -alpha' / (1 - alpha)."""

    def bound(self, x, z, t, prediction):
        return (
            super().bound(x, z, t, prediction) * (1 - self.schedule.alpha(t)) / self.schedule.alpha(t).clamp(min=1e-2)
        )


class ShiftedGrid(D3pmAbsorb):
    """Takes the cost of the step before: the grid is off by one."""

    def bound(self, x, z, t, prediction):
        s = (t - 1 / self.steps).clamp(min=0)
        return self.steps * self.step_cost(x, z, t, (s + t) / 2, prediction)


class WithoutPriorGap(Mdlm):
    """Claims that nothing is left of the text at t = 1, where a tenth is."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, MdlmCosine(0.1))

    def prior_gap(self, x):
        return torch.zeros(x.shape, dtype=torch.float64)


class Sharpened(Mdlm):
    """Draws at a temperature that is five percent too low; its bound is right."""

    def transition(self, z, t, s, prediction):
        return super().transition(z, t, s, (prediction * 1.05).log_softmax(-1))

    def last_guess(self, z, t, prediction):
        return (super().last_guess(z, t, prediction) * 1.05).log_softmax(-1)


class Peeking(Autoregressive):
    """Is shown the very token that it has to predict."""

    def feed(self, z, t):
        return z.roll(-1, 1)


class Dated(Mdlm):
    """Says that it is not told the time, and is."""

    def feed(self, z, t):
        return torch.where(t[:, None] < 0.3, z.flip(1), z)


class LeavesMasks(Mdlm):
    """May write a mask into a text."""

    def last_guess(self, z, t, prediction):
        return torch.nn.functional.pad(prediction, (0, 1), value=0.0)


class ClaimsToKnow(Absorbing):
    """Has itself scored at masked positions only, though its network guesses, and pays for, the visible ones too."""

    paper = "none"

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, Linear(), time=False, steps=None, carry_over=False, zero_masking=True)

    def scored(self, z):
        return z == self.mask

    def bound(self, x, z, t, prediction):
        return -pick(prediction, x) / t


class SinglePrecision(Mdlm):
    """Draws its steps by itself, by Gumbel numbers in float32, as public samplers do; its bound is right."""

    def transition(self, z, t, s, prediction):
        return None

    def step(self, z, t, s, prediction, rng):
        return gumbel(super().transition(z, t, s, prediction), rng)


def gumbel(log_p, rng):
    """argmax(log p + Gumbel) in float32, from uniform numbers of 24 bits as float32 generators give them."""
    u = ((rng.uniform(log_p.shape) * 2**24).floor() / 2**24).float()
    return (log_p.float() - (1e-10 - (u + 1e-10).log()).log()).argmax(-1)
