"""Drawing: the categorical primitive, the noise that methods add, and the loop."""

import math

import pytest
import torch

from bench.cli import BAD_USE, main
from bench.model import Model
from bench.network import Shape
from bench.rng import Stream
from bench.sample import euler, grid, refusal, sample
from methods import build
from methods.absorbing import Md4, Mdlm
from methods.d3pm import D3pmAbsorb, D3pmUniform
from methods.genmd4 import GenMd4
from methods.gidd import Gidd
from methods.method import draw
from methods.schedules import Cosine, Linear, LinearSigma
from methods.sedd import SeddAbsorb, SeddUniform
from methods.uniform import Udlm
from tests.test_bound import real_model
from tests.toys import LAW, L, V, bayes, model, sampler_law


def chi_square(counts: torch.Tensor, law: torch.Tensor) -> tuple[float, float]:
    """The statistic and four standard deviations above its mean, which is the number of free classes."""
    expected = law * counts.sum()
    free = len(law) - 1
    return float(((counts - expected) ** 2 / expected).sum()), free + 4 * math.sqrt(2 * free)


def test_draws_follow_their_probabilities_rare_ones_too():
    law = torch.tensor([0.5, 0.3, 0.1, 0.05, 0.03, 0.0195, 3e-4, 2e-4], dtype=torch.float64)
    law /= law.sum()
    drawn = draw((law.log() + 7.0).expand(2**17, -1), Stream(0))  # rows need not be normalised
    statistic, limit = chi_square(torch.bincount(drawn, minlength=8), law)
    assert statistic < limit


@pytest.mark.parametrize(
    "method",
    [
        Mdlm(V),
        Md4(V, Cosine()),
        Mdlm(V, zero_masking=False),
        Mdlm(V, carry_over=False),
        Mdlm(V, LinearSigma()),
        Udlm(V, LinearSigma()),
        Gidd(V, 0.3),
        D3pmAbsorb(V, steps=8),
        D3pmUniform(V, steps=8),
        SeddAbsorb(V),
        SeddAbsorb(V, LinearSigma()),
        SeddUniform(V, Linear(1e-3)),
        GenMd4(V),
    ],
    ids=lambda method: type(method).__name__.lower(),
)
def test_the_loop_draws_from_the_law_that_its_steps_compose(method):
    """20,000 texts of an arbitrary network against the law computed by matrix products."""
    made = model(method, seed=2)
    drawn = sample(made, 20_000, L, calls=4, seed=0)
    with torch.no_grad():
        law = sampler_law(made, grid(method, 4).tolist())
    counts = torch.bincount(drawn.ids[:, 0] * V + drawn.ids[:, 1], minlength=V**L)
    statistic, limit = chi_square(counts, law / law.sum())
    assert statistic < limit
    assert drawn.network_calls == 4


def test_with_the_true_posterior_and_many_calls_the_samples_follow_the_law():
    drawn = sample(bayes(Mdlm(V)), 4000, L, calls=60, seed=0)  # what 60 steps are off by is below the noise of 4,000
    counts = torch.bincount(drawn.ids[:, 0] * V + drawn.ids[:, 1], minlength=V**L)
    statistic, limit = chi_square(counts, LAW)
    assert statistic < limit


def test_a_causal_method_writes_from_left_to_right_by_its_own_law():
    made = real_model("ar")
    drawn = sample(made, 4000, 3, calls=999, seed=0)
    assert drawn.network_calls == 3
    start = torch.zeros(1, 1, dtype=torch.long)
    with torch.no_grad():
        first = made.network.head(made.hidden(start, torch.ones(1)))[0, 0].softmax(-1)
        prefix = torch.tensor([[2, 0]])
        second = made.network.head(made.hidden(prefix, torch.ones(1)))[0, 1].softmax(-1)
    statistic, limit = chi_square(torch.bincount(drawn.ids[:, 0], minlength=5), first)
    assert statistic < limit
    after = drawn.ids[drawn.ids[:, 0] == 2, 1]
    assert len(after) > 50
    statistic, limit = chi_square(torch.bincount(after, minlength=5), second)
    assert statistic < limit


def test_no_mask_is_left_in_a_text():
    for options in ({}, {"zero_masking": False}, {"carry_over": False, "zero_masking": False}, {"steps": 4}):
        drawn = sample(model(Mdlm(V, **options)), 200, L, calls=3, seed=1)
        assert drawn.ids.max() < V


def test_the_grid_runs_from_noise_to_the_last_guess():
    times = grid(build("mdlm", V), 5)
    assert (times[0], times[-1], len(times)) == (1.0, 1e-3, 5)
    assert grid(build("mdlm", V), 1).tolist() == [1.0]
    assert (grid(build("mdlm", V, steps=8), 3) * 8).tolist() == [8, 4, 1]
    assert (grid(build("mdlm", V, steps=4), 4) * 4).tolist() == [4, 3, 2, 1]
    with pytest.raises(ValueError, match="5 calls are more than the 4 that 4 steps of time allow"):
        grid(build("mdlm", V, steps=4), 5)


@pytest.mark.parametrize("method", [Mdlm(V), SeddAbsorb(V), Udlm(V), Gidd(V)], ids=lambda method: type(method).__name__)
def test_an_euler_step_jumps_as_often_as_its_rates_say(method):
    """From a fixed z, where no rate times the step is above one."""
    count, z = 40_000, torch.tensor([V if method.needs.extra_tokens else 0])
    t, s = (torch.tensor([time], dtype=torch.float64) for time in (0.6, 0.5))
    prediction = method.read(torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64), z, t)
    rates = method.rates(z, t, prediction)[0]
    law = (0.1 * rates).scatter(0, z, 1 - 0.1 * rates.sum())
    assert float(law.min()) >= 0
    many = [each.expand(count, *each.shape[1:]) for each in (z, t, s, prediction)]
    moved, cut = euler(method, Stream(0), *many)
    statistic, limit = chi_square(torch.bincount(moved, minlength=len(law))[law > 0], law[law > 0])
    assert statistic < limit
    assert cut == 0


def test_laws_that_had_to_be_cut_off_are_counted():
    made = model(SeddAbsorb(V))
    made.network.table.data.zero_()  # guesses that sum to one
    made.network.drift.data.zero_()
    assert sample(made, 500, L, calls=4, seed=0).cut_off_share == 0
    made.network.table.data += 4.0  # scores whose sum is far above one
    many = sample(made, 500, L, calls=4, seed=0)
    assert many.cut_off_share > 0.5
    assert sample(made, 500, L, calls=4, seed=0, policy="euler").cut_off_share > 0.5


@pytest.mark.parametrize(
    ("name", "policy", "reason"),
    [
        ("d3pm-uniform", "euler", "discrete time"),
        ("plaid", "euler", "on vectors"),
        ("mdlm", "ddim", "its z holds ids"),
        ("plaid", "ddim", None),
        ("gidd", "euler", None),
        ("ar", "euler", None),
        ("genmd4", "ancestral", None),
    ],
)
def test_a_policy_that_a_method_cannot_follow_is_refused_with_the_reason(name, policy, reason):
    told = refusal(build(name, V), policy)
    assert told is None if reason is None else reason in (told or "")


def test_a_suite_with_such_a_policy_says_so_in_its_line(tiny, capsys):
    tiny.write_text(tiny.read_text().replace("calls: 4}", "calls: 4, policy: ddim}"))
    assert main(["plan", str(tiny)]) == BAD_USE
    message = capsys.readouterr().err
    assert "tiny.yaml:8:19: evaluation.samples.policy ddim: method 'mdlm' has no step without randomness" in message
    assert "use ancestral" in message


def test_a_self_conditioned_walk_shows_the_last_guess_and_needs_no_further_calls():
    torch.manual_seed(0)
    made = Model(build("plaid", 5), Shape(layers=1, width=16, heads=2, condition=8), 5, "sdpa")
    torch.nn.init.normal_(made.network.output.weight)
    shown: list[torch.Tensor] = []
    made.network.register_forward_pre_hook(lambda module, given: shown.append(given[2].clone()))
    drawn = sample(made, 3, 7, calls=4, seed=0)
    assert drawn.network_calls == len(shown) == 4
    assert not shown[0].any()
    assert all(guess.any() for guess in shown[1:])
    assert not torch.equal(shown[1], shown[2])
