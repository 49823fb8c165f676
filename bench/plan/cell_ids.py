"""What is hashed into the id of a cell, and of a stage."""

from dataclasses import fields
from typing import Any

from bench.engine.model.method_instances import option_departures
from bench.engine.model.network import Shape
from bench.engine.records import Stage
from bench.engine.storage import digest
from bench.plan.budget import Amount, training_amount
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite
from methods import PLUGINS

FORMAT = 1  # raised when equal words come to mean other science


def data_identity(suite: Suite) -> dict[str, Any]:
    """What identifies the data of a suite."""
    data = suite.spec.data
    return {"source": data.source, "length": data.length, "fingerprint": suite.facts.fingerprint}


def training_identity(suite: Suite, arm: ArmSpec, seed: int, part: dict[str, str]) -> tuple[Amount, dict[str, Any]]:
    """The size of a training run, and everything that its numbers depend on.

    `part` names the part of the data that it sees, if that is not the usual one.
    """
    amount = training_amount(suite, arm)
    science = {
        "format": FORMAT,
        "method": arm.method,
        "options": option_departures(arm.method, arm.options),
        "data": {**data_identity(suite), **part},
        "network": shape_departures(suite.spec.network_of(arm).shape()),
        "training": suite.spec.training_of(arm).science(),
        "steps": amount.steps,
        "seed": seed,
    }
    plugin = PLUGINS.get(arm.method)
    if plugin:
        science["plugin"] = plugin.code
    if arm.precision is not None:
        science["precision"] = arm.precision
    return amount, science


def stage_after(before: str, name: str, science: dict[str, Any], settings: dict[str, Any]) -> Stage:
    """A stage on top of the one with the id `before`."""
    return Stage(name=name, id=digest({"train": before, name: science}), settings=settings)


def shape_departures(shape: Shape) -> dict[str, Any]:
    """The sizes of a network that differ from their defaults or have none."""
    sizes = {field.name: getattr(shape, field.name) for field in fields(shape)}
    defaults = {field.name: field.default for field in fields(shape)}
    return {name: size for name, size in sizes.items() if size != defaults[name]}
