"""Options of methods and schedules: arguments of a constructor, checked against its type hints."""

import inspect
from collections.abc import Iterable
from functools import cache
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from methods.schedules import SCHEDULES, Schedule
from methods.suggestions import suggest


class OptionError(ValueError):
    """An unknown method, schedule or option, or an option with a value of the wrong type.

    `path` locates the fault within the options, such as ("schedule", "power"); it is empty for the name itself.
    """

    def __init__(self, message: str, path: tuple[str, ...] = ()):
        super().__init__(message)
        self.path = path


def check_name(name: Any, names: Iterable[str], kind: str, owner: str = "", path: tuple[str, ...] = ()) -> str:
    """Return `name` if it is among `names`.

    Raises OptionError, with the known names and the most similar one, if it is not.
    """
    names = list(names)
    if isinstance(name, str) and name in names:
        return name
    suggestion = suggest(str(name), names)
    subject = f'unknown {kind} "{name}"' + (f" for {owner}" if owner else "")
    hint = "; load a method of your own with --plugin FILE" if kind == "method" else ""
    raise OptionError(
        f"{subject}; {suggestion}{' ' if suggestion else ''}known: {', '.join(names) or 'none'}{hint}", path
    )


@cache
def parameters(factory: type) -> dict[str, inspect.Parameter]:
    """The options that the constructor of a method or schedule takes, by name."""
    signature = inspect.signature(factory)
    hints = get_type_hints(factory.__init__, include_extras=True)  # type: ignore[misc]
    return {
        name: parameter.replace(annotation=hints[name])
        for name, parameter in signature.parameters.items()
        if name != "vocab_size"
    }


def check_options(factory: type, options: dict[str, Any], owner: str, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """The options with schedules built and values checked; raises OptionError."""
    expected = parameters(factory)
    checked = {}
    for key, value in options.items():
        name = str(key)
        option_path = (*path, name)
        check_name(name, expected, "option", owner, option_path)
        if expected[name].annotation is Schedule:
            checked[name] = _build_schedule(value, owner, option_path)
        else:
            checked[name] = _check_value(factory, value, owner, option_path)
    return checked


def non_default(factory: type, options: dict[str, Any]) -> dict[str, Any]:
    """The checked options that differ from their defaults, sorted by name and with schedules as plain data."""
    defaults = {name: parameter.default for name, parameter in parameters(factory).items()}
    return {name: _plain(value) for name, value in sorted(options.items()) if value != defaults[name]}


@cache
def option_adapter(factory: type, option: str) -> TypeAdapter[Any]:
    """The validator of an option's type, cached since it takes longer to build than to use."""
    annotation = parameters(factory)[option].annotation
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


def _build_schedule(value: Any, owner: str, path: tuple[str, ...]) -> Schedule:
    if isinstance(value, Schedule):
        return value

    options = dict(value) if isinstance(value, dict) else {"name": value}
    if "name" not in options:
        raise OptionError(f"the schedule of {owner} has no name; known: {', '.join(SCHEDULES)}", path)
    name_path = (*path, "name") if isinstance(value, dict) else path
    name = check_name(options.pop("name"), SCHEDULES, "schedule", owner, name_path)

    factory = SCHEDULES[name]
    try:
        return factory(**check_options(factory, options, f'schedule "{name}"', path))
    except OptionError:
        raise
    except ValueError as error:
        raise OptionError(f'schedule "{name}" for {owner}: {error}', path) from None


def _check_value(factory: type, value: Any, owner: str, path: tuple[str, ...]) -> Any:
    try:
        return option_adapter(factory, path[-1]).validate_python(value)
    except ValidationError as error:
        reason = " or ".join(dict.fromkeys(detail["msg"] for detail in error.errors()))
        raise OptionError(f'option "{path[-1]}" of {owner} is {value!r}: {reason}', path) from None


def _plain(value: Any) -> Any:
    """A schedule as {"name": ..., options}; any other value as it is."""
    if not isinstance(value, Schedule):
        return value
    name = next(name for name, factory in SCHEDULES.items() if type(value) is factory)
    return {"name": name, **non_default(type(value), vars(value))}
