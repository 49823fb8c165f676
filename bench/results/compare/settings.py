"""What sets the runs of two arms apart beside their numbers: settings, surroundings, protocol."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from bench.engine import storage
from bench.engine.environment import joined
from bench.engine.model.network import Shape
from bench.results.compare.operands import ComparedCell

Values = dict[str, Any]
Changes = dict[str, tuple[str, str]]  # what differs, of A and of B


def _flatten(values: Any, name: str = "") -> Values:
    """Every single value by its path, such as training.learning_rate."""
    if not isinstance(values, dict):
        return {name: values}
    parts = [_flatten(value, f"{name}.{key}" if name else str(key)) for key, value in values.items()]
    return {path: value for part in parts for path, value in part.items()}


def find_changes(old: Values, new: Values) -> Changes:
    """What differs, with "none" for what one of them does not have."""
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return {name: (str(old.get(name, "none")), str(new.get(name, "none"))) for name in names}


def read_settings(cells: Sequence[ComparedCell]) -> Values:
    """Everything that the training of an arm is: method, options, network, training, budget, tuning, seeds and data."""
    first = cells[0]
    job = storage.read_job(first.folder)
    assert job is not None, first.folder
    settings: Values = {name: job.science[name] for name in ("method", "options", "plugin") if name in job.science}
    settings |= {
        "network": asdict(Shape(**job.network)) if job.network else {},
        "training": job.training,
        "budget": {"steps": job.steps, "tokens": first.stored.tokens},
        "tuning": first.tuning,
        "data": job.data | {"fingerprint": job.fingerprint, "part": job.part},
    }
    return _flatten(settings) | {"seeds": ", ".join(str(cell.seed) for cell in cells)}


def read_told(rows: pd.DataFrame) -> Values:
    """What a results file says of the settings of an arm, which is little."""
    return {name: rows[name].iloc[-1] for name in ("method", "network", "data", "tokens") if name in rows}


def read_surroundings(cells: Sequence[ComparedCell]) -> Values:
    """Software, hardware and code of the training and of the bound of an arm, over its seeds."""
    surroundings: Values = {}
    for name in ("train", "bound"):
        environments = [result.environment for result in _results(cells, name)]
        if environments:
            surroundings |= {f"{name}.{key}": value for key, value in joined(environments).items()}
    return surroundings


def read_protocol(cells: Sequence[ComparedCell]) -> Values:
    """How the bound of an arm was estimated."""
    results = _results(cells, "bound")
    if not results:
        return {}
    settings = {name: value for name, value in results[0].settings.items() if name != "arms"}
    return _flatten(settings, "bound") | joined([{"protocol": result.protocol} for result in results])


def _results(cells: Sequence[ComparedCell], name: str) -> list[Any]:
    """The results of all stages of that name."""
    return [result for cell in cells for result in cell.results(name)]
