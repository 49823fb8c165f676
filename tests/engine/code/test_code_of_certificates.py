"""An edit of whatever a check runs through voids the certificates of all registered methods, and no other edit does."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.engine.code_hash import CERTIFICATE, certificate_roots, project
from bench.engine.code_units.definitions import digest, reached, unit_hashes
from methods import METHODS
from methods.method import Method

EDITED = (  # module:definition, or module:class.function
    "bench.engine.model.network:Network.forward",
    "bench.engine.model.network:Network.extend",
    "bench.engine.model.network:Block.mix",
    "bench.engine.model.network:Norm.forward",
    "bench.engine.model.network:TimeEmbedding.forward",
    "bench.engine.model.network:rotate",
    "bench.engine.model.attention:sdpa",
    "bench.engine.model.head:_ChunkedCosts.forward",
    "bench.engine.model.method_with_network:Model.costs",
    "bench.engine.model.method_with_network:Model.predict",
    "bench.engine.model.method_with_network:last_guess_costs",
    "bench.engine.likelihood.bound:bound",
    "bench.engine.likelihood.estimators:Counted.draw",
    "bench.engine.likelihood.estimators:Stratified.warp",
    "bench.engine.likelihood.estimators:Independent.sample_uniforms",
    "bench.engine.sample.sampler:sample",
    "bench.certify.checks:certify",
)


def codes() -> dict[str, str]:
    """The code of the certificate of every registered method, of the project as it is in memory."""
    roots = {method: (*CERTIFICATE, *certificate_roots(method)) for method in METHODS}
    hash_of = unit_hashes(project(), reached(project(), {root for places in roots.values() for root in places}))
    return {
        method: digest(sorted(hash_of[unit] for place in places for unit in project().find(place)))
        for method, places in roots.items()
    }


@contextmanager
def edited(place: str) -> Iterator[None]:
    """Plant an assertion in a function for a while."""
    module, _, names = place.partition(":")
    (unit,) = project().find(f"{module}:{names.partition('.')[0]}")
    functions = [node for node in ast.walk(unit.node) if isinstance(node, ast.FunctionDef)]
    (function,) = (function for function in functions if function.name == names.rpartition(".")[2])
    function.body.append(ast.parse("assert planted").body[0])
    try:
        yield
    finally:
        function.body.pop()


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return codes()


@pytest.mark.parametrize("place", EDITED)
def test_an_edit_voids_the_certificate_of_every_method(place, before):
    with edited(place):
        after = codes()
    assert [method for method in METHODS if after[method] == before[method]] == []


def test_an_edit_of_what_no_check_runs_through_voids_no_certificate(before):
    with edited("bench.engine.quality.mauve:mauve"):
        assert codes() == before


@pytest.mark.parametrize("method", METHODS)
def test_an_edit_of_a_method_voids_its_own_certificate(method, before):
    factory = METHODS[method]
    owner = next(parent for parent in factory.__mro__ if "bound" in vars(parent))
    assert owner is not Method
    with edited(f"{owner.__module__}:{owner.__qualname__}.bound"):
        assert codes()[method] != before[method]
