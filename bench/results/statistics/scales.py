"""Scales on which numbers are averaged over seeds, and the way back to their units with errors to first order.

A unit that is not linear in nats, seconds or a variance is a function of one that is: a perplexity is exp of nats. Over
seeds the linear quantity is averaged and then converted, so that two units of one measurement have the same order, and
the same ties. `Metric.scale` names the function. A ratio whose denominator is the same for all seeds, such as bits per
byte of the same documents, is linear.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.engine.metric_definitions import Scale

Numbers = NDArray[np.float64]
Function = Callable[[Numbers], Numbers]

TO_LINEAR: dict[Scale, Function] = {"linear": np.copy, "log": np.log, "square": np.square, "reciprocal": np.reciprocal}
FROM_LINEAR: dict[Scale, Function] = {"linear": np.copy, "log": np.exp, "square": np.sqrt, "reciprocal": np.reciprocal}
SLOPES: dict[Scale, Function] = {
    "linear": np.ones_like,
    "log": np.reciprocal,
    "square": lambda numbers: 2 * numbers,
    "reciprocal": lambda numbers: 1 / numbers**2,
}


def to_linear(scale: Scale, values: ArrayLike) -> Numbers:
    """The linear quantities behind numbers of a scale."""
    with np.errstate(all="ignore"):
        return TO_LINEAR[scale](np.asarray(values, dtype=float))


def from_linear(scale: Scale, quantities: ArrayLike) -> Numbers:
    """The numbers of a scale that belong to linear quantities."""
    with np.errstate(all="ignore"):
        return FROM_LINEAR[scale](np.asarray(quantities, dtype=float))


def slope(scale: Scale, values: ArrayLike) -> Numbers:
    """How fast the linear quantity grows with the number, without sign: an error times this is that of the quantity."""
    with np.errstate(all="ignore"):
        return SLOPES[scale](np.abs(np.asarray(values, dtype=float)))
