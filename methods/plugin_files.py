"""The files of a plug-in: the file that a user names, and the helper modules beside it.

A plug-in file is a module of a private package whose path is its folder alone, so that `from .helper import f` finds
helper.py beside it, and nothing else does. Helpers are found by reading import statements, those inside functions
included. They are read before anything is executed, and what was read is what is executed, however late it is imported.
"""

import ast
import hashlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

PROJECT = ("bench", "methods", "reports")  # packages that no plug-in's folder can offer
PACKAGE_FILE = "__init__.py"
NOT_IN_NAMES = re.compile(r"\W")

Parts = tuple[str, ...]  # of the dotted name of a helper, below the private package
ImportNode = ast.Import | ast.ImportFrom


class PluginError(ValueError):
    """A plug-in that cannot be used; the message says which one, where, and why."""


@dataclass(frozen=True)
class SourceFile:
    """A file that was read once."""

    path: Path
    content: bytes

    @classmethod
    def read(cls, path: Path) -> "SourceFile":
        """Read a file. Raises OSError."""
        return cls(path, path.read_bytes())


@dataclass(frozen=True)
class Fault:
    """An import that a plug-in may not make."""

    place: str  # file:line
    reason: str


@dataclass(frozen=True)
class PluginFiles:
    """A plug-in file with its helpers."""

    package: str  # private, and of this file alone
    module: str  # the plug-in file itself
    sources: dict[str, SourceFile]  # by name of the module; the plug-in file first, then helpers sorted by name
    faults: tuple[Fault, ...]

    @property
    def folder(self) -> Path:
        """The folder that helpers are found in."""
        return self.sources[self.module].path.parent

    @property
    def code(self) -> str:
        """12 hexadecimal digits that identify the contents of all files."""
        return digest(source.content for source in self.sources.values())


def digest(contents: Iterable[bytes]) -> str:
    """12 hexadecimal digits that identify the contents of source files."""
    total = hashlib.sha256()
    for content in contents:
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:12]


def read_plugin(path: Path) -> PluginFiles:
    """Read a plug-in file and its helpers; nothing is executed. Raises OSError.

    A file with a syntax error names no helpers.
    """
    path = path.resolve()
    identity = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    package = f"plugin_{NOT_IN_NAMES.sub('_', path.stem)}_{identity}"
    module = f"{package}.{path.stem.replace('.', '-')}"
    plugin = SourceFile.read(path)

    helpers: dict[Parts, SourceFile] = {}
    faults: list[Fault] = []
    pending: list[tuple[Parts, SourceFile]] = [((), plugin)]
    while pending:
        home, source = pending.pop()
        for node in _imports(source):
            faults += _find_faults(node, home, source.path, path.parent)
            for name in _name_helpers(node, home, path.parent):
                file = _find_file(path.parent, name)
                if file is not None and file != path and name not in helpers:
                    helpers[name] = SourceFile.read(file)
                    pending.append((name if file.name == PACKAGE_FILE else name[:-1], helpers[name]))

    sources = {".".join((package, *name)): helper for name, helper in sorted(helpers.items())}
    return PluginFiles(package, module, {module: plugin, **sources}, tuple(faults))


def execute_plugin(files: PluginFiles) -> ModuleType:
    """Execute a plug-in file as a module of its private package. Raises whatever the file raises."""
    package = module_from_spec(_folder_spec(files.package, files.folder))
    spec = _file_spec(files.module, files.sources[files.module], is_package=False)
    module = module_from_spec(spec)
    sys.modules.update({files.package: package, files.module: module})
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


@contextmanager
def replaced_modules(files: PluginFiles) -> Iterator[None]:
    """Forget the modules of an earlier version of a plug-in; bring them back if an exception is raised."""

    def belongs(name: str) -> bool:
        return name.partition(".")[0] == files.package

    modules = {name: sys.modules.pop(name) for name in filter(belongs, list(sys.modules))}
    previous = _FINDER.plugins.get(files.package)
    _FINDER.plugins[files.package] = files
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    try:
        yield
    except BaseException:
        for name in filter(belongs, list(sys.modules)):
            del sys.modules[name]
        sys.modules.update(modules)
        if previous is not None:
            _FINDER.plugins[files.package] = previous
        raise


class _HelperFinder(MetaPathFinder):
    """Finds the helpers of plug-ins that are loaded, and only those that were read."""

    def __init__(self) -> None:
        self.plugins: dict[str, PluginFiles] = {}  # by private package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises ImportError for a module of a private package that no import statement names."""
        files = self.plugins.get(fullname.partition(".")[0])
        if files is None:
            return None
        source, parts = files.sources.get(fullname), tuple(fullname.split(".")[1:])
        if source is not None:
            return _file_spec(fullname, source, source.path.name == PACKAGE_FILE)
        if any(name.startswith(f"{fullname}.") for name in files.sources):  # a folder without __init__.py
            return _folder_spec(fullname, files.folder.joinpath(*parts))

        file, dotted = _find_file(files.folder, parts), ".".join(parts)
        if file is not None:
            raise ImportError(f"no import statement names {file}; write `from .{dotted} import ...` in place of a call")
        raise ModuleNotFoundError(f"there is no {'/'.join(parts)}.py in {files.folder}", name=fullname)


_FINDER = _HelperFinder()


class _Loader(SourceFileLoader):
    """Executes what was read; no bytecode is read or written."""

    def __init__(self, name: str, source: SourceFile):
        super().__init__(name, str(source.path))
        self.content = source.content

    def get_code(self, fullname: str):  # type: ignore[no-untyped-def]  # the types of importlib have no name for it
        return self.source_to_code(self.content, self.path)

    def get_data(self, path: str) -> bytes:
        return self.content


def _file_spec(name: str, source: SourceFile, is_package: bool) -> ModuleSpec:
    """The specification of a module that was read."""
    loader, locations = _Loader(name, source), [str(source.path.parent)] if is_package else None
    spec = spec_from_file_location(name, source.path, loader=loader, submodule_search_locations=locations)
    assert spec is not None
    return spec


def _folder_spec(name: str, folder: Path) -> ModuleSpec:
    """The specification of a package that has no file."""
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    return spec


def _imports(source: SourceFile) -> list[ImportNode]:
    """The import statements of a file, wherever they stand; none if it cannot be parsed, which its import reports."""
    try:
        tree = ast.parse(source.content)
    except (SyntaxError, ValueError):  # of null bytes
        return []
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def _name_helpers(node: ImportNode, home: Parts, folder: Path) -> Iterator[Parts]:
    """The names of all modules that a relative import of a module in the package `home` may execute."""
    if not isinstance(node, ast.ImportFrom) or not node.level or node.level > len(home) + 1:
        return
    base = home[: len(home) + 1 - node.level]
    target = (*base, *(node.module.split(".") if node.module else ()))
    yield from (target[:length] for length in range(1, len(target) + 1))

    for alias in node.names:
        if alias.name == "*":  # __all__ of a package may name its modules
            yield from ((*target, path.stem) for path in sorted(folder.joinpath(*target).glob("*.py")))
        else:
            yield (*target, alias.name)


def _find_file(folder: Path, name: Parts) -> Path | None:
    """The file of a module or package below a folder; None if there is none."""
    if not name:
        return None
    package, module = folder.joinpath(*name, PACKAGE_FILE), folder.joinpath(*name[:-1], f"{name[-1]}.py")
    return next((file for file in (package, module) if file.is_file()), None)


def _find_faults(node: ImportNode, home: Parts, file: Path, folder: Path) -> Iterator[Fault]:
    """The reasons why an import would not find a helper, or would find it where its changes go unnoticed."""
    place = f"{file}:{node.lineno}"
    if isinstance(node, ast.ImportFrom) and node.level > len(home) + 1:
        statement = f"from {'.' * node.level}{node.module or ''} import ..."
        reason = f"`{statement}` leaves {folder}; helpers come from the plug-in's own folder, so move the module there"
        yield Fault(place, reason)

    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
    for name in names if isinstance(node, ast.Import) or not node.level else []:
        if _lies_beside(name.partition(".")[0], folder):
            imported = f"from .{name} import ..." if isinstance(node, ast.ImportFrom) else f"from . import {name}"
            way_out = f"write `{imported}`, which makes it a part of the plug-in"
            yield Fault(place, f"{name} lies beside the plug-in, whose folder is on no search path; {way_out}")


def _lies_beside(name: str, folder: Path) -> bool:
    """Whether an absolute import finds a module in the plug-in's folder, or would find it there alone."""
    beside = {folder / name / PACKAGE_FILE, folder / f"{name}.py", folder / name}
    if name in PROJECT or name in sys.builtin_module_names or not any(path.exists() for path in beside):
        return False
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a specification, such as __main__
        return False
    if spec is None:
        return True
    places = (Path(place).resolve() for place in (spec.origin, *(spec.submodule_search_locations or ())) if place)
    return any(place in beside for place in places)
