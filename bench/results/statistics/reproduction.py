"""How close an estimate must come to a published number to count as reproducing it."""

from decimal import Decimal

from bench.results.statistics.pooled import PooledEstimate
from bench.results.statistics.significance_tests import LEVEL, combine, half_width

NORMAL_QUANTILE = 1.96  # two-sided 95 %, for a published spread over an unknown number of values


def reproduction_half_width(estimate: PooledEstimate, published: Decimal, spread: Decimal | None) -> float:
    """The largest difference at which an estimate reproduces a published number, in the number's unit.

    Student's 95 % interval of the estimate over seeds (over clusters of documents for one seed, or if the seeds agree
    to the last digit) is joined in quadrature with 1.96 times the published spread. Half of the last printed digit is
    added: rounding is not random.
    """
    has_spread = estimate.seeds > 1 and estimate.error > 0
    error, count = (estimate.error, estimate.seeds) if has_spread else (estimate.sampling, estimate.clusters)
    interval = half_width(error, count, LEVEL) if error > 0 else 0.0
    published_interval = NORMAL_QUANTILE * float(spread) if spread else 0.0
    return combine([interval, published_interval]) + 0.5 * 10.0 ** last_digit(published)


def last_digit(value: Decimal) -> int:
    """The power of ten of the last printed digit."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int), f"{value} is not a finite number"
    return exponent
