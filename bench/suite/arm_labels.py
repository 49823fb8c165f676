"""Labels of generated arms: "MDLM, steps 1000", "MDLM, without carry_over", or by the suite's template."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from bench.suite.yaml_document import KeyPath, Location

LARGE = 1e6  # numbers from here on are written as 1e15
FIELD = re.compile(r"\{([^{}]*)\}")


class Choice(NamedTuple):
    """A value of one varied setting."""

    key: str  # such as options.steps
    value: Any
    label: str | None  # what the suite calls this value
    place: KeyPath  # of the value in the suite
    location: Location  # of the value in its file

    @property
    def path(self) -> tuple[str, ...]:
        """The keys from the arm to the setting."""
        return tuple(self.key.split("."))


def arm_label(base: str, choices: Sequence[Choice]) -> str:
    """The label of the base, followed by the changes."""
    changes = [choice.label or format_setting(choice.path[-1], choice.value) for choice in choices]
    return ", ".join([base, *changes])


def format_setting(name: str, value: Any) -> str:
    """A setting and its value: steps 1000, without carry_over."""
    if value is None or isinstance(value, bool):
        return f"{'with' if value else 'without'} {name}"
    return format_value(value) if name == "method" else f"{name} {format_value(value)}"


def format_value(value: Any) -> str:
    """A value as text; a mapping starts with its `name`, if it has one."""
    if isinstance(value, dict):
        name = [str(value["name"])] if "name" in value else []
        settings = [format_setting(str(key), item) for key, item in value.items() if key != "name"]
        return ", ".join([*name, *settings])
    if isinstance(value, list):
        return " ".join(format_value(item) for item in value)
    if isinstance(value, float) and abs(value) >= LARGE:
        return str(Decimal(str(value)).normalize()).replace("E+", "e")  # such as 1e15
    if isinstance(value, bool):
        return str(value).lower()
    return "none" if value is None else str(value)


def template_values(base: str, choices: Sequence[Choice]) -> dict[str, str]:
    """What the fields of a template stand for: {base}, and each value by its setting's name or full key."""
    values = {"base": base}
    for choice in choices:
        text = choice.label or format_value(choice.value)
        values |= {choice.path[-1]: text, choice.key: text}
    return values


def template_fields(template: str) -> list[str]:
    """The names of the fields of a template."""
    return FIELD.findall(template)


def fill_template(template: str, base: str, choices: Sequence[Choice]) -> str:
    """The template with its fields replaced by their values."""
    values = template_values(base, choices)
    return FIELD.sub(lambda field: values[field[1]], template)
