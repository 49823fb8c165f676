"""`bench compare A B`: how candidate B differs from baseline A in numbers, settings, environment and protocol.

    comparison = compare(find_side(runs, "smoke/MDLM"), find_side(runs, "smoke/MD4"))
    comparison.bounds    # B minus A, paired if both have values of single sequences
    decide(comparison.bounds[0], Margin.parse("0.5%"))

A negative difference of bounds means that B is better. Numbers of different protocols are not subtracted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from bench.results.compare.compared_results import ComparedCell, CompareError, Side
from bench.results.compare.setting_differences import (
    Changes,
    Values,
    find_changes,
    find_known_changes,
    read_environment,
    read_protocol,
    read_settings,
    read_table_settings,
)
from bench.results.compare.unpaired_difference import Difference, correct, subtract
from bench.results.statistics.paired_differences import pair
from bench.results.statistics.pooled import LIKELIHOODS
from bench.results.statistics.verdicts import BETTER, WORSE, summarize

NOISE = "the noise is not shared, because the estimators differ: {}"
HIGHER, LOWER = "higher", "lower"
BOUNDS = "a difference of bounds, which may differ in how tight they are"
MIXED = "a bound against a likelihood, which says nothing of the likelihood behind the bound but that it is no worse"


class ArmPair(NamedTuple):
    """The arm of A and the arm of B that are compared."""

    baseline: str
    candidate: str


Matches = dict[str, ArmPair]  # by the label of the pair in the output


@dataclass(frozen=True)
class Comparison:
    """Everything in which B differs from A."""

    names: tuple[str, str]
    metric: str  # of the bound
    bounds: tuple[Difference, ...]
    qualities: tuple[Difference, ...]  # of samples; unpaired
    settings: dict[str, Changes]  # by arm
    surroundings: dict[str, Changes]  # of the environment
    protocols: dict[str, Changes]
    only: dict[str, list[str]]  # arms that only one side has, by the side's name


def compare(baseline: Side, candidate: Side) -> Comparison:
    """Compare B, the candidate, with A, the baseline.

    Raises CompareError if they have no arm in common.
    """
    matches = match(baseline, candidate)
    metric = find_metric(baseline, candidate)
    has_cells = not (baseline.is_file or candidate.is_file)
    subtract_bounds = _paired_bounds if has_cells else _unpaired_bounds

    def changes(
        read: Callable[[Sequence[ComparedCell]], Values], find: Callable[[Values, Values], Changes] = find_changes
    ) -> dict[str, Changes]:
        if not has_cells:
            return {}
        cells = {label: (baseline.cells_of(a), candidate.cells_of(b)) for label, (a, b) in matches.items()}
        return {label: find(read(old), read(new)) for label, (old, new) in cells.items()}

    return Comparison(
        names=(baseline.name, candidate.name),
        metric=metric,
        bounds=tuple(
            _with_claim(difference, _claims(baseline, candidate, matches[difference.arm], metric))
            for difference in subtract_bounds(baseline, candidate, matches, metric)
        ),
        qualities=tuple(_quality_differences(baseline, candidate, matches)),
        settings=changes(read_settings) if has_cells else _table_changes(baseline, candidate, matches),
        surroundings=changes(read_environment, find_known_changes),
        protocols=changes(read_protocol),
        only=_unmatched_arms(baseline, candidate, matches),
    )


def match(baseline: Side, candidate: Side) -> Matches:
    """Pair the arms of A and B: one arm with one arm, or whole suites by label.

    Raises CompareError if no label is in both.
    """
    if len(baseline.arms) == len(candidate.arms) == 1:
        pair_of_arms = ArmPair(baseline.arms[0], candidate.arms[0])
        a, b = pair_of_arms
        return {b if a == b else f"{b} against {a}": pair_of_arms}

    shared = [arm for arm in baseline.arms if arm in candidate.arms]
    if shared:
        return {arm: ArmPair(arm, arm) for arm in shared}
    raise CompareError(
        f"no arm is in both: {baseline.name} has {', '.join(baseline.arms)}; "
        f"{candidate.name} has {', '.join(candidate.arms)}; name one arm of each, such as SUITE/ARM"
    )


def find_metric(baseline: Side, candidate: Side) -> str:
    """The unit of the score: bits per byte if tokens are bytes or there is nothing else, else bits per character."""
    sides = (baseline, candidate)
    has_bytes = any(side.facts is not None and side.facts.level == "byte" for side in sides)
    has_characters = all((side.table["metric"] == "bits_per_char").any() for side in sides)
    return "bits_per_byte" if has_bytes or not has_characters else "bits_per_char"


def _paired_bounds(baseline: Side, candidate: Side, matches: Matches, metric: str) -> list[Difference]:
    """Subtract document by document and seed by seed, as arms of a suite are subtracted from their base."""
    cells: list[ComparedCell] = []
    for a, b in matches.values():
        old, new = baseline.cells_of(a), candidate.cells_of(b)
        if len(old) == len(new) == 1:  # noise and documents depend on the evaluation's seed, not on that of training
            old = [_relabel(old[0], seed=new[0].seed)]
        cells += [_relabel(cell, arm=f"A: {a}", base=None) for cell in old]
        cells += [_relabel(cell, arm=f"B: {b}", base=f"A: {a}") for cell in new]

    pairs = pair(cells, "byte" if metric == "bits_per_byte" else "char")
    deltas = {delta.arm: delta for delta in summarize(pairs, metric).itertuples()}
    return [
        _from_delta(label, deltas[f"B: {b}"], float(_bound_rows(baseline, a, metric)["value"].mean()))
        for label, (a, b) in matches.items()
    ]


def _relabel(cell: ComparedCell, **update: Any) -> ComparedCell:
    """The same cell under another label."""
    return replace(cell, stored=cell.stored.model_copy(update=update))


def _from_delta(label: str, delta: Any, base: float) -> Difference:
    """A row of `summarize` as a difference from the baseline's mean score."""
    return Difference(
        arm=label,
        metric=delta.metric,
        base=base,
        value=delta.value,
        low=delta.low,
        high=delta.high,
        seeds=delta.seeds,
        n=delta.documents,
        p=delta.p_interval_holm,
        p_sign_flip=delta.p_holm,
        reach=delta.reach,
        detectable=delta.detectable,
        verdict=delta.verdict,
        is_paired=True,
        notes="; ".join(filter(None, (NOISE.format(delta.unlike) if delta.unlike else "", delta.mix))),
        reason=delta.reason,
    )


def _unpaired_bounds(baseline: Side, candidate: Side, matches: Matches, metric: str) -> list[Difference]:
    """Subtract means, with their standard errors alone: a results file has no values of single sequences."""
    differences = []
    for label, (a, b) in matches.items():
        old, new = _bound_rows(baseline, a, metric), _bound_rows(candidate, b, metric)
        differences.append(subtract(Difference(label, metric), old, new, len(matches)))
    return correct(differences, lower=BETTER, higher=WORSE)


def _bound_rows(side: Side, arm: str, metric: str) -> pd.DataFrame:
    """The rows of an arm's bound in one metric, one per seed."""
    rows = side.rows(arm, "bound")
    return rows[rows["metric"] == metric]


def _claims(baseline: Side, candidate: Side, arms: ArmPair, metric: str) -> set[str]:
    """What the two scores claim to be, with a certificate or without: "exact" likelihoods or bounds."""
    claims: set[str] = set()
    for side, arm in zip((baseline, candidate), arms, strict=True):
        rows = _bound_rows(side, arm, metric)
        kinds = rows["kind"].unique().tolist() if "kind" in rows else []
        claims |= {"exact" if kind in LIKELIHOODS else "bound" for kind in kinds}
    return claims


def _with_claim(difference: Difference, claims: set[str]) -> Difference:
    """The difference, with a note if it involves a bound."""
    if not difference.seeds or claims <= {"exact"}:
        return difference
    note = BOUNDS if claims == {"bound"} else MIXED
    notes = [difference.notes, note] if difference.notes else [note]
    return replace(difference, notes="; ".join(notes))


def _quality_differences(baseline: Side, candidate: Side, matches: Matches) -> list[Difference]:
    """Every metric of samples that both sides drew in the same way."""
    labelled: list[tuple[Difference, pd.DataFrame, pd.DataFrame]] = []
    for label, (a, b) in matches.items():
        cells = baseline.cells_of(a)
        if cells and cells == candidate.cells_of(b):
            continue  # the same samples

        old, new = (_by_way_and_metric(side.rows(arm, "quality")) for side, arm in ((baseline, a), (candidate, b)))
        for way, metric in old:
            if (way, metric) in new:
                labelled.append((Difference(label, metric, way), old[way, metric], new[way, metric]))

    differences = [subtract(label, old, new, len(labelled)) for label, old, new in labelled]
    return correct(differences, lower=LOWER, higher=HIGHER)


def _by_way_and_metric(table: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    return {(str(way), str(metric)): rows for (way, metric), rows in table.groupby(["way", "metric"], sort=False)}


def _table_changes(baseline: Side, candidate: Side, matches: Matches) -> dict[str, Changes]:
    """The settings that differ, as far as a results file holds them."""
    rows = {label: (baseline.rows(a), candidate.rows(b)) for label, (a, b) in matches.items()}
    return {
        label: find_changes(read_table_settings(old), read_table_settings(new)) for label, (old, new) in rows.items()
    }


def _unmatched_arms(baseline: Side, candidate: Side, matches: Matches) -> dict[str, list[str]]:
    """The arms that only one side has; none if a whole suite is compared with a part of one."""
    if baseline.is_whole != candidate.is_whole:
        return {}
    unmatched: dict[str, list[str]] = {}
    for side, matched in ((baseline, {a for a, _ in matches.values()}), (candidate, {b for _, b in matches.values()})):
        arms = [arm for arm in side.arms if arm not in matched]
        if arms:
            unmatched[side.name] = arms
    return unmatched
