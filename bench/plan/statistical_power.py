"""What a number of seeds can show, before anything runs."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.plan.cells import Plan
from bench.results.statistics.significance_tests import (
    ADVISED_SEEDS,
    LEVEL,
    POWER,
    describe_reach,
    detectable_effect,
    half_width,
    is_reachable,
    smallest_p,
)

MANY = 100  # the search for a sufficient number of seeds ends here

Scores = dict[tuple[str, int], float]  # by arm and seed


@dataclass(frozen=True)
class Power:
    """What paired differences of `arms` arms over `seeds` seeds can show, by the rule of
    `bench.results.statistics.verdicts.assess`. The variance over documents, which adds to that over seeds, is left out.
    """

    seeds: int
    arms: int  # compared with a base
    smallest_p: float  # of the sign-flip test, after Holm's correction over the arms
    seeds_needed: int  # for p < 0.05
    detectable_sd: float  # smallest difference that gets a verdict, in standard deviations of a paired difference
    detectable: tuple[float, float] | None  # the same in the score's unit, for the least and the most variable arm
    unit: str  # of the score

    @property
    def is_reachable(self) -> bool:
        """Whether the sign-flip test can reach p < 0.05."""
        return is_reachable(self.seeds, self.arms)


def plan_power(plan: Plan, scores: Scores, unit: str) -> Power | None:
    """What the seeds of a plan can show, given the scores measured so far; None if no arm has a base."""
    ids = {(cell.arm, cell.seed): cell.id for cell in plan.cells}
    bases = {cell.arm: cell.base for cell in plan.cells if cell.base and ids.get((cell.base, cell.seed)) != cell.id}
    if not bases:
        return None

    seeds, arms = plan.suite.spec.seeds, len(bases)
    detectable_sd = _detectable_sd(len(seeds), arms)
    deviations = [_deviation(arm, base, seeds, scores) for arm, base in bases.items()]
    measured = [deviation for deviation in deviations if deviation is not None]
    span = (detectable_sd * min(measured), detectable_sd * max(measured)) if measured and len(seeds) > 1 else None
    return Power(
        seeds=len(seeds),
        arms=arms,
        smallest_p=min(1.0, arms * smallest_p(len(seeds))),
        seeds_needed=next(count for count in range(1, MANY) if is_reachable(count, arms)),
        detectable_sd=detectable_sd,
        detectable=span,
        unit=unit,
    )


def _detectable_sd(seeds: int, arms: int) -> float:
    """The difference that gets a verdict in a share `POWER` of experiments, in standard deviations over seeds.

    Verdicts are corrected for the number of arms and use the sign-flip test if it can reach p < 0.05.
    """
    uses_sign_flip = seeds > 1 and is_reachable(seeds, arms)
    return detectable_effect(1 / math.sqrt(seeds), seeds, LEVEL / arms, uses_sign_flip=uses_sign_flip)


def _deviation(arm: str, base: str, seeds: Sequence[int], scores: Scores) -> float | None:
    """The standard deviation over seeds of an arm's paired differences; None with fewer than two of them."""
    paired = [seed for seed in seeds if {(arm, seed), (base, seed)} <= scores.keys()]
    if len(paired) < 2:
        return None
    return statistics.stdev(scores[arm, seed] - scores[base, seed] for seed in paired)


def describe_power(power: Power | None, seeds: int) -> list[str]:
    """The power in one to three sentences; `seeds` is the number of seeds of the plan."""
    lone = [_describe_lone_seed()] if seeds == 1 else []
    if power is None:
        return [*lone, "no arm has a base, so no difference will be tested"]
    if lone:
        reach = f"with {power.seeds_needed} seeds, the sign-flip test can reach p < {LEVEL:g}"
        return [*lone, f"{reach} for {_count_arms(power.arms)}"]

    size = f"{power.detectable_sd:.2g} standard deviations of a paired difference over seeds"
    lines = [
        _describe_reach(power),
        f"a true difference is found in {POWER:.0%} of experiments if it is at least {size}",
    ]
    if power.detectable:
        low, high = (f"{difference:.2g}" for difference in power.detectable)
        lines.append(f"by the results so far that is {low if low == high else f'{low} to {high}'} {power.unit}")
    return lines


def _describe_lone_seed() -> str:
    """How many seeds a verdict needs, by the width of Student's interval in standard deviations over seeds."""
    counts = (ADVISED_SEEDS - 1, ADVISED_SEEDS, ADVISED_SEEDS + 2)
    widths = [f"± {half_width(1 / math.sqrt(count), count):.2g} with {count}" for count in counts]
    interval = f"the 95 % interval is {', '.join(widths)}, in standard deviations over seeds"
    return f"no verdict from one seed: give at least {ADVISED_SEEDS} seeds ({interval})"


def _describe_reach(power: Power) -> str:
    obstacle = describe_reach(power.seeds, power.arms)
    if obstacle:
        return f"{obstacle}; {power.seeds_needed} seeds suffice for {_count_arms(power.arms)}"

    correction = f" after Holm's correction over {_count_arms(power.arms)}" if power.arms > 1 else ""
    smallest = f"the smallest possible p is {power.smallest_p:.3g}"
    return f"the sign-flip test over {power.seeds} seeds can reach p < {LEVEL:g}{correction}: {smallest}"


def _count_arms(count: int) -> str:
    return "1 arm" if count == 1 else f"{count} arms"
