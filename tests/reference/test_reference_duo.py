"""MDLM as the Duo repository has it, and what GIDD's public code makes of no uniform noise, in float64."""

import pytest
import torch

from methods.discrete.gidd import Gidd
from methods.masked.absorbing import Mdlm
from methods.schedules import Cosine, Linear
from tests.reference import load
from tests.reference.test_reference_mixing import Duo, Given, V, each

EPS = 1e-3  # of Duo's schedules
FLOOR = 1e-8  # GIDD's code puts a share of exp(-20) in the place of none


class Noted(Given):
    """The alpha and slope of a case, which say nothing about the ends of time."""

    reaches_both_ends = False


def guess(method: Mdlm, case: dict[str, torch.Tensor]) -> torch.Tensor:
    return method.read(case["logits"][..., :V], case["z_t"], each(case, "t"))


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
def test_duos_mdlm_has_our_loss(name):
    """At the alpha and the slope that its code used (that of its cosine lacks a factor 1 - eps)."""
    case = load(f"duo_mdlm_{name}")
    method = Mdlm(V, Noted(tuple(case["alpha"].tolist()), tuple(case["dalpha"].tolist())))
    found = method.bound(case["x"], case["z_t"], each(case, "t"), guess(method, case))
    torch.testing.assert_close(found, case["loss_per_token"], rtol=1e-9, atol=1e-12)
    counted = (found * case["attn"]).sum() / case["attn"].sum()
    torch.testing.assert_close(counted, case["loss_scalar"], rtol=1e-9, atol=0)


class Scaled(Duo):
    """Duo's schedules, as far as a step needs them."""

    reaches_both_ends = False


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
def test_duos_mdlm_has_our_step(name):
    case, method = load(f"duo_mdlm_sampler_{name}"), Mdlm(V, Scaled(name))
    t, s = each(case, "t"), each(case, "s")
    found = method.transition(case["z_t"], t, s, guess(method, case)).exp()
    torch.testing.assert_close(found, case["p_zs"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
def test_duos_mdlm_ends_with_our_last_guess(name):
    case, method = load(f"duo_mdlm_sampler_{name}"), Mdlm(V, Scaled(name))
    found = method.last_guess(case["z_t"], each(case, "t"), guess(method, case)).exp()
    torch.testing.assert_close(found, case["p_final"][..., :V], rtol=1e-9, atol=1e-12)
    assert float(case["p_final"][..., V].max()) == 0


def test_duos_loglinear_noise_is_our_linear():
    case, schedule = load("duo_schedules"), Linear(EPS)
    alpha = schedule.alpha(case["t"])
    torch.testing.assert_close(alpha, case["loglinear_alpha"], rtol=1e-9, atol=0)
    torch.testing.assert_close(schedule.slope(case["t"]), case["loglinear_dalpha"], rtol=1e-9, atol=0)
    torch.testing.assert_close(schedule.slope(case["t"]), case["loglinear_dalpha_fd"], rtol=1e-6, atol=0)  # differences
    theirs = case["loglinear_t_for_alpha"] / (1 - EPS)  # it inverts the scaled time
    torch.testing.assert_close(schedule.inverse(alpha), theirs, rtol=1e-9, atol=1e-12)


def test_duos_cosine_noise_is_our_cosine_up_to_a_scale_of_time():
    """Its slope lacks the scale: a difference of its alpha has it."""
    case, schedule = load("duo_schedules"), Cosine()
    scaled = (1 - EPS) * case["t"]
    torch.testing.assert_close(schedule.alpha(scaled), case["cosine_alpha"], rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(schedule.slope(scaled), case["cosine_dalpha"], rtol=1e-9, atol=1e-12)
    inside = (case["t"] > 0) & (case["t"] < 1)  # at an end their difference has one side
    difference = case["cosine_dalpha_fd"][inside]
    torch.testing.assert_close((1 - EPS) * schedule.slope(scaled)[inside], difference, rtol=1e-5, atol=0)
    assert float((case["cosine_dalpha"][inside] / difference - 1).abs().min()) > 0.9 * EPS
    torch.testing.assert_close(schedule.inverse(schedule.alpha(scaled)), case["cosine_t_for_alpha"], rtol=0, atol=1e-9)


def test_gidds_schedule_without_uniform_noise_is_masking_but_for_its_floor():
    case = load("gidd_schedule_pu0.0_g1.0")
    alpha, each_token, masked = Gidd(V, 0.0).mix(case["t"])
    assert float(each_token.abs().max()) == 0
    torch.testing.assert_close(alpha, case["alpha"][:, 0], rtol=0, atol=FLOOR)
    torch.testing.assert_close(masked, case["beta_pi"][:, V], rtol=0, atol=FLOOR)
    assert float(case["beta_pi"][:, :V].max()) < FLOOR
