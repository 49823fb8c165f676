"""Estimates pooled over the seeds of an arm, with their errors, and whether two of them are tied."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.results.statistics.significance_tests import LEVEL, combine, half_width

NUMBERS = ("value", "standard_error", "monte_carlo_error", "n", "clusters", "tokens")
WORDS = ("kind", "protocol", "status", "seed")
ANY_METRIC = ""  # stands for all rows of a stage
SIGNS = {"": "", "exact": "=", "certified": "<=", "bound": "†"}  # from the strongest claim to the weakest

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
    is_stale: bool = False  # some seed was measured by a different version of the code


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
            return pool_positions(self.columns, positions, self.planned)
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
    """The mean over seeds of rows of one metric (the last of each seed), with its error.

    None if no value is finite.
    """
    return pool_positions(to_columns(rows), range(len(rows)), planned)


def pool_positions(columns: Columns, positions: Sequence[int], planned: int) -> PooledEstimate | None:
    """As `pool`, of the rows at these positions."""
    chosen = select_last(columns, positions)
    if not chosen:
        return None
    seeds = len(chosen)
    values, errors, noises, documents, clusters, _ = (columns[name][chosen] for name in NUMBERS)
    kinds, protocols, states, _ = (columns[name][chosen] for name in WORDS)

    noise = float(np.nan_to_num(noises).mean())  # the seeds share their noise, so it does not average out
    finite_errors = errors[~np.isnan(errors)]
    spread = float(values.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else math.nan
    return PooledEstimate(
        value=float(values.mean()),
        error=math.hypot(spread, noise) if seeds > 1 else float(errors[0]),
        sampling=float(finite_errors.mean()) if len(finite_errors) else math.nan,
        monte_carlo_error=noise,
        documents=int(documents.min()),
        clusters=int(np.where(clusters > 0, clusters, documents).min()),
        seeds=seeds,
        planned=max(planned, seeds),
        kind=max(kinds, key=list(SIGNS).index),  # the weakest claim among the seeds
        protocol="; or ".join(dict.fromkeys(protocols)),
        is_stale="stale" in list(states),
    )


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
    """Whether the unpaired interval of the difference contains zero."""
    return abs(first.value - second.value) <= combine([half_interval(first), half_interval(second)])
