"""The gap of discrete time: it halves where it has to, whatever the option of the steps is called."""

import pytest

from bench.certify import bound_checks
from bench.certify.bound_checks import check_bound, check_steps, find_refinement
from bench.certify.check import Case
from methods import METHODS
from methods.discrete.d3pm import D3pmUniform
from tests.support.right_methods import SteppedGaussian


class WrongTarget(D3pmUniform):
    """Takes the posterior for the law that leaves z out."""

    target = "posterior"


class FixedSteps(D3pmUniform):
    """Has no option for its steps."""

    def __init__(self, vocab_size: int):
        super().__init__(vocab_size, steps=50)


class Costlier(D3pmUniform):
    """Pays a tenth of a nat more, however many steps it takes."""

    def bound(self, x, z, t, prediction):
        return super().bound(x, z, t, prediction) + 0.05


@pytest.fixture
def case(monkeypatch):
    def register(factory: type, **options: int) -> Case:
        monkeypatch.setitem(METHODS, "stepped", factory)
        return Case("stepped", options)

    return register


def test_the_option_that_sets_the_steps_is_found_by_any_name(case):
    assert find_refinement(case(SteppedGaussian)) == ({"rounds": 8}, {"rounds": 16})
    assert find_refinement(case(FixedSteps)) is None
    (made,) = check_steps(case(FixedSteps))
    assert made.passed
    assert "no option sets the number of steps" in made.figure


def test_a_method_names_another_pair_of_steps(case, monkeypatch):
    monkeypatch.setattr(SteppedGaussian, "refinement", ({"rounds": 40}, {"rounds": 80}))
    (made,) = check_steps(case(SteppedGaussian))
    assert made.passed
    assert "rounds 40" in made.figure


def test_gaussian_steps_leave_a_gap_that_halves(case):
    assert all(check.passed for check in [*check_bound(case(SteppedGaussian)), *check_steps(case(SteppedGaussian))])


def test_a_gap_that_does_not_halve_is_rejected(case):
    assert [check.passed for check in check_steps(case(Costlier))] == [False]


def test_where_nothing_can_be_enumerated_gaps_are_drawn_and_judged_with_their_errors(case, monkeypatch):
    monkeypatch.setattr(bound_checks, "enumerable_sources", lambda case: [])
    (made,) = check_steps(case(D3pmUniform))
    assert made.passed
    assert made.p_value is not None
    assert "±" in made.figure


def test_a_large_gap_asks_whether_the_target_is_right(case):
    failed = [check for check in check_bound(case(WrongTarget, steps=50)) if not check.passed]
    assert any("is `target` right?" in check.figure for check in failed)
