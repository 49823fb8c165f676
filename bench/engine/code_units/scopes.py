"""Names that a syntax tree binds, and their scopes, as in Python's compiler."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)

Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """What an imported name refers to: a module, or the `name` in a module."""

    module: str
    name: str | None = None
    level: int = 0  # leading dots of a relative import


@dataclass(eq=False)
class Scope:
    """The body of a function, a lambda, a comprehension or a class."""

    names: dict[str, Import | None]  # bound here; an import if that is what binds the name
    is_class: bool = False
    of_module: frozenset[str] = frozenset()  # declared `global`


def function_scope(node: Function) -> Scope:
    """The scope of a function's parameters and body."""
    declared = [part for part in _same_scope(node.body) if isinstance(part, (ast.Global, ast.Nonlocal))]
    foreign = {name for part in declared for name in part.names}
    names = merged([*_parameter_names(node.args), *bindings(node.body)])
    of_module = {name for part in declared if isinstance(part, ast.Global) for name in part.names}

    return Scope({name: names[name] for name in names if name not in foreign}, False, frozenset(of_module))


def class_scope(node: ast.ClassDef) -> Scope:
    """The scope of a class body, whose names are attributes."""
    return Scope(merged(bindings(node.body)), is_class=True)


def lambda_scope(node: ast.Lambda) -> Scope:
    """The scope of a lambda."""
    return Scope(merged([*_parameter_names(node.args), *bindings([node.body])]))


def comprehension_scope(node: Comprehension) -> Scope:
    """The scope of a comprehension's targets."""
    return Scope(merged(bindings(generator.target for generator in node.generators)))


def _parameter_names(arguments: ast.arguments) -> list[tuple[str, Import | None]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    starred = [arguments.vararg] if arguments.vararg else []
    keywords = [arguments.kwarg] if arguments.kwarg else []

    return [(parameter.arg, None) for parameter in [*positional, *starred, *arguments.kwonlyargs, *keywords]]


def merged(bound: Iterable[tuple[str, Import | None]]) -> dict[str, Import | None]:
    """Each name with its import; None for a variable, which includes a name that is bound in several ways."""
    names: dict[str, Import | None] = {}
    for name, source in bound:
        names[name] = source if names.get(name, source) == source else None
    return names


def bindings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, Import | None]]:
    """The names that syntax binds in its enclosing scope, in order, with their imports."""
    for node in _same_scope(nodes):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name, None
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, None
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, None
            case ast.MatchMapping(rest=str(name)):
                yield name, None
            case ast.Import() | ast.ImportFrom():
                yield from imports(node)


def imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Import]]:
    """The names that an import statement binds; "*" for all of a module."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, Import(node.module or "", alias.name, node.level)
        else:
            top = alias.name.partition(".")[0]
            yield alias.asname or top, Import(alias.name if alias.asname else top)


def _same_scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes below `nodes` in the same scope, parents first."""
    for node in nodes:
        yield node
        yield from _same_scope(_inside(node))


def _inside(node: ast.AST) -> Iterable[ast.AST]:
    """The parts of a node that are evaluated in its enclosing scope."""
    if isinstance(node, FUNCTIONS):
        defaults = [default for default in node.args.kw_defaults if default is not None]
        return [*node.decorator_list, *node.args.defaults, *defaults]
    if isinstance(node, ast.ClassDef):
        return [*node.decorator_list, *node.bases, *node.keywords]
    if isinstance(node, ast.Lambda):
        return node.args.defaults
    if isinstance(node, COMPREHENSIONS):  # a walrus inside binds outside
        return [part.target for part in ast.walk(node) if isinstance(part, ast.NamedExpr)]

    return ast.iter_child_nodes(node)
