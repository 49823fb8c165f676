"""The faults that `make slow` plants still fit the code, and the tests that should catch them still exist."""

import pytest

from tests.conftest import ROOT
from tests.end_to_end.test_slow import FAULTS, PROOFS


@pytest.mark.parametrize(("path", "right", "wrong"), FAULTS, ids=lambda value: value[:40])
def test_a_planted_fault_replaces_what_stands_in_its_file(path, right, wrong):
    assert right in (ROOT / path).read_text(), f"{path} no longer says {right!r}: plant the fault anew"
    assert wrong != right


@pytest.mark.parametrize("name", PROOFS)
def test_a_file_of_tests_that_catches_faults_exists(name):
    assert (ROOT / "tests" / name).is_file()
