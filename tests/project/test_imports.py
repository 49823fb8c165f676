"""Imports between the packages point one way, lazy and type-checking imports included, and no module is in a cycle."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import ROOT

EVERYTHING = {"certify", "cli", "engine", "launch", "methods", "perf", "plan", "results", "suite", "testing", "tune"}
ALLOWED = {  # package -> the packages that it may import
    "methods": set[str](),
    "engine": {"methods"},
    "suite": {"engine", "methods"},
    "certify": {"engine", "methods"},
    "results": {"engine", "certify", "methods"},
    "plan": {"suite", "results", "engine", "methods"},
    "launch": {"plan", "results", "engine", "methods"},
    "tune": {"launch", "plan", "suite", "results", "engine", "methods"},
    "perf": {"plan", "suite", "results", "engine", "methods"},
    "testing": {"certify", "engine", "methods"},
    "cli": EVERYTHING,
    "bench": EVERYTHING,  # bench.load and python -m bench
    "reports": {"results", "suite", "engine", "methods"},
}
FLOORS = (  # of the engine: a package imports from its own floor and from those before it
    {
        *("code_hash", "code_units", "heartbeat", "identifiers", "invalid_setting", "lock", "measurements"),
        *("metric_definitions", "record_files", "records", "redaction", "rng", "settings", "storage", "written_paths"),
    },
    {"data", "model", "environment"},
    {"likelihood", "sample", "train"},
    {"quality", "flops"},
    {"stages", "downstream"},
)
LARGEST = 330  # lines of a file


@cache
def modules() -> dict[str, Path]:
    """The files of the project by the names of their modules."""
    paths = [path for top in ("bench", "methods", "reports") for path in (ROOT / top).rglob("*.py")]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


@cache
def imports() -> dict[str, set[str]]:
    """The modules of the project that each module imports, wherever in the file."""
    return {name: set(find_imports(path)) - {name} for name, path in modules().items()}


def find_imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield from {name if name in modules() else node.module} & modules().keys()
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & modules().keys()


def package(module: str) -> str:
    """The package of a module: its second name below bench, its first elsewhere."""
    parts = module.split(".")
    return parts[1] if parts[0] == "bench" and len(parts) > 1 and parts[1] != "__main__" else parts[0]


def test_packages_import_only_what_they_may():
    wrong = [
        f"{module} imports {other}"
        for module, others in imports().items()
        for other in others
        if package(other) not in ALLOWED[package(module)] | {package(module)}
    ]
    assert wrong == []


def test_no_module_is_in_a_cycle_of_imports():
    assert list(TopologicalSorter(imports()).static_order())  # raises CycleError with the cycle


def test_packages_of_the_engine_import_from_their_floor_or_below():
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    engine = {name: others for name, others in imports().items() if name.startswith("bench.engine.")}
    wrong = [
        f"{module} imports {other}"
        for module, others in engine.items()
        for other in others
        if other.startswith("bench.engine.") and floor[other.split(".")[2]] > floor[module.split(".")[2]]
    ]
    assert wrong == []


def test_training_knows_no_evaluation():
    train = {other for name, others in imports().items() if name.startswith("bench.engine.train") for other in others}
    assert not [name for name in train if name.startswith(("bench.engine.likelihood", "bench.engine.sample"))]


def test_bench_has_nine_packages_and_no_other_loose_module():
    entries = {path.name for path in (ROOT / "bench").iterdir() if path.suffix == ".py" or list(path.glob("*.py"))}
    assert entries - {"__init__.py", "__main__.py", "testing.py"} == {
        "certify",
        "cli",
        "engine",
        "launch",
        "perf",
        "plan",
        "results",
        "suite",
        "tune",
    }


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_file_is_long(name):
    assert len(modules()[name].read_text().splitlines()) <= LARGEST
