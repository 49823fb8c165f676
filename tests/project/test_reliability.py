"""The table of what holds names tests that exist."""

import re

from tests.conftest import ROOT

NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8"))


def test_every_row_names_a_test():
    rows = re.findall(r"^\| (?!What happens|---).*\|$", (ROOT / "docs" / "reliability.md").read_text(), re.MULTILINE)
    assert len(rows) == len(NAMED) > 40


def test_every_test_that_is_named_exists():
    missing = [f"{path}::{name}" for path, name in NAMED if f"def {name}(" not in (ROOT / path).read_text()]
    assert not missing
