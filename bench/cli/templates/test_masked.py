"""Tests of the method `masked`."""

from typing import Any

import pytest

from bench.testing import assert_passes_checks, assert_same_bound

NAME, TWIN = "masked", "mdlm"
OPTIONS: list[dict[str, Any]] = [{}, {"schedule": "geometric"}]


def test_it_passes_the_quick_checks_of_its_certificate() -> None:
    assert_passes_checks(NAME)


@pytest.mark.parametrize("options", OPTIONS)
def test_it_has_the_bound_of_its_twin(options: dict[str, Any]) -> None:
    """Replace this test if the method has a bound that no registered method has."""
    assert_same_bound(NAME, TWIN, options)
