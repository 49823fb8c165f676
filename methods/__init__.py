"""The registry: a name for each method that a suite may ask for, and the checks of its options.

build("mdlm", vocab_size=27, schedule={"name": "polynomial", "power": 2})
"""

import inspect
from difflib import get_close_matches
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from methods.autoregressive import Autoregressive
from methods.continuous.plaid import Plaid
from methods.discrete.d3pm import D3pmAbsorb, D3pmUniform
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb, SeddUniform
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.method import Method
from methods.plugins import GROUP, PLUGINS, PluginError, plug_file, plug_installed
from methods.schedules import SCHEDULES, Schedule

__all__ = [
    "METHODS",
    "PLUGINS",
    "SCHEDULES",
    "OptionError",
    "PluginError",
    "build",
    "check",
    "describe",
    "known",
    "parameters",
    "plug",
]

METHODS: dict[str, type[Method]] = {
    "ar": Autoregressive,
    "mdlm": Mdlm,
    "md4": Md4,
    "sedd-absorb": SeddAbsorb,
    "sedd-uniform": SeddUniform,
    "genmd4": GenMd4,
    "udlm": Udlm,
    "gidd": Gidd,
    "d3pm-absorb": D3pmAbsorb,
    "d3pm-uniform": D3pmUniform,
    "plaid": Plaid,
}


class OptionError(ValueError):
    """A method, schedule or option that does not exist or has a value of the wrong type.

    `path` says where in the options the fault lies, such as ("schedule", "power"); empty for the name itself.
    """

    def __init__(self, message: str, path: tuple[str, ...] = ()):
        super().__init__(message)
        self.path = path


def plug(path: Path) -> None:
    """Registers the methods of a user's file for this process; raises PluginError."""
    plug_file(path, METHODS)


def build(name: str, /, vocab_size: int, **options: Any) -> Method:
    """The method registered as `name` for ids 0..vocab_size-1.

    Raises OptionError, with what is known and the nearest name, on an unknown name, option or ill-typed value, and on
    options that do not go together.
    """
    checked = check(name, options)
    try:
        return METHODS[name](vocab_size, **checked)
    except ValueError as error:
        raise OptionError(f'method "{name}": {error}') from None


def check(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options as the method's constructor takes them; raises OptionError as `build` does."""
    factory = METHODS[known(name, METHODS, "method")]
    return _typed(factory, options, f'method "{name}"', ())


def describe(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options that differ from their defaults, in one normal form: equal science has equal descriptions."""
    factory = METHODS[known(name, METHODS, "method")]
    return _departures(factory, check(name, options))


@cache
def parameters(factory: type) -> dict[str, inspect.Parameter]:
    """The options that a method's or schedule's constructor takes, by name."""
    signature = inspect.signature(factory)
    hints = get_type_hints(factory.__init__, include_extras=True)  # type: ignore[misc]
    return {
        name: parameter.replace(annotation=hints[name])
        for name, parameter in signature.parameters.items()
        if name != "vocab_size"
    }


def known(name: Any, names: dict[str, Any], what: str, of: str = "", path: tuple[str, ...] = ()) -> str:
    """`name` itself when it is among `names`; otherwise raises OptionError with the nearest one."""
    if isinstance(name, str) and name in names:
        return name
    near = get_close_matches(str(name), names, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ";"
    own = "; one of your own is named by --plugin FILE" if names is METHODS else ""
    raise OptionError(f'unknown {what} "{name}"{of}{hint} known: {", ".join(names) or "none"}{own}', path)


def _typed(factory: type, options: dict[str, Any], owner: str, path: tuple[str, ...]) -> dict[str, Any]:
    expected = parameters(factory)
    typed = {}
    for name, value in options.items():
        name = str(name)
        known(name, expected, "option", f" for {owner}", (*path, name))
        annotation = expected[name].annotation
        here = (*path, name)
        typed[name] = _schedule(value, owner, here) if annotation is Schedule else _value(factory, value, owner, here)
    return typed


def _schedule(value: Any, owner: str, path: tuple[str, ...]) -> Schedule:
    if isinstance(value, Schedule):
        return value
    options = dict(value) if isinstance(value, dict) else {"name": value}
    if "name" not in options:
        raise OptionError(f"the schedule of {owner} has no name; known: {', '.join(SCHEDULES)}", path)
    inner = (*path, "name") if "name" in options and isinstance(value, dict) else path
    name = known(options.pop("name", None), SCHEDULES, "schedule", f" for {owner}", inner)
    factory = SCHEDULES[name]
    try:
        return factory(**_typed(factory, options, f'schedule "{name}"', path))
    except OptionError:
        raise
    except ValueError as error:
        raise OptionError(f'schedule "{name}" for {owner}: {error}', path) from None


@cache
def _check_of(factory: type, option: str) -> TypeAdapter[Any]:
    """The check of an option's type, which takes longer to make than to use."""
    annotation = parameters(factory)[option].annotation
    return TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))


def _value(factory: type, value: Any, owner: str, path: tuple[str, ...]) -> Any:
    try:
        return _check_of(factory, path[-1]).validate_python(value)
    except ValidationError as error:
        reason = " or ".join(dict.fromkeys(detail["msg"] for detail in error.errors()))
        raise OptionError(f'option "{path[-1]}" of {owner} is {value!r}: {reason}', path) from None


def _departures(factory: type, typed: dict[str, Any]) -> dict[str, Any]:
    defaults = {name: parameter.default for name, parameter in parameters(factory).items()}
    return {name: _plain(value) for name, value in sorted(typed.items()) if value != defaults[name]}


def _plain(value: Any) -> Any:
    if not isinstance(value, Schedule):
        return value
    name = next(name for name, factory in SCHEDULES.items() if type(value) is factory)
    return {"name": name, **_departures(type(value), vars(value))}


plug_installed(entry_points(group=GROUP), METHODS)
