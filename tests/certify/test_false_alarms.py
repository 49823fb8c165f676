"""The statistics of a certificate: right methods are rarely rejected, and what a figure sees is what it says."""

import json
from collections import defaultdict

import pytest
import torch
from scipy import stats

from bench.certify import certificate_files as certificates
from bench.certify.certificate_files import subject
from bench.certify.check import Case, Check
from bench.certify.checks import CHECKS
from bench.certify.false_alarms import (
    COMPARISONS,
    FALSE_ALARMS,
    POWER,
    RATE,
    Estimate,
    GoodnessOfFit,
    combine,
    estimate_mean,
    is_surprising,
    poisson_p,
)
from bench.certify.processes import Group, run_checks
from methods import METHODS

SEEDS = range(1, 21)
SERIES = 2000


def draw(shift: float, count: int = 400) -> Estimate:
    generator = torch.Generator().manual_seed(int(1000 * shift) + count)
    return estimate_mean(torch.randn(count, generator=generator, dtype=torch.float64) + shift)


def test_p_values_are_uniform_without_a_bias():
    generator = torch.Generator().manual_seed(0)
    estimates = [estimate_mean(torch.randn(20, generator=generator, dtype=torch.float64)) for _ in range(SERIES)]
    for p_values in ([each.p_value() for each in estimates], [each.p_below() for each in estimates]):
        assert stats.kstest(p_values, "uniform").pvalue > 1e-3

    pairs = zip(estimates[::2], estimates[1::2], strict=True)
    combined = [combine([first.p_value(), second.p_value()]) for first, second in pairs]
    assert stats.kstest(combined, "uniform").pvalue > 1e-3


def test_the_smallest_visible_bias_is_seen_as_often_as_promised():
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(SERIES, 100, generator=generator, dtype=torch.float64)
    visible = Estimate(0.0, 0.1, 99).smallest_visible
    seen = [is_surprising(estimate_mean(row + visible).p_value()) for row in values]
    assert sum(seen) / SERIES == pytest.approx(POWER, abs=0.03)


def test_one_side_is_judged_alone():
    assert is_surprising(draw(-0.5).p_below())
    assert not is_surprising(draw(0.5).p_below())
    assert is_surprising(draw(0.5).p_above())
    assert not is_surprising(draw(0.5).p_above(rounding=0.6))


def test_an_estimate_without_error_is_judged_by_its_sign():
    assert Estimate(-1e-9, 0.0).p_below() == 0
    assert Estimate(0.0, 0.0).p_value() == 1


def test_counts_are_judged_on_both_sides():
    right, far, close = (GoodnessOfFit(statistic, 50) for statistic in (50.0, 150.0, 5.0))
    assert right.p_value > 0.5
    assert is_surprising(far.p_value)
    assert is_surprising(close.p_value)
    assert abs(right.z_score) < 0.2 < 5 < far.z_score
    assert [is_surprising(poisson_p(count, 24.0)) for count in (3, 24, 60)] == [True, False, True]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_no_certificate_draws_more_random_figures_than_the_correction_is_for(name, precision):
    content = json.loads(subject(name, {}, precision).path(certificates.FOLDER).read_text())
    drawn = [check for check in content["checks"] if check["p_value"] is not None]
    assert len(drawn) <= COMPARISONS
    assert pytest.approx(FALSE_ALARMS) == RATE * COMPARISONS


@pytest.mark.slow
def test_right_methods_are_rarely_rejected_and_their_p_values_are_uniform():
    """220 certificates: at a rate of 1 %, more than 6 rejections have a probability of less than 1 %."""
    groups = [Group(Case(name, {}, seed=seed), check) for seed in SEEDS for name in METHODS for check in CHECKS]
    rejected, figures = set(), defaultdict[tuple[str, str], list[float]](list)
    for group, outcomes in run_checks(groups):
        for outcome in outcomes:
            if not outcome.passed:
                rejected.add((group.case.name, group.case.seed))
            if outcome.p_value is not None and not is_one_sided(outcome):
                figures[group.case.name, outcome.name].append(outcome.p_value)

    assert stats.binom.sf(6, len(SEEDS) * len(METHODS), FALSE_ALARMS) < 0.01
    assert len(rejected) <= 6, rejected
    assert len(figures) >= 50
    p_values = {figure: stats.kstest(values, "uniform").pvalue for figure, values in figures.items()}
    assert {figure: p_value for figure, p_value in p_values.items() if p_value < 0.01 / len(figures)} == {}


def is_one_sided(check: Check) -> bool:
    """Whether a right method may well be on the good side, so that its p-values are larger than uniform ones."""
    return "at least" in check.meaning or "at most" in check.meaning
