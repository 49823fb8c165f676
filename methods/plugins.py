"""Plug-ins: methods from outside the project.

A plug-in is a file with METHODS = {"my-method": MyMethod}, or a package with entry points in the group `bench.methods`.
Its source code is part of the identity of its results and certificates: the file itself and the helper modules beside
it that it imports, or every Python file of the package.
"""

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, NoReturn

from methods.harness import changes_since_baseline, find_changes, take_snapshot
from methods.method import Method
from methods.options import option_adapter, parameters
from methods.plugin_files import (
    PACKAGE_FILE,
    PluginError,
    PluginFiles,
    digest,
    execute_plugin,
    read_plugin,
    replaced_modules,
)
from methods.schedules import Schedule

GROUP = "bench.methods"
ENDERS = ("_exit", "execv", "execve")  # functions of os that end a process or replace it; others call these
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Plugin:
    """The origin of a method from outside the project."""

    place: str  # path of the file, or target of the entry point
    code: str  # 12 hexadecimal digits that identify its source code
    path: Path | None = None  # the file; None for an installed package
    modules: Mapping[str, Path] = field(default_factory=dict)  # its source files, by name of the module
    changes: tuple[str, ...] = ()  # what it changed of the harness when it was loaded


PLUGINS: dict[str, Plugin] = {}  # by name of the method


def plug_file(path: Path, registry: dict[str, type[Method]], allow_changes: bool = False) -> None:
    """Add the methods of a plug-in file to the registry, or replace those that it added before.

    Raises PluginError, and leaves the registry as it is, if the file cannot be imported, a method cannot be used, or
    the file changes the harness. With `allow_changes`, the certificate tells what it changed.
    """
    path = path.resolve()
    if not path.is_file():
        raise PluginError(f"plug-in {path}: there is no such file")
    files, before = read_plugin(path), take_snapshot()

    with replaced_modules(files):
        module = _import_file(files)
        modules = {name: source.path for name, source in files.sources.items()}
        plugin = Plugin(str(path), files.code, path, modules, tuple(find_changes(before)))
        if plugin.changes and not allow_changes:
            raise PluginError(_refuse_changes(plugin))
        methods = _find_methods(module, plugin)
        for name, factory in methods.items():
            _check(name, factory, plugin, registry)

    for name, factory in methods.items():
        registry[name], PLUGINS[name] = factory, plugin


def plug_installed(points: Iterable[EntryPoint], registry: dict[str, type[Method]]) -> None:
    """Add the methods of installed packages to the registry; raises PluginError if one cannot be used."""
    for point in points:
        place = f"{point.value} of package {point.dist.name if point.dist else 'unknown'}"
        before = take_snapshot()
        try:
            with _exits_raised():
                factory = point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # an import can raise anything, SystemExit included
            raise PluginError(f"plug-in {place}: {_describe(error)}; fix or uninstall the package") from error

        modules = _sources(factory)
        code = digest(path.read_bytes() for path in modules.values())
        plugin = Plugin(place, code, None, modules, tuple(find_changes(before)))
        if plugin.changes:
            raise PluginError(_refuse_changes(plugin))
        _check(point.name, factory, plugin, registry)
        registry[point.name], PLUGINS[point.name] = factory, plugin


def list_harness_changes() -> list[str]:
    """A sentence for each change of the harness by the plug-ins that are loaded, at their import or since."""
    plugins = {plugin.place: plugin for plugin in PLUGINS.values()}
    changes = [f"{name} was changed by plug-in {place}" for place, plugin in plugins.items() for name in plugin.changes]
    if plugins:
        origin = f"plug-in {next(iter(plugins))}" if len(plugins) == 1 else f"one of the plug-ins {', '.join(plugins)}"
        entries = {f"methods.{registry}[{name!r}]" for registry in ("METHODS", "PLUGINS") for name in PLUGINS}
        changes += [f"{name} was changed by {origin}" for name in changes_since_baseline() if name not in entries]
    return changes


def check_harness() -> None:
    """Raise PluginError if a plug-in has changed the harness."""
    changes = list_harness_changes()
    if changes:
        raise PluginError(f"{'; '.join(changes)}; no number of this process can be relied on")


def find_plugin_line(error: BaseException | None) -> str:
    """Where an exception passed through a plug-in's own files last, such as mine.py:41; "" if it did not."""
    files = {str(path): path for plugin in PLUGINS.values() for path in plugin.modules.values()}
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename in files]
        if frames:
            return f"{files[frames[-1].filename].name}:{frames[-1].lineno}"
        error = error.__cause__ or error.__context__
    return ""


def _refuse_changes(plugin: Plugin) -> str:
    """Why a plug-in that changes the harness is not loaded, and the way out."""
    names = f"{', '.join(plugin.changes[:3])}{f' and {len(plugin.changes) - 3} more' * (len(plugin.changes) > 3)}"
    way_out = "change it in a class of the plug-in, or in a copy of the project"
    return f"plug-in {plugin.place}: it changes {names}, on which the numbers of every method depend; {way_out}"


def _find_methods(module: ModuleType, plugin: Plugin) -> Mapping[Any, Any]:
    """The methods that a plug-in file names. Raises PluginError."""
    methods = getattr(module, "METHODS", None)
    if not isinstance(methods, Mapping) or not methods:
        advice = 'end the file with METHODS = {"my-method": MyMethod}'
        raise PluginError(f"plug-in {plugin.place}: no methods are named; {advice}")
    return methods


def _import_file(files: PluginFiles) -> ModuleType:
    """Execute a plug-in file; raises PluginError with file and line if that fails."""
    for fault in files.faults:
        raise PluginError(f"{fault.place}: {fault.reason}")
    try:
        with _exits_raised():
            return execute_plugin(files)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # an import can raise anything, SystemExit included
        raise PluginError(f"{_place_of_error(files, error)}: {_describe(error)}") from error


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


def _place_of_error(files: PluginFiles, error: BaseException) -> str:
    """Where an import failed, as file:line; the line is the last one executed in the plug-in's own files."""
    if isinstance(error, SyntaxError):
        path = error.filename or files.sources[files.module].path
        return f"{path}:{error.lineno or 1}:{error.offset or 1}"
    paths = {str(source.path) for source in files.sources.values()}
    frames = [frame for frame in extract_tb(error.__traceback__) if frame.filename in paths]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else f"{files.sources[files.module].path}:1"


def _describe(error: BaseException) -> str:
    """The type and message of an error; of a syntax error the message alone."""
    if isinstance(error, SyntaxError):
        return error.msg
    if isinstance(error, SystemExit):
        return f"the plug-in exits when it is imported (SystemExit: {error.code})"
    return f"{type(error).__name__}: {error}"


def _sources(factory: Any) -> dict[str, Path]:
    """The Python files of the package in which an object is defined, or its file if it is in no package."""
    module = inspect.getmodule(factory)
    root = sys.modules[module.__name__.partition(".")[0]] if module else None
    path = Path((root and root.__file__) or "")
    if root is None or path.name != PACKAGE_FILE:
        return {root.__name__ if root else "": path}
    files = sorted(path.parent.rglob("*.py"))
    names = [".".join(file.relative_to(path.parent.parent).with_suffix("").parts) for file in files]
    return {name.removesuffix(".__init__"): file for name, file in zip(names, files, strict=True)}


def _check(name: Any, factory: Any, plugin: Plugin, registry: Mapping[str, type[Method]]) -> None:
    """Raises PluginError if the class cannot be registered under this name."""
    fault = _name_fault(name, plugin, registry) or _class_fault(name, factory)
    if fault:
        raise PluginError(f"plug-in {_place_of_class(factory, plugin)}: {fault}")


def _place_of_class(factory: Any, plugin: Plugin) -> str:
    """file:line of a class that a file of the plug-in defines; otherwise the place of the plug-in."""
    try:
        file, (_, line) = inspect.getsourcefile(factory), inspect.getsourcelines(factory)
    except (OSError, TypeError):
        return plugin.place
    files = {str(path) for path in plugin.modules.values()}
    return f"{file}:{line}" if plugin.path and file in files else plugin.place


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
