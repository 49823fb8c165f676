"""Estimates pooled over the seeds of an arm, with their errors, and whether two of them are tied.

Seeds are averaged on the scale of the metric: nats for a perplexity, so that it is exp of the mean nats (see
`bench.results.statistics.scales`). One seed shows nothing of the spread of training; its number has an error over the
test text only, and is neither ranked nor compared with others.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bench.engine.metric_definitions import Scale, scale_of
from bench.results.execution_settings import join_made
from bench.results.statistics.scales import Numbers, from_linear, slope, to_linear
from bench.results.statistics.significance_tests import LEVEL, combine, half_width, standard_error

NUMBERS = ("value", "standard_error", "monte_carlo_error", "n", "clusters", "tokens")
WORDS = ("kind", "protocol", "execution", "status", "seed")
ANY_METRIC = ""  # stands for all rows of a stage
MIN_SEEDS = 2  # with one, the spread of training is unknown: no rank, no best and no verdict
SIGNS = {  # by kind, from the strongest claim to the weakest; for the kinds see bench.results.tidy_table
    "": "",
    "exact": "=",
    "certified": "<=",
    "likelihood": "†",
    "bound": "†",
}
LIKELIHOODS = ("exact", "likelihood")  # kinds that say to be likelihoods, with a certificate and without

Columns = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class PooledEstimate:
    """The mean of one number over the finished seeds of an arm, with its uncertainty and provenance."""

    value: float
    error: float = math.nan  # one standard error, over seeds if there are several, otherwise over documents
    sampling: float = math.nan  # one standard error over documents, which the seeds share
    monte_carlo_error: float = math.nan
    documents: int = 0
    clusters: int = 0  # of documents that may be correlated; equal to `documents` if they are independent
    seeds: int = 0
    planned: int = 0  # seeds that the suite asked for
    kind: str = ""
    protocol: str = ""
    execution: str = ""  # how it was run: see bench.results.execution_settings
    is_stale: bool = False  # some seed was measured by a different version of the code
    scale: Scale = "linear"  # on which it was averaged, and is compared

    @property
    def has_one_seed(self) -> bool:
        """Whether it is of a single seed, so that it has no error over seeds."""
        return self.seeds == 1

    @property
    def is_likelihood(self) -> bool:
        """Whether it is said to be a likelihood and not a bound; only the kind "exact" is certified to be one."""
        return self.kind in LIKELIHOODS

    @property
    def linear(self) -> "PooledEstimate":
        """The linear quantity behind it, with errors to first order."""
        steepness = float(slope(self.scale, self.value))
        errors = {name: getattr(self, name) * steepness for name in ("error", "sampling", "monte_carlo_error")}
        return replace(self, value=float(to_linear(self.scale, self.value)), scale="linear", **errors)

    def scaled(self, factor: float) -> "PooledEstimate":
        """A linear quantity in another linear unit."""
        errors = {name: getattr(self, name) * factor for name in ("error", "sampling", "monte_carlo_error")}
        return replace(self, value=self.value * factor, **errors)

    def convert(self, scale: Scale) -> "PooledEstimate":
        """A linear quantity in the unit of a scale, with errors to first order."""
        assert self.scale == "linear", f"{self} is not linear"
        value = float(from_linear(scale, self.value))
        steepness = float(slope(scale, value)) or math.nan  # the root of 0 has no error to first order
        errors = {name: getattr(self, name) / steepness for name in ("error", "sampling", "monte_carlo_error")}
        return replace(self, value=value, scale=scale, **errors)


class ArmResults:
    """The results of one arm, indexed by stage and metric."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.columns = to_columns(rows)
        self.planned = rows["seed"].nunique()
        self.positions: dict[tuple[str, str], list[int]] = {}
        keys = zip(rows["stage"], rows["metric"], self.columns["status"], strict=True)
        for position, (stage, metric, status) in enumerate(keys):
            if status in ("done", "stale"):
                self.positions.setdefault((stage, metric), []).append(position)
                self.positions.setdefault((stage, ANY_METRIC), []).append(position)

    def find(self, stage: str, metric: str) -> PooledEstimate | None:
        """The pooled number; None if no seed has it. The metric `tokens` is what training consumed."""
        positions = self.positions.get((stage, ANY_METRIC if metric == "tokens" else metric), [])
        if metric != "tokens":
            return pool_positions(self.columns, positions, self.planned, scale_of(metric))
        tokens = self.columns["tokens"].astype(float)
        counts = {"value": tokens, "standard_error": np.full_like(tokens, math.nan)}
        counts |= dict.fromkeys(("n", "clusters"), np.zeros_like(tokens))  # those of the rows belong to validation
        return pool_positions(self.columns | counts, positions, self.planned)


def to_columns(rows: pd.DataFrame) -> Columns:
    """The columns of the tidy table that estimates are pooled from."""
    numbers = {name: rows[name].to_numpy(float) for name in NUMBERS}
    return numbers | {name: rows[name].to_numpy(object) for name in WORDS}


def select_last(columns: Columns, positions: Sequence[int]) -> list[int]:
    """The last position of each seed with a finite value, in the order of training tokens."""
    values, tokens, seeds = columns["value"], columns["tokens"], columns["seed"]
    finite = [position for position in positions if not math.isnan(values[position])]
    ordered = sorted(finite, key=lambda position: tokens[position])
    last = {seeds[position]: position for position in ordered}
    return [position for position in ordered if last[seeds[position]] == position]


def pool(rows: pd.DataFrame, planned: int = 0) -> PooledEstimate | None:
    """The mean over seeds of rows of one metric (the last of each seed), on its scale, with its error.

    None if no value is finite.
    """
    metrics = list(rows["metric"].unique()) if "metric" in rows else []
    assert len(metrics) <= 1, f"rows of several metrics are pooled: {', '.join(metrics)}"
    scale: Scale = scale_of(metrics[0]) if metrics else "linear"
    return pool_positions(to_columns(rows), range(len(rows)), planned, scale)


def pool_positions(
    columns: Columns, positions: Sequence[int], planned: int, scale: Scale = "linear"
) -> PooledEstimate | None:
    """As `pool`, of the rows at these positions."""
    chosen = select_last(columns, positions)
    if not chosen:
        return None
    seeds = len(chosen)
    values, errors, noises, documents, clusters, _ = (columns[name][chosen] for name in NUMBERS)
    kinds, protocols, executions, states, _ = (columns[name][chosen] for name in WORDS)
    estimate = PooledEstimate(
        value=float(values[0]),
        error=float(errors[0]),
        sampling=float(errors[0]),
        monte_carlo_error=float(np.nan_to_num(noises[0])),
        documents=int(documents.min()),
        clusters=int(np.where(clusters > 0, clusters, documents).min()),
        seeds=seeds,
        planned=max(planned, seeds),
        kind=max(kinds, key=list(SIGNS).index),  # the weakest claim among the seeds
        protocol="; or ".join(dict.fromkeys(protocols)),
        execution=join_made(executions),
        is_stale="stale" in list(states),
        scale=scale,
    )
    return average(estimate, values, errors, noises) if seeds > 1 else estimate


def average(estimate: PooledEstimate, values: Numbers, errors: Numbers, noises: Numbers) -> PooledEstimate:
    """The estimate of one of several seeds with the mean of all of them, averaged on its scale, and its errors."""
    linear, steepness = to_linear(estimate.scale, values), slope(estimate.scale, values)
    noise = float(np.nan_to_num(noises * steepness).mean())  # the seeds share their noise, so it does not average out
    sampling = (errors * steepness)[~np.isnan(errors)]
    mean = replace(
        estimate,
        value=float(linear.mean()),
        error=math.hypot(standard_error(linear.tolist()), noise),
        sampling=float(sampling.mean()) if len(sampling) else math.nan,
        monte_carlo_error=noise,
        scale="linear",
    )
    return mean.convert(estimate.scale)


def half_interval(estimate: PooledEstimate, level: float = LEVEL) -> float:
    """Half the confidence interval of an estimate; 0 if it has no error.

    With several seeds, Student's interval over seeds is joined with that over documents. With one seed, it is over
    documents only.
    """
    sources = [(estimate.error, estimate.seeds), (estimate.sampling, estimate.clusters)]
    if estimate.seeds <= 1:
        sources = [(estimate.error, estimate.clusters)]
    return combine([half_width(*source, level) for source in sources if source[0] > 0 and source[1] > 1] or [0.0])


def combined_error(first: PooledEstimate, second: PooledEstimate) -> float:
    """The standard error of a difference, over seeds and over documents; unknown errors count as zero."""
    errors = []
    for estimate in (first, second):
        errors.append(estimate.error)
        if estimate.seeds > 1:
            errors.append(estimate.sampling)
    return math.hypot(*(error for error in errors if error > 0))


def is_tied(first: PooledEstimate, second: PooledEstimate) -> bool:
    """Whether the unpaired interval of the difference contains zero, on the scale of the two.

    Numbers without any spread are tied as well: without an error, nothing tells them apart.
    """
    first, second = first.linear, second.linear
    half = combine([half_interval(first), half_interval(second)])
    return half == 0 or abs(first.value - second.value) <= half


def can_be_best(estimate: PooledEstimate | None) -> bool:
    """Whether a number of an arm may be ranked and called best: its spread over training runs has to be known."""
    return estimate is not None and estimate.seeds >= MIN_SEEDS


def find_best(estimates: Sequence[PooledEstimate | None]) -> PooledEstimate | None:
    """The lowest number of the arms of several seeds; None if there is none, or only one beside arms of one seed."""
    measured = [estimate for estimate in estimates if estimate]
    rivals = [estimate for estimate in measured if can_be_best(estimate)]
    if len(rivals) == 1 < len(measured):
        return None
    return min(rivals, key=lambda estimate: estimate.value, default=None)
