"""Everything that a stage calls is part of its hash."""

import ast
import random
from collections.abc import Callable
from functools import cache
from types import CodeType

import pytest

from bench.certify import checks as certify_checks
from bench.engine import storage
from bench.engine.code_hash import (
    CERTIFICATE,
    PACKAGES,
    STAGES,
    certificate_roots,
    method_roots,
    modules_below,
    place,
    project,
)
from bench.engine.code_hash import ROOT as HOME
from bench.engine.code_units.definitions import digest, reached, unit_hashes
from bench.engine.code_units.modules import Unit
from bench.engine.data import SOURCES
from bench.engine.stages import STAGES as RUN
from bench.engine.stages.context import CellContext, StageContext
from bench.launch.job_files import submit
from bench.plan.cells import folder_of, merge_stages
from bench.plan.plan import plan
from bench.suite.suite import read, with_data
from methods import METHODS
from tests.support.tracing import calls, unit_finder

SUITE = """\
question: What is called?
data: {source: markov, length: 16, alphabet: 3, train: 96, valid: 16, test: 16, reserve: 0.2}
network: {preset: micro, layers: 1, width: 16, heads: 2}
budget: {steps: 2}
training: {batch_size: 4, validations: 1, validation_sequences: 4, validation_draws: 2}
arms:
ARMS
seeds: [0]
evaluation:
  bound:
    - {draws: 2, replicates: 2, sequences: 4}
    - {draws: 4, replicates: 2, sequences: 4, estimator: independent, arms: [BOUNDS]}
  samples: {count: 2, calls: 4}
  trajectories: {count: 2, calls: 4}
  quality: {scorer: {kind: trained, steps: 2}, copied: 4}
execution: {device: cpu}
"""
AROUND = (  # storage, progress, imports and the hash itself, which change no number
    "bench.engine.storage",
    "bench.engine.records",
    "bench.engine.environment",
    "bench.engine.code_hash",
    "bench.engine.code_units",
    "bench.engine.stages.context",
    "methods.harness",
    "methods.plugin_files",
)
SMALL = {
    "sampler_checks.SAMPLES": 64,
    "sampler_checks.CHAIN_SAMPLES": 8,
    "sampler_checks.CALLS": (4, 16),
    "sampler_checks.FINAL_CALLS": 4,
    "sampler_checks.CHAIN_CALLS": 16,
    "rare_draws.ROWS": 2**13,
    "checks.DOCUMENTS": 4,
    "tightness.DRAWS": 2,
    "trained_network.STEPS": 2,
    "trained_network.DRAWS": 2,
    "trained_network.REPLICATES": 2,
}
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)


@pytest.fixture(scope="module")
def traced(tmp_path_factory) -> dict[tuple[str, str], set[CodeType]]:
    """The code of all functions that each stage calls, with every registered method."""
    folder = tmp_path_factory.mktemp("traced")
    suite = folder / "traced.yaml"
    arms = "\n".join(f"  - {{label: {name}, method: {name}}}" for name in METHODS)
    bounds = ", ".join(name for name in METHODS if not METHODS[name].exact)
    suite.write_text(SUITE.replace("ARMS", arms).replace("BOUNDS", bounds))
    planned = plan(with_data(read(suite)))
    submit(folder / "runs", planned)
    called: dict[tuple[str, str], set[CodeType]] = {}
    for cell in merge_stages(planned.all):
        for stage in cell.stages:
            cell_folder, kind = folder_of(folder / "runs", cell), RUN[stage.name]
            job = storage.read_job(cell_folder)
            context = StageContext(CellContext(cell_folder, job), cell_folder / stage.folder)
            context.folder.mkdir(parents=True, exist_ok=True)
            settings = kind.settings.model_validate(stage.settings)
            with calls(called.setdefault((stage.name, cell.method), set())):
                result = kind.run(context, settings)
            storage.succeed(context.folder, result)
    return called


@cache
def find_unit() -> Callable[[CodeType], Unit | None]:
    return unit_finder(project(), {name: str(path) for name, path in modules_below(HOME, PACKAGES).items()})


def unreached(codes: set[CodeType], roots: tuple[str, ...]) -> set[str]:
    """The places of called definitions that the roots do not reach."""
    units = {unit for code in codes if (unit := find_unit()(code))}
    assert len(units) > 20
    return {unit.place for unit in units - reached(project(), roots) if not unit.module.startswith(AROUND)}


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_calls_is_reached(stage, traced):
    called = {method: codes for (name, method), codes in traced.items() if name == stage}
    assert called
    roots = {method: (*STAGES[stage], *method_roots(method), place(SOURCES["markov"])) for method in called}
    assert {method: unreached(codes, roots[method]) for method, codes in called.items()} == {
        method: set() for method in called
    }


@pytest.mark.parametrize("method", METHODS)
def test_what_a_certificate_calls_is_reached(method, monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(f"bench.certify.{name}", value)
    codes: set[CodeType] = set()
    with calls(codes):
        checks = list(certify_checks.certify(certify_checks.Case(method, {})))
    assert not [check.name for check in checks if "Error" in check.figure]
    assert not unreached(codes, (*CERTIFICATE, *certificate_roots(method)))


@pytest.mark.parametrize("stage", ["train", "bound", "samples"])
def test_a_change_of_any_called_function_changes_the_code_of_its_stage(stage, traced):
    """Plant an assertion in each of 10 randomly drawn functions that the stage calls."""
    roots = (*STAGES[stage], *method_roots("mdlm"), place(SOURCES["markov"]))
    units = {
        unit for code in traced[stage, "mdlm"] if (unit := find_unit()(code)) and not unit.module.startswith(AROUND)
    }
    definitions = sorted((unit for unit in units if isinstance(unit.node, DEFINITIONS)), key=lambda unit: unit.place)
    before = codes_of(roots)
    for unit in random.Random(0).sample(definitions, 10):
        functions = [node for node in ast.walk(unit.node) if isinstance(node, ast.FunctionDef)]
        function = random.Random(unit.place).choice(functions)
        function.body.append(ast.parse("assert planted").body[0])
        try:
            assert codes_of(roots) != before, unit.place
        finally:
            function.body.pop()


def codes_of(roots: tuple[str, ...]) -> str:
    hash_of = unit_hashes(project(), reached(project(), roots))
    return digest(hash_of[unit] for root in roots for unit in project().find(root))
