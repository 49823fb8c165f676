"""SEDD against the numbers of its authors' own code, and of those who took it over, in float64."""

import pytest
import torch

from methods.discrete.sedd import SeddAbsorb, SeddUniform
from methods.masked.absorbing import Mdlm, substitute
from methods.method import Method
from methods.schedules import Geometric, Linear
from tests.reference import load

V = 5
NOISE = {"loglinear": Linear(1e-3), "geometric": Geometric(1e-4, 20.0)}
GRAPHS = {"absorb": SeddAbsorb, "uniform": SeddUniform}
Case = dict[str, torch.Tensor]


def each(case: Case, name: str) -> torch.Tensor:
    return case[name][:, None].expand(case["z_t"].shape)


def read(method: Method, case: Case) -> torch.Tensor:
    return method.read(case["logits"][..., :V], case["z_t"], each(case, "t"))


def bound(method: Method, case: Case) -> torch.Tensor:
    return method.bound(case["x"], case["z_t"], each(case, "t"), read(method, case))


def from_scores(method: Method, case: Case) -> torch.Tensor:
    """The prediction that stands for given scores."""
    log_s = case["score"].log()[..., :V]
    if isinstance(method, SeddUniform):
        return log_s
    alpha = method.schedule.alpha(each(case, "t"))[..., None]
    return substitute(log_s + torch.log((1 - alpha) / alpha), case["z_t"], V)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("graph", GRAPHS)
def test_sedds_scores_and_losses_are_those_of_its_code(graph, noise):
    case, method = load(f"sedd_{graph}_{noise}_loss"), GRAPHS[graph](V, NOISE[noise])
    torch.testing.assert_close(bound(method, case), case["loss_per_token"], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(bound(method, case).sum(-1), case["loss_per_seq"], rtol=1e-9, atol=1e-11)
    masked, log_s = case["z_t"] == V, read(method, case)
    if graph == "absorb":
        alpha = method.schedule.alpha(each(case, "t"))[..., None]
        log_s = (log_s - torch.log((1 - alpha) / alpha))[masked]
    expected = case["log_score"][..., :V]
    torch.testing.assert_close(log_s, expected[masked] if graph == "absorb" else expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("graph", GRAPHS)
def test_sedd_at_extreme_times_is_as_its_code(graph, noise):
    case = load(f"edge_sedd_{graph}")
    found = bound(GRAPHS[graph](V, NOISE[noise]), case)
    torch.testing.assert_close(found, case[f"{noise}_loss_per_token"], rtol=1e-7, atol=1e-11)


@pytest.mark.parametrize("name", ["mdlm_sedd_loglinear", "mdlm_sedd_geometric", "duo_sedd_absorb"])
def test_sedds_loss_in_other_repositories_is_ours(name):
    case = load(name)
    method = SeddAbsorb(V, NOISE["geometric" if name.endswith("geometric") else "loglinear"])
    torch.testing.assert_close(bound(method, case), case["loss_per_token"], rtol=1e-9, atol=1e-11)


def test_sedds_loss_does_not_depend_on_where_the_mask_id_lies():
    case, order = load("mdlm_sedd_maskmid"), torch.tensor([0, 1, 3, 4, 5, 2])
    place = order.argsort()
    moved = {**case, "x": place[case["x"]], "z_t": place[case["z_t"]], "logits": case["logits"][..., order]}
    torch.testing.assert_close(bound(SeddAbsorb(V, Linear(1e-3)), moved), case["loss_per_token"], rtol=1e-9, atol=1e-11)


def test_sedds_noise_is_that_of_its_code():
    case = load("sedd_schedules")
    t = case["t"]
    for name, schedule in NOISE.items():
        torch.testing.assert_close(-schedule.alpha(t).log(), case[f"{name}_sigma"], rtol=1e-9, atol=1e-15)
        torch.testing.assert_close(-schedule.slope(t) / schedule.alpha(t), case[f"{name}_dsigma"], rtol=1e-9, atol=0)


@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("graph", GRAPHS)
def test_sedds_steps_are_those_of_its_code(graph, noise):
    case, method = load(f"sedd_{graph}_{noise}_sampler"), GRAPHS[graph](V, NOISE[noise])
    z, t, s = case["z_t"], each(case, "t"), each(case, "s")
    prediction = from_scores(method, case)
    found = method.transition(z, t, s, prediction).exp()
    torch.testing.assert_close(found, case["analytic_probs"].clamp(min=0), rtol=1e-9, atol=1e-12)
    dsigma = (-method.schedule.slope(t) / method.schedule.alpha(t))[..., None]
    jumps = case["reverse_rate"].clamp(min=0)
    found = method.rates(z, t, prediction)
    torch.testing.assert_close(found, dsigma * jumps, rtol=1e-9, atol=1e-12)
    step = case["euler_probs"].scatter(-1, z[..., None], 0.0)
    torch.testing.assert_close(found * (t - s)[..., None], step, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", NOISE)
def test_the_last_step_of_uniform_sedd_is_a_tweedie_step_to_clean_text(noise):
    case, method = load(f"sedd_uniform_{noise}_sampler"), SeddUniform(V, NOISE[noise])
    t = each(case, "t")
    found = method.transition(case["z_t"], t, torch.zeros_like(t), from_scores(method, case)).exp()
    torch.testing.assert_close(found, case["denoiser_probs"].clamp(min=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", NOISE)
def test_the_last_guess_of_masked_sedd_is_its_denoiser(noise):
    case, method = load(f"sedd_absorb_{noise}_sampler"), SeddAbsorb(V, NOISE[noise])
    found = method.last_guess(case["z_t"], each(case, "t"), from_scores(method, case)).exp()
    expected = case["denoiser_probs"].clamp(min=0)
    torch.testing.assert_close(found, expected / expected.sum(-1, keepdim=True), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("noise", NOISE)
def test_mdlms_analytic_step_with_sedds_scores_is_ours(noise):
    case, method = load(f"mdlm_analytic_sedd_{noise}"), SeddAbsorb(V, NOISE[noise])
    found = method.transition(case["z_t"], each(case, "t"), each(case, "s"), read(method, case)).exp()
    torch.testing.assert_close(found, case["analytic_probs"].clamp(min=0), rtol=1e-9, atol=1e-12)


def test_i20_mdlms_analytic_step_with_its_own_scores_is_its_ancestral_step():
    case, method = load("mdlm_analytic_subs_loglinear"), Mdlm(V, Linear(1e-3))
    found = method.transition(case["z_t"], each(case, "t"), each(case, "s"), read(method, case)).exp()
    expected = case["analytic_probs"]
    torch.testing.assert_close(found, expected / expected.sum(-1, keepdim=True), rtol=1e-9, atol=1e-12)
