"""An error inside a plug-in or its helpers shows file and line, in every command in which it can come up."""

import json
from pathlib import Path

import pytest

from bench.certify import false_alarms
from bench.certify.check import Case
from bench.certify.checks import certify
from bench.cli.main import main
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from methods import METHODS, PLUGINS, plug
from tests.conftest import TINY
from tests.methods.test_plugins import PLUGIN

HELPER = """\
from pathlib import Path


def work():
    if Path(__file__).with_name("broken").exists():
        return {}["missing"]
    if Path(__file__).with_name("patching").exists():
        from bench.certify import false_alarms

        false_alarms.RATE = 0.0
"""
VERBS = """
    def bound(self, x, z, t, prediction):
        work()
        return super().bound(x, z, t, prediction)

    def transition(self, z, t, s, prediction):
        work()
        return super().transition(z, t, s, prediction)


METHODS ="""


@pytest.fixture(autouse=True)
def _restore_registries():
    """Forget the methods that a test registers."""
    registries = [(registry, dict(registry)) for registry in (METHODS, PLUGINS)]
    yield
    for registry, before in registries:
        registry.clear()
        registry.update(before)


def write(folder: Path) -> Path:
    """A plug-in whose verbs work until there is a file `broken` or `patching` beside it."""
    (folder / "helper.py").write_text(HELPER)
    (folder / "mine.py").write_text(f"from .helper import work\n{PLUGIN.replace(chr(10) + 'METHODS =', VERBS)}")
    (folder / "own.yaml").write_text(TINY.replace("  - {label: AR, method: ar}\n", "").replace("mdlm", "mine"))
    return folder / "mine.py"


def in_constructor(folder: Path, statement: str) -> Path:
    path = write(folder)
    path.write_text(path.read_text().replace("super().__init__(", f"{statement}; super().__init__("))
    return path


def test_a_certificate_shows_the_line(tmp_path):
    plug(write(tmp_path))
    (tmp_path / "broken").touch()
    (check,) = certify(Case("mine", {}), ("bound",))
    assert (check.passed, check.figure) == (False, "KeyError: 'missing' (helper.py:6)")
    checks = {check.name: check.figure for check in certify(Case("mine", {}), ("contract",))}
    assert checks["contract: bound"] == "KeyError: 'missing' (helper.py:6)"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with the results of the plug-in in `runs`."""
    folder = tmp_path_factory.mktemp("results")
    arguments = ["--runs", str(folder / "runs"), "--plugin", str(write(folder))]
    assert main(["run", str(folder / "own.yaml"), *arguments]) == DONE
    del METHODS["mine"], PLUGINS["mine"]
    return folder


@pytest.fixture
def trained(results, capsys):
    """The same, for one test."""
    for name in ("broken", "patching"):
        (results / name).unlink(missing_ok=True)
    capsys.readouterr()
    return results


def evaluate_again(folder: Path) -> str:
    """Evaluate the bound of the cell again; returns why that failed."""
    (cell,) = (folder / "runs" / "cells").iterdir()
    (stage,) = cell.glob("bound-*")
    (stage / "result.json").unlink(missing_ok=True)
    assert main(["cell", str(cell), "--plugin", str(folder / "mine.py")]) == FAILED
    return json.loads((stage / "failure.json").read_text())["reason"]


def test_a_cell_and_the_commands_on_it_show_the_line(trained, capsys):
    (trained / "broken").touch()
    (trained / "text.txt").write_text("abba")
    arguments = ["--runs", str(trained / "runs"), "--plugin", str(trained / "mine.py")]
    for command in (["sample", "own/MDLM", "--count", "1"], ["score", "own/MDLM", str(trained / "text.txt")]):
        assert main([*command, *arguments]) == USAGE_ERROR
        assert capsys.readouterr().err.endswith("the code of a plug-in failed: KeyError: 'missing' (helper.py:6)\n")
    assert evaluate_again(trained) == "KeyError: 'missing' (helper.py:6)"


def test_a_cell_whose_method_changes_the_harness_has_no_result(trained, monkeypatch):
    monkeypatch.setattr(false_alarms, "RATE", false_alarms.RATE)  # restored after the test
    (trained / "patching").touch()
    assert evaluate_again(trained).startswith("PluginError: bench.certify.false_alarms.RATE was changed by plug-in ")


@pytest.mark.parametrize("command", [["methods", "show", "mine"], ["plan", "own.yaml"], ["certify", "mine"]])
@pytest.mark.parametrize(
    ("statement", "message"),
    [("1 / 0", "ZeroDivisionError: division by zero (mine.py:12)"), ("int('x')", "base 10: 'x' (mine.py:12)")],
    ids=["a mistake", "a refusal"],
)
def test_an_error_in_the_constructor_shows_the_line(statement, message, command, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = in_constructor(tmp_path, statement)
    code = main([*command, "--plugin", str(path)])
    output = capsys.readouterr()
    assert code == USAGE_ERROR
    assert message in output.out + output.err
