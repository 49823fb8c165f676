"""Names are nouns with content, and modules are called by words of the field."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BANNED = {  # pronouns and participles: they do not say what a variable holds
    *("all", "each", "its", "one", "other", "own", "some", "there", "whole"),
    *("asked", "done", "found", "given", "kept", "known", "left", "made", "said", "seen", "told", "used", "wanted"),
}
BANNED_MODULES = {"across", "all", "facts", "judges", "laying", "learned", "method_cache", "sides", "traits"}

ALLOWED = {  # banned names that are still defined in a room; rooms that are not listed have none. May only fall.
    "bench/certify": 8,
    "bench/engine": 1,
    "bench/plan": 3,
    "bench/results": 1,
    "bench/suite": 2,
    "methods": 1,  # a field of the contract
    "reports": 1,
}


def list_rooms() -> list[str]:
    """The packages inside bench, and the other top packages."""
    rooms = [f"bench/{path.parent.name}" for path in (ROOT / "bench").glob("*/__init__.py")]
    return sorted([*rooms, "methods", "reports"])


def list_names(tree: ast.AST) -> Iterator[str]:
    """The names of all variables, parameters and functions that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def count_banned(folder: Path) -> Counter[str]:
    """How often each banned name is defined in the modules of a folder, by "file: name"."""
    counts: Counter[str] = Counter()
    for path in folder.rglob("*.py"):
        for name in list_names(ast.parse(path.read_text(encoding="utf-8"))):
            if name in BANNED:
                counts[f"{path.relative_to(ROOT)}: {name}"] += 1
    return counts


@pytest.mark.parametrize("room", list_rooms())
def test_names_have_content(room):
    counts = count_banned(ROOT / room)
    allowed = ALLOWED.get(room, 0)
    assert counts.total() <= allowed, f"{room} defines more than {allowed} banned names: {dict(counts)}"


def test_modules_are_called_by_words_of_the_field():
    modules = [path for top in ("bench", "methods", "reports") for path in (ROOT / top).rglob("*.py")]
    assert [str(path.relative_to(ROOT)) for path in modules if path.stem in BANNED_MODULES] == []


def test_a_banned_name_is_found_wherever_it_is_defined():
    source = "def told(own, *, each=1):\n    found = [one for one in own]\n    self.kept: int = 2\n    return found"
    assert Counter(list_names(ast.parse(source))) == Counter(["told", "own", "each", "found", "one", "kept"])
