"""The registry: every method that a suite can name, with checked options.

build("mdlm", vocab_size=27, schedule={"name": "polynomial", "power": 2})
"""

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from methods.autoregressive import Autoregressive
from methods.continuous.plaid import Plaid
from methods.discrete.d3pm import D3pmAbsorb, D3pmUniform
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb, SeddUniform
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.method import Method
from methods.options import OptionError, check_name, check_options, non_default, parameters
from methods.plugins import GROUP, PLUGINS, PluginError, find_plugin_line, plug_file, plug_installed
from methods.schedules import SCHEDULES

__all__ = [
    "METHODS",
    "PLUGINS",
    "SCHEDULES",
    "OptionError",
    "PluginError",
    "build",
    "check",
    "check_name",
    "describe",
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


def plug(path: Path, allow_changes: bool = False) -> None:
    """Register the methods of a plug-in file for this process.

    Raises PluginError if it cannot be used, or if it changes the harness and that is not allowed.
    """
    plug_file(path, METHODS, allow_changes)


def build(name: str, /, vocab_size: int, **options: Any) -> Method:
    """Build the method registered as `name` for token ids 0..vocab_size-1.

    Raises OptionError if the name or an option is unknown, a value has the wrong type, or options contradict each
    other.
    """
    checked = check(name, options)
    try:
        return METHODS[name](vocab_size, **checked)
    except ValueError as error:
        line = find_plugin_line(error)
        raise OptionError(f'method "{name}": {error}{f" ({line})" if line else ""}') from None


def check(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options as the method's constructor takes them; raises OptionError as `build` does."""
    return check_options(_factory(name), options, f'method "{name}"')


def describe(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The non-default options in a normal form, so that equivalent options have equal descriptions."""
    return non_default(_factory(name), check(name, options))


def _factory(name: str) -> type[Method]:
    return METHODS[check_name(name, METHODS, "method")]


plug_installed(entry_points(group=GROUP), METHODS)
