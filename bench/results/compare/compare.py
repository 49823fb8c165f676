"""`bench compare A B`: how B differs from A in its numbers, its settings, its surroundings and its protocol.

found = compare(find_side(runs, "smoke/MDLM"), find_side(runs, "smoke/MD4"))
found.bounds    # B minus A, paired where both have values of single sequences
decide(found.bounds[0], Margin.parse("0.5%"))

A difference is B minus A; of a bound, below zero B is better. Numbers of different protocols are not subtracted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.results.compare.operands import ComparedCell, CompareError, Side
from bench.results.compare.settings import (
    Changes,
    find_changes,
    read_protocol,
    read_settings,
    read_surroundings,
    read_told,
)
from bench.results.statistics.paired import pair
from bench.results.statistics.significance import (
    LEVEL,
    Source,
    detectable,
    half_width,
    holm,
    interval_p,
    join,
    standard_error,
)
from bench.results.statistics.verdicts import BETTER, SAME, TIED, WORSE, summarise

NAN = math.nan
REGRESSION, HELD, UNSURE, UNKNOWN = "regression", "held", "cannot tell", "not compared"
HIGHER, LOWER = "higher", "lower"
BOUNDS = "a difference of bounds, which may differ in how tight they are"
MIXED = "a bound against a likelihood, which says nothing of the likelihood behind the bound but that it is no worse"

Matched = dict[str, tuple[str, str]]  # the arm of A and that of B, by the label of both in the output


@dataclass(frozen=True)
class Difference:
    """One number of B minus that of A."""

    arm: str
    metric: str
    way: str = ""  # how the texts were drawn that were measured
    base: float = NAN  # the number of A
    value: float = NAN  # B minus A
    low: float = NAN  # the ends of the 95 % interval
    high: float = NAN
    seeds: int = 0
    n: int = 0  # sequences or texts
    p: float = NAN  # of the interval, corrected for being one of several
    p_sign_flip: float = NAN  # of the exact test over the paired seeds, corrected
    reach: str = ""  # why that cannot be small
    detectable: float = NAN
    verdict: str = ""
    is_paired: bool = False
    notes: str = ""  # what sets the two apart though they were subtracted
    reason: str = ""  # why there is no difference, or why some seeds have no part in it


@dataclass(frozen=True)
class Comparison:
    """All that sets B apart from A."""

    names: tuple[str, str]
    metric: str  # of the bound
    bounds: tuple[Difference, ...]
    qualities: tuple[Difference, ...]  # of texts, unpaired
    settings: dict[str, Changes]  # by arm
    surroundings: dict[str, Changes]
    protocols: dict[str, Changes]
    only: dict[str, list[str]]  # arms that one side alone has, by its name


@dataclass(frozen=True)
class Margin:
    """By how much a bound may grow: absolute, or as a share of that of A."""

    size: float
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> "Margin":
        """0.5% or 0.01. Raises ValueError for what is no number of zero or above."""
        number = text.strip().removesuffix("%")
        try:
            size = float(number)
        except ValueError:
            size = NAN
        if not (math.isfinite(size) and size >= 0):
            raise ValueError(f'"{text}" is no margin; give a share such as 0.5% or a difference such as 0.01')
        return cls(size / 100, True) if text.strip().endswith("%") else cls(size, False)

    def of(self, base: float) -> float:
        """The margin in the unit of the bound of A."""
        return self.size * abs(base) if self.is_share else self.size


def decide(found: Difference, margin: Margin) -> str:
    """Whether an arm of B is a regression: it is worse by its verdict, corrected for all arms, and its whole interval
    lies above the margin. Where the interval lies below, it held; where the margin lies inside, nothing can be told,
    which is no regression: few seeds make a gate blind, and a gate that fails by chance is switched off."""
    if not found.seeds:
        return UNKNOWN
    allowed = margin.of(found.base)
    if found.verdict == SAME or found.high <= allowed:
        return HELD
    return REGRESSION if found.verdict == WORSE and found.low > allowed else UNSURE


def compare(one: Side, other: Side) -> Comparison:
    """B, the other, against A, the one. Raises CompareError where they have no arm in common, BrokenRecord."""
    matched = match(one, other)
    metric = find_metric(one, other)
    is_paired = not (one.is_file or other.is_file)
    bounds = (_paired if is_paired else _unpaired)(one, other, matched, metric)
    kinds = (read_settings, read_surroundings, read_protocol) if is_paired else ()
    read = [
        {label: find_changes(kind(one.of_arm(a)), kind(other.of_arm(b))) for label, (a, b) in matched.items()}
        for kind in kinds
    ]
    settings, surroundings, protocols = read or (_read_told(one, other, matched), {}, {})
    claims = {label: _claim(one, a, metric) + _claim(other, b, metric) for label, (a, b) in matched.items()}
    return Comparison(
        (one.name, other.name),
        metric,
        tuple(_with_claim(each, claims[each.arm]) for each in bounds),
        tuple(_of_texts(one, other, matched)),
        settings,
        surroundings,
        protocols,
        _alone(one, other, matched),
    )


def _claim(side: Side, arm: str, metric: str) -> list[str]:
    """What the score of an arm claims to be."""
    rows = _numbers(side, arm, metric)
    kinds = rows["kind"].unique().tolist() if "kind" in rows else []
    return ["exact" if kind == "exact" else "bound" for kind in kinds]


def _with_claim(difference: Difference, claims: Sequence[str]) -> Difference:
    """The difference, told apart from one of likelihoods."""
    if not difference.seeds or set(claims) <= {"exact"}:
        return difference
    note = BOUNDS if set(claims) == {"bound"} else MIXED
    return replace(difference, notes="; ".join(filter(None, (difference.notes, note))))


def _read_told(one: Side, other: Side, matched: Matched) -> dict[str, Changes]:
    rows = {label: (one.of_rows(a), other.of_rows(b)) for label, (a, b) in matched.items()}
    return {label: find_changes(read_told(old), read_told(new)) for label, (old, new) in rows.items()}


def match(one: Side, other: Side) -> Matched:
    """Which arm of A stands against which of B, by the label that this has in the output: two single ones against each
    other, whole suites arm by arm. Raises CompareError where no label is in both."""
    if len(one.arms) == len(other.arms) == 1:
        (a,), (b,) = one.arms, other.arms
        return {b if a == b else f"{b} against {a}": (a, b)}
    if shared := [arm for arm in one.arms if arm in other.arms]:
        return {arm: (arm, arm) for arm in shared}
    raise CompareError(
        f"no arm is in both: {one.name} has {', '.join(one.arms)}; {other.name} has {', '.join(other.arms)}; "
        "name one arm of each, such as SUITE/ARM"
    )


def _alone(one: Side, other: Side, matched: Matched) -> dict[str, list[str]]:
    """The arms that are left over; of a whole suite against a part of one none is."""
    if one.is_whole != other.is_whole:
        return {}
    sides = ((one, {a for a, _ in matched.values()}), (other, {b for _, b in matched.values()}))
    return {side.name: left for side, used in sides if (left := [arm for arm in side.arms if arm not in used])}


def find_metric(one: Side, other: Side) -> str:
    """The unit of the score: bits per byte where tokens are bytes or there is nothing else, else bits per character."""
    metrics = [set(side.table["metric"]) for side in (one, other)]
    both = set.intersection(*metrics)
    levels = [side.facts.level for side in (one, other) if side.facts is not None]
    is_byte = "byte" in levels or "bits_per_char" not in both
    return "bits_per_byte" if is_byte else "bits_per_char"


def _paired(one: Side, other: Side, matched: Matched, metric: str) -> list[Difference]:
    """Document by document and seed by seed, as the arms of a suite against their base."""
    cells: list[ComparedCell] = []
    for a, b in matched.values():
        old, new = one.of_arm(a), other.of_arm(b)
        if len(old) == len(new) == 1:  # noise and documents are those of the evaluation, not of training
            old = [_relabel(old[0], seed=new[0].seed)]
        cells += [_relabel(cell, arm=f"A: {a}", base=None) for cell in old]
        cells += [_relabel(cell, arm=f"B: {b}", base=f"A: {a}") for cell in new]

    pairs = pair(cells, "byte" if metric == "bits_per_byte" else "char")
    deltas = {delta.arm: delta for delta in summarise(pairs, metric).itertuples()}
    return [_of_delta(label, deltas[f"B: {b}"], _base(one, a, metric)) for label, (a, b) in matched.items()]


def _relabel(cell: ComparedCell, **update: Any) -> ComparedCell:
    """The same cell under another label."""
    return replace(cell, stored=cell.stored.model_copy(update=update))


def _base(side: Side, arm: str, metric: str) -> float:
    """The score of an arm, the mean over its seeds."""
    return float(_numbers(side, arm, metric)["value"].mean())


def _of_delta(label: str, delta: Any, base: float) -> Difference:
    notes = f"the noise is not shared, for the estimators differ: {delta.unlike}" if delta.unlike else ""
    names = ("metric", "value", "low", "high", "seeds", "detectable", "verdict", "reach", "reason")
    told = {name: getattr(delta, name) for name in names}
    ps = {"p": delta.p_interval_holm, "p_sign_flip": delta.p_holm}
    return Difference(label, base=base, n=delta.documents, is_paired=True, notes=notes, **told, **ps)


def _unpaired(one: Side, other: Side, matched: Matched, metric: str) -> list[Difference]:
    """From means and their errors alone: a results file has no values of single sequences."""
    found = [
        _subtract(Difference(label, metric), _numbers(one, a, metric), _numbers(other, b, metric), len(matched))
        for label, (a, b) in matched.items()
    ]
    return _correct(found, (BETTER, WORSE))


def _of_texts(one: Side, other: Side, matched: Matched) -> list[Difference]:
    """Every metric of texts that both have, drawn in the same way."""
    kept: list[tuple[Difference, list[pd.DataFrame]]] = []
    for label, (a, b) in matched.items():
        if one.of_arm(a) and one.of_arm(a) == other.of_arm(b):
            continue  # the same texts
        tables = [one.of_rows(a, "quality"), other.of_rows(b, "quality")]
        kinds = [list(zip(table["way"], table["metric"], strict=True)) for table in tables]
        for way, metric in dict.fromkeys(kind for kind in kinds[0] if kind in kinds[1]):
            rows = [table[(table["way"] == way) & (table["metric"] == metric)] for table in tables]
            kept.append((Difference(label, metric, way), rows))
    found = [_subtract(about, old, new, len(kept)) for about, (old, new) in kept]
    return _correct(found, (LOWER, HIGHER))


def _numbers(side: Side, arm: str, metric: str) -> pd.DataFrame:
    """The rows of one number of the bound of an arm, a seed each."""
    rows = side.of_rows(arm, "bound")
    return rows[rows["metric"] == metric]


def _subtract(about: Difference, old: pd.DataFrame, new: pd.DataFrame, count: int = 1) -> Difference:
    """The difference of two means with the interval that both sides' sources of chance give; one of `count`."""
    if reason := _why_not(old, new):
        return replace(about, reason=reason)
    base, value = float(old["value"].mean()), float(new["value"].mean() - old["value"].mean())
    sources = [source for rows in (old, new) for source in _sources(rows, shared=not about.way)]
    half = join([half_width(*source) for source in sources])
    return replace(
        about,
        base=base,
        value=value,
        low=value - half,
        high=value + half,
        seeds=min(len(old), len(new)),
        n=int(min(old["n"].min(), new["n"].min())),
        p=interval_p(value, sources),
        detectable=join([detectable(*source, LEVEL / count) for source in sources]),
        verdict=TIED,
    )


def _sources(rows: pd.DataFrame, shared: bool) -> list[Source]:
    """Seeds, and documents: those of a bound are shared by the seeds, texts are drawn by each seed anew."""
    values, error, n = rows["value"].to_list(), float(rows["standard_error"].mean()), _independent(rows)
    of_seeds = [(standard_error(values), len(values))] if len(values) > 1 else []
    of_documents = [(error, n)] if error >= 0 and n > 1 and (shared or not of_seeds) else []
    return of_seeds + of_documents


def _independent(rows: pd.DataFrame) -> int:
    """Of how many independent values the errors of rows are: runs of neighbours where these may vary together."""
    of_runs = rows["clusters"] if "clusters" in rows else pd.Series(0, rows.index)
    return int(of_runs.where(of_runs > 0, rows["n"]).min())


def _why_not(old: pd.DataFrame, new: pd.DataFrame) -> str:
    """Why two numbers cannot be subtracted; "" where they can."""
    if missing := [side for side, rows in (("A", old), ("B", new)) if rows.empty]:
        return f"{' and '.join(missing)} has no such number"
    columns = [column for column in ("data", "split", "protocol", "texts") if column in old and column in new]
    told = [(column, *("; or ".join(map(str, rows[column].unique())) for rows in (old, new))) for column in columns]
    return "; ".join(f"{column}: {its}, but {own} of A" for column, own, its in told if own != its)


def _correct(found: Sequence[Difference], words: tuple[str, str]) -> list[Difference]:
    """The same with their verdicts, as some of several."""
    corrected = holm([each.p for each in found])
    verdicts = [words[each.value > 0] if p < LEVEL else each.verdict for each, p in zip(found, corrected, strict=True)]
    parts = zip(found, corrected, verdicts, strict=True)
    return [replace(each, p=p, verdict=verdict) for each, p, verdict in parts]
