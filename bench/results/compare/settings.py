"""What sets the runs of two arms apart beside their numbers: settings, surroundings, protocol."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine import storage as record
from bench.engine.environment import joined
from bench.engine.model.network import Shape

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


def read_settings(cells: Sequence[Values]) -> Values:
    """All that the training of an arm is: its method, options, network, training, budget, tuning, seeds and data."""
    job = record.read_json(Path(cells[0]["id"]) / "job.json")
    science = job["science"]
    told = {name: science[name] for name in ("method", "options", "plugin") if name in science}
    told["network"] = asdict(Shape(**job["network"])) if job["network"] else {}
    told |= {"training": job["training"], "budget": {"steps": job["steps"], "tokens": cells[0]["tokens"]}}
    told["tuning"] = cells[0]["tuned"]
    told["data"] = job["data"] | {"fingerprint": job["fingerprint"], "part": job["part"]}
    return _flatten(told) | {"seeds": ", ".join(str(cell["seed"]) for cell in cells)}


def read_told(rows: pd.DataFrame) -> Values:
    """What a results file says of the settings of an arm, which is little."""
    return {name: rows[name].iloc[-1] for name in ("method", "network", "data", "tokens") if name in rows}


def read_surroundings(cells: Sequence[Values]) -> Values:
    """Software, hardware and code of the training and of the bound of an arm, over its seeds."""
    found: Values = {}
    for name in ("train", "bound"):
        made = [result["environment"] for result in _results(cells, name)]
        found |= {f"{name}.{key}": value for key, value in (joined(made).items() if made else ())}
    return found


def read_protocol(cells: Sequence[Values]) -> Values:
    """How the bound of an arm was estimated."""
    made = _results(cells, "bound")
    told = joined([{"protocol": result["protocol"]} for result in made]) if made else {}
    asked = {name: value for name, value in made[0]["block"].items() if name != "arms"} if made else {}
    return _flatten(asked, "bound") | told if made else told


def _results(cells: Sequence[Values], name: str) -> list[Any]:
    """What the stages of a name left behind, of every cell."""
    places = [Path(cell["id"]) / stage["folder"] for cell in cells for stage in cell["stages"] if stage["name"] == name]
    return [result for place in places if (result := record.read_json(place / "result.json")) is not None]
