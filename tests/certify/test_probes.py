"""The probes: each wrong method of the museum is rejected by the check that names the cause, and right ones by none."""

import pytest

from bench.certify.check import Case, Check
from bench.certify.checks import certify
from methods import METHODS
from tests.support.museum_of_kinds import KINDS
from tests.support.right_methods import Exploding, UnevenNoise

PROBES = ("probes", "batches", "scores", "noise", "state", "long")
VARIETY = ("ar", "genmd4", "sedd-uniform", "gidd", "d3pm-uniform", "plaid")  # a method of every family


def fail(name: str, *questions: str) -> list[Check]:
    return [check for check in certify(Case(name, {}), questions) if not check.passed]


@pytest.mark.parametrize(
    ("exhibit", "question", "cause"),
    [(exhibit, *check) for exhibit, check in KINDS.items()],
    ids=[exhibit.__name__ for exhibit in KINDS],
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


@pytest.mark.parametrize("kind", [UnevenNoise, Exploding])
def test_right_methods_of_other_kinds_pass_all_probes(kind, monkeypatch):
    monkeypatch.setitem(METHODS, "right", kind)
    assert fail("right", *PROBES) == []
