"""What the harness is made of, so that a change of it by a plug-in is found and named.

A snapshot holds every attribute of every module of the project: functions with their code, defaults and closures,
classes with theirs, constants and tables by value, everything else by identity; and of the libraries that the project
computes with, functions and methods. A module that is imported later is noted as soon as it was executed. This guards
against mistakes, not against malice: code of the same process can hide what it does.
"""

import functools
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from os.path import dirname
from types import (
    BuiltinFunctionType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import NamedTuple

import torch
from torch import Tensor

PROJECT = ("bench", "methods", "reports")
LIBRARIES = ("builtins", "math", "random", "statistics", "numpy", "scipy", "torch")  # that numbers are computed with
KEEPERS = ("methods.harness", "methods.plugin_files")  # their own objects note what is loaded
DEEPEST = 5  # levels of objects within objects
LARGEST = 4096  # numbers of a tensor that is compared by value

PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None), CodeType})
CACHED = type(functools.cache(bool))
WRAPPERS = (staticmethod, classmethod, property, functools.cached_property, functools.partial, CACHED)
CALLABLE = (type, FunctionType, BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType)

Place = str  # dotted, such as bench.certify.false_alarms.RATE


class Leaf(NamedTuple):
    """A value at a place; an item of a container has the same owner and key wherever the container is named."""

    value: object
    owner: int = 0  # identity of the container
    key: str = ""


@dataclass(frozen=True)
class Numbers:
    """The values of a tensor when it was seen."""

    values: Tensor


State = dict[Place, Leaf]


@dataclass(frozen=True)
class Snapshot:
    """The state of the modules of the project, by name, and of the libraries."""

    modules: Mapping[str, State]
    libraries: State


def take_snapshot() -> Snapshot:
    """Note the state of all modules that are loaded and, from now on, of each that is imported."""
    if _WATCHER not in sys.meta_path:
        sys.meta_path.insert(0, _WATCHER)
    modules = {name: module for name, module in list(sys.modules.items()) if name.partition(".")[0] in PROJECT}
    libraries = {"torch.get_default_dtype()": Leaf(torch.get_default_dtype())}
    for library in _find_libraries(modules.values()):
        libraries |= _library_state(library)
    return Snapshot({name: _module_state(module) for name, module in modules.items()}, libraries)


def find_changes(before: Snapshot) -> list[Place]:
    """The places that differ from a snapshot, or from what they were when their module was first imported.

    The state in which they are found is the new baseline.
    """
    _WATCHER.baseline = take_snapshot()
    return _compare(before, _WATCHER.baseline)


def changes_since_baseline() -> list[Place]:
    """The places that have changed since `find_changes` was last called; none if it never was."""
    return _compare(_WATCHER.baseline, take_snapshot()) if _WATCHER.baseline else []


class _Watcher(MetaPathFinder):
    """Notes the state of the project's modules as soon as they were executed."""

    def __init__(self) -> None:
        self.baseline: Snapshot | None = None
        self.states: dict[str, State] = {}  # by name of the module

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification that the other finders give, whose loader notes the state."""
        if fullname.partition(".")[0] not in PROJECT:
            return None
        finders = (finder for finder in list(sys.meta_path) if finder is not self and hasattr(finder, "find_spec"))
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in finders)), None)
        if spec is not None and spec.loader is not None:
            self._watch(spec.loader)
        return spec

    def _watch(self, loader: object) -> None:
        execute = loader.exec_module  # type: ignore[attr-defined]

        @functools.wraps(execute)
        def execute_and_note(module: ModuleType) -> None:
            execute(module)
            self.states[module.__name__] = _module_state(module)

        loader.exec_module = execute_and_note  # type: ignore[attr-defined]


_WATCHER = _Watcher()


def _compare(before: Snapshot, after: Snapshot) -> list[Place]:
    earlier = dict(before.libraries)
    later = {place: leaf for place, leaf in after.libraries.items() if place in earlier or _outer(place) in earlier}
    for name in before.modules.keys() | after.modules.keys():
        earlier |= before.modules.get(name) or _WATCHER.states.get(name, {})
        later |= after.modules.get(name, {})

    places = [place for place in earlier if place not in later]
    for place, leaf in later.items():
        previous = earlier.get(place)
        if previous is None or not _equal(previous.value, leaf.value):
            places.append(place)
    identities = {id(leaf.value) for leaf in before.libraries.values()}
    exempt = {
        p for p in places if p in later and id(later[p].value) not in identities and _is_own_code(p, later[p].value)
    }
    return [place for place in _shortest(places, {**later, **earlier}) if place not in exempt]


def _is_own_code(place: Place, value: object) -> bool:
    """Whether a function of a library is defined by that library, as those are that torch wraps on demand."""
    name = place.partition(".")[0]
    file = getattr(sys.modules[name], "__file__", None) if name in LIBRARIES else None
    return file is not None and isinstance(value, FunctionType) and value.__code__.co_filename.startswith(dirname(file))


def _find_libraries(modules: Iterable[ModuleType]) -> list[ModuleType]:
    """The modules of libraries that modules of the project name."""
    values = [value for module in modules for value in list(vars(module).values()) if isinstance(value, ModuleType)]
    named = {value.__name__: value for value in values if value.__name__.partition(".")[0] in LIBRARIES}
    return [*{**named, "builtins": sys.modules["builtins"], "torch": torch}.values()]


def _library_state(library: ModuleType) -> State:
    """The functions of a library's module, and the methods that its classes define."""
    state: State = {}
    for name, value in list(vars(library).items()):
        place, is_object = f"{library.__name__}.{name}", _is_library_object(value)
        if is_object or isinstance(value, CALLABLE):
            state[place] = Leaf(value)
        if is_object:  # such as scipy.stats.norm, on which a function hides a method
            functions = ((key, item) for key, item in list(vars(value).items()) if isinstance(item, FunctionType))
            state |= {f"{place}.{key}": Leaf(item) for key, item in functions}
        if isinstance(value, FunctionType):
            state |= _function_state(place, value)
        if isinstance(value, type):
            members = [(key, item) for key, item in list(vars(value).items()) if isinstance(item, CALLABLE)]
            state |= {f"{place}.{key}": Leaf(item, id(value), key) for key, item in members}
    return state


def _is_library_object(value: object) -> bool:
    """Whether a value is an object of a class of a library that has attributes of its own."""
    home = type(value).__module__.partition(".")[0]
    return home in LIBRARIES[1:] and not isinstance(value, (*CALLABLE, Tensor)) and hasattr(value, "__dict__")


def _function_state(place: Place, function: FunctionType) -> State:
    """What decides about the results of a function."""
    parts = (function.__code__, function.__defaults__, tuple((function.__kwdefaults__ or {}).items()))
    names = ("__code__", "__defaults__", "__kwdefaults__")
    return {f"{place}.{name}": Leaf(part) for name, part in zip(names, parts, strict=True)}


def _module_state(module: ModuleType) -> State:
    """All that a module defines or names, apart from its submodules, which are bound when they are imported."""
    name = module.__name__
    walk = _Walk(name)
    walk.state |= {name: Leaf(module), f"{name}.__class__": Leaf(type(module))}
    for attribute, value in list(vars(module).items()):
        place = f"{name}.{attribute}"
        is_submodule = isinstance(value, ModuleType) and value.__name__ == place
        if not is_submodule and not _is_dunder(attribute):
            walk.visit(place, Leaf(value))
    return walk.state


class _Walk:
    """From a name of a module down to the plain values that it stands for."""

    def __init__(self, module: str):
        self.module, self.state = module, State()
        self.visited: dict[int, object] = {}  # by identity, which is free again once an object is gone

    def visit(self, place: Place, leaf: Leaf, depth: int = 0) -> None:
        """Note a value and its parts; functions and classes have parts in the module that defines them alone."""
        value = leaf.value
        if isinstance(value, Tensor) and value.numel() <= LARGEST and not value.is_meta:
            self.state[place] = leaf._replace(value=Numbers(value.detach().clone()))
            return
        self.state[place] = leaf
        if type(value) in PLAIN or id(value) in self.visited or depth == DEEPEST:
            return

        if not isinstance(value, tuple):  # equal ones may be one object or several
            self.visited[id(value)] = value
        for suffix, part in self._parts(value):
            owner, key = (id(value), suffix) if suffix.startswith("[") else (0, "")
            self.visit(f"{place}{suffix}", Leaf(part, owner, key), depth + 1)

    def _parts(self, value: object) -> Iterator[tuple[str, object]]:
        if isinstance(value, type):
            yield from self._class_parts(value) if value.__module__ == self.module else ()
        elif isinstance(value, FunctionType):
            yield from _function_parts(value) if value.__module__ == self.module else ()
        elif isinstance(value, WRAPPERS):
            names = ("__func__", "fget", "fset", "func", "args", "keywords", "__wrapped__")
            yield from ((f".{name}", getattr(value, name)) for name in names if hasattr(value, name))
        elif isinstance(value, dict | MappingProxyType):
            yield from ((f"[{key!r}]", item) for key, item in list(value.items()))
        elif isinstance(value, list | tuple):
            yield from ((f"[{index}]", item) for index, item in enumerate(value))
        elif isinstance(value, set | frozenset):
            yield ".members", tuple(sorted(map(repr, value)))
        elif type(value).__module__.partition(".")[0] in PROJECT and type(value).__module__ not in KEEPERS:
            yield from _object_parts(value)

    def _class_parts(self, value: type) -> Iterator[tuple[str, object]]:
        yield ".__bases__", value.__bases__
        for name, part in list(vars(value).items()):
            is_code = isinstance(part, (*WRAPPERS, FunctionType))
            if is_code or not (_is_dunder(name) or name.startswith("_abc_")):
                yield f".{name}", part


def _function_parts(function: FunctionType) -> Iterator[tuple[str, object]]:
    yield from ((place, leaf.value) for place, leaf in _function_state("", function).items())
    for index, cell in enumerate(function.__closure__ or ()):
        try:
            yield f".__closure__({index})", cell.cell_contents
        except ValueError:  # an empty cell
            continue


def _object_parts(value: object) -> Iterator[tuple[str, object]]:
    """The fields of an object of the project, apart from what it computes once on demand."""
    if isinstance(value, Enum):
        return
    for name, part in list(getattr(value, "__dict__", {}).items()):
        if not isinstance(getattr(type(value), name, None), functools.cached_property):
            yield f".{name}", part


def _is_dunder(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def _outer(place: Place) -> Place:
    return place.rpartition(".")[0]


def _equal(before: object, after: object) -> bool:
    """Whether two values are one object, or equal plain ones."""
    if before is after:
        return True
    if type(before) is not type(after):
        return False
    if isinstance(before, Numbers) and isinstance(after, Numbers):
        return _equal_tensors(before.values, after.values)
    if isinstance(before, tuple) and isinstance(after, tuple):
        return len(before) == len(after) and all(map(_equal, before, after))
    return type(before) in PLAIN and (before == after or (before != before and after != after))


def _equal_tensors(before: Tensor, after: Tensor) -> bool:
    return (
        before.dtype == after.dtype and before.shape == after.shape and bool(((before == after) | before.isnan()).all())
    )


def _shortest(places: Iterable[Place], leaves: Mapping[Place, Leaf]) -> list[Place]:
    """The places without those inside others, each item of a container under the shortest name of the container."""
    changed, names = set(places), dict[object, Place]()
    for place in sorted(changed, key=lambda place: (place.count("."), place)):
        outer = (place[:end] for end, character in enumerate(place) if character in ".[")
        if changed.isdisjoint(outer):
            leaf = leaves[place]
            names.setdefault((leaf.owner, leaf.key) if leaf.owner else place, place)
    return sorted(names.values())
