"""Numbers of this project beside those of papers: which recorded arm was measured as a claim was, and if none, why not.

An arm stands beside a number only where everything that its counterpart says holds. The nearest arm of the same method
that fails it is told in words, with all that differs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine import storage as record
from bench.engine.model.method_instances import option_departures
from bench.engine.model.network import PRESETS
from bench.results.statistics.pooled import PooledEstimate
from bench.results.statistics.significance import LEVEL, half_width, join
from bench.results.suite_record import Record, read
from reports.published.claims import Claim
from reports.published.settings import Counterpart
from reports.tables.arms import split_arms
from reports.tables.numbers import format_compact, format_with_error
from reports.tables.table import Column, pool_arm

NORMAL = 1.96  # standard errors of an interval, of spreads whose number of values is not known
SIZES = ("layers", "width", "heads")
REPRODUCED, DIFFERS, NOT_RUN, NO_COUNTERPART = "reproduced within error", "differs by", "not run", "—"


@dataclass(frozen=True)
class Arm:
    """A recorded arm: what it is, in the words of a counterpart, and its rows."""

    suite: str
    label: str
    method: str
    options: dict[str, Any]
    source: str
    length: int
    facts: dict[str, Any]  # of the data of its suite
    split: str
    sizes: tuple[int, ...]  # layers, width, heads
    network: str
    tokens: int
    reserves: bool  # whether a part of the training text was kept from it
    sequences: int | None  # of the split that were evaluated; None: all
    is_stale: bool
    rows: pd.DataFrame

    def estimate(self, metric: str) -> PooledEstimate | None:
        """Its number in a metric of the bound; None where it has none."""
        return pool_arm(self.rows, Column("bound", metric, "", "", format_with_error))


@dataclass(frozen=True)
class Measured:
    """What this project can say to a claim."""

    verdict: str
    estimate: PooledEstimate | None = None
    arm: Arm | None = None  # the one that matches, or else the nearest
    differences: tuple[str, ...] = ()  # what keeps the nearest from standing here


def list_arms(runs: Path) -> list[Arm]:
    """Every arm of every suite that is recorded under `runs`, in the order of their names."""
    found: list[Arm] = []
    for path in sorted((runs / "suites").glob("*.json")):
        plan = record.read_json(path)
        assert plan is not None, f"{path} went away while it was read"
        own = read(runs, path.stem)
        found += [make_arm(own, plan, label, rows) for label, rows in split_arms(own).items()]
    return found


def make_arm(own: Record, plan: Any, label: str, rows: pd.DataFrame) -> Arm:
    """One arm as its suite's plan tells it; its seeds differ in nothing else."""
    cell = next(cell for cell in plan["cells"] if cell["arm"] == label and cell.get("role", "arm") == "arm")
    science, facts = cell["science"], plan["facts"]
    bound = next(stage["block"] for stage in cell["stages"] if stage["name"] == "bound")
    whole = facts["sequences"][bound["split"]]
    return Arm(
        suite=own.suite,
        label=label,
        method=cell["method"],
        options=science["options"],
        source=science["data"]["source"],
        length=science["data"]["length"],
        facts=facts,
        split=bound["split"],
        sizes=tuple(science["network"][name] for name in SIZES),
        network=cell.get("network", plan["network"]),
        tokens=cell["tokens"],
        reserves="reserve" in facts["tokens"],
        sequences=None if bound["sequences"] is None else min(bound["sequences"], whole),
        is_stale=bool((rows["status"] == "stale").any()),
        rows=rows,
    )


def compare(arm: Arm, here: Counterpart) -> list[str]:
    """What of the protocol is another one, in words; nothing where the arm may stand beside the number."""
    facts = arm.facts
    pairs = [
        ("data", arm.source, here.data),
        ("token", facts["level"], here.level),
        ("length", arm.length, here.length),
        ("split", arm.split, here.split),
    ]
    found = [f"{name} {own} instead of {wanted}" for name, own, wanted in pairs if wanted not in (None, own)]
    if here.network is not None and arm.sizes != sizes_of(here.network):
        found.append(f"network {arm.network} instead of {here.network}")
    if here.tokens is not None and not here.tokens[0] <= arm.tokens <= here.tokens[1]:
        told = [format_compact(PooledEstimate(count))[0] for count in (arm.tokens, *here.tokens)]
        found.append(f"{told[0]} training tokens instead of {told[1]} to {told[2]}")
    if arm.sequences is not None and arm.sequences < facts["sequences"][arm.split]:
        found.append(f"the first {arm.sequences:,} of {facts['sequences'][arm.split]:,} sequences")
    return found + ["a part of the training text reserved"] * arm.reserves + ["made by other code"] * arm.is_stale


def sizes_of(preset: str) -> tuple[int, ...]:
    """Layers, width and heads of a preset."""
    return tuple(getattr(PRESETS[preset], name) for name in SIZES)


def find(claim: Claim, arms: Sequence[Arm]) -> Measured:
    """What the arms say to a claim: the one that matches, with the most seeds where several do; else the nearest."""
    here = claim.here
    if here.method is None:
        return Measured(NO_COUNTERPART)
    assert here.metric is not None, f"the counterpart of {claim.row} has no metric"
    options = option_departures(here.method, here.options or {})
    same = [arm for arm in arms if (arm.method, arm.options) == (here.method, options)]
    measured = [(arm, estimate, compare(arm, here)) for arm in same if (estimate := arm.estimate(here.metric))]
    if not measured:
        return Measured(NOT_RUN)
    arm, estimate, differences = min(measured, key=lambda each: (len(each[2]), -each[1].seeds))
    if differences:
        return Measured(NOT_RUN, None, arm, tuple(differences))
    return Measured(judge(claim, estimate), estimate, arm)


def judge(claim: Claim, own: PooledEstimate) -> str:
    """Whether the 95 % interval of our number, joined with the paper's spread and its rounding, holds the paper's."""
    distance = own.value - float(claim.value)
    seeds = ", one seed" * (own.seeds == 1)
    if abs(distance) <= reach(claim, own):
        return REPRODUCED + seeds
    digits = max(-exponent(claim.value), 0)
    return f"{DIFFERS} {distance:+.{digits + 1}f}{seeds}"


def reach(claim: Claim, own: PooledEstimate) -> float:
    """Half the width within which a paper's number counts as reproduced, in the unit of the number.

    Student's t over the seeds (of a single one over the documents, in clusters where they may vary together) joined in
    quadrature with 1.96 spreads of the paper; then half of the last digit that the paper printed, which is sure and not
    chance.
    """
    ours = half_width(own.error, own.seeds if own.seeds > 1 else own.clusters, LEVEL) if own.error > 0 else 0.0
    spread = NORMAL * float(claim.spread) if claim.spread else 0.0
    return join([ours, spread]) + 0.5 * 10.0 ** exponent(claim.value)


def exponent(value: Decimal) -> int:
    """The power of ten of the last digit that is printed."""
    power = value.as_tuple().exponent
    assert isinstance(power, int), f"{value} is no number"
    return power


def explain(found: Measured) -> str:
    """Why an own number is not in the column; "" where there is none, or where it is."""
    if not found.differences or found.arm is None:
        return ""
    return f"there is an own number, in suite {found.arm.suite}, of another protocol: {'; '.join(found.differences)}"
