"""Methods from outside the project: a user's file with METHODS = {"my-method": MyMethod}, or an installed package's
entry points in the group `bench.methods`.

The code of a plug-in is part of what identifies its results and certificates: the file itself; of a package all its
Python files.
"""

import hashlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from traceback import extract_tb
from typing import Any

from methods.method import Method

GROUP = "bench.methods"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class PluginError(ValueError):
    """A plug-in that cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True)
class Plugin:
    """Where a method comes from that is not of the project."""

    place: str  # the path of a file, or what an entry point names
    code: str  # 12 hexadecimal digits over its source
    path: Path | None = None  # the file, where it is one


PLUGINS: dict[str, Plugin] = {}  # by the name of a method


def plug_file(path: Path, registry: dict[str, type[Method]]) -> None:
    """Adds the methods of a user's file to the registry, or renews them; raises PluginError."""
    path = path.resolve()
    if not path.is_file():
        raise PluginError(f"plug-in {path}: there is no such file")
    plugin = Plugin(str(path), digest([path]), path)
    found = getattr(_execute(path), "METHODS", None)
    if not isinstance(found, Mapping) or not found:
        raise PluginError(f'plug-in {path}: it names no methods; end it with METHODS = {{"my-method": MyMethod}}')
    for name, factory in found.items():
        _register(name, factory, plugin, registry)


def plug_installed(points: Iterable[EntryPoint], registry: dict[str, type[Method]]) -> None:
    """Adds the methods that installed packages offer; raises PluginError with the package that is to be mended."""
    for point in points:
        place = f"{point.value} of package {point.dist.name if point.dist else 'unknown'}"
        try:
            factory = point.load()
        except Exception as error:  # whatever a stranger's import raises
            raise PluginError(
                f"plug-in {place}: {type(error).__name__}: {error}; mend or uninstall the package"
            ) from error
        _register(point.name, factory, Plugin(place, digest(_sources(factory))), registry)


def digest(paths: Iterable[Path]) -> str:
    """12 hexadecimal digits over the contents of source files."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()[:12]


def _execute(path: Path) -> Any:
    """The module of a file; a fault in it is told with its line."""
    name = f"plugin_{path.stem}"
    spec = spec_from_loader(name, SourceFileLoader(name, str(path)))
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and type hints look for a class's module
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise PluginError(f"{error.filename}:{error.lineno}:{error.offset}: {error.msg}") from None
    except Exception as error:
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
        raise PluginError(f"{path}:{lines[-1]}: {type(error).__name__}: {error}") from error
    return module


def _sources(factory: Any) -> list[Path]:
    """The Python files of the package, or the file, that an object was defined in."""
    top = Path(sys.modules[inspect.getmodule(factory).__name__.partition(".")[0]].__file__ or "")  # type: ignore[union-attr]
    return sorted(top.parent.rglob("*.py")) if top.name == "__init__.py" else [top]


def _register(name: Any, factory: Any, plugin: Plugin, registry: dict[str, type[Method]]) -> None:
    fault = _fault(name, factory)
    if fault:
        raise PluginError(f"plug-in {plugin.place}: {fault}")
    known = PLUGINS.get(name)
    if name in registry and (known is None or known.place != plugin.place):
        whose = known.place if known else "the project"
        raise PluginError(f'plug-in {plugin.place}: method "{name}" is registered by {whose} already; rename it')
    registry[name], PLUGINS[name] = factory, plugin


def _fault(name: Any, factory: Any) -> str:
    """What keeps a class from being a method, in words; empty where nothing does."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"{name!r} cannot be the name of a method; use lower-case letters, digits and single hyphens"
    if not isinstance(factory, type) or not issubclass(factory, Method):
        return f'"{name}" is {factory!r}; it has to be a subclass of methods.method.Method'
    if factory.__abstractmethods__:
        return f"{factory.__name__} lacks {', '.join(sorted(factory.__abstractmethods__))}"
    if not isinstance(getattr(factory, "paper", None), str):
        return f'{factory.__name__} does not say where it comes from; give it paper = "Author year, arXiv:number"'
    options = list(inspect.signature(factory).parameters.values())
    if not options or options[0].name != "vocab_size":
        return f"{factory.__name__} has to take vocab_size first"
    for option in options[1:]:
        if inspect.Parameter.empty in (option.default, option.annotation):
            return f'option "{option.name}" of {factory.__name__} needs a type and a default'
    return ""
