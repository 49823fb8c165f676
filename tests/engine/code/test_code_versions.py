"""Every version of Python computes the same hashes, with its standard library alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.engine import code_hash
from bench.engine.code_units.definitions import digest
from tests.conftest import ROOT

SCRIPT = """
import sys, types
from pathlib import Path

for name in ("bench", "bench.engine"):  # without what their own files import
    sys.modules[name] = package = types.ModuleType(name)
    package.__path__ = [name.replace(".", "/")]
from bench.engine.code_units.modules import Project
from bench.engine.code_units.definitions import digest, hashes

root = Path(".")
paths = [path for package in {packages} for path in sorted((root / package).rglob("*.py"))]
names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
hash_of = hashes(Project(dict(zip(names, paths)), {opaque}))
print(digest(f"{{place}} {{code}}" for place, code in sorted(hash_of.items())))
"""


def interpreter(version: str) -> str | None:
    """The program of a version of Python on the path or in pyenv; None if it is not installed."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = [shutil.which(f"python{version}"), *map(str, sorted(pyenv.glob(f"{version}.*/bin/python")))]
    return next((name for name in names if name and runs(name)), None)


def runs(name: str) -> bool:
    return subprocess.run([name, "--version"], capture_output=True).returncode == 0


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_versions_of_python_agree(version):
    name = interpreter(version)
    if name is None:
        pytest.skip(f"python{version} is not installed")
    script = SCRIPT.format(packages=code_hash.PACKAGES, opaque=code_hash.OPAQUE)
    process = subprocess.run([name, "-S", "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    current = code_hash.definitions()
    assert process.stdout.strip() == digest(f"{place} {code}" for place, code in sorted(current.items()))
