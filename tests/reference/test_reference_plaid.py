"""Plaid against the numbers of its authors' own code, in float64: vectors of width 4, a schedule of 8 units."""

import pytest
import torch
from torch import Tensor, nn

from methods.continuous.plaid import WARM_UP, Plaid
from methods.method import pick
from tests.reference import load

V = 5
ENDS = (-3.0, 6.0)
VALUES = ["plaid_vlb_eval", "plaid_vlb_eval_selfcond", "plaid_vlb_train", "plaid_vlb_train_selfcond"]
CALLS = 5  # of their sampler
SHORT = 5e-11  # nats: our prior gap takes embeddings of length 1 - 1e-8 / norm for embeddings of length 1
Case = dict[str, Tensor]


class Told(Plaid):
    """Plaid whose prediction is the guess of the embedding itself."""

    def guess(self, prediction: Tensor) -> Tensor:
        return prediction


class Fixed:
    """Noise that was drawn before."""

    def __init__(self, values: Tensor):
        self.values = values

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        assert tuple(shape) == tuple(self.values.shape)
        return self.values


def made(case: Case, kind: type[Plaid] = Plaid) -> Plaid:
    """The method with the embeddings and the schedule of a case."""
    method = kind(V).double()
    method.table, schedule = nn.Parameter(case["E_raw"].clone()), method.schedule
    schedule.ends = nn.Parameter(torch.tensor(ENDS, dtype=torch.float64))
    schedule.inner, schedule.bias, schedule.outer = (nn.Parameter(case[name].clone()) for name in ("W1", "b1", "W2"))
    return method


def warmed(name: str) -> Plaid:
    """At the point of training of a case: theirs warms up for 5,000 steps."""
    method = made(load(name))
    if "train" in name:
        method.progress = WARM_UP * (7 + 1e-8) / (5000 + 1e-8)
    return method


def each(t: Tensor) -> Tensor:
    return t[:, None].expand(len(t), 6)


def noised(method: Plaid, case: Case) -> Tensor:
    return method.corrupt(case["x"], case["t"], Fixed(case["eps"]))


def test_the_schedule_and_its_slope_are_those_of_its_code():
    case = load("plaid_noise_schedule")
    method = made(case)
    gamma, slope = (values.detach() for values in method.schedule(case["t"]))
    rise = ENDS[1] - ENDS[0]
    torch.testing.assert_close(gamma, case["gamma"], rtol=1e-9, atol=1e-14)
    torch.testing.assert_close((gamma - ENDS[0]) / rise, case["shape"], rtol=1e-9, atol=1e-14)
    torch.testing.assert_close(slope / rise, case["dshape_dt"], rtol=1e-9, atol=0)


def test_the_embeddings_are_those_of_its_code():
    case = load("plaid_noise_schedule")
    method = made(case)
    torch.testing.assert_close(method.embeddings().detach(), case["E"], rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", VALUES)
def test_the_noise_is_that_of_its_code(name):
    case, method = load(name), warmed(name)
    late = case["t"] > 0  # at t = 0 their slope is cut off from the graph, and 0
    gamma, slope = (values.detach() for values in method.schedule(case["t"]))
    torch.testing.assert_close(gamma, case["gamma"], rtol=1e-9, atol=0)
    torch.testing.assert_close(slope[late], case["gamma_prime"][late], rtol=1e-9, atol=0)
    torch.testing.assert_close((-slope * torch.exp(-gamma))[late], case["snr_prime"][late], rtol=1e-9, atol=0)
    alpha, sigma = (level.detach().squeeze(-1) for level in method.levels(case["t"]))
    torch.testing.assert_close(alpha, case["alpha"], rtol=1e-9, atol=0)
    torch.testing.assert_close(sigma, case["sigma"], rtol=1e-9, atol=0)
    ends = [level.detach().squeeze() for level in method.levels(torch.ones((), dtype=torch.float64))]
    torch.testing.assert_close(torch.stack(ends), torch.stack([case["alpha_1"], case["sigma_1"]]), rtol=1e-9, atol=0)
    torch.testing.assert_close(method.embeddings()[case["x"]].detach(), case["x_embed"], rtol=1e-9, atol=0)
    torch.testing.assert_close(noised(method, case).detach(), case["z"], rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", VALUES)
def test_scores_and_guesses_are_those_of_its_code(name):
    case, method = load(name), warmed(name)
    prediction = method.read(case["raw_logits"], case["z"], each(case["t"])).detach()
    torch.testing.assert_close(prediction, case["logits"].log_softmax(-1), rtol=1e-9, atol=1e-13)
    torch.testing.assert_close(method.guess(prediction).detach(), case["x_reconst"], rtol=1e-9, atol=1e-13)


def terms(method: Plaid, case: Case, couple: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction of the first rows, diffusion of the others as it is trained, and prior, nats per token [rows]."""
    x, t, first = case["x"], each(case["t"]), int(case["reconst_bs"])
    z = noised(method, case)
    prediction = method.read(case["raw_logits"], z, t)
    last = -pick(method.last_guess(z, t, prediction), x)[:first].mean(-1)
    costs = method.objective(x, z, t, prediction)[first:]
    costs = method.couple(costs, x[first:], z[first:], case["t"][first:]) if couple else costs
    return last, costs.mean(-1), method.prior_gap(x).mean(-1)


def whole(case: Case, last: Tensor, diffusion: Tensor, prior: Tensor) -> Tensor:
    """Their sum, each over the rows that it stands for on average."""
    count = float(case["avg_reconst_bs"])
    return last.sum() / count + diffusion.sum() / (3 - count) + prior.mean()


@pytest.mark.parametrize("name", VALUES)
def test_the_terms_of_the_bound_are_those_of_its_code(name):
    case, method = load(name), warmed(name)
    last, diffusion, prior = (term.detach() for term in terms(method, case, couple=False))
    torch.testing.assert_close(last, case["reconst_loss"], rtol=1e-9, atol=0)
    torch.testing.assert_close(diffusion, case["diffusion_loss"][int(case["reconst_bs"]) :], rtol=1e-9, atol=0)
    torch.testing.assert_close(prior, case["prior_loss"].expand(3), rtol=1e-9, atol=SHORT)
    torch.testing.assert_close(whole(case, last, diffusion, prior), case["loss"], rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", VALUES)
def test_the_reported_bound_is_that_of_the_rows_that_are_shown_a_guess(name):
    case, method = load(name), warmed(name)
    first, shown = int(case["reconst_bs"]), case.get("selfcond_mask", torch.ones(3, dtype=torch.float64))
    last, diffusion, prior = (term.detach() for term in terms(method, case, couple=False))
    share = 0.25 if name == "plaid_vlb_train_selfcond" else 1.0  # of the rows of a batch, on average
    found = whole(case, last * shown[:first] / share, diffusion * shown[first:] / share, prior)
    torch.testing.assert_close(found, case["nll"], rtol=1e-9, atol=0)


PARAMETERS = {"E": "table", "W1": "schedule.inner", "b1": "schedule.bias", "W2": "schedule.outer"}


def assert_gradients(method: Plaid, case: Case) -> None:
    """The gradients that lie in the method's parameters are those of the case."""
    own = dict(method.named_parameters())
    for theirs, ours in PARAMETERS.items():
        short = SHORT if theirs == "E" else 1e-13
        torch.testing.assert_close(own[ours].grad, case[f"grad_{theirs}"], rtol=1e-9, atol=short)
    ends = torch.stack([case["grad_gamma_0"], case["grad_gamma_1"]])
    torch.testing.assert_close(own["schedule.ends"].grad, ends, rtol=1e-9, atol=SHORT)


def test_the_gradients_are_those_of_its_code():
    """Of the mean for the embeddings and the ends, of the mean square for the curve between them."""
    case, method = load("plaid_vlb_train"), warmed("plaid_vlb_train")
    whole(case, *terms(method, case)).backward()
    assert_gradients(method, case)


def test_their_rows_that_are_shown_a_guess_give_no_gradient_to_the_method():
    """Ours do. Of the other rows, 0 and 2, ours is theirs."""
    case, method = load("plaid_vlb_train_selfcond"), warmed("plaid_vlb_train_selfcond")
    assert case["selfcond_mask"].tolist() == [0, 1, 0]
    others = 1 - case["selfcond_mask"]
    last, _, prior = terms(method, case)
    row = {**{name: case[name][2:] for name in ("x", "eps", "raw_logits", "t")}, "reconst_bs": torch.tensor(0)}
    whole(case, last, terms(method, row)[1], prior * others).backward()
    assert_gradients(method, case)


def sharpened(method: Plaid, z: Tensor, t: Tensor, guess: Tensor, temperature: float = 0.9) -> Tensor:
    """Their guess after the noise that it implies was divided by a temperature."""
    alpha = method.levels(t)[0]
    return (z - (z - alpha * guess) / temperature) / alpha


@pytest.mark.parametrize("kind", ["ancestral", "ddim"])
def test_the_steps_are_those_of_its_sampler(kind):
    """Theirs goes to s = t - 1 / N from times that lie 1 / (N - 1) apart."""
    case = load(f"plaid_sampler_{kind}")
    method, told = made(case), made(case, Told)
    torch.testing.assert_close(case["z"][0], case["z_init"], rtol=0, atol=0)
    times = torch.linspace(1, 0, CALLS, dtype=torch.float64)
    for call, time in enumerate(times.tolist()):
        z, t = case["z"][call], torch.full((3, 6), time, dtype=torch.float64)
        torch.testing.assert_close(method.schedule(t)[0].detach()[0, 0], case["gamma"][call], rtol=1e-9, atol=1e-15)
        prediction = method.read(case["raw_logits"][call], z, t)
        guess = method.guess(prediction)
        torch.testing.assert_close(guess.detach(), case["x_reconst_model"][call], rtol=1e-9, atol=1e-13)
        guess, s = sharpened(method, z, t, guess), t - 1 / CALLS
        if call < CALLS - 1:
            drawn = told.step(z, t, s, guess, Fixed(case["step_noise"][call]))
            moved = drawn if kind == "ancestral" else told.flow(z, t, s, guess)
            torch.testing.assert_close(moved.detach(), case["z"][call + 1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["ancestral", "ddim"])
def test_the_texts_are_those_of_its_sampler(kind):
    """What is most likely at t = 0, by a network call of its own."""
    case = load(f"plaid_sampler_{kind}")
    method, t = made(case), torch.zeros(3, 6, dtype=torch.float64)
    torch.testing.assert_close(case["z"][CALLS], case["z"][CALLS - 1], rtol=0, atol=0)
    prediction = method.read(case["raw_logits"][CALLS], case["z"][CALLS], t)
    guess = method.guess(prediction).detach()
    torch.testing.assert_close(guess, case["x_reconst_model"][CALLS], rtol=1e-9, atol=1e-13)
    assert torch.equal(method.last_guess(case["z"][CALLS], t, prediction).argmax(-1), case["samples"])
