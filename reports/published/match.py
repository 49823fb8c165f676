"""Match published numbers with recorded arms, and explain why the nearest arm does not match.

An arm stands beside a number only if it meets everything that the number's counterpart asks for. Otherwise all
differences of the nearest arm of the same method are listed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine.model.method_instances import option_departures
from bench.engine.model.network import PRESETS
from bench.engine.records import DataFacts, StoredSuite
from bench.results.find_cell import read_suites
from bench.results.statistics.pooled import PooledEstimate, can_be_best
from bench.results.statistics.reproduction import last_digit, reproduction_half_width
from bench.results.statistics.verdicts import NO_VERDICT
from bench.results.suite_record import read
from reports.published.published_file import Counterpart
from reports.published.published_numbers import Claim
from reports.tables.arms import split_arms
from reports.tables.format_numbers import format_compact, format_with_error
from reports.tables.table_model import Column, pool_arm

SIZES = ("layers", "width", "heads")
REPRODUCED, DIFFERS, NOT_RUN, NO_COUNTERPART = "reproduced within error", "differs by", "not run", "—"


@dataclass(frozen=True)
class Arm:
    """A recorded arm: its settings, in the terms of a counterpart, and its rows."""

    suite: str
    label: str
    method: str
    options: dict[str, Any]
    source: str
    length: int
    data: DataFacts
    split: str
    sizes: tuple[int, ...]  # layers, width, heads
    network: str
    tokens: int
    reserves_text: bool  # whether part of the training text was held back
    sequences: int | None  # number of evaluated sequences of the split; None: all
    is_stale: bool
    rows: pd.DataFrame

    def estimate(self, metric: str) -> PooledEstimate | None:
        """The arm's value of a metric of the bound; None if it has none."""
        return pool_arm(self.rows, Column("bound", metric, "", "", format_with_error))


@dataclass(frozen=True)
class Match:
    """The verdict on a published number, and the arm that it rests on."""

    verdict: str
    estimate: PooledEstimate | None = None
    arm: Arm | None = None  # the matching arm, or else the nearest one
    differences: tuple[str, ...] = ()  # how the nearest arm departs from the counterpart


def list_arms(runs: Path) -> list[Arm]:
    """Every arm of every suite recorded under `runs`, ordered by suite."""
    arms: list[Arm] = []
    for suite in read_suites(runs):
        rows_of = split_arms(read(runs, suite.suite))
        arms += [make_arm(suite, suite.suite, label, rows) for label, rows in rows_of.items()]
    return arms


def make_arm(suite: StoredSuite, name: str, label: str, rows: pd.DataFrame) -> Arm:
    """Build an arm from its first cell in the record of its suite; other seeds have the same settings."""
    cell = next(cell for cell in suite.cells if cell.arm == label and cell.role == "arm")
    bound = cell.stage("bound")
    assert bound is not None, f"arm {label} of suite {name} has no stage `bound`"
    split, limit = bound.settings["split"], bound.settings["sequences"]
    return Arm(
        suite=name,
        label=label,
        method=cell.method,
        options=cell.science["options"],
        source=cell.science["data"]["source"],
        length=cell.science["data"]["length"],
        data=suite.facts,
        split=split,
        sizes=tuple(cell.science["network"][size] for size in SIZES),
        network=cell.network,
        tokens=cell.tokens,
        reserves_text="reserve" in suite.facts.tokens,
        sequences=None if limit is None else min(limit, suite.facts.sequences[split]),
        is_stale=bool((rows["status"] == "stale").any()),
        rows=rows,
    )


def list_differences(arm: Arm, counterpart: Counterpart) -> list[str]:
    """Describe how an arm's protocol departs from a counterpart's; empty if they match."""
    pairs = [
        ("data", arm.source, counterpart.data),
        ("token", arm.data.level, counterpart.level),
        ("length", arm.length, counterpart.length),
        ("split", arm.split, counterpart.split),
    ]
    differences = [
        f"{name} {actual} instead of {expected}" for name, actual, expected in pairs if expected not in (None, actual)
    ]
    if counterpart.network is not None and arm.sizes != preset_sizes(counterpart.network):
        differences.append(f"network {arm.network} instead of {counterpart.network}")
    if counterpart.tokens is not None:
        least, most = counterpart.tokens
        if not least <= arm.tokens <= most:
            counts = [format_compact(PooledEstimate(count))[0] for count in (arm.tokens, least, most)]
            differences.append(f"{counts[0]} training tokens instead of {counts[1]} to {counts[2]}")

    available = arm.data.sequences[arm.split]
    if arm.sequences is not None and arm.sequences < available:
        differences.append(f"only the first {arm.sequences:,} of {available:,} sequences evaluated")
    if arm.reserves_text:
        differences.append("part of the training text held back")
    if arm.is_stale:
        differences.append("stale, as the code has changed since")
    return differences


def preset_sizes(preset: str) -> tuple[int, ...]:
    """Layers, width and heads of a network preset."""
    return tuple(getattr(PRESETS[preset], name) for name in SIZES)


def find_match(claim: Claim, arms: Sequence[Arm]) -> Match:
    """Match a published number with the arm of its method that has the fewest differences, then the most seeds."""
    counterpart = claim.here
    if counterpart.method is None:
        return Match(NO_COUNTERPART)
    assert counterpart.metric is not None, f"the counterpart of {claim.row} has no metric"

    options = option_departures(counterpart.method, counterpart.options or {})
    candidates = [
        (arm, estimate, list_differences(arm, counterpart))
        for arm in arms
        if (arm.method, arm.options) == (counterpart.method, options) and (estimate := arm.estimate(counterpart.metric))
    ]
    if not candidates:
        return Match(NOT_RUN)

    arm, estimate, differences = min(candidates, key=lambda candidate: (len(candidate[2]), -candidate[1].seeds))
    if differences:
        return Match(NOT_RUN, None, arm, tuple(differences))
    return Match(format_verdict(claim, estimate), estimate, arm)


def format_verdict(claim: Claim, estimate: PooledEstimate) -> str:
    """Whether an estimate reproduces a published number, or by how much it differs; of one seed, the difference."""
    difference = estimate.value - float(claim.value)
    size = f"{difference:+.{max(-last_digit(claim.value), 0) + 1}f}"
    if not can_be_best(estimate):
        return f"{NO_VERDICT} ({size})"
    if abs(difference) <= reproduction_half_width(estimate, claim.value, claim.spread):
        return REPRODUCED
    return f"{DIFFERS} {size}"


def explain_mismatch(match: Match) -> str:
    """Why the nearest arm does not stand beside a number; "" if it does, or if there is no arm."""
    if not match.differences or match.arm is None:
        return ""
    return f"suite {match.arm.suite} has a number under another protocol: {'; '.join(match.differences)}"
