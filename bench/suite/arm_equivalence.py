"""Equivalence of arms: however they are written, arms of equal canonical form are the same training run."""

import json
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.engine.model.method_instances import option_departures
from bench.engine.model.settings import NetworkSpec
from bench.engine.train.settings import Budget, Training
from bench.suite.yaml_document import Map, merge, plain
from methods import OptionError

OVERRIDES: dict[str, type[BaseModel]] = {"training": Training, "budget": Budget, "network": NetworkSpec}


def with_inherited(arm: Map, suite: Map) -> Map:
    """The arm with its own training, budget and network completed by those of the suite."""
    completed = arm.copy()
    for name in OVERRIDES:
        if isinstance(arm.get(name), Map) and isinstance(suite.get(name), Map):
            merged = merge(Map({name: suite[name]}), Map({name: arm[name]}))
            completed.put(name, merged[name], arm.locations.get(name))
    return completed


def canonical_form(arm: Map, suite: Map) -> str:
    """A text that is equal for equivalent arms; invalid parts stand in it as written."""
    completed, name = with_inherited(arm, suite), arm.get("method")
    options = plain(arm.get("options") or {})
    if isinstance(name, str) and isinstance(options, dict):
        with suppress(OptionError):  # reported when the arms are checked
            options = option_departures(name, options)
    blocks = {key: _normalize(kind, plain(completed.get(key) or suite.get(key))) for key, kind in OVERRIDES.items()}
    content = [name, options, blocks, plain(arm.get("precision"))]
    return json.dumps(content, sort_keys=True, default=str)


def _normalize(kind: type[BaseModel], content: Any) -> Any:
    """The block with its defaults; as written if it is invalid."""
    try:
        return kind.model_validate(content).model_dump(mode="json")
    except ValidationError:
        return content  # reported when the suite is validated
