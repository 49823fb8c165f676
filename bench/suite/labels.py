"""How generated arms are called: "MDLM, steps 1000", "MDLM, without carry_over", or by a template of the suite's."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from bench.suite.document import Place, Spot

LARGE = 1e6  # numbers from which on are written as 1e15
FIELD = re.compile(r"\{([^{}]*)\}")


class Choice(NamedTuple):
    """One value of one thing that is varied."""

    key: str  # such as options.steps
    value: Any
    label: str | None  # the suite's own words for it
    place: Place  # of the value in the suite
    spot: Spot  # and in its file

    @property
    def path(self) -> tuple[str, ...]:
        """The way to it in an arm."""
        return tuple(self.key.split("."))


def label(base: str, choices: Sequence[Choice]) -> str:
    """The base's label and what is changed of it."""
    return ", ".join([base, *(choice.label or words(choice.path[-1], choice.value) for choice in choices)])


def words(name: str, value: Any) -> str:
    """A setting with its value."""
    if value is None or isinstance(value, bool):
        return f"{'with' if value else 'without'} {name}"
    return bare(value) if name == "method" else f"{name} {bare(value)}"


def bare(value: Any) -> str:
    """A value without the name of its setting: a mapping begins with its own name."""
    if isinstance(value, dict):
        parts = [str(value["name"])] if "name" in value else []
        return ", ".join([*parts, *(words(str(key), each) for key, each in value.items() if key != "name")])
    if isinstance(value, list):
        return " ".join(bare(each) for each in value)
    if isinstance(value, float) and abs(value) >= LARGE:
        return str(Decimal(str(value)).normalize()).replace("E+", "e")  # such as 1e15
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def fields(base: str, choices: Sequence[Choice]) -> dict[str, str]:
    """What a template may tell: the base, and each value by the name of its setting or by the whole way to it."""
    said = {name: choice.label or bare(choice.value) for choice in choices for name in (choice.path[-1], choice.key)}
    return {"base": base, **said}


def named(template: str) -> list[str]:
    """The fields of a template."""
    return FIELD.findall(template)


def filled(template: str, base: str, choices: Sequence[Choice]) -> str:
    """The template with its fields filled in."""
    said = fields(base, choices)
    return FIELD.sub(lambda found: said[found[1]], template)
