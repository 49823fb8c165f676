"""The registered methods on the terminal: all of them, or one with its options.

What is told is read from the classes, their constructors and annotations, so that a new method needs no line here.
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

WHOLE_LINES = 10_000  # columns, where no terminal sets a width: nothing is folded or cut
KINDS = {
    "boolean": "true or false",
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "null": "null",
}
LIMITS = {  # in the order in which they are read
    "minimum": "from",
    "exclusiveMinimum": "above",
    "maximum": "up to",
    "exclusiveMaximum": "up to below",
    "multipleOf": "in multiples of",
}


def show_methods() -> None:
    """Prints a line for every registered method; what does not fit into the terminal is cut, but never a name."""
    table = _table("method", "what it is", "paper")
    for name, factory in METHODS.items():
        cells = (Text(cell, no_wrap=True, overflow="ellipsis") for cell in (first_sentence(factory), factory.paper))
        table.add_row(Text(name), *cells)
    console().print(table)


def show_method(name: str) -> None:
    """Prints all there is to know before using the method; raises OptionError when none has this name."""
    factory = METHODS[check_name(name, METHODS, "method")]
    options = parameters(factory)
    parts = [Text(f"{name}\n{_prose(factory)}"), _facts(name), _options(options) if options else "It takes no options."]
    if any(parameter.annotation is Schedule for parameter in options.values()):
        parts += [_schedules(), Text(f"A schedule with settings is written {_schedule_with_settings()}")]
    out = console()
    for part in [*parts, "In a suite:"]:
        out.print(part)
        out.print()
    out.print(Text(example(name)), soft_wrap=True)  # not folded, so that it can be copied


def first_sentence(documented: type) -> str:
    """The first sentence of a class's docstring, without its full stop."""
    return re.split(r"\n\n|(?<=\.)\s+(?=[A-Z`])", _prose(documented))[0].removesuffix(".")


def values(annotation: Any) -> str:
    """The values that an option may have, in plain words; raises TypeError where there are no words for its type."""
    if annotation is Schedule:
        return f"schedule: {', '.join(SCHEDULES)}"
    return _in_words(TypeAdapter(annotation).json_schema())


def written(value: Any) -> str:
    """A value as a suite may write it, in one line."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = True, WHOLE_LINES
    yaml.representer.sort_base_mapping_type_on_output = False
    stream = StringIO()
    yaml.dump(_plain(value), stream)
    return stream.getvalue().removesuffix("...\n").strip()


def example(name: str) -> str:
    """An arm of a suite that uses the method, with its first option at its default."""
    first = list(parameters(METHODS[name]).items())[:1]
    options = {option: parameter.default for option, parameter in first}
    arm = {"label": name.upper(), "method": name, **({"options": options} if options else {})}
    return f"arms:\n  - {written(arm)}"


def console() -> Console:
    """Standard output: as wide as the terminal or COLUMNS say; whole lines where it goes to a file or a pipe."""
    found = Console(highlight=False)
    if not found.is_terminal and "COLUMNS" not in os.environ:
        found.width = WHOLE_LINES
    return found


def _table(*columns: str) -> Table:
    """A table whose first column keeps its words whole; the others fold theirs where they have to."""
    first, *others = columns
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in others:
        table.add_column(column, overflow="fold")
    return table


def _facts(name: str) -> Table:
    """Where the method comes from, what its bound is, and what it asks of the harness."""
    method = build(name, vocab_size=2)
    usually = "by default: " if parameters(METHODS[name]) else ""
    table = _table("", "")
    table.show_header = False
    table.add_row("paper", Text(method.paper))
    bound = "exact: the" if method.exact else "an upper bound on the"
    table.add_row("bound", f"{bound} negative log-likelihood")
    table.add_row(
        "identities",
        Text(f"with {', '.join(each.name for each in method.neighbours)}" if method.neighbours else "none"),
    )
    table.add_row("network", usually + _network(method.needs))
    table.add_row("time", usually + _time(method.needs))
    return table


def _network(needs: Needs) -> str:
    """What the network is given."""
    sight = "causal, it sees the tokens before" if needs.causal else "it sees all positions"
    vectors = f" as vectors of {needs.vector_width} numbers" if needs.vector_width else ""
    guess = " and its own previous guess" if needs.self_condition else ""
    return f"{sight}{vectors}{guess}, and is {'told' if needs.time else 'not told'} the time"


def _time(needs: Needs) -> str:
    if needs.causal:
        return "none, text is written left to right"
    return "continuous" if needs.steps is None else f"discrete, {needs.steps} steps"


def _options(options: Mapping[str, inspect.Parameter]) -> Table:
    table = _table("option", "values", "default")
    for name, parameter in options.items():
        table.add_row(*(Text(cell) for cell in (name, values(parameter.annotation), written(parameter.default))))
    return table


def _schedules() -> Table:
    table = _table("schedule", "what it is", "settings (default)")
    for name, factory in SCHEDULES.items():
        settings = "\n".join(
            f"{setting}: {values(parameter.annotation)} ({written(parameter.default)})"
            for setting, parameter in parameters(factory).items()
        )
        table.add_row(*(Text(cell) for cell in (name, first_sentence(factory), settings)))
    return table


def _schedule_with_settings() -> str:
    """The first schedule that has settings, with all of them at their defaults."""
    name, settings = next((name, found) for name in SCHEDULES if (found := parameters(SCHEDULES[name])))
    return written({"name": name, **{setting: parameter.default for setting, parameter in settings.items()}})


def _prose(documented: type) -> str:
    """A class's docstring with its paragraphs unfolded; lines that are indented stay as they are."""
    return re.sub(r"(?<=\S)\n(?=\S)", " ", inspect.getdoc(documented) or "")


def _in_words(schema: dict[str, Any]) -> str:
    """A JSON schema in words, such as {"type": "integer", "minimum": 1}: whole number from 1."""
    if "anyOf" in schema:
        return ", or ".join(_in_words(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(written(choice) for choice in schema['enum'])}"
    if "const" in schema:
        return f"only {written(schema['const'])}"
    wordless = schema.keys() - {"type", *LIMITS}
    if schema.get("type") not in KINDS or wordless:
        raise TypeError(f"no words for the values {schema}; add them to bench/cli/views/methods.py")
    limits = (f"{words} {schema[limit]}" for limit, words in LIMITS.items() if limit in schema)
    return " ".join([KINDS[schema["type"]], *limits])


def _plain(value: Any) -> Any:
    """Every schedule by its name, with the settings that are not at their defaults."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if not isinstance(value, Schedule):
        return value
    name = next(name for name, factory in SCHEDULES.items() if type(value) is factory)
    defaults = parameters(type(value))
    settings = {key: setting for key, setting in vars(value).items() if setting != defaults[key].default}
    return {"name": name, **settings} if settings else name
