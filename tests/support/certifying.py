"""Certificates of some of the checks, for tests that are about something else."""

import pytest

from bench.certify import checks


def limit_checks(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let certificates consist of the checks of these names."""
    monkeypatch.setattr(checks, "CHECKS", {name: checks.CHECKS[name] for name in names})


def without(*names: str) -> list[str]:
    """The names of all other checks."""
    return [name for name in checks.CHECKS if name not in names]
