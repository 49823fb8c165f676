"""The differences between two arms beside their numbers: settings, environment, protocol."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from bench.engine import storage
from bench.engine.environment import merge_environments
from bench.engine.model.network import Shape
from bench.results.compare.compared_results import ComparedCell

STAGES = ("train", "bound", "samples", "quality")  # whose environments are compared
SCIENCE = ("method", "options", "precision", "plugin")  # settings that an arm's job holds in its science alone

Values = dict[str, Any]
Changes = dict[str, tuple[str, str]]  # values of A and of B, by name

UNKNOWN = "settings"  # the name under which it says that settings are not known


def _flatten(values: Any, name: str = "") -> Values:
    """Flatten nested settings to dotted paths, such as training.learning_rate."""
    if not isinstance(values, dict):
        return {name: values}
    parts = [_flatten(value, f"{name}.{key}" if name else str(key)) for key, value in values.items()]
    return {path: value for part in parts for path, value in part.items()}


def find_changes(old: Values, new: Values) -> Changes:
    """The values that differ; "none" stands for a missing one. If one side is not known, that is all."""
    if UNKNOWN in old or UNKNOWN in new:
        return {UNKNOWN: (old.get(UNKNOWN, "known"), new.get(UNKNOWN, "known"))}
    names = [name for name in dict.fromkeys([*old, *new]) if old.get(name) != new.get(name)]
    return {name: (str(old.get(name, "none")), str(new.get(name, "none"))) for name in names}


def find_known_changes(old: Values, new: Values) -> Changes:
    """The values that differ, of those that both sides have: earlier versions recorded less."""
    return find_changes(*({name: side[name] for name in side if name in old and name in new} for side in (old, new)))


def read_settings(cells: Sequence[ComparedCell]) -> Values:
    """The settings of an arm's training runs: method, options, network, training, budget, tuning, seeds and data.

    If the job cannot be read, `UNKNOWN` says why.
    """
    first = cells[0]
    try:
        job = storage.read_job(first.folder)
    except storage.BrokenRecord as error:
        return {UNKNOWN: f"not known: {error.reason}"}
    if job is None:
        return {UNKNOWN: f"not known: cells/{first.id}/job.json is missing"}
    settings: Values = {name: job.science[name] for name in SCIENCE if name in job.science}
    settings |= {
        "network": asdict(Shape(**job.network)) if job.network else {},
        "training": job.training,
        "budget": {"steps": job.steps, "tokens": first.stored.tokens},
        "tuning": first.tuning,
        "data": job.data | {"fingerprint": job.fingerprint, "part": job.part},
    }
    return _flatten(settings) | {"seeds": ", ".join(str(cell.seed) for cell in cells)}


def read_table_settings(rows: pd.DataFrame) -> Values:
    """The few settings of an arm that a results file holds."""
    return {name: rows[name].iloc[-1] for name in ("method", "network", "data", "tokens") if name in rows}


def read_environment(cells: Sequence[ComparedCell]) -> Values:
    """Software, hardware and code of an arm's stages, over all seeds."""
    values: Values = {}
    for name in STAGES:
        environments = [result.environment for result in _results(cells, name)]
        if environments:
            values |= {f"{name}.{key}": value for key, value in merge_environments(environments).items()}
    return values


def read_protocol(cells: Sequence[ComparedCell]) -> Values:
    """How an arm's bound was estimated."""
    results = _results(cells, "bound")
    if not results:
        return {}
    settings = {name: value for name, value in results[0].settings.items() if name != "arms"}
    protocols = [{"protocol": result.protocol} for result in results]
    return _flatten(settings, "bound") | merge_environments(protocols)


def _results(cells: Sequence[ComparedCell], name: str) -> list[Any]:
    """The results of all stages with a name."""
    return [result for cell in cells for result in cell.results(name)]
