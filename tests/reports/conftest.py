"""Fixtures of the tests of reports."""

import pytest

from bench.results.suite_record import SuiteRecord
from tests.support.report_records import make_arm, make_record


@pytest.fixture
def record() -> SuiteRecord:
    return make_record(make_arm("AR", 2.7134, "exact"), make_arm("MDLM", 3.07), make_arm("MD4", 3.05))
