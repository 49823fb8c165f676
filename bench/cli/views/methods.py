"""The registered methods on the terminal: all of them, or one with its options.

Everything is read from the classes, their constructors and annotations; a new method needs no change here.
"""

import inspect
import os
import re
from collections.abc import Mapping
from io import StringIO
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table
from rich.text import Text
from ruamel.yaml import YAML

from methods import METHODS, SCHEDULES, build, check_name, parameters
from methods.method import Needs
from methods.schedules import Schedule

UNLIMITED = 10_000  # columns if no terminal sets a width: nothing is folded or cut
KINDS = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "null": "null",
}
LIMITS = {  # in the order of the text
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "up to",
    "exclusiveMaximum": "up to below",
    "multipleOf": "in multiples of",
}


def show_methods() -> None:
    """Print a line per registered method; a narrow terminal cuts texts, but never a name."""
    table = _table("method", "what it is", "paper")
    for name, factory in METHODS.items():
        texts = (first_sentence(factory), factory.paper)
        table.add_row(Text(name), *(Text(text, no_wrap=True, overflow="ellipsis") for text in texts))
    console().print(table)


def show_method(name: str) -> None:
    """Print everything that a user of the method needs. Raises OptionError if it does not exist."""
    factory = METHODS[check_name(name, METHODS, "method")]
    options = parameters(factory)
    parts = [
        Text(f"{name}\n{_unfold_docstring(factory)}"),
        _properties_table(name),
        _options_table(options) if options else "It takes no options.",
    ]
    if any(parameter.annotation is Schedule for parameter in options.values()):
        parts += [_schedules_table(), Text(f"A schedule with settings is written {_schedule_with_settings()}")]
    terminal = console()
    for part in [*parts, "In a suite:"]:
        terminal.print(part)
        terminal.print()
    terminal.print(Text(example(name)), soft_wrap=True)  # not folded, for copying


def first_sentence(documented: type) -> str:
    """The first sentence of a class's docstring, without the period."""
    return re.split(r"\n\n|(?<=\.)\s+(?=[A-Z`])", _unfold_docstring(documented))[0].removesuffix(".")


def values(annotation: Any) -> str:
    """Describe the values of an option. Raises TypeError if its type has no description."""
    if annotation is Schedule:
        return f"schedule: {', '.join(SCHEDULES)}"
    return _describe_schema(TypeAdapter(annotation).json_schema())


def to_yaml(value: Any) -> str:
    """A value as YAML in one line, as a suite would write it."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, UNLIMITED
    yaml.representer.sort_base_mapping_type_on_output = False
    stream = StringIO()
    yaml.dump(_to_plain(value), stream)
    return stream.getvalue().removesuffix("...\n").strip()


def example(name: str) -> str:
    """An arm of a suite that uses the method, with its first option at its default."""
    first = list(parameters(METHODS[name]).items())[:1]
    options = {option: parameter.default for option, parameter in first}
    arm: dict[str, Any] = {"label": name.upper(), "method": name}
    if options:
        arm["options"] = options
    return f"arms:\n  - {to_yaml(arm)}"


class _Output(Console):
    """Standard output, whose reader may close it at any time."""

    def on_broken_pipe(self) -> None:
        """Leave the exit code to the command, as it has one for this."""
        raise BrokenPipeError


def console() -> Console:
    """Standard output, as wide as the terminal or COLUMNS; without limit if it is a file or a pipe."""
    output = _Output(highlight=False)
    if not output.is_terminal and "COLUMNS" not in os.environ:
        output.width = UNLIMITED
    return output


def _table(*columns: str) -> Table:
    """A table whose first column never folds; the others fold if necessary."""
    first, *others = columns
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, overflow="fold")
    return table


def _properties_table(name: str) -> Table:
    """The method's paper, its bound, and what it needs from the harness."""
    method = build(name, vocab_size=2)
    default = "by default: " if parameters(METHODS[name]) else ""
    table = _table("", "")
    table.show_header = False
    table.add_row("paper", Text(method.paper))
    bound = "exact: the" if method.exact else "an upper bound on the"
    table.add_row("bound", f"{bound} negative log-likelihood")
    related = ", ".join(neighbour.name for neighbour in method.neighbours)
    table.add_row("identities", Text(f"with {related}" if related else "none"))
    table.add_row("network", default + _describe_network(method.needs))
    table.add_row("time", default + _describe_time(method.needs))
    if method.needs.positions:
        table.add_row("positions", "each is treated in its own way, by its index in the sequence")
    return table


def _describe_network(needs: Needs) -> str:
    """The inputs of the network."""
    attention = "causal: it sees the tokens before" if needs.causal else "it sees all positions"
    vectors = f" as vectors of {needs.vector_width} numbers" if needs.vector_width else ""
    guess = " and its own previous guess" if needs.self_condition else ""
    return f"{attention}{vectors}{guess}, {'with' if needs.time else 'without'} the time"


def _describe_time(needs: Needs) -> str:
    if needs.causal:
        return "none: text is written from left to right"
    return "continuous" if needs.steps is None else f"discrete, {needs.steps} steps"


def _options_table(options: Mapping[str, inspect.Parameter]) -> Table:
    table = _table("option", "values", "default")
    for name, parameter in options.items():
        table.add_row(*map(Text, (name, values(parameter.annotation), to_yaml(parameter.default))))
    return table


def _schedules_table() -> Table:
    table = _table("schedule", "what it is", "settings (default)")
    for name, factory in SCHEDULES.items():
        settings = "\n".join(
            f"{setting}: {values(parameter.annotation)} ({to_yaml(parameter.default)})"
            for setting, parameter in parameters(factory).items()
        )
        table.add_row(*map(Text, (name, first_sentence(factory), settings)))
    return table


def _schedule_with_settings() -> str:
    """The first schedule with settings, all at their defaults."""
    name = next(name for name, factory in SCHEDULES.items() if parameters(factory))
    settings = parameters(SCHEDULES[name])
    return to_yaml({"name": name, **{setting: parameter.default for setting, parameter in settings.items()}})


def _unfold_docstring(documented: type) -> str:
    """A class's docstring with a line per paragraph; indented lines stay as they are."""
    return re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.getdoc(documented) or "")


def _describe_schema(schema: dict[str, Any]) -> str:
    """Describe a JSON schema, such as {"type": "integer", "minimum": 1}: whole number from 1."""
    if "anyOf" in schema:
        return ", or ".join(_describe_schema(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(to_yaml(choice) for choice in schema['enum'])}"
    if "const" in schema:
        return f"only {to_yaml(schema['const'])}"
    unknown = schema.keys() - {"type", *LIMITS}
    if schema.get("type") not in KINDS or unknown:
        raise TypeError(f"no description of the values {schema}; add one to bench/cli/views/methods.py")
    limits = (f"{text} {schema[limit]}" for limit, text in LIMITS.items() if limit in schema)
    return " ".join([KINDS[schema["type"]], *limits])


def _to_plain(value: Any) -> Any:
    """Replace schedules by their names, with the settings that are not at their defaults."""
    if isinstance(value, dict):
        return {key: _to_plain(inner) for key, inner in value.items()}
    if not isinstance(value, Schedule):
        return value
    name = next(name for name, factory in SCHEDULES.items() if type(value) is factory)
    defaults = parameters(type(value))
    settings = {key: setting for key, setting in vars(value).items() if setting != defaults[key].default}
    return {"name": name, **settings} if settings else name
