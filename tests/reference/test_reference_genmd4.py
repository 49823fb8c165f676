"""GenMD4 against the numbers of its authors' own code, in float64."""

import math

import pytest
import torch
from torch import Tensor, nn

from methods.masked.genmd4 import GenMd4
from methods.method import pick
from tests.reference import load

V, EPS, T1 = 5, 1e-4, 1e-3
Case = dict[str, Tensor]


class Shifted(GenMd4):
    """The public code's convention: 1 - alpha = (1 - eps) t ** w. It cancels from the loss and from a step."""

    def hidden(self, t: Tensor) -> Tensor:
        return (1 - EPS) * super().hidden(t)

    def _log_q(self, x: Tensor, z: Tensor, t: Tensor) -> Tensor:
        hidden, masked = pick(self.hidden(t.expand(x.shape)), x), z == self.mask
        return torch.where(masked, hidden.log(), (1 - hidden).log())


def made(case: Case, kind: type[GenMd4] = GenMd4) -> GenMd4:
    """The method with the paper's last guess and the powers of a case."""
    method = kind(V, decoder="powers")
    method.raw = nn.Parameter(case["w"].clone())
    torch.testing.assert_close(method.powers().detach(), case["power"], rtol=1e-9, atol=0)
    return method


def each(case: Case, name: str = "t") -> Tensor:
    return case[name][:, None].expand(3, 6)


def losses(method: GenMd4, case: Case, t: Tensor, z: Tensor, logits: Tensor) -> Tensor:
    """The bound at every position [B, L]."""
    at = t[:, None].expand(z.shape)
    return method.bound(case["x"], z, at, method.read(logits, z, at))


def by_row(values: Tensor, parameter: Tensor) -> Tensor:
    """The gradient of every entry of values [B] with respect to a parameter [V]."""
    rows = [torch.autograd.grad(value, parameter, retain_graph=True)[0] for value in values]
    return torch.stack(rows)


def test_genmd4s_schedule_is_that_of_its_code():
    case = load("genmd4_schedule")
    method, t = made(case, Shifted), case["t"].clone().requires_grad_()
    alpha = 1 - method.hidden(t)
    torch.testing.assert_close(alpha.detach(), case["alpha"], rtol=1e-9, atol=1e-15)
    slopes = [torch.autograd.grad(alpha[:, v].sum(), t, retain_graph=True)[0] for v in range(V)]
    torch.testing.assert_close(torch.stack(slopes, -1), case["dalpha"], rtol=1e-9, atol=1e-15)


def test_genmd4_reveals_at_the_rate_of_its_code():
    """Their -w / t is our rate from the mask to a token that is certain."""
    case = load("genmd4_schedule")
    masks = torch.full(case["t"].shape, V)
    for v in range(V):
        sure = torch.nn.functional.one_hot(torch.full(masks.shape, v), V).double().log()
        found = made(case).rates(masks, case["t"], sure)[:, v].detach()
        torch.testing.assert_close(-found, case["dgamma_times_alpha"][:, v], rtol=1e-9, atol=0)


@pytest.mark.parametrize(("z", "logits", "name"), [("z_t", "logits", "1"), ("z_t2", "logits2", "2")])
def test_genmd4s_loss_is_that_of_its_code(z, logits, name):
    case = load("genmd4_loss")
    found = losses(made(case), case, case["t"], case[z], case[logits]).detach()
    torch.testing.assert_close(found.sum(-1), case[f"loss_diff_{name}"], rtol=1e-9, atol=0)
    assert (found[case[z] != V] == 0).all()


def test_genmd4s_loss_has_the_gradients_of_its_code():
    """With z held fixed; that of the noise is added by `couple`."""
    case = load("genmd4_loss")
    method, logits = made(case), case["logits"].clone().requires_grad_()
    found = losses(method, case, case["t"], case["z_t"], logits).sum(-1)
    (gradient,) = torch.autograd.grad(found.sum(), logits, retain_graph=True)
    torch.testing.assert_close(gradient, case["grad_logits"], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(by_row(found, method.raw), case["jac_w"], rtol=1e-9, atol=1e-12)


def coupled(method: GenMd4, case: Case, t: Tensor, logits: Tensor, logits2: Tensor) -> tuple[Tensor, Tensor]:
    """The losses of both noisings in the order of training, one text's side by side, before `couple` and after."""
    two = [losses(method, case, t, case[z], scores) for z, scores in (("z_t", logits), ("z_t2", logits2))]
    plain = torch.stack(two, 1).flatten(0, 1)
    z = torch.stack([case["z_t"], case["z_t2"]], 1).flatten(0, 1)
    x, t = case["x"].repeat_interleave(2, 0), t.repeat_interleave(2)
    return plain, method.couple(plain, x, z, t)


def test_couple_adds_the_score_function_gradient_of_its_code_and_no_value():
    """Of every text: half the sum over its two rows is their 0.5 (F1 - F2) grad (log q1 - log q2)."""
    case = load("genmd4_loss")
    method = made(case, Shifted)
    plain, found = coupled(method, case, case["t"], case["logits"], case["logits2"])
    assert torch.equal(plain, found)
    added = (found - plain).sum(-1).view(-1, 2).sum(-1) / 2
    torch.testing.assert_close(by_row(added, method.raw), case["reinforce_jac_w"], rtol=1e-9, atol=1e-10)


def test_the_value_that_couple_leaves_out_is_that_of_its_codes_surrogate():
    """What `couple` differentiates has the value 0.5 (F1 - F2) (log q1 - log q2)."""
    case = load("genmd4_loss")
    method = made(case, Shifted)
    log_q = [method._log_q(case["x"], case[z], case["t"][:, None]).sum(-1) for z in ("z_t", "z_t2")]
    found = (case["loss_diff_1"] - case["loss_diff_2"]) * (log_q[0] - log_q[1]) / 2
    torch.testing.assert_close(found.detach(), case["reinforce"], rtol=1e-9, atol=0)


def test_without_epsilon_the_noise_is_theirs_but_for_epsilon():
    case = load("genmd4_loss")
    for z in ("z_t", "z_t2"):
        ours, theirs = (
            method._log_q(case["x"], case[z], each(case)).detach() for method in (made(case), made(case, Shifted))
        )
        torch.testing.assert_close(ours, theirs, rtol=1e-2, atol=2 * EPS)


def last_guess(method: GenMd4, x: Tensor) -> Tensor:
    """The expected cost of the last guess of every text [B]: paid where the token is masked at T1."""
    at = torch.full(x.shape, T1, dtype=torch.float64)
    masks = torch.full_like(x, V)
    guess = method.last_guess(masks, at, torch.full((*x.shape, V), torch.nan, dtype=torch.float64))
    return (pick(method.hidden(at), x) * -pick(guess, x)).sum(-1)


def test_the_papers_last_guess_costs_what_it_costs_in_its_code():
    case = load("genmd4_loss")
    method = made(case, Shifted)
    assert method.t_min == T1
    found = last_guess(method, case["x"])
    torch.testing.assert_close(found.detach(), case["recon_loss"], rtol=1e-9, atol=0)
    torch.testing.assert_close(by_row(found, method.raw), case["recon_jac_w"], rtol=1e-9, atol=1e-15)


def test_the_whole_loss_and_its_gradients_are_those_of_its_code():
    """In bits per token, at the times that their call drew; their `loss` also shows the value of the surrogate."""
    case, bits = load("genmd4_loss"), 6 * math.log(2)
    method = made(case, Shifted)
    logits, logits2 = (case[name].clone().requires_grad_() for name in ("logits", "logits2"))
    plain, diffusion = coupled(method, case, case["call_t"], logits, logits2)
    last, prior = last_guess(method, case["x"]).mean() / bits, method.prior_gap(case["x"]).mean() / math.log(2)
    value = diffusion.mean() / math.log(2)
    torch.testing.assert_close(value.detach(), case["call_loss_diff_bpt"], rtol=1e-9, atol=0)
    torch.testing.assert_close(last.detach(), case["call_loss_recon_bpt"], rtol=1e-9, atol=0)
    torch.testing.assert_close(prior, case["call_loss_prior_bpt"], rtol=0, atol=0)
    torch.testing.assert_close((value + last).detach(), case["call_loss_nelbo_bpt"], rtol=1e-9, atol=0)
    found = torch.autograd.grad(value + last, [method.raw, logits, logits2])
    for gradient, name in zip(found, ("w", "logits", "logits2"), strict=True):
        torch.testing.assert_close(gradient, case[f"call_grad_{name}"], rtol=1e-9, atol=1e-12)
    advantage = (plain.sum(-1).view(-1, 2) * torch.tensor([1, -1])).sum(-1)
    log_q = [method._log_q(case["x"], case[z], each(case, "call_t")).sum(-1) for z in ("z_t", "z_t2")]
    surrogate = (advantage * (log_q[0] - log_q[1]) / 2).mean() / bits
    torch.testing.assert_close((value + surrogate + last).detach(), case["call_loss_bpt"], rtol=1e-9, atol=0)


def test_the_step_is_the_mixture_over_tokens_and_not_the_joint_form():
    """By exact posteriors of each token's own noise; the limit of the mixture is the loss, that of the joint is not."""
    case = load("derived_genmd4_reverse")
    method, masks = made(case), torch.full((3, 6), V)
    t, s = each(case, "t"), each(case, "s")
    hidden = made(case, Shifted).hidden
    for name in ("t", "s"):
        torch.testing.assert_close(1 - hidden(case[name]).detach(), case[f"alpha_{name}"], rtol=1e-9, atol=0)
    law = method.transition(masks, t, s, method.read(case["logits"], masks, t)).exp().detach()
    torch.testing.assert_close(law, case["p_mix"], rtol=1e-9, atol=1e-15)
    assert float((law - case["p_joint"]).abs().max()) > 0.05


def test_the_cost_of_a_step_is_the_divergence_of_the_mixture():
    case, x = load("derived_genmd4_reverse"), load("genmd4_loss")["x"]
    method, z = made(case), case["z_t"]
    t, s = each(case, "t"), each(case, "s")
    sure = torch.nn.functional.one_hot(x, V).double().log()
    q, p = (method.transition(z, t, s, guess).exp().detach() for guess in (sure, method.read(case["logits"], z, t)))
    found = torch.special.xlogy(q, q / p).nan_to_num(0.0).sum(-1)
    torch.testing.assert_close(found, case["kl_mix"], rtol=1e-9, atol=1e-12)
