"""MDLM and MD4 against the numbers of their authors' own code, in float64."""

import pytest
import torch

from methods.masked.absorbing import Md4, Mdlm
from methods.method import Method
from methods.schedules import Cosine, Geometric, Linear, LinearSigma, MdlmCosine, MdlmCosineSquared, Polynomial
from tests.methods.test_schedules import Shifted
from tests.reference import load

V = 5
SUBS = {
    "loglinear": Linear(),
    "cosine": MdlmCosine(1e-3),
    "cosinesqr": MdlmCosineSquared(1e-3),
    "linear": LinearSigma(1e-3, 7.0),
    "geometric": Geometric(1e-4, 20.0),
}
MD4 = {"linear": Linear(), "cosine": Cosine(), "poly2": Polynomial(2.0)}


def scores(method: Method, logits: torch.Tensor) -> torch.Tensor:
    """The logits for the tokens alone, or with that of the mask where the method reads it."""
    return logits[..., : V + method.needs.extra_scores]


def bound(method: Method, case: dict[str, torch.Tensor], t: torch.Tensor) -> torch.Tensor:
    """The method's bound for the inputs of a case, nats [B, L]."""
    z, each = case["z_t"], t[:, None].expand(case["z_t"].shape)
    return method.bound(case["x"], z, each, method.read(scores(method, case["logits"]), z, each))


@pytest.mark.parametrize("name", SUBS)
def test_mdlms_loss_is_that_of_its_code(name):
    case = load(f"mdlm_subs_cont_{name}")
    found = bound(Mdlm(V, SUBS[name]), case, case["t"])
    torch.testing.assert_close(found, case["loss_per_token"], rtol=1e-9, atol=1e-12)
    assert (found[case["z_t"] != V] == 0).all()


@pytest.mark.parametrize("name", SUBS)
def test_mdlms_reading_of_scores_is_that_of_its_code(name):
    case = load(f"mdlm_subs_cont_{name}")
    z = case["z_t"]
    found = Mdlm(V).read(scores(Mdlm(V), case["logits"]), z, z.double())
    theirs = case["log_x_theta"][..., :V]
    torch.testing.assert_close(found.exp(), theirs.exp(), rtol=1e-9, atol=1e-12)  # their -1e6 is our -inf


def test_mdlms_loss_does_not_depend_on_where_the_mask_id_lies():
    """Their case has the mask at id 2; moved to the end it is ours."""
    case = load("mdlm_subs_maskmid")
    order = torch.tensor([0, 1, 3, 4, 5, 2])
    place = order.argsort()
    moved = {"x": place[case["x"]], "z_t": place[case["z_t"]], "logits": case["logits"][..., order]}
    torch.testing.assert_close(bound(Mdlm(V), moved, case["t"]), case["loss_per_token"], rtol=1e-9, atol=1e-12)


def test_mdlms_discrete_loss_is_that_of_its_code():
    case = load("mdlm_subs_T1000")
    found = bound(Mdlm(V, steps=1000), case, case["t_discrete"])
    torch.testing.assert_close(found, case["loss_per_token"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "zero_masking"), [("mdlm_d3pm_T1000", False), ("mdlm_d3pm_T1000_subsmask", True)])
def test_mdlms_ablation_has_the_diffusion_loss_of_its_code(name, zero_masking):
    case = load(name)
    method = Mdlm(V, carry_over=False, zero_masking=zero_masking, steps=1000)
    found = bound(method, case, case["t_discrete"])
    torch.testing.assert_close(found, case["diffusion_loss"], rtol=1e-9, atol=1e-9)


def test_mdlms_ablation_has_to_copy_what_it_sees():
    """Their reconstruction is the cross-entropy of the clean text at t = 0: our last guess there."""
    case = load("mdlm_d3pm_T1000_subsmask")
    method = Mdlm(V, carry_over=False, steps=1000)
    x = case["x"]
    zero = torch.zeros(x.shape, dtype=torch.float64)
    guess = method.last_guess(x, zero, method.read(scores(method, case["logits_t0"]), x, zero))
    found = -guess.gather(-1, x[..., None]).squeeze(-1)
    torch.testing.assert_close(found, case["recon_loss"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MD4)
def test_md4s_losses_are_those_of_its_code(name):
    case = load(f"md4_loss_{name}")
    continuous, discrete = Md4(V, Shifted(MD4[name])), Md4(V, Shifted(MD4[name]), steps=1000)
    found = bound(continuous, case, case["t"]).sum(-1)
    torch.testing.assert_close(found, case["loss_diff_cont"], rtol=1e-9, atol=0)
    found = bound(discrete, case, case["t_discrete"]).sum(-1)
    torch.testing.assert_close(found, case["loss_diff_disc"], rtol=1e-9, atol=0)


def test_mdlm_at_extreme_times_is_as_its_code():
    case = load("edge_mdlm")
    found = bound(Mdlm(V), case, case["t"])
    torch.testing.assert_close(found, case["subs_loglinear_loss"], rtol=1e-7, atol=1e-12)
    clear = case["t"] > 1e-3  # nearer to 0 their cosine sigma has lost its digits
    found = bound(Mdlm(V, MdlmCosine(1e-3)), case, case["t"])
    torch.testing.assert_close(found[clear], case["subs_cosine_loss"][clear], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", MD4)
def test_md4_at_extreme_times_is_as_its_code(name):
    case = load("edge_md4")
    found = bound(Md4(V, Shifted(MD4[name])), case, case["t"]).sum(-1)
    torch.testing.assert_close(found, case[f"{name}_loss_diff"], rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
def test_mdlms_step_is_that_of_its_code(name):
    case = load(f"mdlm_ddpm_{name}")
    method = Mdlm(V, SUBS[name])  # for log-linear noise their epsilon cancels
    z = case["z_t"]
    t, s = (case[time][:, None].expand(z.shape) for time in ("t", "s"))
    found = method.transition(z, t, s, method.read(scores(method, case["logits"]), z, t)).exp()
    torch.testing.assert_close(found, case["p_zs"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("step", [0, 8, 15])
@pytest.mark.parametrize("grid", ["uniform", "cosine"])
@pytest.mark.parametrize("name", MD4)
def test_md4s_step_is_that_of_its_code(name, grid, step):
    case = load(f"md4_ancestral_{name}")
    method = Md4(V, Shifted(MD4[name]))
    z, masked = case["z_t"], case["z_t"] == V
    s, t = (time.expand(z.shape) for time in case[f"{grid}_{step}_s_t_alphas"][:2])
    found = method.transition(z, t, s, method.read(case["logits"], z, t)).exp()
    torch.testing.assert_close(found[masked], case[f"{grid}_{step}_probs"][masked], rtol=1e-9, atol=1e-12)
    assert (found[~masked].argmax(-1) == z[~masked]).all()


def test_mdlms_cached_step_has_the_same_law():
    """Their cache uses t itself as the chance of a mask; the weights it draws from are those of the plain step."""
    case = load("mdlm_ddpm_cache")
    z = case["z_t"]
    t, s = (case[time][:, None].expand(z.shape) for time in ("t", "s"))
    found = Mdlm(V).transition(z, t, s, Mdlm(V).read(scores(Mdlm(V), case["logits"]), z, t)).exp()
    torch.testing.assert_close(found, case["p_zs"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MD4)
def test_md4s_discrete_loss_at_the_end_of_time_is_that_of_its_code(name):
    """Only where s > 0: their first step stops short of alpha = 1 and pays the rest as a reconstruction."""
    case = load("edge_md4")
    last = case["t"] > 0.99
    found = bound(Md4(V, Shifted(MD4[name]), steps=100), case, torch.ones(3, dtype=torch.float64)).sum(-1)
    torch.testing.assert_close(found[last], case[f"{name}_loss_disc_T100"][last], rtol=1e-7, atol=0)
