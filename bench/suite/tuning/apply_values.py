"""Apply values of searched settings to an arm."""

from typing import Any

from bench.suite.settings import ArmSpec, SuiteSpec


def apply_values(spec: SuiteSpec, arm: ArmSpec, values: dict[str, Any]) -> ArmSpec:
    """The arm with these values, by setting. Raises ValidationError if a block refuses one."""
    blocks: dict[str, Any] = {
        "options": arm.options,
        "training": spec.training_of(arm).model_dump(),
        "network": spec.network_of(arm).model_dump(),
    }
    for key, value in values.items():
        blocks = with_value(blocks, key.split("."), value)
    changed = {key.split(".")[0] for key in values}
    content = {name: getattr(arm, name) for name in ArmSpec.model_fields}
    return ArmSpec.model_validate(content | {name: blocks[name] for name in changed})


def with_value(node: dict[Any, Any], path: list[str], value: Any) -> dict[Any, Any]:
    """A copy of the mapping with the value at `path`."""
    first, *rest = path
    return {**node, first: with_value(node.get(first) or {}, rest, value) if rest else value}
