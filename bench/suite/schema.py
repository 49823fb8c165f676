"""JSON Schema of suite files, for editors.

It is derived from the types of `suite_file` and `settings`. A suite that extends another one, a scale, and an arm's own
blocks may omit whatever they inherit.
"""

from typing import Any

from pydantic import TypeAdapter

from bench.engine.data.source_registry import LabelledSpec
from bench.engine.sample.policies import POLICIES
from bench.suite.arm_equivalence import OVERRIDES
from bench.suite.suite_file import SuiteFile
from methods import METHODS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DEFINITIONS = "#/$defs/"
PARTIAL = "Partial"  # suffix of definitions that require nothing

Schema = dict[str, Any]


def schema() -> Schema:
    """The JSON Schema of a suite file."""
    suite = SuiteFile.model_json_schema()
    definitions = suite.pop("$defs")
    _allow_lists_of_data(suite["properties"], definitions)
    _allow_shorthands(definitions)
    partial = {f"{name}{PARTIAL}": without_required(definition) for name, definition in definitions.items()}
    _allow_overrides(definitions["ArmSpec"]["properties"])

    scale = without_required(suite)
    for key in ("extends", "scales"):
        del scale["properties"][key]
    scales = {"type": "object", "additionalProperties": {"anyOf": [_reference("Scale"), {"type": "null"}]}}
    suite["properties"]["scales"] = {"anyOf": [scales, {"type": "null"}], "default": None}

    definitions |= {**partial, "Suite": suite, f"Suite{PARTIAL}": without_required(suite), "Scale": scale}
    choice = {"if": {"required": ["extends"]}, "then": _reference(f"Suite{PARTIAL}"), "else": _reference("Suite")}
    return {"$schema": DIALECT, "title": "Suite of diffusion-bench", **choice, "$defs": definitions}


def without_required(node: Any) -> Any:
    """The schema with nothing required at any depth; items of lists stay as they are, since lists are replaced."""
    if isinstance(node, list):
        return [without_required(item) for item in node]
    if not isinstance(node, dict):
        return node
    loosened = {}
    for key, value in node.items():
        if key not in ("required", "discriminator"):
            is_fixed = key in ("items", "default")
            loosened[_any_of(key)] = value if is_fixed else without_required(value)
    reference = loosened.get("$ref", "")
    if isinstance(reference, str) and reference.startswith(DEFINITIONS) and reference != f"{DEFINITIONS}Scale":
        loosened["$ref"] = f"{reference}{PARTIAL}"
    return loosened


def _any_of(key: str) -> str:
    """Without its tag, a block may be of several kinds at once."""
    return "anyOf" if key == "oneOf" else key


def _reference(name: str) -> Schema:
    return {"$ref": f"{DEFINITIONS}{name}"}


def _allow_shorthands(definitions: Schema) -> None:
    """Allow a policy's name in place of its block, and methods of plug-ins."""
    policy = definitions["SamplesSpec"]["properties"]["policy"]
    policy["anyOf"] = [{"enum": list(POLICIES)}, {"oneOf": policy.pop("oneOf")}]
    definitions["ArmSpec"]["properties"]["method"] = {"anyOf": [{"enum": list(METHODS)}, {"type": "string"}]}


def _allow_lists_of_data(properties: Schema, definitions: Schema) -> None:
    """Allow a list of labelled blocks as the data."""
    blocks = TypeAdapter(list[LabelledSpec]).json_schema()
    definitions |= blocks.pop("$defs")
    properties["data"] = {"anyOf": [properties["data"], {**blocks, "minItems": 1}]}


def _allow_overrides(arm: Schema) -> None:
    """Allow an arm's own blocks to omit what they inherit from the suite."""
    for name in OVERRIDES:
        arm[name] = without_required(arm[name])
