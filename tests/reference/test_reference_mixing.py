"""UDLM, GIDD and D3PM against the numbers of their authors' own code, in float64."""

from dataclasses import dataclass

import pytest
import torch

from methods.discrete.d3pm import D3pm, D3pmAbsorb, D3pmUniform
from methods.discrete.gidd import Gidd
from methods.discrete.uniform import Udlm
from methods.method import Method
from methods.schedules import Linear, Schedule
from tests.reference import load

V = 5
GIDD = [(0.0, 1.0), (0.1, 1.0), (0.1, 2.0), (0.2, 1.0)]
FLOOR = 1e-5  # the public code puts a share of exp(-20) in the place of none


@dataclass(frozen=True)
class Given(Schedule):
    """The alpha and slope that the public code used at the times of a case."""

    alphas: tuple[float, ...]
    slopes: tuple[float, ...] = ()

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.alphas, dtype=torch.float64)[:, None].expand(t.shape)

    def slope(self, t: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.slopes, dtype=torch.float64)[:, None].expand(t.shape)

    def inverse(self, alpha: torch.Tensor) -> torch.Tensor:
        raise AssertionError("not needed here")


@dataclass(frozen=True)
class Steps(Schedule):
    """A table of alpha on the grid 0, 1 / T, ..., 1."""

    table: tuple[float, ...]

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.table, dtype=torch.float64)[(t * (len(self.table) - 1)).round().long()]

    def slope(self, t: torch.Tensor) -> torch.Tensor:
        raise AssertionError("not needed here")

    inverse = slope


def prediction(method: Method, case: dict[str, torch.Tensor], t: torch.Tensor) -> torch.Tensor:
    logits = case["logits"][..., : V + method.needs.extra_scores]
    return method.read(logits, case["z_t"], t)


def each(case: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    return case[name][:, None].expand(case["z_t"].shape)


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
def test_udlms_loss_is_that_of_its_code(name):
    """At the alpha and the slope that their code used (that of its cosine lacks a factor 1 - eps)."""
    case = load(f"duo_udlm_{name}")
    schedule = Given(tuple(case["alpha"].tolist()), tuple(case["dalpha"].tolist()))
    t = each(case, "t")
    method = Udlm(V, schedule)
    found = method.bound(case["x"], case["z_t"], t, prediction(method, case, t))
    torch.testing.assert_close(found, case["loss_per_token"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
def test_udlm_at_extreme_times_is_as_its_code(name):
    case = load("edge_udlm")
    t = each(case, "t")
    method = Udlm(V, Given(tuple(case[f"{name}_alpha"].tolist()), tuple(case[f"{name}_dalpha"].tolist())))
    found = method.bound(case["x"], case["z_t"], t, prediction(method, case, t))
    torch.testing.assert_close(found, case[f"{name}_loss_per_token"], rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["loglinear", "cosine"])
def test_udlms_step_is_that_of_its_code(name):
    case = load(f"duo_udlm_sampler_{name}")
    t, s = each(case, "t"), each(case, "s")
    method = Udlm(V, Duo(name))
    p = prediction(method, case, t)
    torch.testing.assert_close(method.transition(case["z_t"], t, s, p).exp(), case["p_zs"], rtol=1e-9, atol=1e-12)
    known = torch.nn.functional.one_hot(case["x"], V).double().log()
    torch.testing.assert_close(
        method.transition(case["z_t"], t, s, known).exp(), case["q_post_true_x0"], rtol=1e-9, atol=1e-12
    )


@dataclass(frozen=True)
class Duo(Schedule):
    """Duo's schedules, with its epsilon of 1e-3 inside."""

    name: str

    def alpha(self, t: torch.Tensor) -> torch.Tensor:
        u = (1 - 1e-3) * t
        return 1 - u if self.name == "loglinear" else 1 - torch.cos(torch.pi / 2 * (1 - u))

    def slope(self, t: torch.Tensor) -> torch.Tensor:
        raise AssertionError("not needed here")

    inverse = slope


@pytest.mark.parametrize(("share", "gamma"), GIDD)
def test_gidds_bound_is_that_of_its_code(share, gamma):
    case = load(f"gidd_loss_pu{share}_g{gamma}")
    t, method = each(case, "t"), Gidd(V, share, gamma)
    p = prediction(method, case, t)
    possible = (case["z_t"] == V) | (case["z_t"] == case["x"]) | (share > 0)
    masked = case["z_t"] == V
    found = method.bound(case["x"], case["z_t"], t, p)
    exact = masked if share == 0 else possible
    tolerance = {"rtol": 1e-6, "atol": 1e-6} if share == 0 else {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(found[exact], case["elbo"][exact], **tolerance)
    torch.testing.assert_close(found[possible], case["elbo"][possible], rtol=1e-6, atol=FLOOR)


@pytest.mark.parametrize(("share", "gamma"), [each for each in GIDD if each[0] > 0])
def test_gidds_marginals_weights_and_training_losses_are_those_of_its_code(share, gamma):
    case = load(f"gidd_loss_pu{share}_g{gamma}")
    t, x, z = each(case, "t"), case["x"], case["z_t"]
    for weighting, name in (("bound", "none"), ("dynamic", "dynamic")):
        method = Gidd(V, share, gamma, weighting)
        p = prediction(method, case, t)
        torch.testing.assert_close(method.objective(x, z, t, p), case[f"loss_{name}"], rtol=1e-9, atol=1e-12)
    method = Gidd(V, share, gamma, "clip")
    p = prediction(method, case, t)
    torch.testing.assert_close(method.weight(x, z, t), case["elbo_weights"], rtol=1e-9, atol=0)
    torch.testing.assert_close(method.dynamic(x, z, t), case["weights_dynamic"], rtol=1e-9, atol=0)
    torch.testing.assert_close(method.marginal(p, t), case["p_t"], rtol=1e-9, atol=1e-15)
    expected = case["elbo_weights"].clamp(max=1.0) * case["elbo"] / case["elbo_weights"]  # their case clips at 2
    torch.testing.assert_close(method.objective(x, z, t, p), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("share", "gamma"), [each for each in GIDD if each[0] > 0])
def test_gidds_schedule_is_that_of_its_code(share, gamma):
    case = load(f"gidd_schedule_pu{share}_g{gamma}")
    alpha, each_token, masked = Gidd(V, share, gamma).mix(case["t"])
    noise = torch.cat([each_token[:, None].expand(-1, V), masked[:, None]], -1)
    torch.testing.assert_close(alpha, case["alpha"][:, 0], rtol=1e-9, atol=0)
    torch.testing.assert_close(noise, case["beta_pi"], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(("share", "gamma"), GIDD)
def test_gidds_step_is_that_of_its_code(share, gamma):
    case = load(f"gidd_sampler_pu{share}_g{gamma}")
    t, s, method = each(case, "t"), each(case, "s"), Gidd(V, share, gamma)
    found = method.transition(case["z_t"], t, s, prediction(method, case, t)).exp()
    possible = (case["z_t"] == V) | (share > 0)
    tolerance = {"rtol": 1e-5, "atol": 1e-7} if share == 0 else {"rtol": 1e-9, "atol": 1e-12}
    torch.testing.assert_close(found[possible], case["p_zs"][possible], **tolerance)


@pytest.mark.parametrize("share", [0.1, 0.2])
def test_gidd_at_extreme_times_is_as_its_code(share):
    case = load("edge_gidd")
    t = each(case, "t").clamp(1e-4, 1 - 1e-4)
    method = Gidd(V, share)
    found = method.bound(case["x"], case["z_t"], t, prediction(method, case, t))
    torch.testing.assert_close(found, case[f"pu{share}_loss_none"], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("kind", "name"), [(D3pmAbsorb, "absorb"), (D3pmUniform, "uniform")])
def test_d3pms_chain_is_that_of_exact_matrix_products(kind, name):
    case = load(f"derived_d3pm_{name}")
    method: D3pm = kind(V, Steps(tuple(case["alpha_bar"].tolist())), steps=20, hybrid=0.0)
    t = (case["t_idx"] / 20)[:, None].expand(case["z_t"].shape).double()
    s = t - 1 / 20
    suffix = "_full" if name == "absorb" else ""
    p = prediction(method, case, t)
    found = method.bound(case["x"], case["z_t"], t, p)
    torch.testing.assert_close(found, case[f"T_kl_joint{suffix}"], rtol=1e-9, atol=1e-10)
    found = method.transition(case["z_t"], t, s, p).exp()
    torch.testing.assert_close(found, case[f"p_joint{suffix}"], rtol=1e-9, atol=1e-12)
    known = torch.nn.functional.one_hot(case["x"], V).double().log()
    posterior = method.transition(case["z_t"], t, s, known).exp()
    torch.testing.assert_close(posterior, case["q_post"], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(method.prior_gap(case["x"]), case["prior_kl"], rtol=1e-9, atol=1e-12)


def test_gidds_own_mdlm_baseline_is_our_mdlm():
    from methods.masked.absorbing import Mdlm

    case = load("gidd_mdlm")
    t, method = each(case, "t"), Mdlm(V, Linear())
    found = method.bound(case["x"], case["z_t"], t, prediction(method, case, t))
    torch.testing.assert_close(found, case["loss_per_token"], rtol=1e-9, atol=1e-12)
