"""A fingerprint of the code that numbers depend on: results of other code are stale.

Of the methods only the files that the one in question is written in count: a new method makes no other one stale.
"""

import ast
import hashlib
import inspect
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from methods import METHODS

ROOT = Path(__file__).resolve().parents[2]

NUMERICAL = ("bench/engine/**/*.py",)


JUDGING: tuple[str, ...] = ()  # what texts are worth depends on these files as well


def code_fingerprint(files: Sequence[str]) -> str:
    """12 hexadecimal digits over the source files that a number may depend on: `files` are those of its method, and of
    its stage."""
    return fingerprint((*NUMERICAL, *files))


def with_stage(files: Sequence[str], stage: str) -> tuple[str, ...]:
    """The files of a method with those that a stage alone depends on, so that a new metric makes no training stale."""
    return (*files, *(JUDGING if stage in ("quality", "controls") else ()))


@cache
def fingerprint(patterns: tuple[str, ...]) -> str:
    """12 hexadecimal digits over the names and contents of the project's files that match."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def written_in(method: str) -> tuple[str, ...]:
    """The files of the project that a registered method is written in: its own and those that they import.

    Of a plug-in those that its file imports; its own code is part of the ids of its results.
    """
    files, new = set[Path](), {Path(inspect.getfile(METHODS[method]))}
    while new:
        files |= new
        new = {each for file in new for each in _imported(file, file.stat().st_mtime_ns)} - files
    return tuple(sorted(file.relative_to(ROOT).as_posix() for file in files if file.parent == ROOT / "methods"))


@cache
def _imported(file: Path, changed: int) -> tuple[Path, ...]:
    """The files of methods/ that a file imports from, parsed once for each time at which it was changed."""
    nodes = (node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.ImportFrom))
    modules = [node.module for node in nodes if node.module and node.module.startswith("methods.")]
    return tuple(ROOT / f"{module.replace('.', '/')}.py" for module in modules)
