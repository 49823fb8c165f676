"""The difference of one number between two results, and the unpaired test of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.engine.metric_definitions import scale_of
from bench.results.execution_settings import describe_mix, join_made, parse_made
from bench.results.statistics.pooled import MIN_SEEDS
from bench.results.statistics.resolution import resolution
from bench.results.statistics.scales import from_linear, slope, to_linear
from bench.results.statistics.significance_tests import (
    LEVEL,
    ErrorSource,
    combine,
    detectable_effect,
    half_widths,
    holm_apart,
    interval_p,
    standard_error,
)
from bench.results.statistics.verdicts import NO_VERDICT, TIED

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
    p: float = NAN  # of the interval, after Holm's correction; of one seed, the test text's
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

    base, new = (_average(rows, label.metric) for rows in (baseline, candidate))
    value = new - base
    sources = [*_error_sources(baseline, base, label), *_error_sources(candidate, new, label)]
    half, seeds = half_widths(value, sources), min(len(baseline), len(candidate))
    return replace(
        label,
        base=base,
        value=value,
        low=value - half,
        high=value + half,
        seeds=seeds,
        n=int(min(baseline["n"].min(), candidate["n"].min())),
        p=interval_p(value, sources),
        detectable=_detectable(sources, tests) if seeds >= MIN_SEEDS else NAN,
        verdict=TIED if seeds >= MIN_SEEDS else NO_VERDICT,
        notes=_describe_mix(baseline, candidate),
    )


def _detectable(sources: Sequence[ErrorSource], tests: int) -> float:
    """The minimum detectable effect of one of so many differences."""
    return combine([detectable_effect(error, n, LEVEL / tests) for error, n in sources])


def correct(differences: Sequence[Difference], lower: str, higher: str) -> list[Difference]:
    """Apply Holm's correction, with the words `lower` and `higher` as the verdicts of significant differences.

    Differences of one seed are corrected as well, but get no verdict.
    """
    corrected = []
    has_verdict = [difference.verdict != NO_VERDICT for difference in differences]
    p_values = holm_apart([difference.p for difference in differences], has_verdict)
    for difference, p in zip(differences, p_values, strict=True):
        verdict = difference.verdict
        if p < LEVEL and verdict != NO_VERDICT:
            verdict = higher if difference.value > 0 else lower
        corrected.append(replace(difference, p=p, verdict=verdict))
    return corrected


def _average(rows: pd.DataFrame, metric: str) -> float:
    """The mean over seeds on the scale of the metric."""
    if len(rows) == 1:
        return float(rows["value"].iloc[0])
    scale = scale_of(metric)
    return float(from_linear(scale, to_linear(scale, rows["value"]).mean()))


def _error_sources(rows: pd.DataFrame, mean: float, label: Difference) -> list[ErrorSource]:
    """Seeds and documents: the documents of a bound are shared by the seeds; each seed draws its own samples.

    Errors are to first order around the mean, on whose scale the seeds were averaged. Those of samples are not
    below the resolution of the metric.
    """
    scale, values = scale_of(label.metric), rows["value"].to_numpy(float)
    steepness, errors = slope(scale, values), rows["standard_error"].to_numpy(float)
    error, spread = float((errors * steepness).mean()), standard_error(to_linear(scale, values).tolist())
    if label.way:
        step = resolution(label.metric, int(rows["n"].min()), str(rows["texts"].iloc[0]))
        error, spread = max(error, step), max(spread, step) if spread > 0 else spread

    sources = [(spread, len(values))] if len(values) > 1 else []
    documents, shares_documents = _independent_documents(rows), not label.way
    if error >= 0 and documents > 1 and (shares_documents or not spread > 0):
        sources.append((error, documents))
    return [(size / float(slope(scale, mean)), n) for size, n in sources]


def _independent_documents(rows: pd.DataFrame) -> int:
    """The number of independent values behind the errors: clusters if neighbouring documents may vary together."""
    clusters = rows["clusters"] if "clusters" in rows else pd.Series(0, rows.index)
    return int(clusters.where(clusters > 0, rows["n"]).min())


def _describe_mix(baseline: pd.DataFrame, candidate: pd.DataFrame) -> str:
    """How the numbers of B and of A were made, if they differ in precision, device or the like; "" if they do not."""
    if "execution" not in baseline or "execution" not in candidate:
        return ""  # a results file of an earlier version
    of_candidate, of_baseline = describe_mix(
        [parse_made(join_made(rows["execution"])) for rows in (candidate, baseline)]
    )
    return f"made {of_candidate}; A {of_baseline}" if of_candidate or of_baseline else ""


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
