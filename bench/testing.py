"""Assertions for the tests of a method, written with pytest or without.

This module is public, as are `methods`, `methods.method` and `methods.schedules`: what a plug-in imports from here
keeps its name, wherever the code behind it moves.

    from bench.testing import assert_passes_checks, assert_same_bound

    assert_passes_checks("my-method")
    assert_same_bound("my-method", "mdlm", {"schedule": "cosine"})
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from bench.certify.check import Case
from bench.certify.checks import CHECKS, certify
from bench.certify.random_network import VOCAB_SIZE, random_network
from bench.engine.likelihood.bound import bound
from bench.engine.model.positions import at_positions

__all__ = ["assert_passes_checks", "assert_same_bound", "at_positions", "untrained_bound"]

SLOW_CHECKS = ("samples", "training")  # of `bench certify`; the others take seconds
SEQUENCES, LENGTH = 2, 6
DRAWS, REPLICATES = 4, 2
WEIGHT_STD = 0.5  # of the untrained network


def assert_passes_checks(method: str, options: Mapping[str, Any] | None = None) -> None:
    """Assert that a registered method passes the checks of `bench certify`, but for those of samples and training.

    Raises AssertionError with the failed checks, and OptionError if the method or an option is unknown.
    """
    checks = list(certify(Case(method, options or {}), [name for name in CHECKS if name not in SLOW_CHECKS]))
    failures = [f"{check.name}: {check.figure}; required: {check.meaning}" for check in checks if not check.passed]
    if failures:
        raise AssertionError("\n".join([f"{method} fails {len(failures)} of {len(checks)} checks:", *failures]))
    assert checks, f"no check applies to {method}"


def assert_same_bound(
    method: str, other: str, options: Mapping[str, Any] | None = None, rtol: float = 1e-9, atol: float = 1e-12
) -> None:
    """Assert that two methods have the same bound, term by term, given equal networks and noise.

    Both take `options`, and both or neither have time conditioning, as their networks would differ otherwise. Raises
    AssertionError if a term differs, or if the diffusion loss is not positive.
    """
    terms, other_terms = untrained_bound(method, options), untrained_bound(other, options)
    assert terms.keys() == other_terms.keys()
    for name, nats in terms.items():
        try:
            torch.testing.assert_close(nats, other_terms[name], rtol=rtol, atol=atol)
        except AssertionError as error:
            raise AssertionError(f"{name} of {method} and {other}: {error}") from None
    assert (terms["integral"] > 0).all(), f"the diffusion loss of {method} is not positive"


def untrained_bound(method: str, options: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
    """The terms of the bound by a network of random weights, in nats [sequence, replicate].

    The keys are prior_gap, integral (the diffusion loss) and last_guess (the reconstruction loss).
    """
    x = torch.arange(SEQUENCES * LENGTH).view(SEQUENCES, LENGTH) % VOCAB_SIZE
    model = random_network(Case(method, options or {}).build(VOCAB_SIZE), spread=WEIGHT_STD, seed=0)
    return dict(bound(model, x, DRAWS, REPLICATES, seed=0, batch_size=len(x)))
