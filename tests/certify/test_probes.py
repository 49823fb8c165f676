"""The probes: each wrong method of the museum is rejected by the check that names the cause, and right ones by none."""

from collections import defaultdict

import pytest
from scipy import stats

from bench.certify.check import Case, Check
from bench.certify.checks import certify
from methods import METHODS
from tests.support.museum_of_kinds import KINDS
from tests.support.positioned import Ordered
from tests.support.right_methods import Exploding, SteppedGaussian, UnevenNoise

PROBES = ("probes", "batches", "scores", "noise", "state", "long")
VARIETY = ("ar", "genmd4", "gidd", "plaid")  # a method of every family


OPTIONS = [  # far from the defaults: signal left at t = 1, infinite slopes, bends, few steps, mass on masks, other ends
    ("mdlm", {"schedule": {"name": "linear", "eps": 0.1}}),
    ("mdlm", {"schedule": {"name": "polynomial", "power": 0.5}}),
    ("mdlm", {"schedule": "geometric"}),
    ("mdlm", {"carry_over": False, "zero_masking": False, "steps": 8}),
    ("mdlm", {"steps": 1}),
    ("udlm", {"schedule": "linear-sigma"}),
    ("sedd-absorb", {"schedule": "cosine"}),
    ("gidd", {"uniform_share": 0.5, "gamma": 0.3, "weighting": "dynamic"}),
    ("genmd4", {"decoder": "powers"}),
    ("d3pm-uniform", {"steps": 8, "hybrid": 0.1, "schedule": "linear"}),
    ("plaid", {"reparameterise": False, "learned_schedule": False}),
]


def fail(name: str, *questions: str) -> list[Check]:
    return [check for check in certify(Case(name, {}), questions) if not check.passed]


@pytest.mark.parametrize(
    ("exhibit", "question", "cause"),
    KINDS,
    ids=[f"{exhibit.__name__}-{question}" for exhibit, question, _ in KINDS],
)
def test_each_kind_is_rejected_by_the_check_that_names_the_cause(exhibit, question, cause, monkeypatch):
    monkeypatch.setitem(METHODS, "wrong", exhibit)
    assert any(cause in check.name and not check.passed for check in certify(Case("wrong", {}), (question,)))


@pytest.mark.parametrize("name", VARIETY)
def test_methods_of_every_family_pass_all_probes(name):
    assert fail(name, *PROBES) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(METHODS.keys() - set(VARIETY)))
def test_registered_methods_pass_all_probes(name):
    assert fail(name, *PROBES) == []


SLOW_ONE = pytest.param(Ordered, marks=pytest.mark.slow)


@pytest.mark.parametrize("kind", [UnevenNoise, Exploding, SteppedGaussian, SLOW_ONE])
def test_right_methods_of_other_kinds_pass_all_probes(kind, monkeypatch):
    monkeypatch.setitem(METHODS, "right", kind)
    assert fail("right", *PROBES) == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), OPTIONS)
def test_registered_methods_pass_all_probes_with_other_options(name, options):
    assert [check for check in certify(Case(name, options), PROBES) if not check.passed] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gidd", "sedd-uniform", "plaid"])
def test_p_values_of_right_methods_are_uniform(name):
    p_values = defaultdict(list)
    for seed in range(60):
        for check in certify(Case(name, {}, seed=seed), ("noise",)):
            if check.p_value is not None:
                p_values[check.name].append(check.p_value)
    assert len(p_values) >= 2
    assert all(stats.kstest(values, "uniform").pvalue > 1e-3 for values in p_values.values()), p_values
