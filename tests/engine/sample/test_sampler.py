"""Drawing: the categorical primitive, the loop, what cuts off the law of its draws, and what is given of a text."""

import math

import pytest
import torch

from bench.certify.oracle import Oracle, Table
from bench.certify.sampler_checks import fit_law, text_indices
from bench.cli.main import main
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.rng import Stream
from bench.engine.sample.policies import Euler, times
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.remasking import Remask
from bench.engine.sample.sampler import SamplerSettings, refusal, sample
from bench.engine.sample.state import CUT_OFF
from bench.launch.exit_codes import USAGE_ERROR
from bench.plan.plan import plan
from bench.suite.suite import read
from methods import build
from methods.discrete.d3pm import D3pmAbsorb, D3pmUniform
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb, SeddUniform
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.method import draw
from methods.schedules import Cosine, Linear, LinearSigma
from tests.engine.likelihood.test_bound import real_model
from tests.engine.model.test_network import random_model
from tests.support.toys import LAW, L, V, bayes, model, sampler_law


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
        law = sampler_law(made, times(method, 4).tolist())
    counts = torch.bincount(drawn.ids[:, 0] * V + drawn.ids[:, 1], minlength=V**L)
    statistic, limit = chi_square(counts, law / law.sum())
    assert statistic < limit
    assert drawn.network_calls == 4


def test_with_the_true_posterior_and_many_calls_the_samples_follow_the_law():
    drawn = sample(bayes(Mdlm(V)), 4000, L, calls=60, seed=0)  # what 60 steps are off by is below the noise of 4,000
    counts = torch.bincount(drawn.ids[:, 0] * V + drawn.ids[:, 1], minlength=V**L)
    statistic, limit = chi_square(counts, LAW)
    assert statistic < limit


@pytest.mark.parametrize("policy", ["ancestral", "ddim"])
def test_vectors_are_stepped_to_the_law_of_the_texts(policy):
    """Their ends give away little: with many calls it is below the noise of 4,000 texts."""
    torch.manual_seed(0)
    drawn = sample(Oracle(build("plaid", V), Table(LAW, V, L)), 4000, L, calls=100, seed=0, policy=policy)
    assert abs(fit_law(torch.bincount(text_indices(drawn.ids, V), minlength=V**L), LAW).z_score) < 4


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
    found = times(build("udlm", V), 5)
    assert (found[0], found[-1], len(found)) == (1.0, 1e-3, 5)
    torch.testing.assert_close(times(build("mdlm", V), 5), torch.tensor([1.0, 0.8, 0.6, 0.4, 0.2]).double())
    assert times(build("mdlm", V), 1).tolist() == [1.0]
    assert (times(build("mdlm", V, steps=8), 3) * 8).tolist() == [8, 4, 1]
    assert (times(build("mdlm", V, steps=4), 4) * 4).tolist() == [4, 3, 2, 1]
    with pytest.raises(ValueError, match="5 calls are more than the 4 that 4 steps of time allow"):
        times(build("mdlm", V, steps=4), 5)


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
    steps = Euler().law(method, *many)
    torch.testing.assert_close(steps[0].exp(), law, rtol=1e-12, atol=1e-15)
    moved = draw(steps, Stream(0))
    statistic, limit = chi_square(torch.bincount(moved, minlength=len(law))[law > 0], law[law > 0])
    assert statistic < limit
    assert float(steps.logsumexp(-1).max()) < CUT_OFF


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
        ("d3pm-uniform", "euler", "its time is discrete"),
        ("plaid", "euler", "its z holds vectors"),
        ("mdlm", "ddim", "its z holds ids"),
        ("plaid", "ddim", None),
        ("gidd", "euler", None),
        ("ar", "euler", "from left to right"),
        ("ar", "ancestral", None),
        ("genmd4", "ancestral", None),
    ],
)
def test_a_policy_that_a_method_cannot_follow_is_refused_with_the_reason(name, policy, reason):
    told = refusal(build(name, V), SamplerSettings(4, policy), L)
    assert told is None if reason is None else reason in (told or "")


TEXTS = {  # of seed 7, in 4 calls
    ("ar", "ancestral"): "10 10 40 30 40 33 10 24 30 34",
    ("mdlm", "ancestral"): "22 22 22 02 21 01 22 01 22 22",
    ("mdlm", "euler"): "22 22 22 02 21 01 22 01 22 22",
    ("md4", "ancestral"): "02 22 22 02 21 01 22 01 22 22",
    ("sedd-absorb", "ancestral"): "22 02 02 22 02 02 01 22 22 22",
    ("sedd-uniform", "ancestral"): "02 22 00 12 00 01 02 02 11 21",
    ("sedd-uniform", "euler"): "22 01 00 10 12 02 22 21 20 22",
    ("genmd4", "ancestral"): "22 12 01 22 02 02 21 20 01 22",
    ("udlm", "ancestral"): "22 12 11 12 12 00 11 12 11 20",
    ("udlm", "euler"): "21 22 21 02 11 01 10 12 12 11",
    ("gidd", "ancestral"): "22 22 01 22 02 01 12 01 11 01",
    ("gidd", "euler"): "02 21 20 21 22 00 02 12 22 22",
    ("d3pm-absorb", "ancestral"): "22 20 00 00 21 10 10 20 12 20",
    ("d3pm-uniform", "ancestral"): "12 22 02 02 11 00 10 12 11 12",
    ("plaid", "ancestral"): "22 33 03 00 13 10 41 33 23 40",
    ("plaid", "ddim"): "20 31 41 02 13 33 41 23 03 10",
}


@pytest.mark.parametrize(("name", "policy"), TEXTS)
def test_a_seed_gives_the_texts_that_it_always_gave(name, policy):
    made = random_model(name) if name in ("ar", "plaid") else model(build(name, V), seed=1)
    ids = sample(made, 10, L, calls=4, seed=7, policy=policy).ids
    assert ["".join(map(str, row)) for row in ids.tolist()] == TEXTS[name, policy].split()


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


# --- what suites say


def test_a_suite_names_policies_alone_or_with_settings_and_for_which_arms(tiny, capsys):
    ways = [
        "{count: 2, calls: 4, policy: ancestral}",
        "{count: 2, calls: 4, policy: euler, arms: [MDLM]}",
        "{count: 2, calls: 4, policy: {name: euler}, arms: [MDLM]}",
        "{count: 2, calls: 4, policy: confidence, arms: [MDLM]}",
        "{count: 2, calls: 4, policy: {name: remask, rule: star}, arms: [MDLM]}",
    ]
    tiny.write_text(tiny.read_text().replace("{count: 2, calls: 4}", f"[{', '.join(ways)}]"))
    samples = read(tiny).spec.evaluation.samples
    assert [each.policy for each in samples[::4]] == [Ancestral(), Remask(rule="star")]
    stages = {
        cell.arm: [stage.settings["policy"]["name"] for stage in cell.stages if stage.name == "samples"]
        for cell in plan(read(tiny)).cells
    }
    assert stages == {"AR": ["ancestral"], "MDLM": ["ancestral", "euler", "confidence", "remask"]}
    assert main(["plan", str(tiny)]) == 0


@pytest.mark.parametrize(
    ("samples", "place", "words"),
    [
        ("{calls: 4, policy: remsk}", "12:23", 'did you mean "remask"?'),
        ("[{calls: 4}, {calls: 4, policy: {name: remsk}}]", "12:36", 'did you mean "remask"?'),
        (
            "[{calls: 4}, {calls: 4, policy: {name: remask, rul: star}}]",
            "12:59",
            'unknown key "rul"; did you mean "rule"?',
        ),
        ("{calls: 4, policy: {name: remask, eta: 2.0}}", "12:46", "policy.eta is 2.0"),
        ("[{calls: 4}, {calls: 4, policy: first-hitting, arms: [MDLM]}]", "12:36", "set calls to 12"),
        (
            "[{calls: 4}, {calls: 4, policy: self-correct, arms: [MDLM]}]",
            "12:36",
            "has no scores for visible tokens",
        ),
        ("{calls: 4, top_k: 2, greedy_last: true, arms: [AR]}", "12:3", "has no last guess"),
        (
            "[{calls: 4, policy: ddim, arms: [MDLM]}, {calls: 4, policy: euler}]",
            "12:24",
            "has no deterministic step",
        ),
        ("[{calls: 4, policy: ddim, arms: [MDLM]}, {calls: 4, policy: euler}]", "12:64", "from left to right"),
    ],
)
def test_ways_of_sampling_that_cannot_be_are_told_at_planning_with_their_place(samples, place, words, tiny, capsys):
    tiny.write_text(tiny.read_text().replace("{count: 2, calls: 4}", samples))
    assert main(["plan", str(tiny)]) == USAGE_ERROR
    lines = [line for line in capsys.readouterr().err.splitlines() if f"tiny.yaml:{place}: " in line]
    assert any(words in line for line in lines)
