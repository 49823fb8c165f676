"""The number of an arm: the mean over its seeds with its errors, and whether two such numbers are told apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.results.statistics.significance import LEVEL, half_width, join

NUMBERS = ("value", "standard_error", "monte_carlo_error", "n", "clusters", "tokens")
WORDS = ("kind", "protocol", "status", "seed")
ANY_METRIC = ""  # in the place of a metric: all rows of a stage
SIGNS = {"": "", "exact": "=", "certified": "<=", "bound": "†"}  # from the strongest claim to the weakest

Columns = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class PooledEstimate:
    """A number of one arm: the mean over its finished seeds, with all that is needed to judge it."""

    value: float
    error: float = math.nan  # one standard error: over seeds when there are several, over documents when there is one
    sampling: float = math.nan  # one standard error over the documents, which the seeds share
    monte_carlo_error: float = math.nan
    documents: int = 0
    clusters: int = 0  # of documents that may vary together; as many as documents where each varies by itself
    seeds: int = 0
    planned: int = 0  # seeds that the suite asked for
    kind: str = ""
    protocol: str = ""
    is_stale: bool = False  # some seed was measured by other code


class ArmResults:
    """The rows of one arm that hold results, found by stage and metric without a search through all of them."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.columns = to_columns(rows)
        self.planned = rows["seed"].nunique()
        self.places: dict[tuple[str, str], list[int]] = {}
        named = zip(rows["stage"], rows["metric"], self.columns["status"], strict=True)
        for place, (stage, metric, status) in enumerate(named):
            if status in ("done", "stale"):
                self.places.setdefault((stage, metric), []).append(place)
                self.places.setdefault((stage, ANY_METRIC), []).append(place)

    def find(self, stage: str, metric: str) -> PooledEstimate | None:
        """The number of the arm; None when no seed has it. The metric `tokens` is what training consumed."""
        places = self.places.get((stage, ANY_METRIC if metric == "tokens" else metric), [])
        if metric != "tokens":
            return pool_places(self.columns, places, self.planned)
        tokens = self.columns["tokens"].astype(float)
        counted = {"value": tokens, "standard_error": np.full_like(tokens, math.nan)}
        counted |= dict.fromkeys(("n", "clusters"), np.zeros_like(tokens))  # which are those of validation
        return pool_places(self.columns | counted, places, self.planned)


def to_columns(rows: pd.DataFrame) -> Columns:
    """What an estimate is made from, by the names of the columns of the tidy table."""
    numbers = {name: rows[name].to_numpy(float) for name in NUMBERS}
    return numbers | {name: rows[name].to_numpy(object) for name in WORDS}


def select_last(columns: Columns, places: Sequence[int]) -> list[int]:
    """Of the places the last of each seed that has a finite value, in the order of training tokens."""
    values, tokens, seeds = columns["value"], columns["tokens"], columns["seed"]
    ordered = sorted((place for place in places if not math.isnan(values[place])), key=lambda place: tokens[place])
    last = {seeds[place]: place for place in ordered}
    return [place for place in ordered if last[seeds[place]] == place]


def pool(rows: pd.DataFrame, planned: int = 0) -> PooledEstimate | None:
    """The mean over seeds of rows of one metric (the last of each seed) with its error; None without a finite value."""
    return pool_places(to_columns(rows), range(len(rows)), planned)


def pool_places(columns: Columns, places: Sequence[int], planned: int) -> PooledEstimate | None:
    """As `pool`, of the rows at these places."""
    chosen = select_last(columns, places)
    if not chosen:
        return None
    seeds = len(chosen)
    values, errors, noises, documents, clusters, _ = (columns[name][chosen] for name in NUMBERS)
    kinds, protocols, states, _ = (columns[name][chosen] for name in WORDS)
    noise = float(np.nan_to_num(noises).mean())  # the seeds share their noise, so it does not average out
    known = errors[~np.isnan(errors)]
    spread = float(values.std(ddof=1)) / math.sqrt(seeds) if seeds > 1 else math.nan
    return PooledEstimate(
        value=float(values.mean()),
        error=math.hypot(spread, noise) if seeds > 1 else float(errors[0]),
        sampling=float(known.mean()) if len(known) else math.nan,
        monte_carlo_error=noise,
        documents=int(documents.min()),
        clusters=int(np.where(clusters > 0, clusters, documents).min()),
        seeds=seeds,
        planned=max(planned, seeds),
        kind=max(kinds, key=list(SIGNS).index),  # the weakest claim among the seeds
        protocol="; or ".join(dict.fromkeys(protocols)),
        is_stale="stale" in list(states),
    )


def half_interval(number: PooledEstimate, level: float = LEVEL) -> float:
    """Half of the interval of a number: Student's over its seeds joined with that over its documents, of one seed over
    the documents alone; 0 where it has no error."""
    sources = [(number.error, number.seeds), (number.sampling, number.clusters)]
    if number.seeds <= 1:
        sources = [(number.error, number.clusters)]
    return join([half_width(*source, level) for source in sources if source[0] > 0 and source[1] > 1] or [0.0])


def combined_error(one: PooledEstimate, other: PooledEstimate) -> float:
    """The standard error of a difference, over seeds and over documents; unknown errors count as zero."""
    spreads = [(number.error, number.sampling if number.seeds > 1 else 0.0) for number in (one, other)]
    return math.hypot(*(error for pair in spreads for error in pair if error > 0))


def is_tied(one: PooledEstimate, other: PooledEstimate) -> bool:
    """True when the interval of the difference of two values holds zero; unpaired."""
    return abs(one.value - other.value) <= join([half_interval(one), half_interval(other)])
