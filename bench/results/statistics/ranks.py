"""The places that arms can have among those that they can be compared with: no arm stands above another by chance."""

from collections.abc import Mapping

import pandas as pd

from bench.results.statistics.pooled import Estimate, find_half
from bench.results.statistics.significance import LEVEL, half_width, join, rank

Numbers = Mapping[str, Estimate]  # the score of each arm

FEWEST = 3  # arms that can be compared: of two the marks of the score say all
PAIRED, UNPAIRED = "of the paired differences from the base", "of the scores, unpaired"
MEANING = (
    "Rank: the places that an arm can have among those whose scores claim the same, likelihoods or bounds; arms whose"
    " intervals overlap share their places. The intervals, {of}, hold all at once in 95 % of tables (Bonferroni){one}."
)
ONE = "; those of one seed are over the sequences alone and show no variance of training"

Bounds = dict[str, tuple[float, float]]  # the ends of the interval of each arm
Place = tuple[int, int]  # the best and the worst that an arm can have


def split_comparable(numbers: Numbers) -> list[list[str]]:
    """The labels of arms whose number has an error, in groups of the same claim on the same text: an exact likelihood
    with its like, a bound with bounds however they are estimated."""
    groups: dict[tuple[bool, str], list[str]] = {}
    for label, number in numbers.items():
        if find_half(number) > 0:
            about = number.protocol.partition(";")[2]  # without the estimator
            groups.setdefault((number.kind == "exact", about), []).append(label)
    return [labels for labels in groups.values() if len(labels) >= FEWEST]


def pair_up(deltas: pd.DataFrame, labels: list[str]) -> Bounds | None:
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


def spread_out(numbers: Numbers) -> Bounds:
    """The intervals of the scores themselves."""
    halves = {label: find_half(number, LEVEL / len(numbers)) for label, number in numbers.items()}
    return {label: (number.value - halves[label], number.value + halves[label]) for label, number in numbers.items()}


def find_places(numbers: Numbers, deltas: pd.DataFrame) -> tuple[dict[str, Place], str]:
    """The places of all arms that have one, and the footnote that says what they are; `deltas` are those of
    `bench.results.statistics.verdicts.summarise` in the unit of the scores."""
    places: dict[str, Place] = {}
    used: set[str] = set()
    for labels in split_comparable(numbers):
        paired = pair_up(deltas, labels)
        bounds = paired or spread_out({label: numbers[label] for label in labels})
        lows, highs = zip(*bounds.values(), strict=True)
        places |= dict(zip(bounds, rank(lows, highs), strict=True))
        used.add(PAIRED if paired else UNPAIRED)
    one = ONE * any(numbers[label].seeds == 1 for label in places)
    return places, MEANING.format(of=" or ".join(sorted(used)), one=one) if places else ""
