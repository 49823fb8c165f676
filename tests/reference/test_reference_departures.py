"""Public code that is no target: it departs from its paper, by what is known, or repeats the code of others.

Letters D are those of the table in reference/README.md.
"""

import pytest
import torch
from torch import Tensor

from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.method import Method
from methods.schedules import Cosine, Geometric, Linear, Schedule
from tests.methods.test_schedules import Shifted
from tests.reference import load
from tests.reference.test_reference_duo import Noted
from tests.reference.test_reference_mixing import V, each

Case = dict[str, Tensor]


def bound(method: Method, case: Case, t: Tensor | None = None) -> Tensor:
    """The method's bound for the inputs of a case, nats [B, L]."""
    at = each(case, "t") if t is None else t
    scores = case["logits"][..., : V + method.needs.extra_scores]
    return method.bound(case["x"], case["z_t"], at, method.read(scores, case["z_t"], at))


@pytest.mark.parametrize("name", ["loglinear", "linear", "cosine"])
def test_d1_unid2s_mdlm_leaves_mass_on_the_mask_and_pays_for_it(name):
    """At masks a score of 0 for the mask comes back into the softmax."""
    case = load(f"unid2_mdlm_{name}")
    method = Mdlm(V, Noted(tuple(case["alpha"].tolist()), tuple(case["alpha_prime"].tolist())))
    ours, masked = bound(method, case), case["z_t"] == V
    logits = case["logits"][..., :V]
    extra = torch.log1p(torch.exp(-logits.logsumexp(-1))) * method.schedule.weight(each(case, "t"))
    torch.testing.assert_close((ours + extra)[masked], case["loss_per_token"][masked], rtol=1e-9, atol=1e-11)
    assert float((case["loss_per_token"] - ours)[masked].max()) > 0.5


def test_d2_duos_d3pm_divides_by_a_scaled_time():
    """Where no mass is left on the mask its alpha(s) drops out."""
    case = load("duo_d3pm_absorb_subsmask")
    t = each(case, "t")
    ours = bound(Mdlm(V, carry_over=False, steps=1000), case, (t * 1000).floor() / 1000 + 1 / 1000)
    torch.testing.assert_close(case["diffusion_loss"], ours / (1 - 1e-3), rtol=1e-9, atol=1e-12)


def test_d2_duos_d3pm_with_mass_on_the_mask_takes_t_minus_dt_for_the_signal():
    case = load("duo_d3pm_absorb")
    t, masked = each(case, "t"), case["z_t"] == V
    ours = bound(Mdlm(V, carry_over=False, zero_masking=False, steps=1000), case, (t * 1000).floor() / 1000 + 1 / 1000)
    assert (ours[masked] > 0).all()
    assert float(case["diffusion_loss"][masked].min()) < 0  # no divergence is


def test_d3_and_d9_the_schedules_of_unid2_are_ours_with_its_epsilons():
    case = load("unid2_schedules")
    t = case["t"]
    known: dict[str, Schedule] = {
        "loglinear": Linear(1e-3),
        "linear": Shifted(Linear()),
        "cosine": Shifted(Cosine()),
        "geometric": Geometric(1e-4, 20.0),
    }
    for name, schedule in known.items():
        torch.testing.assert_close(schedule.alpha(t), case[f"{name}_alpha"], rtol=1e-9, atol=1e-15)
        torch.testing.assert_close(schedule.slope(t), case[f"{name}_alpha_prime"], rtol=1e-9, atol=1e-12)


def test_d5_unid2s_udlm_takes_another_alpha_in_its_loss_than_in_its_noise():
    case = load("unid2_udlm")
    torch.testing.assert_close(bound(Udlm(V, Linear()), case), case["loss_per_token"], rtol=1e-9, atol=1e-12)
    assert float((bound(Udlm(V, Linear(1e-3)), case) - case["loss_per_token"]).abs().max()) > 5e-3
    noise, t = Udlm(V, Linear(1e-3)), each(case, "t")
    prediction = noise.read(case["logits"], case["z_t"], t)
    for s, name in ((each(case, "s"), "p_zs"), (torch.zeros_like(t), "p_final")):
        found = noise.transition(case["z_t"], t, s, prediction).exp()
        torch.testing.assert_close(found, case[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["loglinear", "geometric"])
def test_unid2s_sedd_repeats_sedds_own_loss(name):
    case, schedule = load(f"unid2_sedd_{name}"), {"loglinear": Linear(1e-3), "geometric": Geometric(1e-4, 20.0)}[name]
    torch.testing.assert_close(bound(SeddAbsorb(V, schedule), case), case["loss_per_token"], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2])
def test_unid2s_gidd_repeats_gidds_own_losses(share):
    case, own = load(f"unid2_gidd_pu{share}"), load(f"gidd_loss_pu{share}_g1.0")
    for name in ("none", "clip", "dynamic"):
        torch.testing.assert_close(case[f"loss_{name}"], own[f"loss_{name}"], rtol=1e-9, atol=1e-15)
    if share > 0:
        torch.testing.assert_close(bound(Gidd(V, share), case), case["loss_none"], rtol=1e-9, atol=1e-12)


def test_d10_mdlms_change_of_variables_forgets_the_signal_that_is_left_at_the_end():
    """The exact weight is the rise of log(1 - alpha), from sigma_min to sigma_max; theirs stops at sigma_min."""
    case = load("mdlm_subs_importance_cov")
    masked = case["z_t"] == V
    cost = bound(Mdlm(V), case) * each(case, "t")
    start, end = (torch.log(-torch.expm1(-case[f"sigma_{end}"])) for end in ("min", "max"))
    for name in ("importance", "cov"):
        torch.testing.assert_close(case[f"loss_{name}"], -start * cost, rtol=1e-9, atol=1e-12)
        found, rise = (case[f"loss_{name}"] / cost)[masked], end - start
        torch.testing.assert_close(found - rise, -end.expand_as(found), rtol=1e-6, atol=0)


@pytest.mark.parametrize("step", [0, 8, 15])
@pytest.mark.parametrize("share", [0.98, 0.8, 0.5])
def test_md4s_step_from_scores_that_were_cut_off_is_ours(share, step):
    """Its sampler keeps the likeliest tokens that hold a share of the mass; then it steps as ever (in float32)."""
    case = load("md4_topp")
    z, masked = case["z_t"], case["z_t"] == V
    s, t = (time.expand(z.shape) for time in load("md4_ancestral_linear")[f"cosine_{step}_s_t_alphas"][:2])
    kept, method = case[f"topp{share}_masked_logits"].double(), Md4(V, Shifted(Linear()))
    found, expected = method.transition(z, t, s, method.read(kept, z, t)).exp(), case[f"topp{share}_i{step}_probs"]
    torch.testing.assert_close(found[masked], expected[masked].double(), rtol=1e-5, atol=1e-6)
    dropped = kept < -1e6
    mass = case["logits"].softmax(-1)
    assert (mass.masked_fill(dropped, 0).sum(-1) >= share).all()
    smallest = mass.masked_fill(dropped, 1).amin(-1)
    assert (mass.masked_fill(dropped, 0).sum(-1) - smallest < share).all()
