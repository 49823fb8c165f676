"""The difference of one number between two results, and the unpaired test of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.results.statistics.significance_tests import (
    LEVEL,
    ErrorSource,
    combine,
    detectable_effect,
    half_width,
    holm,
    interval_p,
    standard_error,
)
from bench.results.statistics.verdicts import TIED

NAN = math.nan


@dataclass(frozen=True)
class Difference:
    """A number of the candidate minus that of the baseline."""

    arm: str
    metric: str
    way: str = ""  # how the samples were drawn; "" for a bound
    base: float = NAN  # the baseline's number
    value: float = NAN  # candidate minus baseline
    low: float = NAN  # limits of the 95 % interval
    high: float = NAN
    seeds: int = 0
    n: int = 0  # sequences or samples
    p: float = NAN  # of the interval, after Holm's correction
    p_sign_flip: float = NAN  # of the exact test over paired seeds, after Holm's correction
    reach: str = ""  # why that p-value cannot be small
    detectable: float = NAN  # minimum detectable effect
    verdict: str = ""
    is_paired: bool = False
    notes: str = ""  # how the two numbers differ in kind although they were subtracted
    reason: str = ""  # why there is no difference, or why some seeds are left out


def subtract(label: Difference, baseline: pd.DataFrame, candidate: pd.DataFrame, tests: int = 1) -> Difference:
    """Fill in the unpaired difference of two means, each over the rows of its seeds.

    `label` carries arm, metric and way; `tests` is the number of differences in the same table.
    """
    reason = _refusal(baseline, candidate)
    if reason:
        return replace(label, reason=reason)

    base, value = float(baseline["value"].mean()), float(candidate["value"].mean() - baseline["value"].mean())
    shares_documents = not label.way
    sources = [*_error_sources(baseline, shares_documents), *_error_sources(candidate, shares_documents)]
    half = combine([half_width(error, n) for error, n in sources])
    return replace(
        label,
        base=base,
        value=value,
        low=value - half,
        high=value + half,
        seeds=min(len(baseline), len(candidate)),
        n=int(min(baseline["n"].min(), candidate["n"].min())),
        p=interval_p(value, sources),
        detectable=combine([detectable_effect(error, n, LEVEL / tests) for error, n in sources]),
        verdict=TIED,
    )


def correct(differences: Sequence[Difference], lower: str, higher: str) -> list[Difference]:
    """Apply Holm's correction, with the words `lower` and `higher` as the verdicts of significant differences."""
    corrected = []
    p_values = holm([difference.p for difference in differences])
    for difference, p in zip(differences, p_values, strict=True):
        verdict = difference.verdict
        if p < LEVEL:
            verdict = higher if difference.value > 0 else lower
        corrected.append(replace(difference, p=p, verdict=verdict))
    return corrected


def _error_sources(rows: pd.DataFrame, shares_documents: bool) -> list[ErrorSource]:
    """Seeds and documents: the documents of a bound are shared by the seeds; each seed draws its own samples."""
    values, error = rows["value"].to_list(), float(rows["standard_error"].mean())
    sources = [(standard_error(values), len(values))] if len(values) > 1 else []

    documents = _independent_documents(rows)
    if error >= 0 and documents > 1 and (shares_documents or not sources):
        sources.append((error, documents))
    return sources


def _independent_documents(rows: pd.DataFrame) -> int:
    """The number of independent values behind the errors: clusters if neighbouring documents may vary together."""
    clusters = rows["clusters"] if "clusters" in rows else pd.Series(0, rows.index)
    return int(clusters.where(clusters > 0, rows["n"]).min())


def _refusal(baseline: pd.DataFrame, candidate: pd.DataFrame) -> str:
    """Why two numbers cannot be subtracted; "" if they can."""
    missing = [name for name, rows in (("A", baseline), ("B", candidate)) if rows.empty]
    if missing:
        return f"{' and '.join(missing)} has no such number"

    reasons = []
    for column in ("data", "split", "protocol", "texts"):
        if column not in baseline or column not in candidate:
            continue
        of_baseline, of_candidate = ("; or ".join(map(str, rows[column].unique())) for rows in (baseline, candidate))
        if of_baseline != of_candidate:
            reasons.append(f"{column}: {of_candidate}, but {of_baseline} of A")
    return "; ".join(reasons)
