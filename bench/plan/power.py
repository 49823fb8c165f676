"""What a number of seeds can show and what it cannot, before anything is run."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.plan.cells import Plan
from bench.results.statistics.significance import LEVEL, POWER, detectable, is_reachable, say_reach, smallest_p

MANY = 100  # seeds: the search for a number that is enough ends here


@dataclass(frozen=True)
class Power:
    """What the paired differences of `arms` arms over `seeds` seeds can show, by the rule of `judge`;
    the chance of documents, which adds to that of seeds, is left out."""

    seeds: int
    arms: int  # that are compared with a base
    smallest_p: float  # of the sign-flip test, after Holm's correction over the arms
    seeds_needed: int  # for p < 0.05
    detectable_sd: float  # what gets a verdict, in standard deviations of a paired difference over seeds; nan for one
    detectable: tuple[float, float] | None  # the same in the score's unit, of the steadiest and the least steady arm
    unit: str  # of the score

    @property
    def is_reachable(self) -> bool:
        """Whether p < 0.05 is within reach of the sign-flip test."""
        return is_reachable(self.seeds, self.arms)


def power(plan: Plan, scores: dict[tuple[str, int], float], unit: str) -> Power | None:
    """What the seeds of a plan can show; None where no arm has a base. `scores` are those that are measured already, by
    arm and seed."""
    ids = {(cell.arm, cell.seed): cell.id for cell in plan.cells}
    pairs = [(cell.arm, cell.base) for cell in plan.cells if cell.base and ids.get((cell.base, cell.seed)) != cell.id]
    bases = dict(pairs)
    if not bases:
        return None
    seeds, arms = plan.suite.spec.seeds, len(bases)
    needed = next(n for n in range(1, MANY) if is_reachable(n, arms))
    in_sd = _least(len(seeds), arms)
    spreads = [spread for arm, base in bases.items() if (spread := _spread(arm, base, seeds, scores)) is not None]
    found = (in_sd * min(spreads), in_sd * max(spreads)) if spreads and len(seeds) > 1 else None
    return Power(len(seeds), arms, min(1.0, arms * smallest_p(len(seeds))), needed, in_sd, found, unit)


def _least(seeds: int, arms: int) -> float:
    """The difference that gets a verdict in a share `POWER` of experiments, in standard deviations over seeds, as
    `judge` gives verdicts: after correction, and with the sign-flip test where that can speak."""
    return detectable(1 / math.sqrt(seeds), seeds, LEVEL / arms, flipped=seeds > 1 and is_reachable(seeds, arms))


def _spread(arm: str, base: str, seeds: Sequence[int], scores: dict[tuple[str, int], float]) -> float | None:
    """The standard deviation of an arm's paired differences over the seeds that are measured; None for fewer than 2."""
    both = [seed for seed in seeds if {(arm, seed), (base, seed)} <= scores.keys()]
    return statistics.stdev(scores[arm, seed] - scores[base, seed] for seed in both) if len(both) > 1 else None


def words(found: Power | None) -> list[str]:
    """The same in two or three sentences."""
    if found is None:
        return ["no arm has a base, so that no difference will be tested"]
    if found.seeds == 1:
        return [
            "one seed: there is no error over seeds at all; intervals hold for these trainings alone, over documents",
            f"{say_reach(1)}; {found.seeds_needed} seeds would do for {_arms(found.arms)}",
        ]
    lines = [_reach(found)]
    least = f"{found.detectable_sd:.2g} standard deviations of a paired difference over seeds"
    lines.append(f"a true difference is found in {POWER:.0%} of experiments if it is at least {least}")
    if found.detectable:
        low, high = (f"{each:.2g}" for each in found.detectable)
        lines.append(f"by what is measured so far that is {low if low == high else f'{low} to {high}'} {found.unit}")
    return lines


def _reach(found: Power) -> str:
    out_of_it = say_reach(found.seeds, found.arms)
    if out_of_it:
        return f"{out_of_it}; {found.seeds_needed} seeds would do for {_arms(found.arms)}"
    after = f" after Holm's correction over {_arms(found.arms)}" * (found.arms > 1)
    least = f"the smallest possible is {found.smallest_p:.3g}"
    return f"p < {LEVEL:g} is within reach of the sign-flip test over {found.seeds} seeds{after}: {least}"


def _arms(count: int) -> str:
    return f"{count} arm{'s' * (count != 1)}"
