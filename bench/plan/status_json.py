"""The status of a plan in plain values, as `bench plan --json` and `bench status --json` print it."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from bench.engine.data import DataSummary
from bench.plan.statistical_power import Power
from bench.plan.status import CellStatus, PlanStatus, join_statuses
from bench.plan.warnings import find_warnings


def all_as_json(statuses: Sequence[PlanStatus]) -> dict[str, Any]:
    """The plans of a suite with several data sets, and what they cost together, in plain values."""
    total = as_json(join_statuses(statuses))
    plans = [{"label": status.plan.suite.label, **as_json(status)} for status in statuses]
    shared = {name: total[name] for name in ("total", "execution_differences")}
    return {"question": total["question"], "data_sets": plans, **shared}


def as_json(status: PlanStatus) -> dict[str, Any]:
    """The status in plain values; FLOPs and seconds are estimates."""
    suite, facts = status.plan.suite, status.plan.suite.facts
    return {
        "suite": suite.name,
        "question": suite.spec.question,
        "data": {"source": facts.source, "length": facts.length, "sequences": facts.sequences, **_text_as_json(facts)},
        "warnings": [asdict(warning) for warning in find_warnings(status.plan)],
        "seeds": suite.spec.seeds,
        "cells": [_cell_as_json(cell) for cell in status.cells],
        "refused": [vars(combination) for combination in status.refused],
        "total": {
            "cells": len(status.distinct),
            "tokens": status.tokens,
            "flops": status.flops,
            "flops_left": status.remaining,
            **_time_as_json(status),
        },
        "execution_differences": [difference.as_json() for difference in status.differences],
        "matched": asdict(status.match) if status.match else None,
        "power": _power_as_json(status.power),
    }


def _text_as_json(facts: DataSummary) -> dict[str, Any]:
    """What the look at the whole text counted; empty counts if it is not here yet."""
    return {
        "sequences_in_training": facts.sequences_in_training,
        "passages_in_training": facts.passages_in_training,
        "sequences_in_reserve": facts.sequences_in_reserve,
        "passages_in_reserve": facts.passages_in_reserve,
        "repeated_sequences": facts.repeated_sequences,
        "repeated_passages": facts.repeated_passages,
        "unseen_tokens": facts.unseen_tokens,
        "symbols_seen_once": facts.symbols_seen_once if facts.is_read else None,
        "suspect_characters": facts.suspect_characters,
    }


def _time_as_json(status: PlanStatus) -> dict[str, Any]:
    """Seconds, and those of the fastest and the slowest speed measured; null if they are unknown."""
    time, forecast = status.time, status.time.forecast
    complete = forecast if time.is_known else None
    return {
        "seconds_left": math.ceil(complete.seconds) if complete else None,
        "seconds_left_range": [math.ceil(complete.least), math.ceil(complete.most)] if complete else None,
        "device": time.device or None,
        "speeds": [asdict(speed) for speed in forecast.speeds] if forecast else [],
        "unknown": list(forecast.unknown) if forecast else [time.reason],
        "uncounted": status.uncounted,
    }


def _power_as_json(power: Power | None) -> dict[str, Any] | None:
    if power is None:
        return None
    values = asdict(power) | {"is_reachable": power.is_reachable}
    return values | {"detectable_sd": None if math.isnan(power.detectable_sd) else power.detectable_sd}


def _cell_as_json(status: CellStatus) -> dict[str, Any]:
    cell = status.cell
    return {
        "arm": cell.arm,
        "base": cell.base,
        "role": cell.role,
        "method": cell.method,
        "options": cell.options,
        "seed": cell.seed,
        "cell": cell.id,
        "network": cell.network.label,
        **cell.amount._asdict(),
        "stages": [
            {"name": stage.name, "id": stage.id, "state": stage.state, "reason": stage.reason, "flops": stage.flops}
            for stage in status.stages
        ],
    }
