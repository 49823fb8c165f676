"""The settings of execution that can change a number: what a result was made with, and what a suite asks for.

They are no part of a cell's id, so that results of one id may be made in different ways. The number of threads is not
among them: it is a property of the machine, and changes the order in which sums are rounded, but not their precision.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.engine import storage
from bench.engine.environment import Execution, describe_tf32, resolve_names
from bench.engine.records import Stage
from bench.results.staleness import list_foundations

NETWORK = ("precision", "device", "attention", "tf32", "deterministic")  # of a network that is evaluated
SCORER = ("device", "tf32", "deterministic")  # scorers are evaluated in float32 on every device
OF_STAGE = {  # the settings that can change the numbers of a stage
    "train": (*NETWORK, "compile", "accumulate"),
    **dict.fromkeys(("bound", "estimate", "samples", "trajectories"), NETWORK),
    **dict.fromkeys(("quality", "controls"), SCORER),
}
PREPOSITIONS = {"precision": "in {}", "device": "on {}"}  # by default "with NAME: VALUE"
THEN, AND = ", then ", " and "  # join the values of one run, and those of several

SettingsMade = dict[str, str]  # values by name, those that a record does not know left out


def read_made(stage: str, environment: Mapping[str, str]) -> SettingsMade:
    """The settings that a stage's result was made with, by the environment in its record."""
    settings = {name: environment[name] for name in OF_STAGE[stage] if environment.get(name)}
    if "device" in settings:
        kinds = ("cpu" if device == "cpu" else "cuda" for device in settings["device"].split(THEN))
        settings["device"] = THEN.join(dict.fromkeys(kinds))
    return settings


def read_foundations(cell: Path, stage: Stage) -> SettingsMade:
    """The settings that a stage and those that it stands on were made with, in the order in which they ran."""
    stages = list(list_foundations(stage))[::-1]
    results = [(name, storage.whole_result(cell, folder)) for name, folder in stages]
    return merge_made(read_made(name, result.environment) for name, result in results if result is not None)


def list_asked(execution: Execution) -> SettingsMade:
    """The settings that a run would have here, whether or not its device is available."""
    kind, precision = resolve_names(execution)
    return {
        "precision": precision,
        "device": kind,
        "attention": execution.attention,
        "tf32": describe_tf32(),
        "deterministic": "yes" if kind == "cpu" else "no",  # see bench.engine.environment.make_deterministic
        "compile": "yes" if execution.compile else "no",
        "accumulate": str(execution.accumulate),
    }


def list_explicit(execution: Execution) -> set[str]:
    """The settings that a suite itself gives a value to, rather than the device or the process."""
    return {name for name, value in execution if value != "auto"}


def merge_made(parts: Iterable[Mapping[str, str]], joint: str = THEN) -> SettingsMade:
    """One value for each setting of several results, distinct ones joined."""
    values: dict[str, dict[str, None]] = {}
    for part in parts:
        for name, value in part.items():
            values.setdefault(name, {}).update(dict.fromkeys(value.split(joint)))
    return {name: joint.join(distinct) for name, distinct in values.items()}


def find_varying(parts: Sequence[Mapping[str, str]]) -> list[str]:
    """The settings that differ between results or within one; what a record does not know is no difference."""
    merged = merge_made(parts, AND)
    varying = [name for name, value in merged.items() if AND in value or THEN in value]
    return [name for name in varying if name != "deterministic" or "device" not in varying]  # it follows the device


def describe_made(settings: Mapping[str, str]) -> str:
    """Settings as the end of "made ...": "in float32, with compile: no"."""
    return ", ".join(PREPOSITIONS.get(name, f"with {name}: {{}}").format(value) for name, value in settings.items())


def describe_asked(settings: Mapping[str, str]) -> str:
    """Settings as the end of "asks for ...": "bfloat16, compile: yes"."""
    return ", ".join(value if name == "precision" else f"{name}: {value}" for name, value in settings.items())


def describe_mix(parts: Sequence[Mapping[str, str]]) -> list[str]:
    """How each of several results was made, as far as they differ; "" for those that do not know, and if all agree."""
    varying = find_varying(parts)
    return [describe_made({name: part[name] for name in varying if name in part}) for part in parts]


def share_protocols(protocols: Iterable[str]) -> dict[str, str]:
    """Each protocol as it is shown beside the others: without its precision if they have several.

    Numbers in several precisions are told apart by how they were made.
    """
    bare = {protocol: _without_precision(protocol) for protocol in protocols}
    endings = {protocol.removeprefix(shown) for protocol, shown in bare.items() if protocol != shown}
    return bare if len(endings) > 1 else {protocol: protocol for protocol in bare}


def _without_precision(protocol: str) -> str:
    parts = (re.sub(r"; (float32|bfloat16)$", "", part) for part in protocol.split("; or "))
    return "; or ".join(dict.fromkeys(parts))


def format_made(settings: Mapping[str, str]) -> str:
    """Settings as one text of the tidy table: "precision float32; device cpu"."""
    return "; ".join(f"{name} {value}" for name, value in settings.items())


def parse_made(text: str) -> SettingsMade:
    """What `format_made` returned as settings; empty for a result of an earlier version."""
    pairs = (part.partition(" ") for part in text.split("; ") if part)
    return {name: value for name, _, value in pairs}


def join_made(texts: Iterable[str]) -> str:
    """The text of several seeds: that which they share, or one with the values of all of them."""
    distinct = list(dict.fromkeys(texts))
    return distinct[0] if len(distinct) == 1 else format_made(merge_made(map(parse_made, distinct), AND))
