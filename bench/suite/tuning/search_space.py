"""Points of a search space, with a coordinate in [0, 1) for each setting."""

import json
import math
from collections.abc import Sequence
from typing import Any

from bench.engine.storage import digest
from bench.suite.tuning.settings import Range, Search, Tune

DIGITS = 4  # significant digits of a real number, for people who read the lock file


def sobol_points(search: Search, count: int, name: str) -> list[dict[str, Any]]:
    """The first `count` points of a Sobol sequence whose scrambling depends on `name` alone.

    A smaller count gives a prefix. Source: Owen, "Scrambling Sobol' and Niederreiter-Xing points" (1998).
    """
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(search), scramble=True, rng=derive_seed(name))
    rows = sequence.random_base2(math.ceil(math.log2(count)))[:count]
    return [
        {key: value_at(space, float(u)) for (key, space), u in zip(search.items(), row, strict=True)} for row in rows
    ]


def initial_points(tune: Tune, arm: str) -> list[dict[str, Any]]:
    """The points of an arm that are fixed before its first trial."""
    return sobol_points(tune.of(arm), tune.trials, scrambling_key(tune, arm))


def scrambling_key(tune: Tune, arm: str) -> str:
    """The name that determines the points of an arm."""
    return f"{tune.seeds[0]}/{arm}"


def derive_seed(*parts: Any) -> int:
    """A seed below 2^32, derived from strings and numbers."""
    return int(digest({"seed": list(parts)})[:8], 16)


def value_at(space: Range | list[Any], u: float) -> Any:
    """The value at a coordinate u in [0, 1); the values of a list have strata of equal width."""
    if isinstance(space, list):
        return space[min(int(u * len(space)), len(space) - 1)]
    margin = 0.5 if space.whole else 0.0  # makes the ends as likely as other values
    low, high = space.low - margin, space.high + margin
    value = low * (high / low) ** u if space.log else low + u * (high - low)
    if space.whole:
        return min(max(round(value), int(space.low)), int(space.high))
    return min(max(float(f"{value:.{DIGITS}g}"), space.low), space.high)


def probe_values(space: Range | list[Any]) -> list[Any]:
    """The values that are checked before any training: all of a list, three of a range."""
    if isinstance(space, list):
        return space
    middle = int(space.low) + 1 if space.whole else 0.618 * space.low + 0.382 * space.high
    return [int(space.low), middle, int(space.high)] if space.whole else [space.low, middle, space.high]


def contains(space: Range | list[Any], value: Any) -> bool:
    """Whether the space contains a value."""
    if isinstance(space, list):
        return encode_values([value])[0] in encode_values(space)
    is_number = isinstance(value, int if space.whole else float | int) and not isinstance(value, bool)
    return is_number and space.low <= value <= space.high


def encode_values(values: Sequence[Any]) -> list[str]:
    """Encode values as the strings by which a study stores them; equal values have equal strings."""
    return [value if isinstance(value, str) else json.dumps(value, sort_keys=True) for value in values]
