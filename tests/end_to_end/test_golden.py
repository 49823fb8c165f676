"""Numbers and ids are what they were: see tests/support/golden.py for a change that means to change them."""

import json

import pytest

from tests.support import golden


@pytest.fixture(scope="module")
def expected() -> golden.Golden:
    return json.loads(golden.EXPECTED.read_text())


def test_ids_of_cells_and_stages_of_every_suite_are_what_they_were(expected, nothing_fetched):
    assert golden.suite_ids() == expected["ids"]


def test_vectors_of_every_method_and_numbers_of_short_runs_are_bit_for_bit_what_they_were(expected):
    assert expected["golden"].keys() >= {"ar/train", "plaid/train"}
    assert golden.differences(expected, {**golden.collect(), "ids": expected["ids"]}) == []


def test_a_changed_number_is_seen(expected):
    changed = json.loads(json.dumps(expected))
    name = next(iter(changed["smoke"]))
    changed["smoke"][name]["digest"] = "0" * 16
    assert golden.differences(expected, changed) == [f"smoke: {name}"]
