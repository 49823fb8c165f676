"""Plug-ins: methods from outside the project.

A plug-in is a file with METHODS = {"my-method": MyMethod}, or a package with entry points in the group `bench.methods`.
Its source code is part of the identity of its results and certificates: the file itself, or every Python file of the
package.
"""

import hashlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.metadata import EntryPoint
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, NoReturn

from methods.method import Method
from methods.options import option_adapter, parameters
from methods.schedules import Schedule

GROUP = "bench.methods"
ENDERS = ("_exit", "execv", "execve")  # functions of os that end a process or replace it; others call these
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


class PluginError(ValueError):
    """A plug-in that cannot be used; the message says which one, where, and why."""


@dataclass(frozen=True)
class Plugin:
    """The origin of a method from outside the project."""

    place: str  # path of the file, or target of the entry point
    code: str  # 12 hexadecimal digits that identify its source code
    path: Path | None = None  # the file; None for an installed package


PLUGINS: dict[str, Plugin] = {}  # by name of the method


def plug_file(path: Path, registry: dict[str, type[Method]]) -> None:
    """Add the methods of a plug-in file to the registry, or replace those that it added before.

    Raises PluginError, and leaves the registry as it is, if the file cannot be imported or a method cannot be used.
    """
    path = path.resolve()
    if not path.is_file():
        raise PluginError(f"plug-in {path}: there is no such file")
    module = _import_file(path)
    plugin = Plugin(str(path), digest([path]), path)

    methods = getattr(module, "METHODS", None)
    if not isinstance(methods, Mapping) or not methods:
        raise PluginError(
            f'plug-in {path}: no methods are named; end the file with METHODS = {{"my-method": MyMethod}}'
        )
    for name, factory in methods.items():
        _check(name, factory, plugin, registry)
    for name, factory in methods.items():
        registry[name], PLUGINS[name] = factory, plugin


def plug_installed(points: Iterable[EntryPoint], registry: dict[str, type[Method]]) -> None:
    """Add the methods of installed packages to the registry; raises PluginError if one cannot be used."""
    for point in points:
        place = f"{point.value} of package {point.dist.name if point.dist else 'unknown'}"
        try:
            with _exits_raised():
                factory = point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an import can raise anything, SystemExit included
            raise PluginError(f"plug-in {place}: {_describe(error)}; fix or uninstall the package") from error
        plugin = Plugin(place, digest(_sources(factory)), None)
        _check(point.name, factory, plugin, registry)
        registry[point.name], PLUGINS[point.name] = factory, plugin


def digest(paths: Iterable[Path]) -> str:
    """12 hexadecimal digits that identify the contents of source files."""
    sha = hashlib.sha256()
    for path in paths:
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()[:12]


def _import_file(path: Path) -> ModuleType:
    """Execute a file as a module; raises PluginError with file and line if that fails."""
    name = f"plugin_{path.stem}"
    spec = spec_from_loader(name, SourceFileLoader(name, str(path)))
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look up the module of a class there
    try:
        with _exits_raised():
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an import can raise anything, SystemExit included
        del sys.modules[name]
        raise PluginError(f"{_place_of_error(path, error)}: {_describe(error)}") from error
    return module


@contextmanager
def _exits_raised() -> Iterator[None]:
    """Let functions that end this process raise SystemExit, so that an import cannot end a command without a word."""
    enders, process = {name: getattr(os, name) for name in ENDERS}, os.getpid()

    def raising(end: Callable[..., NoReturn]) -> Callable[..., NoReturn]:
        def raise_exit(first: object, *rest: object) -> NoReturn:
            if os.getpid() != process:  # a child that the import forked
                end(first, *rest)
            raise SystemExit(first)

        return raise_exit

    for name, end in enders.items():
        setattr(os, name, raising(end))
    try:
        yield
    finally:
        for name, end in enders.items():
            setattr(os, name, end)


def _place_of_error(path: Path, error: BaseException) -> str:
    """Where an import failed, as file:line; the line is the last one executed in the plug-in itself."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}:{error.lineno or 1}:{error.offset or 1}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1] if lines else 1}"


def _describe(error: BaseException) -> str:
    """The type and message of an error; of a syntax error the message alone."""
    if isinstance(error, SyntaxError):
        return error.msg
    if isinstance(error, SystemExit):
        return f"the plug-in exits when it is imported (SystemExit: {error.code})"
    return f"{type(error).__name__}: {error}"


def _sources(factory: Any) -> list[Path]:
    """The Python files of the package in which an object is defined, or its file if it is in no package."""
    module = inspect.getmodule(factory)
    root = sys.modules[module.__name__.partition(".")[0]] if module else None
    path = Path((root and root.__file__) or "")
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _check(name: Any, factory: Any, plugin: Plugin, registry: Mapping[str, type[Method]]) -> None:
    """Raises PluginError if the class cannot be registered under this name."""
    fault = _name_fault(name, plugin, registry) or _class_fault(name, factory)
    if fault:
        raise PluginError(f"plug-in {_place_of_class(factory, plugin)}: {fault}")


def _place_of_class(factory: Any, plugin: Plugin) -> str:
    """file:line of a class that the plug-in file defines; otherwise the place of the plug-in."""
    try:
        file, (_, line) = inspect.getsourcefile(factory), inspect.getsourcelines(factory)
    except (OSError, TypeError):
        return plugin.place
    return f"{plugin.place}:{line}" if file == plugin.place else plugin.place


def _name_fault(name: Any, plugin: Plugin, registry: Mapping[str, type[Method]]) -> str:
    """The reason why a method cannot have this name; empty if it can."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return f"{name!r} cannot be the name of a method; use lower-case letters, digits and single hyphens"
    owner = PLUGINS.get(name)
    if name in registry and (owner is None or owner.place != plugin.place):
        return f'method "{name}" is registered by {owner.place if owner else "the project"} already; rename it'
    return ""


def _class_fault(name: str, factory: Any) -> str:
    """The reason why a class cannot serve as a method; empty if it can."""
    if not isinstance(factory, type) or not issubclass(factory, Method):
        return f'"{name}" is {factory!r}; it has to be a subclass of methods.method.Method'
    if factory.__abstractmethods__:
        return f"{factory.__name__} lacks {', '.join(sorted(factory.__abstractmethods__))}"
    if not isinstance(getattr(factory, "paper", None), str):
        return f'{factory.__name__} does not name its source; add paper = "Author year, arXiv:number"'
    return _option_fault(factory)


def _option_fault(factory: type[Method]) -> str:
    """The reason why the constructor's arguments cannot be set from a suite; empty if they can."""
    arguments = list(inspect.signature(factory).parameters.values())
    if not arguments or arguments[0].name != "vocab_size":
        return f"{factory.__name__} has to take vocab_size first"
    for option in arguments[1:]:
        if inspect.Parameter.empty in (option.default, option.annotation):
            return f'option "{option.name}" of {factory.__name__} needs a type and a default'
    try:
        for name, option in parameters(factory).items():
            if option.annotation is not Schedule:
                option_adapter(factory, name)
    except Exception as error:  # resolving a type hint can raise anything
        return f"the type of an option of {factory.__name__} cannot be used: {_describe(error)}"
    return ""
