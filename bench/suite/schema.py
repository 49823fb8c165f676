"""The JSON Schema of a suite file, from which an editor knows the keys and their values.

It is made from the types of `suite_file` and `settings`. A suite that extends another one, a scale, and what an arm
has of its own may leave out whatever they do not change.
"""

from typing import Any

from pydantic import TypeAdapter

from bench.engine.data.settings import LabelledSpec
from bench.engine.sample.policies import POLICIES
from bench.suite.equivalence import OVERRIDES
from bench.suite.suite_file import SuiteFile
from methods import METHODS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS = "#/$defs/"
PARTIAL = "Partial"  # the ending of definitions in which nothing is required

Schema = dict[str, Any]


def schema() -> Schema:
    """The JSON Schema of a suite file."""
    suite = SuiteFile.model_json_schema()
    definitions = suite.pop("$defs")
    _lists_of_data(suite["properties"], definitions)
    _shorthands(definitions)
    parts = {f"{name}{PARTIAL}": loosened(each) for name, each in definitions.items()}
    _own_blocks(definitions["ArmSpec"]["properties"])
    scale = loosened(suite)
    for key in ("extends", "scales"):
        del scale["properties"][key]
    scales = {"type": "object", "additionalProperties": {"anyOf": [_ref("Scale"), {"type": "null"}]}}
    suite["properties"]["scales"] = {"anyOf": [scales, {"type": "null"}], "default": None}
    definitions |= {**parts, "Suite": suite, f"Suite{PARTIAL}": loosened(suite), "Scale": scale}
    choice = {"if": {"required": ["extends"]}, "then": _ref(f"Suite{PARTIAL}"), "else": _ref("Suite")}
    return {"$schema": DIALECT, "title": "Suite of diffusion-bench", **choice, "$defs": definitions}


def loosened(node: Any) -> Any:
    """The same with nothing required, on any depth but inside lists, which replace others as a whole."""
    if isinstance(node, list):
        return [loosened(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if key not in ("required", "discriminator")}
    loose = {_any(key): value if key in ("items", "default") else loosened(value) for key, value in kept.items()}
    reference = loose.get("$ref", "")
    if isinstance(reference, str) and reference.startswith(DEFINITIONS) and reference != f"{DEFINITIONS}Scale":
        loose["$ref"] = f"{reference}{PARTIAL}"
    return loose


def _any(key: str) -> str:
    """A block without its tag may be one of several kinds."""
    return "anyOf" if key == "oneOf" else key


def _ref(name: str) -> Schema:
    return {"$ref": f"{DEFINITIONS}{name}"}


def _shorthands(definitions: Schema) -> None:
    """A policy may be named alone; methods are those that are registered, and those of a user's own file."""
    policy = definitions["SamplesSpec"]["properties"]["policy"]
    policy["anyOf"] = [{"enum": list(POLICIES)}, {"oneOf": policy.pop("oneOf")}]
    definitions["ArmSpec"]["properties"]["method"] = {"anyOf": [{"enum": list(METHODS)}, {"type": "string"}]}


def _lists_of_data(properties: Schema, definitions: Schema) -> None:
    """The data may be one block, or a list of blocks with labels."""
    several = TypeAdapter(list[LabelledSpec]).json_schema()
    definitions |= several.pop("$defs")
    properties["data"] = {"anyOf": [properties["data"], {**several, "minItems": 1}]}


def _own_blocks(arm: Schema) -> None:
    """What an arm has of its own is laid on what the suite says."""
    for name in OVERRIDES:
        arm[name] = loosened(arm[name])
