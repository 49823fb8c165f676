"""Estimators of the bound: which noise draws it is made from."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from bench.engine.model.model import END_DRAWS
from bench.engine.rng import Keyed
from methods.method import Method

Estimator = Literal["auto", "counted", "times", "independent"]


def choose(method: Method, asked: Estimator = "auto") -> Estimator:
    """What is meant by `auto`: masks are counted where the method allows it, else times are drawn in strata."""
    if asked != "auto":
        return asked
    return "times" if method.masking is None else "counted"


def unfit(method: Method, asked: Estimator) -> str | None:
    """Why the bound of a method cannot be estimated so; None where it can."""
    if method.exact and asked != "auto":
        return "is a likelihood, of which nothing is estimated"
    if asked == "counted" and method.masking is None:
        return "does not mask every position alike along a schedule from 1 to 0, so that counting masks does not hold"
    return None


def say_estimator(method: Method, asked: Estimator, draws: int | None = None) -> str:
    """How the bound of a sequence is estimated, in words, and from how many draws in a replicate."""
    if method.exact:
        return "exact likelihood"
    chosen, steps = choose(method, asked), method.needs.steps
    kind = "independent" if chosen == "independent" else "stratified"
    on_time = f"t on {steps} steps" + ", independent" * (chosen == "independent") if steps else f"{kind} t"
    how = "exactly k masked" if chosen == "counted" else on_time
    return how if draws is None else f"{how}, {draws} draws"


def end_draws(method: Method, draws: int, estimator: Estimator = "auto") -> int:
    """Draws of the last guess; none where nothing is left to guess, as with counted masks."""
    has_ends = method.masking is not None and choose(method, estimator) != "counted" and method.t_min > 0
    return max(1, draws // END_DRAWS) if method.guesses_last or has_ends else 0


def calls(method: Method, draws: int, estimator: Estimator = "auto") -> int:
    """Network calls for one sequence in one replicate; a self-conditioned network looks twice at each noising."""
    if method.exact:
        return 1
    return (draws + end_draws(method, draws, estimator)) * (1 + method.needs.self_condition)


def mirrored(draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
    """`draws` numbers in (0, 1) for each document [documents]: a mirrored pair in each of draws / 2 equal strata."""
    strata = draws // 2
    inside = rng.uniform((documents, strata)).clamp(1e-12, 1 - 1e-12)
    for stratum in range(strata):
        yield (stratum + inside[:, stratum]) / strata
        yield (stratum + 1 - inside[:, stratum]) / strata


def independent(draws: int, documents: int, rng: Keyed) -> Iterator[Tensor]:
    """`draws` numbers in (0, 1) for each document [documents], which know nothing of each other."""
    yield from rng.uniform((documents, draws)).clamp(1e-12, 1 - 1e-12).unbind(1)
