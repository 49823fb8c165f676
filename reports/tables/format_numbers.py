"""Numbers as text: each formatter returns the value and its error, which is "" if it shows none."""

import math
from collections.abc import Callable

from bench.engine.metric_definitions import Digits
from bench.results.statistics.pooled import PooledEstimate

Formatter = Callable[[PooledEstimate], tuple[str, str]]


def format_with_error(number: PooledEstimate) -> tuple[str, str]:
    """The value and its error to two significant digits of the error; without an error, four digits of the value.

    An error that would be printed as zero stands as a power of ten.
    """
    if not math.isfinite(number.value):
        return f"{number.value:.0f}", ""
    if number.error > 0 and math.isfinite(number.error):
        decimals = count_decimals(number.error, significant=2)
        error = f"{number.error:.{decimals}f}"
        return f"{number.value:.{decimals}f}", error if float(error) > 0 else f"{number.error:.0e}"
    return f"{number.value:.{count_decimals(number.value, significant=4)}f}", ""


def count_decimals(value: float, significant: int) -> int:
    """The decimals that show this number of significant digits of a value, at most 6."""
    exponent = int(f"{value:.{significant - 1}e}".split("e")[1])
    return min(max(significant - 1 - exponent, 0), 6)


def format_compact(number: PooledEstimate) -> tuple[str, str]:
    """Millions and billions with two decimals: 0.33M, 1.50B; smaller numbers in full."""
    for scale, suffix, start in ((1e9, "B", 1e9), (1e6, "M", 1e5)):
        if number.value >= start:
            return f"{number.value / scale:.2f}{suffix}", ""
    return f"{number.value:.0f}", ""


def format_scientific(number: PooledEstimate) -> tuple[str, str]:
    """Three significant digits and a power of ten: 1.25e12."""
    return f"{number.value:.2e}".replace("e+", "e"), ""


def format_flops(number: PooledEstimate) -> tuple[str, str]:
    """Two significant digits and a power of ten: 1.2e12."""
    return f"{number.value:.1e}".replace("e+", "e"), ""


def format_plain(number: PooledEstimate) -> tuple[str, str]:
    """One decimal below 100, none above."""
    decimals = 1 if number.value < 100 else 0
    return f"{number.value:.{decimals}f}", ""


def format_sample_size(number: PooledEstimate) -> tuple[str, str]:
    """Documents × finished seeds, and the number of planned seeds if some are missing."""
    planned = f" of {number.planned}" if number.planned > number.seeds else ""
    return f"{number.documents} × {number.seeds}{planned}", ""


def format_count(number: PooledEstimate) -> tuple[str, str]:
    """A count, or a mean of counts, without trailing zeros: 1,024 or 12.5."""
    return f"{number.value:,g}", ""


def format_seeds(number: PooledEstimate) -> tuple[str, str]:
    """Finished seeds out of those planned."""
    return f"{number.seeds} of {number.planned}", ""


def format_mebibytes(number: PooledEstimate) -> tuple[str, str]:
    """Bytes in MiB, without decimals."""
    return f"{number.value / 2**20:.0f}", ""


FORMATS: dict[Digits, Formatter] = {
    "error": format_with_error,
    "count": format_count,
    "compact": format_compact,
    "plain": format_plain,
    "scientific": format_scientific,
    "mebibytes": format_mebibytes,
}
