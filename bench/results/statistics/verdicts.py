"""Each arm's difference from its base: its interval, the verdict after correction for several arms, and its rank."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from bench.results.statistics.pooled import MIN_SEEDS
from bench.results.statistics.significance_tests import (
    LEVEL,
    ROUNDING,
    ErrorSource,
    combine,
    describe_reach,
    detectable_effect,
    half_widths,
    holm,
    holm_apart,
    interval_p,
    is_reachable,
    rank_ranges,
    sign_flip_p,
    standard_error,
)

NAN = math.nan
WORSE, BETTER, TIED, SAME = "worse", "better", "not told apart", "same run"
NO_VERDICT, TEST_TEXT_ONLY = "no verdict: one seed", "test text only"  # of one seed, and what its error is over

Pair = dict[Any, Any]  # a row of `bench.results.statistics.paired_differences.pair`


@dataclass(frozen=True)
class Delta:
    """The difference of one arm from its base in one metric, over all paired seeds.

    Of one paired seed, the interval and its p-value cover the test text only; there is no rank and no verdict.
    """

    arm: str
    method: str
    base: str
    metric: str
    value: float = NAN
    low: float = NAN  # limits of the 95 % interval
    high: float = NAN
    seeds: int = 0  # paired, of those planned for the arm
    planned: int = 0
    documents: int = 0
    clusters: int = 0  # of documents that may vary together; the number of documents if they are independent
    seeds_error: float = NAN  # standard error over the paired seeds
    documents_error: float = NAN  # standard error over documents, of the mean over the seeds
    monte_carlo_error: float = NAN  # the part of it that is due to noise draws
    p: float = NAN  # of the exact sign-flip test over the paired seeds
    p_holm: float = NAN  # the same after Holm's correction over the arms
    reach: str = ""  # why p < 0.05 is out of reach
    p_interval: float = NAN  # level at which the interval just reaches zero
    p_interval_holm: float = NAN  # the same after Holm's correction over the arms
    detectable: float = NAN  # minimum detectable effect
    rank_best: Any = pd.NA
    rank_worst: Any = pd.NA
    verdict: str = ""
    unlike: str = ""  # the two estimators if they differ
    mix: str = ""  # how the arm and its base were made, if they differ in precision, device or the like
    reason: str = ""  # why some seed, or every seed, is not paired

    @property
    def sources(self) -> list[ErrorSource]:
        """The sources of error with a known spread: seeds and documents; a spread that is due to rounding is none."""
        sources = [(self.seeds_error, self.seeds), (self.documents_error, self.clusters)]
        is_rounding = [error <= ROUNDING * abs(self.value) for error, _ in sources]
        return [
            (0.0 if is_zero else error, n) for is_zero, (error, n) in zip(is_rounding, sources, strict=True) if n > 1
        ]

    def half_width(self, level: float) -> float:
        """Half the width of the interval at a level; NaN if there is none, 0 if arm and base are the same run."""
        return 0.0 if self.verdict == SAME else half_widths(self.value, self.sources, level)

    @property
    def has_verdict(self) -> bool:
        """Whether it may get a verdict: its spread over training runs is known, or there is none."""
        return self.seeds >= MIN_SEEDS or self.verdict == SAME


def summarize(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per arm with its `Delta` in one metric, in the order of the bases; see `assess`."""
    deltas = assess(pairs[pairs["metric"] == metric].to_dict("records"))
    columns = [field.name for field in fields(Delta)]
    table = pd.DataFrame([asdict(delta) for delta in deltas], columns=columns)
    return table.astype({"rank_best": "Int64", "rank_worst": "Int64"})


def assess(pairs: Sequence[Pair]) -> list[Delta]:
    """Test the paired differences of one metric, arm by arm.

    The 95 % interval `low`..`high` combines Student's interval over the paired seeds with the one over the documents,
    which the seeds share; for a single seed it covers documents alone, and there is no verdict: other training runs
    may differ by more. An arm of several seeds is worse or better if its interval excludes zero after Holm's correction
    over all arms and, if the sign-flip test over the seeds can fall below 0.05, its corrected p does too: if no arm
    differs, at most one table in twenty has a verdict. Both are required because with few seeds Student's interval
    alone rejects too often if differences are far from normal. `detectable` is the true difference that gets a verdict
    in 80 % of experiments. `rank_best` and `rank_worst` are ranks among the arms of one base and the base itself; all
    of them hold simultaneously in 95 % of tables.
    """
    groups: dict[str, dict[str, list[Pair]]] = {}
    for row in pairs:
        groups.setdefault(row["base"], {}).setdefault(row["arm"], []).append(row)

    deltas = _correct([_average(rows) for arms in groups.values() for rows in arms.values()])
    return [ranked for base in groups for ranked in _rank([delta for delta in deltas if delta.base == base])]


def _average(rows: Sequence[Pair]) -> Delta:
    """The mean difference of one arm over its paired seeds, before correction for several arms."""
    paired = [row for row in rows if not math.isnan(row["value"])]
    first = rows[0]
    unpaired = Delta(
        arm=first["arm"],
        method=first["method"],
        base=first["base"],
        metric=first["metric"],
        planned=len(rows),
        reason="; ".join(dict.fromkeys(row["reason"] for row in rows if row["reason"])),
    )
    if not paired:
        return unpaired

    values = [row["value"] for row in paired]
    mean, is_same = float(np.mean(values)), all(row["is_same"] for row in paired)
    documents = min(row["n"] for row in paired)
    delta = replace(
        unpaired,
        value=mean,
        seeds=len(paired),
        documents=documents,
        clusters=paired[0]["clusters"] or documents,
        seeds_error=standard_error(values),
        documents_error=paired[0]["clustered_error"],
        monte_carlo_error=paired[0]["clustered_noise"],
        p=sign_flip_p(values) if len(values) > 1 and not is_same else NAN,
        reach=describe_reach(len(values)),
        verdict=SAME if is_same else TIED if len(values) >= MIN_SEEDS else NO_VERDICT,
        unlike="; or ".join(dict.fromkeys(row["unlike"] for row in paired if row["unlike"])),
        mix="; or ".join(dict.fromkeys(row["mix"] for row in paired if row["mix"])),
    )
    half = delta.half_width(LEVEL)
    p_interval = NAN if is_same else interval_p(mean, delta.sources)
    return replace(delta, low=mean - half, high=mean + half, p_interval=p_interval)


def _correct(deltas: Sequence[Delta]) -> list[Delta]:
    """Correct for the number of arms, and give each arm its verdict and its minimum detectable effect.

    Arms of one seed are corrected among themselves, since they get no verdict.
    """
    has_verdict = [delta.has_verdict for delta in deltas]
    p_flip, p_interval = (
        holm([delta.p for delta in deltas]),
        holm_apart([delta.p_interval for delta in deltas], has_verdict),
    )
    flip_tests = sum(not math.isnan(p) for p in p_flip)
    interval_tests = sum(not math.isnan(p) for p, flag in zip(p_interval, has_verdict, strict=True) if flag)

    corrected = []
    for delta, p_holm, p_interval_holm in zip(deltas, p_flip, p_interval, strict=True):
        if not math.isnan(p_holm):
            delta = replace(delta, p_holm=p_holm, reach=describe_reach(delta.seeds, flip_tests))
        if not math.isnan(p_interval_holm):
            delta = replace(delta, p_interval_holm=p_interval_holm)
            delta = _decide(delta, flip_tests, interval_tests) if delta.has_verdict else delta
        corrected.append(delta)
    return corrected


def _decide(delta: Delta, flip_tests: int, interval_tests: int) -> Delta:
    """The delta with its verdict and its minimum detectable effect, given the number of tests of either kind."""
    needs_sign_flip = delta.seeds > 1 and is_reachable(delta.seeds, flip_tests)
    level = LEVEL / (flip_tests if needs_sign_flip else interval_tests)
    effects = [  # the first source is the seeds if the sign-flip test is used
        detectable_effect(error, n, level, uses_sign_flip=needs_sign_flip and index == 0)
        for index, (error, n) in enumerate(delta.sources)
    ]

    is_significant = delta.p_interval_holm < LEVEL and not (needs_sign_flip and delta.p_holm >= LEVEL)
    verdict = delta.verdict
    if is_significant:
        verdict = WORSE if delta.value > 0 else BETTER
    return replace(delta, detectable=combine(effects), verdict=verdict)


def _rank(deltas: Sequence[Delta]) -> list[Delta]:
    """Rank the paired arms of one base among each other and the base, whose difference is exactly zero.

    The intervals hold simultaneously, by Bonferroni's correction. Arms of one seed have no rank.
    """
    paired = [delta for delta in deltas if delta.seeds >= MIN_SEEDS]
    halves = [delta.half_width(LEVEL / len(paired)) for delta in paired]
    lows = [delta.value - half for delta, half in zip(paired, halves, strict=True)]
    highs = [delta.value + half for delta, half in zip(paired, halves, strict=True)]

    _, *ranges = rank_ranges([0.0, *lows], [0.0, *highs])
    rank_of_arm = {delta.arm: places for delta, places in zip(paired, ranges, strict=True)}
    unranked = (pd.NA, pd.NA)
    ranks = [rank_of_arm.get(delta.arm, unranked) for delta in deltas]
    return [
        replace(delta, rank_best=best, rank_worst=worst) for delta, (best, worst) in zip(deltas, ranks, strict=True)
    ]
