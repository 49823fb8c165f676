"""Values of what is searched, laid on an arm."""

from typing import Any

from bench.suite.settings import ArmSpec, SuiteSpec


def laid(spec: SuiteSpec, arm: ArmSpec, values: dict[str, Any]) -> ArmSpec:
    """The arm with these values, by what they are values of. Raises ValidationError where a block refuses one."""
    own = {"training": spec.training_of(arm), "network": spec.network_of(arm)}
    blocks: dict[str, Any] = {"options": arm.options} | {name: block.model_dump() for name, block in own.items()}
    for key, value in values.items():
        blocks = put(blocks, key.split("."), value)
    changed = {key.split(".")[0] for key in values}
    content = {name: getattr(arm, name) for name in ArmSpec.model_fields}
    return ArmSpec.model_validate(content | {name: blocks[name] for name in changed})


def put(node: dict[Any, Any], path: list[str], value: Any) -> dict[Any, Any]:
    """A copy of the mapping with a value at the end of a path."""
    first, *rest = path
    return {**node, first: put(node.get(first) or {}, rest, value) if rest else value}
