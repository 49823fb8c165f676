"""Intervals and tests keep their error rates, in thousands of simulated experiments."""

import itertools
import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from bench.results.statistics import significance_tests
from bench.results.statistics.expected_best import expected_best
from bench.results.statistics.significance_tests import (
    DRAWN_FLIPS,
    LEVEL,
    MAX_EXACT_SEEDS,
    POWER,
    combine,
    describe_flips,
    describe_reach,
    detectable_effect,
    half_width,
    holm,
    is_reachable,
    rank_ranges,
    sign_flip_p,
    smallest_p,
    student_interval,
)

TRIES = 2000
NAN = math.nan


def wins(share: float, tries: int = TRIES) -> float:
    """Three standard errors of a share estimated from this many tries."""
    return 3 * math.sqrt(share * (1 - share) / tries)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_one_interval_in_twenty_misses_nothing(seeds: int, rng: np.random.Generator) -> None:
    hits = [student_interval(rng.normal(0, 0.02, seeds).tolist()).excludes_zero for _ in range(TRIES)]
    assert np.mean(hits) == pytest.approx(LEVEL, abs=wins(LEVEL))


@pytest.mark.parametrize("seeds", [3, 6])
def test_a_planted_effect_of_one_percent_is_found_at_the_stated_power(seeds: int, rng: np.random.Generator) -> None:
    """1 % of 3 bits, with the noise of a seed at which it is just detectable."""
    effect = 0.01 * 3.0
    deviation = effect / (detectable_effect(1.0, seeds) / math.sqrt(seeds))
    hits = [student_interval(rng.normal(effect, deviation, seeds).tolist()).excludes_zero for _ in range(TRIES)]
    assert np.mean(hits) == pytest.approx(POWER, abs=wins(POWER))


def test_student_is_scipys_interval() -> None:
    values = [0.1, 0.3, 0.2, 0.25]
    interval, expected = student_interval(values), stats.ttest_1samp(values, 0).confidence_interval()
    assert (interval.low, interval.high, interval.n) == (pytest.approx(expected.low), pytest.approx(expected.high), 4)
    assert math.isnan(student_interval([0.1]).low)
    assert not student_interval([0.1]).excludes_zero
    with pytest.raises(ValueError, match="at least one value"):
        student_interval([])


def test_three_sure_seeds_are_not_five_sure_documents() -> None:
    """The root of the sum of squares: never narrower than what either source of chance gives alone."""
    seeds, documents = half_width(0.01, 3), half_width(0.01, 500)
    assert combine([seeds, documents]) > max(seeds, documents)
    assert combine([seeds, 0.0]) == seeds
    assert math.isnan(combine([]))


def test_intervals_over_seeds_and_documents_hold_for_new_ones_of_both(rng: np.random.Generator) -> None:
    """Seeds share their documents: those alone would miss zero far too often, and the combined interval does not."""
    seeds, documents, alone, combined = 3, 40, 0, 0
    for _ in range(TRIES):
        values = (
            rng.normal(0, 0.3, documents) + rng.normal(0, 0.02, (seeds, 1)) + rng.normal(0, 0.1, (seeds, documents))
        )
        seed_means, document_means = values.mean(1), values.mean(0)
        half = [half_width(stats.sem(means), len(means)) for means in (seed_means, document_means)]
        alone += abs(seed_means.mean()) > half[0]
        combined += abs(seed_means.mean()) > combine(half)
    assert alone / TRIES > 2 * LEVEL
    assert combined / TRIES < LEVEL + wins(LEVEL)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 11])
def test_the_sign_flip_test_counts_every_flip(n: int, rng: np.random.Generator) -> None:
    numbers = rng.normal(0.4, 1, n)
    flips = np.array(np.meshgrid(*[[1, -1]] * n)).reshape(n, -1).T  # [2^n, n]
    sums = np.abs(flips @ numbers)
    assert sign_flip_p(numbers.tolist()) == pytest.approx(np.mean(sums >= abs(numbers.sum()) - 1e-9))


def test_the_sign_flip_test_is_scipys(rng: np.random.Generator) -> None:
    numbers = rng.normal(0.5, 1, 9)
    expected = stats.permutation_test((numbers,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(numbers.tolist()) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("n", [1, 2, 29, 30, 31, 46, 50, 100, 1000])
def test_any_number_of_seeds_is_flipped(n: int, rng: np.random.Generator) -> None:
    """Exactly up to a stated number, beyond it with drawn signs: p is that of the normal law, to its error."""
    numbers = rng.normal(0, 1, n)
    numbers *= 1.5 / (math.sqrt(np.square(numbers).sum()) or 1)
    numbers += (1.5 - numbers.sum()) / n  # the sum is 1.5 standard deviations of the flipped sums, about
    p, deviation = sign_flip_p(numbers.tolist()), math.sqrt(np.square(numbers).sum())
    assert smallest_p(n) <= p <= 1
    if n > 40:
        assert p == pytest.approx(2 * stats.norm.sf(1.5 / deviation), abs=0.02)
    assert (describe_flips(n) == "") == (n <= MAX_EXACT_SEEDS)


def test_drawn_flips_agree_with_counted_ones(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = rng.normal(0.3, 1, 20).tolist()
    counted = sign_flip_p(numbers)
    monkeypatch.setattr(significance_tests, "MAX_EXACT_SEEDS", 10)
    assert sign_flip_p(numbers) == pytest.approx(counted, abs=4 * math.sqrt(counted / DRAWN_FLIPS))
    assert sign_flip_p(numbers) == sign_flip_p(numbers)  # drawn with a seed of its own
    assert sign_flip_p([1.0] * 60) == pytest.approx(smallest_p(60))


def test_flips_are_drawn_in_memory_that_does_not_grow(rng: np.random.Generator) -> None:
    peaks = []
    for n in (100, 1000):
        numbers = rng.normal(0, 1, n).tolist()
        tracemalloc.start()
        sign_flip_p(numbers)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 64 << 20
    assert peaks[1] < 1.5 * peaks[0]


def test_the_expected_best_of_many_trials_is_a_number(rng: np.random.Generator) -> None:
    scores = rng.normal(0, 1, 3000).tolist()
    assert expected_best(scores, 3000) == min(scores)
    assert expected_best(scores, 1) == pytest.approx(np.mean(scores))
    few = scores[:9]
    expected = np.mean([min(chosen) for chosen in itertools.combinations(few, 4)])
    assert expected_best(few, 4) == pytest.approx(expected)


def test_sums_that_are_equal_but_for_rounding_count_as_equal() -> None:
    assert sign_flip_p([0.1, 0.2, 0.3, 0.1, 0.2, 0.3]) == 2 / 64
    assert sign_flip_p([0.1, 0.1, -0.2, 0.3]) == sign_flip_p([1.0, 1.0, -2.0, 3.0]) == 10 / 16
    assert sign_flip_p([0.0, 0.0]) == 1.0
    with pytest.raises(ValueError, match="at least one paired difference"):
        sign_flip_p([])


def test_false_wins_of_the_sign_flip_test_are_exact_whatever_the_law(rng: np.random.Generator) -> None:
    """With 8 seeds p is a multiple of 2 / 256, so that 12 / 256 is the largest not above 5 %."""
    level = 12 / 256
    for draw in (rng.standard_normal, lambda n: rng.standard_t(2, n) ** 3):
        assert np.mean([sign_flip_p(draw(8)) <= LEVEL for _ in range(TRIES)]) == pytest.approx(level, abs=wins(level))


@pytest.mark.parametrize(("n", "can"), [(1, False), (3, False), (5, False), (6, True), (12, True)])
def test_fewer_than_six_seeds_cannot_reach_the_level(n: int, can: bool) -> None:
    assert sign_flip_p([1.0] * n) == smallest_p(n)
    assert is_reachable(n) == can == (smallest_p(n) < LEVEL)
    assert describe_reach(n).startswith("p < 0.05 is out of reach with ") == (not can)
    assert describe_reach(n) == "" or f"with {n} seed" in describe_reach(n)


def test_more_arms_need_more_seeds() -> None:
    assert [is_reachable(6, arms) for arms in (1, 2, 5)] == [True, False, False]
    assert [is_reachable(9, arms) for arms in (1, 5, 12, 13)] == [True, True, True, False]
    assert describe_reach(6, 2).startswith("p < 0.05 is out of reach with 6 seeds after Holm's correction over 2 arms")
    assert describe_reach(5, 2).startswith("p < 0.05 is out of reach with 5 seeds:")


def test_holm_multiplies_by_what_is_left() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    corrected = holm([0.02, NAN, 0.01])
    assert corrected[0] == corrected[2] == pytest.approx(0.02)
    assert math.isnan(corrected[1])
    assert holm([]) == []


def test_with_holm_no_arm_of_five_wins_falsely_more_than_one_table_in_twenty(rng: np.random.Generator) -> None:
    tables = rng.normal(0, 1, (600, 5, 10))
    ps = [[sign_flip_p(arm) for arm in table] for table in tables]
    assert np.mean([min(p_values) < LEVEL for p_values in ps]) > 3 * LEVEL
    assert np.mean([min(holm(p_values)) < LEVEL for p_values in ps]) < LEVEL + wins(LEVEL, 600)


def test_what_is_detectable_shrinks_with_seeds_and_grows_with_the_power() -> None:
    sizes = [detectable_effect(0.02 / math.sqrt(n), n) for n in (2, 3, 6, 20)]
    assert sizes == sorted(sizes, reverse=True)
    assert detectable_effect(0.01, 10_000) == pytest.approx(
        0.01 * (stats.norm.isf(0.025) + stats.norm.isf(0.2)), rel=1e-3
    )
    assert detectable_effect(0.01, 5, power=0.9) > detectable_effect(0.01, 5)
    assert math.isnan(detectable_effect(0.01, 1))


def test_intervals_that_overlap_share_their_places() -> None:
    assert rank_ranges([0.0, 0.1, 0.2, 0.9], [0.05, 0.3, 0.4, 1.0]) == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert rank_ranges([0.0, 0.0], [0.0, 0.0]) == [(1, 2), (1, 2)]
    assert rank_ranges([NAN, 0.0, 1.0], [NAN, 0.5, 2.0]) == [(1, 3), (1, 2), (2, 3)]
