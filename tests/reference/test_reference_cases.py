"""No case of the authors' numbers is forgotten: each is loaded by a test, or named with the reason why it is not."""

import hashlib
import json
import os
import re
from fnmatch import fnmatch

import pytest

from tests.reference import HERE, NOT_USED, loaded

INDEX = HERE.parents[2] / "shared" / "reference" / "index.json"
CASES = sorted(path.stem for path in HERE.glob("*.npz"))
TARGETS = ("mdlm_", "sedd_", "md4_", "genmd4_", "gidd_", "plaid_", "duo_udlm_", "duo_mdlm_", "derived_", "edge_")


@pytest.fixture
def index() -> dict[str, str]:
    """The SHA-256 of every case of the whole set, from which those here were copied."""
    if not INDEX.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{INDEX} is not there")
    return {each["case"]: each["sha256"] for each in json.loads(INDEX.read_text())["cases"]}


def test_every_case_of_the_whole_set_is_here_or_left_out_for_a_reason(index):
    assert not set(CASES) & set(NOT_USED)
    assert {*CASES, *NOT_USED} == set(index)


def test_the_cases_are_copies_to_the_last_bit(index):
    found = {case: hashlib.sha256((HERE / f"{case}.npz").read_bytes()).hexdigest() for case in CASES}
    assert found == {case: index[case] for case in CASES}


def test_no_number_of_a_methods_own_authors_is_left_out():
    assert all(len(reason) > 20 for reason in NOT_USED.values())
    assert [case for case in NOT_USED if case.startswith(TARGETS)] == ["mdlm_finiteT_edge_first_step"]


def test_every_case_is_loaded_by_a_test_that_passes():
    """All tests that ask for cases run here once more, inside this one."""
    tests = [path for path in HERE.parent.rglob("test_*.py") if "reference import load\n" in path.read_text()]
    loaded.clear()
    done = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-o", "addopts=", *map(str, tests)])
    assert done == pytest.ExitCode.OK
    assert sorted(loaded) == CASES


def test_the_readme_names_every_case_and_no_other():
    rows = [line for line in (HERE / "README.md").read_text().splitlines() if line.startswith("| `")]
    patterns = [pattern for row in rows for pattern in re.findall(r"`([^`]+)`", row.split("|")[1])]
    cases = [*CASES, *NOT_USED]
    assert [case for case in cases if not any(fnmatch(case, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(case, pattern) for case in cases)] == []
