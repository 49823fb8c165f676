"""Seeds are averaged on the scale of a metric, so that units of one measurement have one order and the same ties."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.engine.metric_definitions import METRICS, Scale
from bench.results.compare.compare import compare
from bench.results.compare.compared_results import Side
from bench.results.statistics.pooled import PooledEstimate, is_tied, pool
from bench.results.statistics.scales import from_linear, slope, to_linear
from bench.results.tidy_table import COLUMNS
from reports.tables.format_numbers import format_with_error
from reports.tables.main_table import build_main
from tests.support.report_records import LN2, Rows, make_arm, make_record

SCALES: list[Scale] = ["linear", "log", "square", "reciprocal"]


def pool_values(metric: str, values: list[float], error: float = 0.01) -> PooledEstimate:
    """The values of several seeds, pooled."""
    common = {**COLUMNS, "status": "done", "kind": "exact", "n": 10, "tokens": 1, "metric": metric}
    common |= {"standard_error": error, "monte_carlo_error": 0.0}
    estimate = pool(pd.DataFrame([{**common, "value": value, "seed": seed} for seed, value in enumerate(values)]))
    assert estimate
    return estimate


def make_random_arm(rng: np.random.Generator, label: str, seeds: int) -> Rows:
    """An arm whose seeds differ by a lot; the noise of its perplexity is that of its bits."""
    rows: Rows = []
    for seed, bits in enumerate(rng.uniform(0.5, 6, seeds)):
        noise = 0.004 * LN2 * 2**bits
        arm = make_arm(label, float(bits), seed=seed)
        rows += [row | {"monte_carlo_error": noise} if row["metric"] == "perplexity" else row for row in arm]
    return rows


@pytest.mark.parametrize("metric", ["perplexity", "gen_ppl"])
def test_a_perplexity_over_seeds_is_exp_of_the_mean_nats(metric: str) -> None:
    """Nats of 1 and 3 are 2 on average; the mean of exp would be that of 2.43."""
    for nats in ([1.0, 3.0], [2.1, 2.1], [0.3, 5.0, 2.2, 4.1]):
        assert pool_values(metric, [math.exp(n) for n in nats]).value == pytest.approx(math.exp(np.mean(nats)))


@pytest.mark.parametrize("draw", range(20))
def test_score_and_perplexity_have_one_order_one_best_and_the_same_ties(draw: int) -> None:
    rng = np.random.default_rng(draw)
    table = build_main(make_record(*(make_random_arm(rng, label, int(rng.integers(1, 5))) for label in "ABCDE")))
    scores, perplexities = zip(*(row.entries[:2] for row in table.rows), strict=True)
    estimates = [(score.estimate, other.estimate) for score, other in zip(scores, perplexities, strict=True)]
    for score, perplexity in estimates:
        assert score
        assert perplexity
        assert perplexity.value == pytest.approx(2**score.value)
        assert perplexity.error == pytest.approx(score.error * LN2 * perplexity.value)
    assert [score.best for score in scores] == [perplexity.best for perplexity in perplexities]
    assert [score.marks for score in scores] == [perplexity.marks for perplexity in perplexities]


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if metric.scale == "reciprocal"])
def test_a_rate_over_seeds_is_all_of_it_over_all_seconds(metric: str) -> None:
    assert pool_values(metric, [100.0, 300.0]).value == pytest.approx(2 / (1 / 100 + 1 / 300))


def test_a_deviation_over_seeds_is_the_root_of_the_mean_variance() -> None:
    assert pool_values("estimator_sd", [0.1, 0.7]).value == pytest.approx(math.sqrt((0.01 + 0.49) / 2))


def test_a_ratio_to_the_same_bytes_is_averaged_as_it_is() -> None:
    """All seeds of an arm are scored on the same documents, so that the ratio of sums is the mean of ratios."""
    nats, size = np.array([[3.0, 9.0], [4.0, 6.0], [5.0, 6.5]]), np.array([4, 10])
    of_seeds = (nats.sum(1) / size.sum() / LN2).tolist()
    assert pool_values("bits_per_byte", of_seeds).value == pytest.approx(nats.sum() / (3 * size.sum()) / LN2)


@pytest.mark.parametrize("metric", METRICS)
def test_the_number_of_one_cell_stays_as_it_is(metric: str) -> None:
    estimate = pool_values(metric, [1.2345678901234567])
    assert (estimate.value, estimate.error) == (1.2345678901234567, 0.01)


@pytest.mark.parametrize("scale", SCALES)
def test_errors_follow_the_scale_to_first_order(scale: Scale) -> None:
    assert from_linear(scale, to_linear(scale, 1.7)) == pytest.approx(1.7)
    step = 1e-6
    rise = abs(float(to_linear(scale, 1.7 + step) - to_linear(scale, 1.7 - step))) / (2 * step)
    assert slope(scale, 1.7) == pytest.approx(rise, rel=1e-6)
    estimate = PooledEstimate(1.7, 0.1, 0.2, 0.3, scale=scale)
    assert estimate.linear.convert(scale).error == pytest.approx(0.1)


def test_seeds_that_agree_are_not_certainly_different() -> None:
    """Without any error nothing is told apart; with one over documents, that decides."""
    first, second = PooledEstimate(1.0, 0.0, 0.0, seeds=3), PooledEstimate(1.1, 0.0, 0.0, seeds=3)
    assert is_tied(first, second)
    close, far = (PooledEstimate(value, 0.0, 0.05, clusters=50, seeds=3) for value in (1.1, 1.5))
    assert is_tied(close, PooledEstimate(1.0, 0.0, 0.05, clusters=50, seeds=3))
    assert not is_tied(far, PooledEstimate(1.0, 0.0, 0.05, clusters=50, seeds=3))


def test_comparisons_average_on_the_same_scale() -> None:
    def side(name: str, *nats: float) -> Side:
        common: dict[str, Any] = {**COLUMNS, "arm": "x", "stage": "quality", "status": "done", "metric": "gen_ppl"}
        common |= {"n": 100, "standard_error": 0.1, "way": "ancestral", "texts": "100 x 12"}
        rows = [{**common, "seed": seed, "value": math.exp(value)} for seed, value in enumerate(nats)]
        return Side(name, (), pd.DataFrame(rows, columns=list(COLUMNS)), None, True)

    (difference,) = compare(side("A", 1.0, 3.0), side("B", 2.1, 2.1)).qualities
    assert difference.base == pytest.approx(math.exp(2.0))
    assert difference.value == pytest.approx(math.exp(2.1) - math.exp(2.0))


@pytest.mark.parametrize("others", [(0.9000001, 0.9000002), (0.95, 0.950000001)])
def test_seeds_whose_texts_nearly_agree_are_known_to_the_resolution_at_best(others: tuple[float, ...]) -> None:
    """A share of 100 texts of 12 tokens has steps of 1 / 1200."""

    def side(name: str, *values: float) -> Side:
        common: dict[str, Any] = {**COLUMNS, "arm": "x", "stage": "quality", "status": "done", "metric": "distinct_1"}
        common |= {"n": 100, "standard_error": 0.01, "way": "ancestral", "texts": "100 x 12"}
        rows = [{**common, "seed": seed, "value": value} for seed, value in enumerate(values)]
        return Side(name, (), pd.DataFrame(rows, columns=list(COLUMNS)), None, True)

    (difference,) = compare(side("A", 0.9, 0.9000001), side("B", *others)).qualities
    assert difference.high - difference.low > 2 * 12.7 / 1200
    (lone,) = compare(side("A", 0.9), side("B", *others[:1])).qualities
    assert math.isnan(lone.detectable)


@pytest.mark.parametrize(
    ("error", "text"), [(1e-14, "1e-14"), (4e-7, "4e-07"), (6e-7, "0.000001"), (0.02, "0.020"), (0.0, "")]
)
def test_no_error_is_printed_as_zero(error: float, text: str) -> None:
    assert format_with_error(PooledEstimate(30.0, error))[1] == text
