"""Mistakes of a first-time author are met with what came back and the way out; right methods pass."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.certify.check import Case
from bench.certify.checks import CHECKS, certify
from methods import METHODS
from methods.autoregressive import Autoregressive
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Mdlm
from methods.method import Method, Needs, pick

OPTIONS = {
    "mdlm": ({"carry_over": False}, {"zero_masking": False}, {"steps": 7}),
    "plaid": ({"self_conditioning": False}, {"reparameterise": False}),
    "d3pm-absorb": ({"steps": 3},),
}
CASES = [Case(name, options) for name in METHODS for options in ({}, *OPTIONS.get(name, ()))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.options}")
def test_registered_methods_keep_the_contract(case):
    (check,) = certify(case, ("contract",))
    assert (check.name, check.passed) == ("contract", True)


class Aware(Udlm):
    """Asks in every verb where it stands, which changes nothing."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size)
        self.needs = Needs(time=True, positions=True)

    def mix(self, t):
        assert (self.positions < self.sequence_length).all()
        return super().mix(t)


def test_verbs_that_know_positions_keep_the_contract(monkeypatch):
    monkeypatch.setitem(METHODS, "aware", Aware)
    (check,) = certify(Case("aware", {}), ("contract",))
    assert check.passed, check.figure


class Summed(Mdlm):
    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction).sum(-1)


class Single(Mdlm):
    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction).float()


class Negative(Mdlm):
    def bound(self, x, z, t, prediction):
        return -super().bound(x, z, t, prediction)


class Infinite(Mdlm):
    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) / 0


class Averaging(Mdlm):
    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) * t.view(len(x), -1).mean(1)[:, None]


class PerSequence(Mdlm):
    def corrupt(self, x, t, rng):
        return torch.where(rng.uniform(x.shape) < self.schedule.alpha(t), x, self.mask)


class Overwriting(Mdlm):
    def corrupt(self, x, t, rng):
        x[rng.uniform(x.shape) > 0.5] = 0
        return super().corrupt(x, t, rng)


class NextMask(Mdlm):
    def corrupt(self, x, t, rng):
        return torch.where(rng.uniform(x.shape) < 0.5, x, self.mask + 1)


class UndeclaredMask(Mdlm):
    def __init__(self, vocab_size: int):
        super().__init__(vocab_size)
        self.needs = Needs()


class FloatIds(Udlm):
    def corrupt(self, x, t, rng):
        return super().corrupt(x, t, rng).double()


class Softmax(Udlm):
    def read(self, scores, z, t):
        return scores.softmax(-1)


class ProbableNoise(Mdlm):
    def log_noise(self, z, t):
        return super().log_noise(z, t).exp()


class NoiseOfStates(Udlm):
    def log_noise(self, z, t):
        return F.pad(super().log_noise(z, t), (0, 1), value=-30.0)


class WithoutStay(Mdlm):
    def transition(self, z, t, s, prediction):
        return super().transition(z, t, s, prediction)[..., : self.mask]


class ProbableStep(Udlm):
    def transition(self, z, t, s, prediction):
        return super().transition(z, t, s, prediction).exp()


class NegativeGap(Udlm):
    def prior_gap(self, x):
        return super().prior_gap(x) - 0.1


class ForgetsSize(Autoregressive):
    def __init__(self, vocab_size: int):
        super().__init__(vocab_size)
        del self.vocab_size


class CountsMask(Autoregressive):
    def __init__(self, vocab_size: int):
        super().__init__(vocab_size + 1)


class ForgetsModule(Autoregressive):
    def __init__(self, vocab_size: int):
        self.vocab_size = vocab_size


class ForgetsModuleOfParameter(Autoregressive):
    def __init__(self, vocab_size: int):
        self.scale = nn.Parameter(torch.ones(()))


class WithoutPrior(Udlm):
    prior = Method.prior


class WithoutSteps(Udlm):
    transition, step, flow = Method.transition, Method.step, Method.flow


class WithoutNoise(Udlm):
    log_noise = Method.log_noise

    def last_guess(self, z, t, prediction):
        return prediction


class NoTensor(Mdlm):
    def scored(self, z):
        return "masked"


class Unscored(Mdlm):
    def scored(self, z):
        return super().scored(z).long()


class Reweighted(Udlm):
    def objective(self, x, z, t, prediction):
        return super().objective(x, z, t, prediction).mean()


class Swapped(Udlm):
    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t[:, None], prediction)


class Lists(Autoregressive):
    def addends(self, x, z, t, prediction):
        return [pick(prediction, x)]


WRONG = {  # the class: the verb at fault, what came back, and a part of the way out
    Summed: ("bound", "float64 [16], 0", "one number per position"),
    Single: ("bound", "expected float64", ".double()"),
    Negative: ("bound", "mean -", "return -log p"),
    Infinite: ("bound", "not finite", "keep zeros out"),
    Averaging: ("bound", "[96, 96], 0 to ", "one number per position"),
    PerSequence: ("corrupt", "RuntimeError: The size of tensor", "t[:, None]"),
    Overwriting: ("corrupt", "x was changed in place", "clone"),
    NextMask: ("corrupt", "0 to 6, for V = 5 and 1 extra tokens", "a mask has id V"),
    UndeclaredMask: ("corrupt", "0 to 5, for V = 5 and 0 extra tokens", "Needs(extra_tokens=1)"),
    FloatIds: ("corrupt", "float64 [16, 6], 0 to 4, expected int64", "int64"),
    Softmax: ("read", "float32 [16, 6, 5], 0.", "return their logarithms"),
    ProbableNoise: ("log_noise", "float64 [16, 6, 5], 0 to ", "return their logarithms"),
    NoiseOfStates: ("log_noise", "[16, 6, 6]", "for each of the V tokens"),
    WithoutStay: ("transition", "[16, 6, 5]", "the mask included"),
    ProbableStep: ("transition", "float64 [16, 6, 5], 0.", "return their logarithms"),
    NegativeGap: ("prior_gap", "-0.1 to -0.1, expected at least 0", "wrong sign"),
    ForgetsSize: ("__init__", "vocab_size is not set", "self.vocab_size = vocab_size"),
    CountsMask: ("__init__", "vocab_size is 6, built for 5", "a mask is no token"),
    ForgetsModule: ("__init__", "nn.Module is not initialised", "super().__init__()"),
    ForgetsModuleOfParameter: ("__init__", "AttributeError: cannot assign", "super().__init__()"),
    WithoutPrior: ("prior", "TypeError: WithoutPrior has no `prior`", "define prior"),
    WithoutSteps: ("step", "no transition, step or flow", "define one of them"),
    WithoutNoise: ("log_noise", "TypeError: WithoutNoise has no `log_noise`", "define log_noise"),
    NoTensor: ("scored", "'masked'", "return a tensor"),
    Unscored: ("scored", "int64 [16, 6], 0 to 1, expected bool", "a bool for each position"),
    Reweighted: ("objective", "float64 [], ", "one number per position"),
    Swapped: ("bound", "float64 [16, 16, 6], ", "in the shape of x, which is that of t"),
    Lists: ("addends", "[tensor(", "a dict of tensors"),
}


@pytest.mark.parametrize(("mistake", "expected"), WRONG.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_mistake_is_named_with_what_came_back_and_the_way_out(mistake, expected, monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", mistake)
    checks = {check.name: check for check in certify(Case("wrong", {}), ("contract",))}
    verb, returned, way_out = expected
    check = checks[f"contract: {verb}"]
    assert not check.passed
    assert returned in check.figure
    assert way_out in check.meaning
    assert all(name in (f"contract: {verb}", "contract: step", "contract: last_guess") for name in checks)


def test_the_contract_comes_first_and_the_other_checks_still_run(monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", Single)
    assert next(iter(CHECKS)) == "contract"
    names = [check.name for check in certify(Case("wrong", {}), ("contract", "identities", "probes"))]
    assert names[0] == "contract: bound"
    assert "probe: units" in names
