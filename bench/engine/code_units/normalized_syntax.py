"""The words of a unit: its syntax tree without docstrings, comments, layout and arbitrary names.

Local variables are numbered by first use. Parameters keep their names beside their numbers, because callers may use
them as keywords (`build(**options)` does); those of lambdas, *args and **options are only numbered. Names bound in a
class body are attributes and are kept. Annotations count, because they are read at run time; names that only type
checkers see do not.
"""

import ast
from collections.abc import Iterable, Sequence

from bench.engine.code_units.modules import Project, Target, Unit
from bench.engine.code_units.scopes import (
    Comprehension,
    Function,
    Scope,
    class_scope,
    comprehension_scope,
    function_scope,
    imports,
    lambda_scope,
)

SKIPPED = frozenset({"ctx", "type_comment", "kind", "type_params", "lineno", "simple"})
BINDERS = {("ExceptHandler", "name"), ("MatchAs", "name"), ("MatchStar", "name"), ("MatchMapping", "rest")}


def words(project: Project, unit: Unit) -> list[str | Unit]:
    """The words of a unit, with other units in place of references to them."""
    writer = _Writer(project, unit)
    writer.write(unit.node)
    home = project.modules[unit.module]
    if unit not in home.loose:
        writer.words += ["loose", *home.loose] if home.loose else []
    return writer.words


class _Writer:
    def __init__(self, project: Project, unit: Unit):
        self.project, self.unit, self.home = project, unit, project.modules[unit.module]
        self.words: list[str | Unit] = []
        self.scopes: list[Scope] = []
        self.numbers: dict[tuple[Scope, str], int] = {}
        self.guards = 0  # enclosing `if`, `try` and `with` statements
        self.is_type = False  # inside an annotation, where strings are forward references

    def write(self, node: ast.AST) -> None:
        """Append the words of a node."""
        match node:
            case ast.Name():
                self._mention(node.id, isinstance(node.ctx, ast.Load))
            case ast.Attribute():
                self._write_attribute(node)
            case ast.Constant():
                self._write_constant(node)
            case ast.JoinedStr():
                self._write_formatted(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._write_function(node)
            case ast.ClassDef():
                self._write_class(node)
            case ast.Lambda():
                self._write_lambda(node)
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                self._write_comprehension(node)
            case ast.Import() | ast.ImportFrom():
                self._write_import(node)
            case ast.AnnAssign():
                self._write_annotated(node)
            case ast.Subscript() | ast.Call() if self.is_type:
                self._write_generic(node)
            case ast.Pass() | ast.Global() | ast.Nonlocal() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                self._write_plain(node)

    def _write_plain(self, node: ast.AST, skipped: frozenset[str] = SKIPPED) -> None:
        self.words.append(type(node).__name__)
        is_guard = isinstance(node, (ast.If, ast.Try, ast.TryStar, ast.With))
        self.guards += is_guard
        for name, value in ast.iter_fields(node):
            if name in skipped or value is None or value == []:
                continue
            self.words.append(f".{name}")
            if (type(node).__name__, name) in BINDERS:
                self._mention(value, False)
            else:
                self._write_values(value if isinstance(value, list) else [value])
        self.guards -= is_guard
        self.words.append("end")

    def _write_values(self, values: Iterable[object]) -> None:
        for value in values:
            if isinstance(value, ast.AST):
                self.write(value)
            else:
                self.words.append(repr(value))

    def _write_constant(self, node: ast.Constant) -> None:
        if self.is_type and isinstance(node.value, str):
            try:
                self.write(ast.parse(node.value.strip(), mode="eval").body)
                return
            except SyntaxError:
                pass  # not a forward reference
        self.words.append(f"constant {node.value!r}")

    def _write_formatted(self, node: ast.JoinedStr) -> None:
        """Write an f-string without empty parts, which only some versions of Python keep."""
        self.words.append("JoinedStr")
        self._write_values(part for part in node.values if not (isinstance(part, ast.Constant) and part.value == ""))
        self.words.append("end")

    def _write_annotation(self, node: ast.expr | None) -> None:
        if node is not None:
            before, self.is_type = self.is_type, True
            self.words.append(".annotation")
            self.write(node)
            self.is_type = before

    def _write_generic(self, node: ast.Subscript | ast.Call) -> None:
        """Strings in Literal[...], in shapes and in arguments of calls are text, not types."""
        head = node.value if isinstance(node, ast.Subscript) else None
        path = self._path(head)
        self.is_type = head is not None and not path.endswith(".Literal") and not path.startswith("jaxtyping.")
        self._write_plain(node)
        self.is_type = True

    def _write_annotated(self, node: ast.AnnAssign) -> None:
        self.words.append("AnnAssign")
        self.write(node.target)
        self._write_annotation(node.annotation)
        if node.value is not None:
            self.write(node.value)
        self.words.append("end")

    def _write_function(self, node: Function) -> None:
        self.words.append(type(node).__name__)
        if node is not self.unit.node:
            self._mention(node.name, False)
        self._write_values(node.decorator_list)
        scope = function_scope(node)
        self._write_parameters(node.args, scope, are_named=True)
        self._write_annotation(node.returns)
        self.scopes.append(scope)
        self.words.append(".body")
        self._write_values(node.body)
        self.scopes.pop()
        self.words.append("end")

    def _write_lambda(self, node: ast.Lambda) -> None:
        self.words.append("Lambda")
        scope = lambda_scope(node)
        self._write_parameters(node.args, scope, are_named=False)
        self.scopes.append(scope)
        self.write(node.body)
        self.scopes.pop()
        self.words.append("end")

    def _write_parameters(self, arguments: ast.arguments, scope: Scope, are_named: bool) -> None:
        groups = {"posonlyargs": False, "args": are_named, "vararg": False, "kwonlyargs": True, "kwarg": False}
        for group, is_named in groups.items():
            value = getattr(arguments, group)
            parameters: Sequence[ast.arg] = value if isinstance(value, list) else [value] if value else []
            self.words.append(f".{group}")
            for parameter in parameters:
                name = parameter.arg if is_named else ""
                self.words.append(f"parameter {name} {self._number(scope, parameter.arg)}")
                self._write_annotation(parameter.annotation)
        self.words.append(".defaults")
        self._write_values(arguments.defaults)
        self._write_values(arguments.kw_defaults)

    def _write_class(self, node: ast.ClassDef) -> None:
        self.words.append("ClassDef")
        if node is not self.unit.node:
            self._mention(node.name, False)
        for group in (node.decorator_list, node.bases, node.keywords):
            self.words.append(".group")
            self._write_values(group)
        self.scopes.append(class_scope(node))
        self.words.append(".body")
        self._write_values(node.body)
        self.scopes.pop()
        self.words.append("end")

    def _write_comprehension(self, node: Comprehension) -> None:
        self.words.append(type(node).__name__)
        first = node.generators[0].iter
        self.write(first)  # in the scope outside
        self.scopes.append(comprehension_scope(node))
        for generator in node.generators:
            self.words += ["generator", repr(generator.is_async)]
            self._write_values([generator.target, *([] if generator.iter is first else [generator.iter])])
            self._write_values(generator.ifs)
        self.words.append("element")
        self._write_values([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.scopes.pop()
        self.words.append("end")

    def _write_import(self, node: ast.Import | ast.ImportFrom) -> None:
        """An import has words only if it may fail or be skipped, or if its name is bound in several ways."""
        for name, source in imports(node):
            target, scope = self.project.imported(self.home.absolute(source)), self._scope(name)
            is_variable = name in self.unit.names if scope is None else scope.names[name] is None
            if is_variable:
                self.words.append("import as")
                self._mention(name, False)
                self._write_target(target)
            elif self.guards:
                self.words += ["import", target.label if target.kind == "foreign" else "project"]

    def _write_attribute(self, node: ast.Attribute) -> None:
        base, names = _chain(node)
        target = self._target(base.id) if isinstance(base, ast.Name) else None
        while target is not None and target.kind == "module" and names:
            member = self.project.member(target.label, names[0])
            if member is None:
                break
            target, names = member, names[1:]
        if target is not None and target.kind == "foreign":
            target, names = Target("foreign", ".".join([target.label, *names])), []

        self.words += ["attribute of"] * len(names)
        if target is None:
            self.write(base)
        else:
            self._write_target(target)
        self.words += [f"attribute {name}" for name in names]

    def _mention(self, name: str, is_load: bool) -> None:
        """Write what a name refers to, where it is read or bound."""
        scope = self._scope(name)
        if scope is not None and scope.names[name] is None:
            self.words.append(f"attribute {name}" if scope.is_class else f"local {self._number(scope, name)}")
            if not (scope.is_class and is_load):
                return
        if scope is None and not is_load and name in self.unit.names:
            self.words.append(f"own {self.unit.names.index(name)}")
            return
        target = self._target(name)
        if target is None:
            self.words.append(f"name {name}")
        else:
            self._write_target(target)

    def _write_target(self, target: Target) -> None:
        match target.kind:
            case "units":
                for unit, position in target.units:
                    self.words += ["name of", unit, str(position)]
            case "module":
                self.words.append("module")
                for unit in self.project.modules[target.label].units:
                    self.words += [" ".join(unit.names), unit]
            case _:
                self.words.append(f"{target.kind} {target.label}")

    def _target(self, name: str) -> Target | None:
        """What a name refers to; None for a variable."""
        scope = self._scope(name)
        if scope is None or scope.is_class:
            source = scope.names[name] if scope else None
            return self.project.imported(self.home.absolute(source)) if source else self._global(name)
        source = scope.names[name]
        return self.project.imported(self.home.absolute(source)) if source else None

    def _global(self, name: str) -> Target | None:
        return self.project.resolve(self.unit.module, name)

    def _scope(self, name: str) -> Scope | None:
        """The innermost scope that binds a name; None for the scope of the module."""
        for scope in reversed(self.scopes):
            if name in scope.of_module:
                return None
            if name in scope.names and (not scope.is_class or scope is self.scopes[-1]):
                return scope
        return None

    def _number(self, scope: Scope, name: str) -> int:
        return self.numbers.setdefault((scope, name), len(self.numbers))

    def _path(self, node: ast.expr | None) -> str:
        """The dotted path of a foreign name; "" for other expressions."""
        if node is None:
            return ""
        base, names = _chain(node)
        target = self._target(base.id) if isinstance(base, ast.Name) else None
        return ".".join([target.label, *names]) if target is not None and target.kind == "foreign" else ""


def _chain(node: ast.expr) -> tuple[ast.expr, list[str]]:
    """Split a.b.c into a and [b, c]."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return node, names
