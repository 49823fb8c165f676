"""What the code hash depends on and what it does not: laws on a small project."""

import ast
import itertools

import pytest

from bench.engine.code_units.cycles import circles
from bench.engine.code_units.definitions import hashes, reached
from bench.engine.code_units.modules import Project, Unit
from tests.support.lab import FILES, ROOT, edited, hash_all, parsed, renamed


@pytest.fixture
def numbers(tmp_path):
    """A new folder for each project that a test compares."""
    return (tmp_path / str(number) for number in itertools.count())


NEUTRAL = {
    "a comment": edited(("lab/core.py", "# a comment", "# another comment")),
    "docstrings": edited(
        ("lab/core.py", '"""What is asked."""', '"""Other words."""'), ("lab/core.py", "small", "big")
    ),
    "layout": edited(("lab/core.py", "return value * RATE", "\n    return (\n        value * RATE\n    )")),
    "the order of definitions": edited(
        ("lab/core.py", "def scale(value: float) -> float:\n    return value * RATE\n", "")
    ),
    "a local variable": edited(("lab/core.py", "total", "amount"), ("lab/core.py", "stream", "handle")),
    "a caught error": edited(("lab/core.py", "as error", "as fault"), ("lab/core.py", "print(error)", "print(fault)")),
    "captures of a pattern": edited(
        ("lab/core.py", "[first,", "[head,"), ("lab/core.py", "total = first", "total = head")
    ),
    "a captured name": edited(("lab/core.py", "other", "whichever"), ("lab/core.py", "doubled", "twofold")),
    "a nested function": edited(("lab/core.py", "inside", "within")),
    "a parameter of a lambda": edited(("lab/core.py", "lambda left: left", "lambda right: right")),
    "a function": edited(("lab/core.py", "scale(value", "stretch(value")),
    "a constant": edited(
        ("lab/core.py", "RATE", "SHARE"), ("lab/core.py", "HIGH", "TOP"), ("lab/core.py", "STEPS", "X")
    ),
    "functions in a circle": edited(("lab/core.py", "odd(", "is_odd("), ("lab/core.py", "even(", "is_even(")),
    "another name for an import": edited(
        ("lab/core.py", "inner as inner", "inner as i"), ("lab/core.py", "inner.d", "i.d")
    ),
    "another way to import": edited(
        ("lab/core.py", "import lab.deep.inner as inner", "import lab.deep.inner"),
        ("lab/core.py", "inner.depth()", "lab.deep.inner.depth()"),
    ),
    "a foreign name imported otherwise": edited(
        ("lab/core.py", "import math", "from math import sqrt"), ("lab/core.py", "math.sqrt", "sqrt")
    ),
    "an import at the top": edited(
        ("lab/core.py", "    from lab.lazy import late\n", ""),
        ("lab/core.py", "import math\n", "import math\nfrom lab.lazy import late\n"),
    ),
    "a class": edited(
        ("lab/core.py", "Square", "Quad"),
        ("lab/shapes/__init__.py", "Square", "Quad"),
        ("lab/shapes/square.py", "Square", "Quad"),
    ),
    "a file": renamed(
        "lab/tools.py", "lab/helpers.py", ("lab/core.py", "tools", "helpers"), ("lab/deep/inner.py", "tools", "helpers")
    ),
    "a move into a package": renamed("lab/lazy.py", "lab/deep/lazy.py", ("lab/core.py", "lab.lazy", "lab.deep.lazy")),
    "a re-export left out": edited(("lab/core.py", "from lab.shapes ", "from lab.shapes.square ")),
    "a split of a file": edited(
        ("lab/tools.py", "def shift(x):\n    return x + 1\n", ""),
        ("lab/deep/inner.py", "..tools", "..lazy"),
        ("lab/lazy.py", "def late", "def shift(x):\n    return x + 1\n\n\ndef late"),
    ),
    "what is not reached": edited(("lab/tools.py", "def apart(x):\n    return x", "def apart(x):\n    return -x")),
    "what type checkers alone see": edited(("lab/island.py", "size = 1", "size = 2")),
}
NEUTRAL["the order of definitions"]["lab/core.py"] += "\n\ndef scale(value: float) -> float:\n    return value * RATE\n"


@pytest.mark.parametrize("files", NEUTRAL.values(), ids=NEUTRAL)
def test_a_change_that_means_nothing_changes_no_hash(files, numbers):
    before, after = hash_all(next(numbers), FILES), hash_all(next(numbers), files)
    assert after[ROOT] == before[ROOT]
    assert sorted(set(before.values()) - set(after.values())) in (
        [],
        [before["lab.tools:apart"]],
        [before["lab.island:Lonely"]],
    )


MEANT = {
    "a constant": [("lab/core.py", "RATE = 0.5", "RATE = 0.25")],
    "a type of a constant": [("lab/core.py", "RATE = 0.5", "RATE = True")],
    "which of two names": [("lab/core.py", "opened(HIGH)", "opened(LOW)")],
    "an operator": [("lab/core.py", "value * RATE", "value / RATE")],
    "a default": [("lab/core.py", "power=2", "power=3")],
    "a keyword": [("lab/core.py", 'kind="area"', 'flag="area"')],
    "the name of a parameter": [
        (
            "lab/core.py",
            "def scale(value: float) -> float:\n    return value",
            "def scale(v: float) -> float:\n    return v",
        )
    ],
    "the order of parameters": [("lab/shapes/square.py", "depth, flag", "flag, depth")],
    "a decorator": [("lab/core.py", "@tools.traced\n", "")],
    "a decorator that becomes a base": [
        ("lab/shapes/square.py", "@dataclass\nclass Square(Base)", "class Square(dataclass, Base)")
    ],
    "a base class": [("lab/shapes/square.py", "Square(Base)", "Square(Other)")],
    "the order of statements": [("lab/core.py", "    begin()\n    finish()\n", "    finish()\n    begin()\n")],
    "an attribute": [("lab/shapes/square.py", "self.unit", "self.side")],
    "the name of a field": [("lab/shapes/square.py", "side: float", "edge: float")],
    "the type of a field": [("lab/shapes/square.py", "side: float", "side: int")],
    "a called function": [("lab/core.py", "inner.depth()", "tools.shift(3)")],
    "a foreign function": [("lab/core.py", "math.sqrt", "math.cbrt")],
    "a function down the chain": [("lab/tools.py", "x + 1", "x + 2")],
    "an annotation": [("lab/core.py", "value: float", "value: int")],
    "a quoted annotation": [("lab/core.py", '-> "Shape"', '-> "float"')],
    "which local variable": [("lab/core.py", "return lambda left: left", "return lambda left: step")],
    "a lazy import": [("lab/core.py", "from lab.lazy import late", "from lab.tools import apart as late")],
    "a function that is imported late": [("lab/lazy.py", "4", "5")],
    "a condition of a definition": [("lab/core.py", "if HIGH > 1", "if HIGH > 2")],
    "a second assignment": [("lab/core.py", "STEPS += [2]", "STEPS += [3]")],
    "an attempt to import": [("lab/core.py", "import missing_package", "import other_package as missing_package")],
    "a loose statement": [("lab/shapes/square.py", "table['a'] = 1", "table['a'] = 2")],
    "one of a circle": [("lab/core.py", "n != 0", "n > 0")],
    "the other one of a circle": [("lab/core.py", "n == 0", "n < 1")],
    "who calls whom in a circle": [("lab/core.py", "odd(n - 1)", "even(n - 1)")],
    "a pattern": [("lab/core.py", "[first, *rest]", "[*rest, first]")],
}


@pytest.mark.parametrize("edits", MEANT.values(), ids=MEANT)
def test_a_change_of_meaning_changes_the_hash_of_what_reaches_it(edits, numbers):
    before, after = hash_all(next(numbers), FILES), hash_all(next(numbers), edited(*edits))
    assert after[ROOT] != before[ROOT]


@pytest.mark.parametrize("edits", MEANT.values(), ids=MEANT)
def test_a_change_changes_no_hash_of_what_does_not_reach_it(edits, numbers):
    projects = [parsed(next(numbers), files) for files in (FILES, edited(*edits))]
    before, after = (hashes(project) for project in projects)
    changed = set.union(*(statements(project) for project in projects)) - set.intersection(*map(statements, projects))
    for place in before.keys() & after.keys():
        texts = {text(unit) for project in projects for unit in reached(project, [place])}
        assert (before[place] != after[place]) == bool(texts & changed), place


def statements(project: Project) -> set[str]:
    """The texts of all top-level statements."""
    return {text(unit) for module in project.modules.values() for unit in (*module.units, *module.loose)}


def text(unit: Unit) -> str:
    return f"{unit.module} {ast.unparse(unit.node)}"


def test_a_local_variable_hides_a_definition_of_its_name(numbers):
    before, after = hash_all(next(numbers), FILES), hash_all(next(numbers), edited(("lab/core.py", "n == 0", "n < 1")))
    assert before["lab.core:shadowing"] == after["lab.core:shadowing"]
    project = parsed(next(numbers), FILES)
    assert {unit.place for unit in reached(project, ["lab.core:shadowing"])} == {"lab.core:shadowing"}


SEVERAL = {
    "an import and a variable": "def root():\n    from lab.tools import f\n    f = print(f)\n    return f\n",
    "two imports in a function": (
        "def root(x):\n    if x:\n        from lab.tools import f\n"
        "    else:\n        from lab.others import f\n    return f\n"
    ),
    "two imports in a module": "if 1:\n    from lab.tools import f\nelse:\n    from lab.others import f\nroot = f\n",
    "an import that is wrapped": "from lab.tools import f\n\nf = print(f)\nroot = f\n",
    "a module that is one of two": "try:\n    import lab.tools as t\nexcept ImportError:\n    t = None\nroot = t.f\n",
}


@pytest.mark.parametrize("text", SEVERAL.values(), ids=SEVERAL)
def test_a_name_that_is_bound_in_several_ways_stands_for_all_of_them(text, numbers):
    files = {
        "lab/core.py": text,
        "lab/tools.py": "def f():\n    return 1\n",
        "lab/others.py": "def f():\n    return 2\n",
    }
    before = hash_all(next(numbers), files)
    assert before[ROOT] != hash_all(next(numbers), files | {"lab/tools.py": "def f():\n    return 3\n"})[ROOT]


def test_a_name_declared_global_is_the_module_s(numbers):
    text = "count = 0\n\n\ndef root():\n    global count\n    count = 1\n"
    before = hash_all(next(numbers), {"lab/core.py": text})
    after = hash_all(next(numbers), {"lab/core.py": text.replace("count = 0", "count = 5")})
    assert before[ROOT] != after[ROOT]


def test_the_names_of_a_class_body_are_seen_in_the_body_and_not_in_its_methods(numbers):
    text = "size = 1\n\n\nclass root:\n    size = 2\n    twice = 2 * size\n\n    def area(self):\n        return size\n"
    before = hash_all(next(numbers), {"lab/core.py": text})
    after = hash_all(next(numbers), {"lab/core.py": text.replace("size = 1", "size = 3")})
    assert before[ROOT] != after[ROOT]


def test_a_module_that_is_handed_on_counts_as_a_whole(numbers):
    files = {"lab/core.py": "from lab import tools\n\n\ndef root(f):\n    return f(tools)\n", "lab/tools.py": "A = 1\n"}
    before = hash_all(next(numbers), files)
    assert before[ROOT] != hash_all(next(numbers), files | {"lab/tools.py": "A = 2\n"})[ROOT]


def test_all_names_that_a_module_imports_with_a_star_are_followed(numbers):
    files = {"lab/core.py": "from lab.tools import *\n\n\ndef root():\n    return A\n", "lab/tools.py": "A = 1\n"}
    before = hash_all(next(numbers), files)
    assert before[ROOT] != hash_all(next(numbers), files | {"lab/tools.py": "A = 2\n"})[ROOT]


def test_a_registry_that_is_opaque_is_not_followed(numbers):
    files = {
        "lab/core.py": "from lab.tools import ALL\n\n\ndef root(n):\n    return ALL[n]\n",
        "lab/tools.py": "ALL = {}\n",
    }
    changed = files | {"lab/tools.py": "ALL = {1: 2}\n"}
    opaque = {"lab.tools:ALL": "all"}
    assert hash_all(next(numbers), files, opaque)[ROOT] == hash_all(next(numbers), changed, opaque)[ROOT]
    assert hash_all(next(numbers), files)[ROOT] != hash_all(next(numbers), changed)[ROOT]


@pytest.mark.parametrize("order", ["abc", "bca", "cab", "cba"])
def test_circles_come_after_what_they_lead_to(order):
    edges = {"a": ["b"], "b": ["a", "c"], "c": []}
    assert [sorted(circle) for circle in circles({node: edges[node] for node in order})] == [["c"], ["a", "b"]]
