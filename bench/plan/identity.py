"""What is hashed into the id of a cell, and of a stage."""

from dataclasses import fields
from typing import Any

from bench.engine.model.method_instances import option_departures
from bench.engine.model.network import Shape
from bench.engine.storage import digest
from bench.plan.budget import amount
from bench.plan.cells import Amount, Stage
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite
from methods import PLUGINS

FORMAT = 1  # raised when equal words come to mean other science


def _data(suite: Suite) -> dict[str, Any]:
    data = suite.spec.data
    return {"source": data.source, "length": data.length, "fingerprint": suite.facts.fingerprint}


def _science(suite: Suite, arm: ArmSpec, seed: int, part: dict[str, str]) -> tuple[Amount, dict[str, Any]]:
    """How much a training is, and all that it is; `part` says which of the data where that is not all."""
    trained = amount(suite, arm)
    science = {
        "format": FORMAT,
        "method": arm.method,
        "options": option_departures(arm.method, arm.options),
        "data": {**_data(suite), **part},
        "network": departures(suite.spec.network_of(arm).shape()),
        "training": suite.spec.training_of(arm).science(),
        "steps": trained.steps,
        "seed": seed,
    }
    plugin = PLUGINS.get(arm.method)
    if plugin:
        science["plugin"] = plugin.code
    return trained, science


def _later(name: str, after: str, science: dict[str, Any], block: dict[str, Any]) -> Stage:
    """A stage on top of another one."""
    return Stage(name, digest({"train": after, name: science}), block)


def departures(shape: Shape) -> dict[str, Any]:
    """The sizes that have no default or differ from it."""
    return {each.name: getattr(shape, each.name) for each in fields(shape) if getattr(shape, each.name) != each.default}
