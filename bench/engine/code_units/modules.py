"""Units, the top-level statements of the project, and resolution of the names in them by static analysis."""

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bench.engine.code_units.scopes import Import, bindings, imports, merged


@dataclass(eq=False)
class Unit:
    """A top-level statement."""

    module: str
    names: tuple[str, ...]  # that it binds, in order; empty for a loose statement
    node: ast.stmt

    @property
    def place(self) -> str:
        """The module with the first name or the line, for people."""
        return f"{self.module}:{self.names[0] if self.names else f'line {self.node.lineno}'}"


@dataclass(frozen=True)
class Target:
    """What a name refers to."""

    kind: Literal["units", "module", "foreign", "opaque", "typing"]
    label: str = ""  # the dotted path of a module or a foreign name
    units: tuple[tuple[Unit, int], ...] = ()  # with the index of the name among those that the unit binds


@dataclass
class Module:
    """A parsed file."""

    name: str
    package: str  # base of relative imports
    units: list[Unit] = field(default_factory=list)
    loose: list[Unit] = field(default_factory=list)  # statements with effects that bind no name
    bound: dict[str, list[Unit]] = field(default_factory=dict)
    imports: dict[str, Import] = field(default_factory=dict)
    sources: dict[str, list[ast.stmt]] = field(default_factory=dict)  # the statements that import a name
    stars: list[str] = field(default_factory=list)  # modules imported with a star
    typing: set[str] = field(default_factory=set)  # names that only type checkers see

    def read(self, statements: Iterable[ast.stmt]) -> None:
        """Add top-level statements."""
        for node in statements:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._read_imports(node, imports(node))
            elif isinstance(node, ast.If) and _is_guard(node.test, "TYPE_CHECKING"):
                self.typing |= {name for name, _ in bindings(node.body)}
                self.read(node.orelse)
            elif not (isinstance(node, ast.If) and _is_guard(node.test, "__name__")) and not _is_idle(node):
                self._read_unit(node)

    def _read_unit(self, node: ast.stmt) -> None:
        bound = merged(bindings([node]))
        self._read_imports(node, ((name, source) for name, source in bound.items() if source is not None))
        names = tuple(name for name, source in bound.items() if source is None)

        unit = Unit(self.name, names, node)
        if names:
            self.units.append(unit)
        if not names or _changes_objects(node):
            self.loose.append(unit)
        for name in names:
            self.bound.setdefault(name, []).append(unit)

    def add_ambiguous_imports(self) -> None:
        """Make a unit of every import of a name that is bound more than once."""
        ambiguous = {name for name, nodes in self.sources.items() if name in self.bound or len(nodes) > 1}
        for node in dict.fromkeys(node for name in sorted(ambiguous) for node in self.sources[name]):
            names = tuple(name for name, _ in merged(bindings([node])).items() if name in ambiguous)
            unit = Unit(self.name, names, node)
            self.units.append(unit)
            for name in names:
                self.bound.setdefault(name, []).append(unit)

    def _read_imports(self, node: ast.stmt, sources: Iterable[tuple[str, Import]]) -> None:
        for name, source in sources:
            absolute = self.absolute(source)
            if name == "*":
                self.stars.append(absolute.module)
            else:
                self.imports[name] = absolute
                self.sources.setdefault(name, []).append(node)

    def absolute(self, source: Import) -> Import:
        """The absolute form of a relative import."""
        if not source.level:
            return source
        package = self.package.split(".")
        parts = package[: len(package) - source.level + 1]
        if source.module:
            parts.append(source.module)
        return Import(".".join(parts), source.name)


class Project:
    """The modules of some packages; `opaque` gives labels to places "module:name" that are not followed."""

    def __init__(self, files: Mapping[str, Path], opaque: Mapping[str, str] | None = None):
        """Parse the files of modules, by dotted name."""
        self.opaque = dict(opaque or {})
        self.modules: dict[str, Module] = {}
        for name, path in files.items():
            self.add(name, path)

    def add(self, name: str, path: Path) -> Module:
        """Parse one more file. Raises SyntaxError."""
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        module = Module(name, package)
        module.read(ast.parse(path.read_bytes()).body)
        module.add_ambiguous_imports()
        self.modules[name] = module
        return module

    def resolve(self, module: str, name: str, visited: tuple[str, ...] = ()) -> Target | None:
        """What a name refers to at the top level of a module, through re-exports; None for a builtin."""
        place, home = f"{module}:{name}", self.modules[module]
        if place in self.opaque:
            return Target("opaque", self.opaque[place])
        if place in visited:
            return None
        if name in home.bound:
            return Target("units", name, tuple((unit, unit.names.index(name)) for unit in home.bound[name]))
        if name in home.imports:
            return self.imported(home.imports[name], (*visited, place))
        if name in home.typing:
            return Target("typing")
        stars = (self.member(star, name, (*visited, place)) for star in home.stars if star in self.modules)
        return next((target for target in stars if target), None)

    def imported(self, source: Import, visited: tuple[str, ...] = ()) -> Target:
        """What an absolute import refers to."""
        if source.name is None:
            return Target("module" if source.module in self.modules else "foreign", source.module)
        path = f"{source.module}.{source.name}"
        target = self.member(source.module, source.name, visited) if source.module in self.modules else None
        return target or Target("module" if path in self.modules else "foreign", path)

    def member(self, module: str, name: str, visited: tuple[str, ...] = ()) -> Target | None:
        """What `module.name` refers to: a name that the module binds, or a submodule."""
        target, path = self.resolve(module, name, visited), f"{module}.{name}"
        return target or (Target("module", path) if path in self.modules else None)

    def find(self, place: str) -> list[Unit]:
        """The units that bind the name at a place, through re-exports. Raises KeyError if none does."""
        module, _, name = place.partition(":")
        target = self.resolve(module, name)
        if target is None or not target.units:
            raise KeyError(f"{place} is not a definition of the project")
        return [unit for unit, _ in target.units]


def _is_guard(test: ast.expr, name: str) -> bool:
    """Whether a condition tests a name, such as TYPE_CHECKING or __name__."""
    subject = test.left if isinstance(test, ast.Compare) else test
    return name in (getattr(subject, "id", ""), getattr(subject, "attr", ""))


def _is_idle(node: ast.stmt) -> bool:
    """Whether a statement has no effect: a docstring, `...` or `pass`."""
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _changes_objects(node: ast.stmt) -> bool:
    """Whether a statement that binds names may also change other objects."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    targets = (part for part in ast.walk(node) if isinstance(part, (ast.Subscript, ast.Attribute)))
    compound = any(isinstance(part, ast.Expr) and not _is_idle(part) for part in ast.walk(node))
    return compound or any(isinstance(part.ctx, (ast.Store, ast.Del)) for part in targets)
