"""The certificate: right methods pass, wrong ones are rejected, and for the right reason."""

from itertools import pairwise

import pytest
import torch

from bench.certify import leaks, rare_draws
from bench.certify import sampler_checks as sampler
from bench.certify.bound_checks import PAIRS, check_widening
from bench.certify.check import Case, Check
from bench.certify.checks import certify
from bench.certify.sample_checks import check_law, compare_texts
from bench.cli.main import main
from bench.engine.sample.policies import POLICIES
from bench.engine.sample.policies.ancestral import Ancestral
from bench.engine.sample.policies.remasking import SelfCorrect
from bench.engine.sample.policies.unmasking import Confidence, Margin
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from methods import METHODS
from methods.method import draw
from tests.support import museum
from tests.support.certifying import limit_checks, without

pytestmark = pytest.mark.long

FEW_CALLS = sampler.CALLS[:2]  # enough to reject samples; their exact law is computed for all numbers of calls


def failed(name: str, *questions: str) -> list[Check]:
    return [each for each in certify(Case(name, {}), questions) if not each.passed]


@pytest.mark.parametrize("name", METHODS)
def test_the_bound_of_every_registered_method_is_certified(name):
    assert failed(name, *without("samples", "training")) == []


def test_a_wrong_weight_breaks_the_identity_with_a_neighbour(monkeypatch):
    assert [each.passed for each in certify(Case("gidd", {}), ("identities",))] == [True]
    monkeypatch.setitem(METHODS, "wrong", museum.WrongWeight)
    assert [each.name for each in failed("wrong", "identities")] == ["identity with md4"]


LEAKS = {
    museum.Peeking: "the future",
    museum.Dated: "the time",
    museum.ClaimsToKnow: "known targets",
    museum.LeavesMasks: "ids of samples",
}


@pytest.mark.parametrize(("exhibit", "leak"), LEAKS.items(), ids=lambda value: getattr(value, "__name__", value))
def test_leaks_are_found(exhibit, leak, monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", exhibit)
    assert {check.name.split(",")[0] for check in failed("wrong", "probes")} == {f"probe: {leak}"}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_every_registered_method_passes_all_that_is_asked(name, precision):
    assert [each for each in certify(Case(name, {}, precision)) if not each.passed] == []


def test_the_samples_of_an_oracle_are_certified():
    method = METHODS["mdlm"]
    drawn = sampler.sample_table(method(3), Ancestral(), PAIRS, sampler.CALLS)
    assert drawn.distance[4] == pytest.approx(floor(4), abs=1e-9)
    assert drawn.distance[256] == pytest.approx(floor(256), abs=1e-9)
    assert all(abs(fit.z_score) < 4 for fit in drawn.fits.values())
    assert abs(sampler.sample_chain(method(4), Ancestral(), sampler.CHAIN_CALLS).fit.z_score) < 4


def floor(calls: int) -> float:
    """What parallel unmasking pays for two tokens: they are written in the same step with the sum of its squares, and
    are then independent, each by its own marginal law."""
    ends = torch.linspace(1, 0, calls + 1, dtype=torch.float64).tolist()
    together = sum((t - s) ** 2 for t, s in pairwise(ends))
    joint = PAIRS.law.view(3, 3)
    product = joint.sum(1)[:, None] * joint.sum(0)
    return together * float((joint - product).abs().sum() / 2)


def test_samples_at_a_temperature_five_percent_too_low_are_rejected(monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", museum.Sharpened)
    drawn = sampler.sample_table(museum.Sharpened(3), Ancestral(), PAIRS, FEW_CALLS)
    assert not check_law(drawn).passed
    assert compare_texts(drawn).passed  # they are what its own law says
    assert failed("wrong", "oracle") == []


def test_draws_that_are_not_those_of_the_law_are_rejected(monkeypatch):
    def sharpened(log_p, rng):
        return draw(1.05 * log_p, rng)

    monkeypatch.setattr("bench.engine.sample.state.draw", sharpened)
    drawn = sampler.sample_table(METHODS["mdlm"](3), Ancestral(), PAIRS, FEW_CALLS)
    assert check_law(drawn).passed
    assert not compare_texts(drawn).passed


def test_every_policy_is_checked_with_some_method():
    checked = {type(policy) for policy in (*sampler.COMMON_POLICIES, *sampler.OTHER_POLICIES)}
    assert checked == set(POLICIES.values())
    methods = [METHODS[name](3) for name in ("mdlm", "gidd", "plaid")]
    for policy in sampler.OTHER_POLICIES:
        assert any(sampler.choose_calls(method, policy, PAIRS.length) for method in methods), policy.label()


def test_a_policy_that_chooses_by_another_rule_than_its_own_is_rejected(monkeypatch):
    right = {policy: _check_policy("mdlm", policy) for policy in (Confidence(), Margin())}
    assert all(each.passed for each in right.values())
    assert "changes the law on purpose, by 0.2466 in 6 calls" in right[Confidence()].meaning
    assert "changes the law on purpose, by 0.0000 in 6 calls" in right[Margin()].meaning
    monkeypatch.setattr(Confidence, "rank", Margin.rank)
    assert not _check_policy("mdlm", Confidence()).passed


def test_a_correction_at_another_temperature_than_told_is_rejected(monkeypatch):
    policy = SelfCorrect(corrections=2, temperature=0.5)
    assert _check_policy("gidd", policy).passed
    correct = SelfCorrect._correct
    warmer = SelfCorrect(corrections=2, temperature=1.0)
    monkeypatch.setattr(SelfCorrect, "_correct", lambda self, walk, t: correct(warmer, walk, t))
    assert not _check_policy("gidd", policy).passed


def _check_policy(name, policy):
    method = METHODS[name](3)
    calls = sampler.choose_calls(method, policy, PAIRS.length)
    return compare_texts(sampler.sample_table(method, policy, PAIRS, [calls]))


def test_draws_in_single_precision_are_rejected_by_rare_tokens(monkeypatch):
    assert rare_draws.count_missed() == 0
    monkeypatch.setattr("bench.engine.sample.state.draw", museum.gumbel)
    assert rare_draws.count_missed() > 0.9 * rare_draws.RARE_TOKENS


@pytest.mark.slow
def test_a_method_that_draws_in_single_precision_is_rejected_by_rare_tokens(monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", museum.SinglePrecision)
    assert [each.name for each in failed("wrong", "samples")] == ["draws of rare tokens"]


def test_an_endpoint_cost_that_does_not_vanish_is_rejected(monkeypatch):
    """The endpoint cost of Plaid itself vanishes: the certificates of all methods above include this check."""
    narrow = ({"gamma_start": -1.0, "gamma_end": 2.0}, {"gamma_start": -1.0, "gamma_end": 2.1})
    monkeypatch.setattr(METHODS["plaid"], "widening", narrow)
    assert [each.passed for each in check_widening(Case("plaid", {}))] == [False]


EXHIBITS = {  # the class, and the beginning of the name of a check that has to reject it
    museum.WithoutEnds: "Kraft sum of an oracle",
    museum.Halved: "bound of every text",
    museum.WrongMeaning: "bound of every text",
    museum.TrainingLoss: "bound of every text",
    museum.WrongWeight: "bound of every text",
    museum.ShiftedGrid: "bound of every text",
    museum.WithoutPriorGap: "end at t = 1",
}


@pytest.mark.parametrize(("exhibit", "cause"), EXHIBITS.items(), ids=lambda value: getattr(value, "__name__", value))
def test_what_is_wrong_is_rejected_because_its_bound_is_not_the_likelihood(exhibit, cause, monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", exhibit)
    assert any(each.name.startswith(cause) for each in failed("wrong", "bound"))


def test_the_command_says_what_it_found(capsys, monkeypatch):
    limit_checks(monkeypatch, "bound")
    assert main(["certify", "ar"]) == DONE
    assert "passed" in capsys.readouterr().out
    monkeypatch.setitem(METHODS, "wrong", museum.Halved)
    assert main(["certify", "wrong"]) == FAILED
    assert "FAILED" in capsys.readouterr().out
    assert main(["certify", "mdln"]) == USAGE_ERROR
    assert 'did you mean "mdlm"' in capsys.readouterr().err


def test_wrong_units_are_found(monkeypatch):
    leaks.unit_error.cache_clear()
    monkeypatch.setattr(
        "bench.engine.data.tokenizers.tokenizer.CharacterTokenizer.count_bytes", lambda self, ids: ids.size
    )
    assert leaks.unit_error() > 0.1
    leaks.unit_error.cache_clear()
