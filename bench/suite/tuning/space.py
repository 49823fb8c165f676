"""Points of a search space: a coordinate from 0 to 1 for each thing that is searched."""

import json
import math
from collections.abc import Sequence
from typing import Any

from bench.engine.storage import digest
from bench.suite.tuning.settings import Range, Search, Tune

DIGITS = 4  # significant digits of a real number: a lock file is read by people


def points(search: Search, count: int, name: str) -> list[dict[str, Any]]:
    """The first `count` points of a scrambled Sobol sequence; `name` alone fixes the scrambling.

    Fewer points are the beginning of more. Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points" (1998).
    """
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(search), scramble=True, rng=seed_of(name))
    rows = sequence.random_base2(math.ceil(math.log2(count)))[:count]
    return [{key: at(space, float(u)) for (key, space), u in zip(search.items(), row, strict=True)} for row in rows]


def first_points(tune: Tune, arm: str) -> list[dict[str, Any]]:
    """The points of an arm that are fixed before its first trial."""
    return points(tune.of(arm), tune.trials, fixed_by(tune, arm))


def fixed_by(tune: Tune, arm: str) -> str:
    """What alone fixes the points of an arm."""
    return f"{tune.seeds[0]}/{arm}"


def seed_of(*parts: Any) -> int:
    """A seed below 2^32 that is made from words and numbers."""
    return int(digest({"seed": list(parts)})[:8], 16)


def at(space: Range | list[Any], u: float) -> Any:
    """The value at a coordinate 0 <= u < 1; a list has a stratum of equal width for each of its values."""
    if isinstance(space, list):
        return space[min(int(u * len(space)), len(space) - 1)]
    margin = 0.5 if space.whole else 0.0  # so that the ends are as likely as the others
    low, high = space.low - margin, space.high + margin
    value = low * (high / low) ** u if space.log else low + u * (high - low)
    if space.whole:
        return min(max(round(value), int(space.low)), int(space.high))
    return min(max(float(f"{value:.{DIGITS}g}"), space.low), space.high)


def checked(space: Range | list[Any]) -> list[Any]:
    """The values at which a space is tried out before anything is trained: all of a list, of a range three."""
    if isinstance(space, list):
        return space
    between = int(space.low) + 1 if space.whole else 0.618 * space.low + 0.382 * space.high
    return [int(space.low), between, int(space.high)] if space.whole else [space.low, between, space.high]


def holds(space: Range | list[Any], value: Any) -> bool:
    """Whether a value is one of the space."""
    if isinstance(space, list):
        return spelt([value])[0] in spelt(space)
    is_number = isinstance(value, int if space.whole else float | int) and not isinstance(value, bool)
    return is_number and space.low <= value <= space.high


def spelt(values: Sequence[Any]) -> list[str]:
    """Values as words, which is all that a study keeps of a list; equal values have equal words."""
    return [value if isinstance(value, str) else json.dumps(value, sort_keys=True) for value in values]
