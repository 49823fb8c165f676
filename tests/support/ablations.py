"""Small suites with ablations, for several tests."""

from pathlib import Path

import pytest

from bench.suite.suite import SuiteError, read
from tests.conftest import TINY

ARMS = """\
  - {label: AR, method: ar}
  - {label: MDLM, method: mdlm}
"""


def write(folder: Path, more: str = "", arms: str = ARMS, name: str = "suite.yaml") -> Path:
    """The tiny suite with other arms and more at its end."""
    path = folder / name
    path.write_text(TINY.replace(ARMS, arms) + more)
    return path


def labels(path: Path, scale: str | None = None) -> list[str]:
    return [arm.label for arm in read(path, scale).spec.arms]


def told(path: Path, scale: str | None = None) -> str:
    with pytest.raises(SuiteError) as error:
        read(path, scale)
    return str(error.value)


def ablate(text: str) -> str:
    """An ablation of MDLM; it starts in line 14."""
    return f"ablate:\n  base: MDLM\n{text}"
