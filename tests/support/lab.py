"""A small project whose code is hashed, with every kind of name that leads from one definition to another."""

from pathlib import Path

from bench.engine.code_hash import modules_below
from bench.engine.code_units.definitions import hashes
from bench.engine.code_units.modules import Project

ROOT = "lab.core:root"
CORE = """\
\"""A small project.\"""

import math
from typing import TYPE_CHECKING, Literal

import lab.deep.inner as inner
from lab import tools
from lab.shapes import Square as Shape, table

if TYPE_CHECKING:
    from lab.island import Lonely

RATE = 0.5
LOW, HIGH = 1, 2
STEPS = [1]
STEPS += [2]
if HIGH > 1:
    MODE = "high"
else:
    MODE = "low"
try:
    import missing_package
except ImportError:
    missing_package = None


def root(values, *, power=2) -> "Shape":
    \"""What is asked.\"""
    total, extra = 0, [value for value in values if value]  # a comment
    for value in values:
        total += scale(value) ** power

    def inside(step):
        nonlocal total
        total += step
        return lambda left: left + step

    from lab.lazy import late

    begin()
    finish()
    with tools.opened(HIGH) as stream:
        inside(stream)(late())
    try:
        total = math.sqrt(total)
    except ValueError as error:
        print(error)
    match total:
        case [first, *rest]:
            total = first
        case other if (doubled := other):
            total = doubled
    return Shape(total).area(inner.depth(), even(3), kind="area"), STEPS, MODE, missing_package, table["a"], extra


def scale(value: float) -> float:
    return value * RATE


def begin():
    return 1


def finish():
    return 2


@tools.traced
def even(n):
    return n == 0 or odd(n - 1)


def odd(n):
    return n != 0 and even(n - 1)


def lonely(x: "Lonely", kind: Literal["even"] = "even"):
    return LOW + x.size


def shadowing(scale):
    odd = scale
    return [even for even in odd]
"""
FILES = {
    "lab/__init__.py": "",
    "lab/core.py": CORE,
    "lab/deep/__init__.py": "",
    "lab/deep/inner.py": "from ..tools import shift\n\n\ndef depth():\n    return shift(3)\n",
    "lab/tools.py": (
        "def shift(x):\n    return x + 1\n\n\ndef traced(f):\n    return f\n\n\ndef opened(x):\n    return x\n\n\n"
        "def apart(x):\n    return x\n"
    ),
    "lab/shapes/__init__.py": "from lab.shapes.square import Square, table\n",
    "lab/shapes/square.py": (
        "from dataclasses import dataclass\n\n\nclass Base:\n    unit = 1\n\n\nclass Other:\n    unit = 1.0\n\n\n"
        "@dataclass\nclass Square(Base):\n    side: float = 1.0\n\n"
        "    def area(self, depth, flag, kind):\n        return self.side * depth * self.unit\n\n\n"
        "table = {}\ntable['a'] = 1\n"
    ),
    "lab/lazy.py": "def late():\n    return 4\n",
    "lab/island.py": "class Lonely:\n    size = 1\n",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    """The files of a project below a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def parsed(folder: Path, files: dict[str, str], opaque: dict[str, str] | None = None) -> Project:
    """The project of these files."""
    return Project(modules_below(write(folder, files), ["lab"]), opaque)


def hash_all(folder: Path, files: dict[str, str], opaque: dict[str, str] | None = None) -> dict[str, str]:
    """The hashes of the definitions of these files."""
    return hashes(parsed(folder, files, opaque))


def edited(*edits: tuple[str, str, str]) -> dict[str, str]:
    """The project with text of its files replaced."""
    files = dict(FILES)
    for name, old, new in edits:
        assert old in files[name]
        files[name] = files[name].replace(old, new)
    return files


def renamed(old: str, new: str, *edits: tuple[str, str, str]) -> dict[str, str]:
    """The project with a file under another name, and its text edited."""
    return {new if name == old else name: text for name, text in edited(*edits).items()}
