"""The code that makes numbers calls only what static analysis can find; the code hash relies on that."""

import ast
from collections.abc import Iterator
from functools import cache

from bench.engine.code_hash import CERTIFICATE, STAGES, certificate_roots, place, project
from bench.engine.code_units.definitions import reached
from bench.engine.code_units.modules import Unit
from bench.engine.code_units.normalized_syntax import words
from bench.engine.data import SOURCES
from methods import METHODS

PLUGIN = "its own bytes are part of the ids of its results"
ALLOWED = {  # by the place of a definition: what static analysis cannot follow, and why it is no code of the project
    "bench.certify.check:Case": {"name getattr": "a type of torch"},
    "bench.certify.contract:_Trial": {"name getattr": "verbs of Method that a class replaces"},
    "bench.certify.contract:_judge_instance": {"name getattr": "a number", "name vars": "what nn.Module sets"},
    "bench.engine.data.sources.markov:Markov": {"name getattr": "numbers of tokens, which are fields"},
    "bench.engine.data.sources.text:read_topics": {"foreign importlib.import_module": "a text that comes with Python"},
    "bench.engine.model.method_with_network:Model": {
        "sets functorch.donated_buffer": "a setting of torch, before it compiles"
    },
    "bench.engine.quality.mauve:_library": {"foreign importlib.import_module": "a package from outside"},
    "bench.engine.quality.scorers.huggingface:HuggingFaceScorer": {"name getattr": "a text of a package from outside"},
    "bench.engine.quality.scorers.huggingface:_context": {"name getattr": "a number of a package from outside"},
    "bench.engine.stages.record_trajectories:run": {"name getattr": "a field that some policies have"},
    "bench.engine.lock:os.register_at_fork": {"a loose statement": "children of a holder do not hold the lock"},
    "bench.engine.train.trainer:Trainer": {"name vars": "fields that a checkpoint keeps"},
    "bench.engine.measurements:Measurement": {"name vars": "fields of an estimate"},
    "bench.engine.stages.train_model:result": {"name vars": "fields of the learning curves"},
    "methods.plugins:_class_fault": {"name getattr": "the name of a paper"},
    "methods.plugins:_exits_raised": {"name getattr": "functions of os", "name setattr": "functions of os"},
    "methods.plugins:plug_installed": {"foreign importlib.metadata.EntryPoint": PLUGIN},
    "methods:plug_installed": {
        "a loose statement": "it changes the registry alone",
        "foreign importlib.metadata.entry_points": PLUGIN,
    },
}
FUNCTIONS = ("getattr", "setattr", "delattr", "globals", "locals", "vars", "eval", "exec", "__import__")
ATTRIBUTES = ("__init_subclass__", "__subclasses__", "__getattr__", "__getattribute__", "__dict__", "__set_name__")
DYNAMIC = {*(f"name {name}" for name in FUNCTIONS), *(f"attribute {name}" for name in ATTRIBUTES)}


@cache
def units() -> list[Unit]:
    """All definitions that numbers depend on."""
    roots = {root for roots in (*STAGES.values(), CERTIFICATE, *map(certificate_roots, METHODS)) for root in roots}
    sources = {place(source) for source in SOURCES.values()}
    return sorted(reached(project(), roots | sources), key=lambda unit: unit.place)


def hidden(unit: Unit) -> Iterator[str]:
    """The parts of a unit that static analysis cannot follow."""
    if not unit.names:
        yield "a loose statement"
    yield from (word for word in words(project(), unit) if isinstance(word, str) and is_dynamic(word))
    yield from (f"name {name}" for name in unit.names if name in ATTRIBUTES)
    yield from (f"sets {ast.unparse(node)}" for node in ast.walk(unit.node) if is_set_elsewhere(node, unit))


def is_dynamic(word: str) -> bool:
    return word in DYNAMIC or word.startswith("foreign importlib")


def is_set_elsewhere(node: ast.AST, unit: Unit) -> bool:
    """Whether an attribute of a module or of a definition is set, rather than an attribute of a variable."""
    if not isinstance(node, ast.Attribute) or isinstance(node.ctx, ast.Load):
        return False
    base: ast.expr = node
    while isinstance(base, ast.Attribute):
        base = base.value
    return isinstance(base, ast.Name) and base.id not in variables(unit) and is_global(unit, base.id)


def variables(unit: Unit) -> set[str]:
    nodes = list(ast.walk(unit.node))
    names = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    return names | {node.arg for node in nodes if isinstance(node, ast.arg)}


def is_global(unit: Unit, name: str) -> bool:
    return project().resolve(unit.module, name) is not None


def place_of(unit: Unit) -> str:
    """The place of a unit; for a loose call, with the name of the function instead of the line."""
    called = ast.unparse(unit.node).partition("(")[0]
    return unit.place if unit.names else f"{unit.module}:{called}"


def test_code_that_makes_numbers_hides_nothing_from_static_analysis():
    constructs = {place_of(unit): set(hidden(unit)) for unit in units()}
    not_followed = {place: names for place, names in constructs.items() if names}
    assert not_followed == {place: set(ALLOWED[place]) for place in ALLOWED}


def test_what_is_hidden_has_a_reason():
    assert all(reason for reasons in ALLOWED.values() for reason in reasons.values())
