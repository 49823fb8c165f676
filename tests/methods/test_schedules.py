"""Schedules: calculus, ends, and the authors' own numbers."""

from dataclasses import dataclass

import pytest
import torch

from methods.schedules import (
    SCHEDULES,
    Cosine,
    Geometric,
    Linear,
    LinearSigma,
    MdlmCosine,
    MdlmCosineSquared,
    Polynomial,
    Schedule,
)
from tests.reference import load

EVERY = [*(kind() for kind in SCHEDULES.values()), Polynomial(0.5), Polynomial(3.0), MdlmCosine(0.0)]
T = torch.linspace(0.02, 0.98, 49, dtype=torch.float64)


@dataclass(frozen=True)
class Shifted(Schedule):
    """MD4's convention: alpha = (1 - 2 eps) alpha_base + eps, so that neither end is reached."""

    base: Schedule
    eps: float = 1e-4

    def alpha(self, t):
        return (1 - 2 * self.eps) * self.base.alpha(t) + self.eps

    def slope(self, t):
        return (1 - 2 * self.eps) * self.base.slope(t)

    def inverse(self, alpha):
        return self.base.inverse((alpha - self.eps) / (1 - 2 * self.eps))


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_the_slope_is_the_derivative_of_alpha(schedule):
    t = T.clone().requires_grad_()
    (slope,) = torch.autograd.grad(schedule.alpha(t).sum(), t)
    torch.testing.assert_close(schedule.slope(T), slope, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_the_weight_is_the_share_of_the_masked_that_is_revealed(schedule):
    expected = -schedule.slope(T) / (1 - schedule.alpha(T))
    torch.testing.assert_close(schedule.weight(T), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_the_inverse_undoes_alpha(schedule):
    torch.testing.assert_close(schedule.inverse(schedule.alpha(T)), T, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("schedule", EVERY, ids=repr)
def test_the_signal_falls(schedule):
    assert (schedule.alpha(T).diff() < 0).all()
    assert (schedule.slope(T) < 0).all()


def test_only_those_that_run_from_one_to_zero_say_so():
    reaching = {name for name, kind in SCHEDULES.items() if kind().reaches_both_ends}
    assert reaching == {"linear", "cosine", "polynomial"}
    assert MdlmCosine(0.0).reaches_both_ends


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("cosine", MdlmCosine(1e-3)),
        ("cosinesqr", MdlmCosineSquared(1e-3)),
        ("linear", LinearSigma(1e-3, 7.0)),
        ("geometric", Geometric(1e-4, 20.0)),
    ],
)
def test_mdlms_schedules_are_those_of_its_code(name, schedule):
    case = load("mdlm_schedules")
    t, sigma, rate = case["t"], case[f"{name}_sigma"], case[f"{name}_dsigma"]
    alpha = torch.exp(-sigma)
    torch.testing.assert_close(schedule.alpha(t), alpha, rtol=1e-9, atol=0)
    inside = (t > 0) & (t < 1)
    torch.testing.assert_close(schedule.slope(t)[inside], (-alpha * rate)[inside], rtol=1e-9, atol=1e-12)
    clear = (t > 0.01) & (t < 1)  # nearer to 0 their sigma, -log(1 - tiny), has lost digits
    torch.testing.assert_close(schedule.weight(t)[clear], (rate / torch.expm1(sigma))[clear], rtol=1e-9, atol=0)


def test_mdlms_loglinear_has_the_weight_of_our_linear_at_every_epsilon():
    case = load("mdlm_schedules")
    t = case["t"]
    inside = t > 0
    weight = case["loglinear_dsigma"] / torch.expm1(case["loglinear_sigma"])
    torch.testing.assert_close(Linear().weight(t)[inside], weight[inside], rtol=1e-9, atol=0)


@pytest.mark.parametrize(("name", "base"), [("linear", Linear()), ("cosine", Cosine()), ("poly2", Polynomial(2.0))])
def test_md4s_schedules_are_those_of_its_code(name, base):
    case = load("md4_schedules")
    t, schedule = case["t"], Shifted(base)
    alpha = schedule.alpha(t)
    torch.testing.assert_close(alpha, case[f"{name}_alpha"], rtol=1e-9, atol=0)
    torch.testing.assert_close(schedule.slope(t), case[f"{name}_dalpha"], rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(-schedule.weight(t), case[f"{name}_dgamma_times_alpha"], rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(torch.log(alpha / (1 - alpha)), case[f"{name}_logsnr"], rtol=1e-9, atol=1e-9)
