"""The places that arms can have among those that they can be compared with: no arm stands above another by chance."""

from collections.abc import Mapping

import pandas as pd

from bench.results.statistics.pooled import PooledEstimate, half_interval
from bench.results.statistics.significance import LEVEL, half_width, join, rank

Scores = Mapping[str, PooledEstimate]  # the score of each arm

MIN_ARMS = 3  # arms that can be compared: of two the marks of the score say all
PAIRED, UNPAIRED = "of the paired differences from the base", "of the scores, unpaired"
NOTE = (
    "Rank: the places that an arm can have among those whose scores claim the same, likelihoods or bounds; arms whose"
    " intervals overlap share their places. The intervals, {of}, hold all at once in 95 % of tables (Bonferroni){one}."
)
ONE_SEED = "; those of one seed are over the sequences alone and show no variance of training"

Intervals = dict[str, tuple[float, float]]  # the ends of the interval of each arm
RankRange = tuple[int, int]  # the best and the worst that an arm can have


def split_comparable(numbers: Scores) -> list[list[str]]:
    """The labels of arms whose number has an error, in groups of the same claim on the same text: an exact likelihood
    with its like, a bound with bounds however they are estimated."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for label, number in numbers.items():
        if half_interval(number) > 0:
            about = number.protocol.partition(";")[2]  # without the estimator
            groups.setdefault((number.kind == "exact", about), []).append(label)
    return [labels for labels in groups.values() if len(labels) >= MIN_ARMS]


def paired_intervals(deltas: pd.DataFrame, labels: list[str]) -> Intervals | None:
    """The intervals of the differences from a base that all of these arms have in common; None where there is none."""
    for base in dict.fromkeys(deltas["base"]):
        paired = deltas[(deltas["base"] == base) & deltas["arm"].isin(labels) & (deltas["seeds"] == deltas["planned"])]
        if {base, *paired["arm"]} == set(labels):
            level, found = LEVEL / len(paired), {str(base): (0.0, 0.0)}
            for row in paired.itertuples():
                sources = [(row.seeds_error, row.seeds), (row.documents_error, row.clusters)]
                half = join([half_width(*source, level) for source in sources if source[1] > 1])
                found[str(row.arm)] = (row.value - half, row.value + half)
            return found
    return None


def unpaired_intervals(numbers: Scores) -> Intervals:
    """The intervals of the scores themselves."""
    halves = {label: half_interval(number, LEVEL / len(numbers)) for label, number in numbers.items()}
    return {label: (number.value - halves[label], number.value + halves[label]) for label, number in numbers.items()}


def rank_arms(numbers: Scores, deltas: pd.DataFrame) -> tuple[dict[str, RankRange], str]:
    """The places of all arms that have one, and the footnote that says what they are; `deltas` are those of
    `bench.results.statistics.verdicts.summarise` in the unit of the scores."""
    places: dict[str, RankRange] = {}
    used: set[str] = set()
    for labels in split_comparable(numbers):
        paired = paired_intervals(deltas, labels)
        bounds = paired or unpaired_intervals({label: numbers[label] for label in labels})
        lows, highs = zip(*bounds.values(), strict=True)
        places |= dict(zip(bounds, rank(lows, highs), strict=True))
        used.add(PAIRED if paired else UNPAIRED)
    one = ONE_SEED * any(numbers[label].seeds == 1 for label in places)
    return places, NOTE.format(of=" or ".join(sorted(used)), one=one) if places else ""
