"""What an arm means, however it is written: equal senses are the same training."""

import json
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ValidationError

from bench.engine.model.method_instances import option_departures
from bench.engine.model.settings import NetworkSpec
from bench.engine.train.settings import Budget, Training
from bench.suite.document import Map, merge, plain
from methods import OptionError

OVERRIDES: dict[str, type[BaseModel]] = {"training": Training, "budget": Budget, "network": NetworkSpec}


def with_inherited(arm: Map, suite: Map) -> Map:
    """The arm with those of its own blocks made whole by the suite's, on which they are laid."""
    whole = arm.copy()
    for name in OVERRIDES:
        if isinstance(arm.get(name), Map) and isinstance(suite.get(name), Map):
            both = merge(Map({name: suite[name]}), Map({name: arm[name]}))
            whole.put(name, both[name], arm.spots.get(name))
    return whole


def sense(arm: Map, suite: Map) -> str:
    """The same words for arms of the same meaning; what cannot be understood stands as it is written."""
    whole, name = with_inherited(arm, suite), arm.get("method")
    options = plain(arm.get("options") or {})
    if isinstance(name, str) and isinstance(options, dict):
        with suppress(OptionError):  # told when the arms are checked
            options = option_departures(name, options)
    blocks = {key: _block(kind, plain(whole.get(key) or suite.get(key))) for key, kind in OVERRIDES.items()}
    return json.dumps([name, options, blocks], sort_keys=True, default=str)


def _block(kind: type[BaseModel], content: Any) -> Any:
    try:
        return kind.model_validate(content).model_dump(mode="json")
    except ValidationError:
        return content  # told by the validation of the whole
