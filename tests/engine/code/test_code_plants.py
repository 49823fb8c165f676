"""A change planted in a copy of the project changes the code of whatever reaches it, and no other code."""

import shutil
from functools import cache
from pathlib import Path

import pytest

from bench.engine.code_hash import (
    CERTIFICATE,
    OPAQUE,
    PACKAGES,
    ROOT,
    STAGES,
    certificate_roots,
    current_code,
    method_roots,
    modules_below,
    place,
)
from bench.engine.code_units.definitions import digest, hashes
from bench.engine.code_units.modules import Project
from bench.engine.data import SOURCES
from methods import METHODS

CERTIFIED = {("certificate", method) for method in METHODS}
TRAINED = {(stage, method) for stage in STAGES if stage not in ("quality", "controls") for method in METHODS}


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the project."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def plant(root: Path, name: str, old: str, new: str) -> None:
    text = (root / name).read_text()
    assert text.count(old) == 1
    (root / name).write_text(text.replace(old, new))


def codes(root: Path) -> dict[tuple[str, str], str]:
    """The code of every stage and certificate with every method, and of every source of data."""
    hash_of = hashes(Project(modules_below(root, PACKAGES), OPAQUE))
    roots = {(stage, method): (*STAGES[stage], *method_roots(method)) for stage in STAGES for method in METHODS}
    roots |= {("certificate", method): (*CERTIFICATE, *certificate_roots(method)) for method in METHODS}
    roots |= {("data", name): (place(source),) for name, source in SOURCES.items()}
    return {key: digest(hash_of[root] for root in places) for key, places in roots.items()}


@cache
def unchanged() -> dict[tuple[str, str], str]:
    return codes(ROOT)


def changed(root: Path) -> set[tuple[str, str]]:
    after = codes(root)
    return {key for key, code in unchanged().items() if after[key] != code}


def test_a_bound_depends_on_the_model_that_records_its_costs(copy):
    plant(
        copy,
        "bench/engine/likelihood/time_density.py",
        "nats = super().costs(cost, x, z, t, guess)",
        "nats = 2 * super().costs(cost, x, z, t, guess)",
    )
    assert changed(copy) == {(stage, method) for stage in ("bound", "estimate") for method in METHODS}


def test_training_bound_and_certificate_depend_on_what_counts_their_costs(copy):
    plant(
        copy,
        "bench/engine/model/head.py",
        "loss.cost(loss.head(hidden[rows]), z[rows], rows)",
        "0 * loss.cost(loss.head(hidden[rows]), z[rows], rows)",
    )
    assert {(stage, method) for stage in ("train", "bound", "certificate") for method in METHODS} <= changed(copy)


def test_a_certificate_depends_on_the_network_that_its_probes_ask(copy):
    plant(copy, "bench/engine/model/attention.py", "is_causal=causal", "is_causal=False")
    assert changed(copy) >= CERTIFIED | TRAINED


def test_a_new_method_changes_the_code_of_no_other(copy):
    (copy / "methods" / "continuous" / "novel.py").write_text(
        "from methods.masked.absorbing import Mdlm\n\n\nclass Novel(Mdlm):\n    warp = 3.0\n"
    )
    plant(
        copy,
        "methods/__init__.py",
        "from methods.continuous.plaid import",
        "from methods.continuous.novel import Novel\nfrom methods.continuous.plaid import",
    )
    plant(copy, "methods/__init__.py", '    "plaid": Plaid,\n', '    "plaid": Plaid,\n    "novel": Novel,\n')
    assert changed(copy) == set()


def test_a_new_source_of_data_changes_no_other_code(copy):
    path = "bench/engine/data/source_registry.py"
    plant(copy, path, "\nDataSpec = ", '\n\nclass Novel(Markov):\n    source: str = "novel"\n\n\nDataSpec = ')
    plant(copy, path, "Text8Part | Markov,", "Text8Part | Markov | Novel,")
    assert changed(copy) == set()


def test_a_source_of_data_is_part_of_the_code_of_its_own_training_runs(copy):
    plant(
        copy,
        "bench/engine/data/sources/markov.py",
        "def draw_chain(self)",
        "def draw_chain(self, doubled: bool = False)",
    )
    assert changed(copy) == CERTIFIED | {("data", "markov")}  # certificates are asked on chains


def test_a_method_is_part_of_its_own_code_and_of_its_neighbours_certificates(copy):
    plant(copy, "methods/discrete/gidd.py", "warp = 2.0", "warp = 2.5")
    assert changed(copy) == {(stage, "gidd") for stage in (*STAGES, "certificate")}
    plant(copy, "methods/discrete/sedd.py", "class SeddAbsorb(", "class Novel:\n    pass\n\n\nclass SeddAbsorb(")
    assert changed(copy) == {(stage, "gidd") for stage in (*STAGES, "certificate")}


def test_a_file_that_moves_changes_no_code(copy):
    (copy / "bench" / "head").mkdir()
    (copy / "bench" / "head" / "__init__.py").write_text("")
    shutil.move(copy / "bench" / "engine" / "model" / "head.py", copy / "bench" / "head" / "costs.py")
    for path in copy.rglob("*.py"):
        text = path.read_text().replace("from bench.engine.model.head import", "from bench.head.costs import")
        path.write_text(text.replace("chunked_costs", "packed_costs"))
    assert changed(copy) == set()


def test_roots_and_registries_are_definitions_of_the_project():
    project = Project(modules_below(ROOT, PACKAGES))
    for name in (*CERTIFICATE, *OPAQUE, *(root for roots in STAGES.values() for root in roots)):
        (unit, *_) = project.find(name)
        assert unit.module == name.partition(":")[0]


def test_stages_have_code_of_their_own():
    assert (
        len({current_code(stage, "mdlm") for stage in STAGES}) == len(STAGES) - 1
    )  # a bound is estimated as it is made
