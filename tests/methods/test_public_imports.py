"""What the project tells users to write imports public modules alone, so that later moves do not break it."""

import ast
import re
from pathlib import Path

import pytest

import bench.testing
from bench.cli.new_method import TESTS_TEMPLATE, copyable, create_method
from bench.cli.templates import masked
from methods import METHODS
from tests.conftest import ROOT
from tests.methods.test_plugin_paths import ALIASES

PROJECT = ("bench", "methods", "reports", "tests")
PUBLIC = {"bench.testing", "methods", "methods.method", "methods.schedules"}
FAMILIES = {f"methods.{alias}" for alias in ALIASES}  # to extend a registered method

TUTORIAL = (ROOT / "docs" / "adding-a-method.md").read_text()
CODE_BLOCKS = re.findall(r"^```python\n(.*?)^```", TUTORIAL, re.DOTALL | re.MULTILINE)


def project_imports(source: str) -> set[str]:
    """The modules of this project that Python source imports, wherever the import stands."""
    modules = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    return {module for module in modules if module.partition(".")[0] in PROJECT}


def test_imports_are_found_wherever_they_stand():
    source = "import os, bench.cli\ndef f():\n    from methods.mixing import Mixing\n"
    assert project_imports(source) == {"bench.cli", "methods.mixing"}


@pytest.mark.parametrize("path", [Path(masked.__file__), TESTS_TEMPLATE], ids=lambda path: path.name)
def test_templates_import_public_modules_alone(path):
    assert project_imports(path.read_text())
    assert project_imports(path.read_text()) <= PUBLIC


def test_the_tutorial_imports_public_modules_alone():
    lines = [line for block in CODE_BLOCKS for line in block.splitlines() if re.match(r"\s*(from|import) ", line)]
    modules = project_imports("\n".join(line.strip() for line in lines))
    assert {"methods.method", "methods.schedules"} <= modules <= PUBLIC


@pytest.mark.parametrize("like", [None, *copyable()])
def test_a_new_plug_in_imports_public_modules_alone(like, tmp_path):
    path = tmp_path / "mine.py"
    create_method("mine", like, path)
    modules = project_imports(path.read_text())
    assert modules
    assert modules <= (PUBLIC | FAMILIES if like else PUBLIC)


def test_the_tutorial_names_every_public_module():
    for module in PUBLIC:
        assert f"`{module}`" in TUTORIAL
    for alias in ALIASES:
        assert f"`methods.{alias}`" in TUTORIAL or f"`.{alias}`" in TUTORIAL


def test_the_public_assertions_tell_right_from_wrong():
    bench.testing.assert_same_bound("mdlm", "md4", {"schedule": "cosine", "time": False})
    with pytest.raises(AssertionError, match="integral"):
        bench.testing.assert_same_bound("mdlm", "udlm")


def test_a_failed_check_is_named(monkeypatch):
    class Wrong(METHODS["mdlm"]):  # type: ignore[misc]
        neighbours = ()

        def bound(self, x, z, t, prediction):
            return 0.5 * super().bound(x, z, t, prediction)

    monkeypatch.setitem(METHODS, "wrong", Wrong)
    with pytest.raises(
        AssertionError,
        match=r"(?s)wrong fails \d+ of \d+ checks:\n.*bound of every text, .* required: between any two times",
    ):
        bench.testing.assert_passes_checks("wrong")
