"""The ranks that arms can have among comparable arms, so that no arm ranks above another by chance."""

from collections.abc import Mapping

import pandas as pd

from bench.results.statistics.pooled import PooledEstimate, can_be_best, half_interval
from bench.results.statistics.significance_tests import LEVEL, half_widths, rank_ranges

Scores = Mapping[str, PooledEstimate]  # by arm
Intervals = dict[str, tuple[float, float]]  # by arm, the ends
RankRange = tuple[int, int]  # the best and the worst possible rank

MIN_ARMS = 3  # that are comparable; for two, the marks of the scores say all
PAIRED, UNPAIRED = "paired differences from the base", "unpaired scores"
NOTE = (
    "Rank: possible ranks among arms with the same claim, likelihoods or bounds; arms whose intervals overlap share"
    " ranks. The intervals ({kind}) hold jointly in 95 % of tables (Bonferroni){one_seed}."
)
ONE_SEED = "; an arm of one seed has no rank"


def split_comparable(scores: Scores) -> list[list[str]]:
    """Groups of arms that can be ranked: those with an error over seeds, the same claim and the same data.

    A likelihood is comparable with likelihoods, and a bound with bounds, whatever their estimators and certificates.
    """
    groups: dict[tuple[bool, str], list[str]] = {}
    for arm, score in scores.items():
        if can_be_best(score) and half_interval(score) > 0:
            data = score.protocol.partition(";")[2]  # the protocol without the estimator
            groups.setdefault((score.is_likelihood, data), []).append(arm)
    return [arms for arms in groups.values() if len(arms) >= MIN_ARMS]


def paired_intervals(deltas: pd.DataFrame, arms: list[str]) -> Intervals | None:
    """The intervals of the differences from a base that all of these arms share; None if there is none."""
    for base in dict.fromkeys(deltas["base"]):
        paired = deltas[(deltas["base"] == base) & deltas["arm"].isin(arms) & (deltas["seeds"] == deltas["planned"])]
        if {base, *paired["arm"]} != set(arms):
            continue
        level = LEVEL / len(paired)
        intervals = {str(base): (0.0, 0.0)}
        for delta in paired.itertuples():
            half = half_widths(
                delta.value, [(delta.seeds_error, delta.seeds), (delta.documents_error, delta.clusters)], level
            )
            intervals[str(delta.arm)] = (delta.value - half, delta.value + half)
        return intervals
    return None


def unpaired_intervals(scores: Scores) -> Intervals:
    """The intervals of the scores themselves."""
    intervals = {}
    for arm, score in scores.items():
        half = half_interval(score, LEVEL / len(scores))
        intervals[arm] = (score.value - half, score.value + half)
    return intervals


def rank_arms(scores: Scores, deltas: pd.DataFrame) -> tuple[dict[str, RankRange], str]:
    """The ranks of all comparable arms, and the footnote that explains them.

    `deltas` are those of `bench.results.statistics.verdicts.summarize`, in the unit of the scores.
    """
    ranks: dict[str, RankRange] = {}
    kinds: set[str] = set()
    for arms in split_comparable(scores):
        paired = paired_intervals(deltas, arms)
        intervals = paired or unpaired_intervals({arm: scores[arm] for arm in arms})
        lows, highs = zip(*intervals.values(), strict=True)
        ranks |= dict(zip(intervals, rank_ranges(lows, highs), strict=True))
        kinds.add(PAIRED if paired else UNPAIRED)
    if not ranks:
        return {}, ""
    one_seed = ONE_SEED if any(score.has_one_seed for score in scores.values()) else ""
    return ranks, NOTE.format(kind=" or ".join(sorted(kinds)), one_seed=one_seed)
