"""A user's own method works from its own file, and its code is part of what its numbers are."""

import json
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import bench
from bench.cli.main import main
from bench.engine.code_hash import method_roots, stage_code
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from methods import METHODS, PLUGINS, PluginError, build, plug
from methods.plugins import plug_installed
from tests.conftest import ROOT, TINY
from tests.support.certifying import limit_checks

PLUGIN = """\
from methods.absorbing import Absorbing
from methods.schedules import Linear, Schedule


class Mine(Absorbing):
    \"""Mine is masked.\"""

    paper = "Nobody 2026, arXiv:0000.00000"

    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__(vocab_size, schedule, False, None, True, True)


METHODS = {"mine": Mine}
"""


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    """Whatever a test registers is forgotten after it."""
    kept, plugins = dict(METHODS), dict(PLUGINS)
    yield
    for store, content in ((METHODS, kept), (PLUGINS, plugins)):
        store.clear()
        store.update(content)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY.replace("{label: MDLM, method: mdlm}", "{label: MINE, method: mine}"))
    return path


def forget() -> None:
    METHODS.pop("mine", None)
    PLUGINS.pop("mine", None)


def arms(folder: Path) -> dict[str, str]:
    table = bench.load(folder / "runs")
    return dict(table[table["metric"] == "bits_per_char"].set_index("arm")["kind"])


def test_a_suite_runs_a_method_of_the_user_s_own(plugin, suite, tmp_path, capsys):
    runs = ["--runs", str(tmp_path / "runs")]
    assert main(["run", str(suite), *runs]) == USAGE_ERROR
    assert 'unknown method "mine"' in (told := capsys.readouterr().err)
    assert "--plugin FILE" in told
    assert main(["run", str(suite), *runs, "--plugin", str(plugin)]) == DONE
    assert arms(tmp_path) == {"AR": "exact", "MINE": "bound"}
    forget()  # a report needs no plug-in
    assert main(["report", str(suite), *runs]) == DONE
    assert arms(tmp_path) == {"AR": "exact", "MINE": "bound"}


def test_other_code_of_a_plug_in_is_other_science(plugin, suite, tmp_path, capsys):
    runs = ["--runs", str(tmp_path / "runs")]
    assert main(["run", str(suite), *runs, "--plugin", str(plugin)]) == DONE
    cells = set((tmp_path / "runs" / "cells").iterdir())
    assert main(["run", str(suite), *runs, "--plugin", str(plugin)]) == DONE
    assert set((tmp_path / "runs" / "cells").iterdir()) == cells
    plugin.write_text(PLUGIN + "# a change\n")
    assert main(["run", str(suite), *runs, "--plugin", str(plugin)]) == DONE
    assert len(set((tmp_path / "runs" / "cells").iterdir()) - cells) == 1


def test_a_cell_whose_plug_in_changed_fails_with_the_reason(plugin, suite, tmp_path):
    runs = tmp_path / "runs"
    assert main(["run", str(suite), "--runs", str(runs), "--plugin", str(plugin)]) == DONE
    (cell,) = (each for each in (runs / "cells").iterdir() if "mine" in (each / "job.json").read_text())
    (cell / "train" / "result.json").unlink()
    plugin.write_text(PLUGIN + "# a change\n")
    forget()
    assert main(["cell", str(cell), "--plugin", str(plugin)]) == FAILED
    assert "changed since the suite was planned" in json.loads((cell / "train" / "failure.json").read_text())["reason"]


def test_a_certificate_of_a_plug_in_lies_beside_the_results(plugin, suite, tmp_path, monkeypatch, capsys):
    runs = tmp_path / "runs"
    limit_checks(monkeypatch, "bound")
    assert main(["run", str(suite), "--runs", str(runs), "--plugin", str(plugin)]) == DONE
    assert main(["certify", "mine", "--write", "--plugin", str(plugin), "--runs", str(runs)]) == DONE
    assert [each.name.split("-")[0] for each in (runs / "certificates").iterdir()] == ["mine"]
    forget()
    assert arms(tmp_path) == {"AR": "exact", "MINE": "certified"}


def test_what_a_plug_in_imports_is_part_of_its_code(plugin):
    plug(plugin)
    roots = method_roots("mine")
    assert {"methods.masked.absorbing:Absorbing", "methods.schedules:Linear"} <= {*roots}
    assert stage_code("bound", roots) != stage_code("bound", method_roots("gidd"))


def test_the_commands_on_methods_take_plug_ins(plugin, capsys):
    assert main(["methods", "--plugin", str(plugin)]) == DONE
    assert "mine" in capsys.readouterr().out
    forget()
    assert main(["methods", "show", "mine", "--plugin", str(plugin)]) == DONE
    assert "Nobody 2026" in capsys.readouterr().out
    forget()
    assert main(["methods", "--plugin", str(plugin), "show", "mine"]) == DONE


def test_a_plug_in_is_read_anew(plugin):
    plug(plugin)
    plugin.write_text(PLUGIN.replace("Nobody", "Anybody"))
    plug(plugin)
    assert METHODS["mine"].paper.startswith("Anybody")


FAULTS = {
    "no file": (None, "there is no such file"),
    "a syntax error": ("class Mine(\n", r"mine.py:1:11: "),
    "a null byte": ("x = 1\0\n", r"mine.py:1"),
    "an error": ("x = 1\ny = 1 / 0\n", r"mine.py:2: ZeroDivisionError"),
    "a missing module": (
        "import math\nimport not_a_module\n",
        "mine.py:2: ModuleNotFoundError: No module named 'not_a",
    ),
    "a missing name": ("from methods.method import Nothing\n", "mine.py:1: ImportError: cannot import name 'Nothing'"),
    "an exit": ("import sys\n\nsys.exit(0)\n", "mine.py:3: the plug-in exits when it is imported (SystemExit: 0)"),
    "an exit at once": (
        "import os\n\nos._exit(0)\n",
        "mine.py:3: the plug-in exits when it is imported (SystemExit: 0)",
    ),
    "another program": (
        "import os\n\nos.execlp('true', 'true')\n",
        "mine.py:3: the plug-in exits when it is imported (SystemExit: ",
    ),
    "an exit without a code": ("raise SystemExit\n", "mine.py:1: the plug-in exits when it is imported"),
    "another kind of exception": ("raise GeneratorExit('no')\n", "mine.py:1: GeneratorExit: no"),
    "no METHODS": ("x = 1\n", r'no methods are named; end the file with METHODS = {"my-method": MyMethod}'),
    "a bad name": (PLUGIN.replace('"mine"', '"My Method"'), "cannot be the name of a method"),
    "a taken name": (PLUGIN.replace('"mine"', '"mdlm"'), 'method "mdlm" is registered by the project already'),
    "no method": (PLUGIN.replace("Mine}", "int}"), "has to be a subclass of methods.method.Method"),
    "no paper": (
        PLUGIN.replace("    paper =", "    source ="),
        "mine.py:5: Mine does not name its source; add paper =",
    ),
    "an abstract class": (
        "from methods.method import Method\nclass Mine(Method):\n    paper = ''\nMETHODS = {'mine': Mine}\n",
        "mine.py:2: Mine lacks bound, corrupt",
    ),
    "no vocab_size": (
        PLUGIN.replace("vocab_size: int", "size: int").replace("(vocab_size", "(size"),
        "mine.py:5: Mine has to take vocab_size first",
    ),
    "an untyped option": (PLUGIN.replace("schedule: Schedule = ", "schedule="), "needs a type and a default"),
    "no default": (PLUGIN.replace("schedule: Schedule = Linear()", "schedule: Schedule"), "needs a type and a default"),
    "an unknown type": (
        PLUGIN.replace("schedule: Schedule =", "schedule: 'Nothing' ="),
        "the type of an option of Mine",
    ),
}
COMMANDS = {
    "methods": ["methods"],
    "certify": ["certify", "mine"],
    "run": ["run", "tiny.yaml"],
}


@pytest.mark.parametrize(("text", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_plug_in_that_cannot_be_used_is_wrong_usage(text, reason, plugin, capsys):
    plugin.unlink() if text is None else plugin.write_text(text)
    before = dict(METHODS)
    assert main(["methods", "--plugin", str(plugin)]) == USAGE_ERROR
    message = capsys.readouterr().err
    assert reason in message
    assert "mine.py" in message
    assert before == METHODS


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    "fault", ["no file", "a syntax error", "a missing module", "an exit", "an exit at once", "no METHODS"]
)
def test_no_command_takes_a_plug_in_that_fails_to_load_for_a_failed_check(
    command, fault, plugin, suite, capsys, monkeypatch
):
    """Exit code 3 would be a rejection by the certificate, and 0 a success."""
    text, reason = FAULTS[fault]
    plugin.unlink() if text is None else plugin.write_text(text)
    monkeypatch.chdir(suite.parent)
    assert main([*command, "--plugin", str(plugin)]) == USAGE_ERROR
    assert reason in capsys.readouterr().err
    assert not (suite.parent / "runs").exists()


def test_an_exiting_plug_in_ends_the_process_with_the_code_of_wrong_usage(plugin):
    plugin.write_text(FAULTS["an exit"][0])
    command = [sys.executable, "-m", "bench", "certify", "mine", "--plugin", str(plugin)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert process.returncode == USAGE_ERROR
    assert f"{plugin}:3: the plug-in exits" in process.stderr


def test_a_method_that_exits_when_it_is_built_is_no_success(plugin, suite, monkeypatch, capsys):
    text = PLUGIN.replace("super().__init__(", "import sys; sys.exit(0); super().__init__(")
    plugin.write_text(text)
    assert text != PLUGIN
    monkeypatch.chdir(suite.parent)
    assert main(["run", str(suite), "--plugin", str(plugin)]) == USAGE_ERROR
    assert "ended the command: SystemExit: 0" in capsys.readouterr().err


def test_all_methods_of_a_plug_in_are_registered_or_none(plugin):
    plugin.write_text(PLUGIN.replace("METHODS = {", 'METHODS = {"fine": Mine, ').replace('"mine"', '"mdlm"'))
    with pytest.raises(PluginError, match="registered by the project already"):
        plug(plugin)
    assert "fine" not in METHODS


def test_an_interrupted_import_stays_an_interruption(plugin):
    plugin.write_text("raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        plug(plugin)


def test_installed_packages_offer_methods(tmp_path, monkeypatch):
    package = tmp_path / "somebodys_methods"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "mine.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    point = EntryPoint("theirs", "somebodys_methods.mine:Mine", "bench.methods")
    plug_installed([point], METHODS)
    assert build("theirs", 3).vocab_size == 3
    code = PLUGINS["theirs"].code
    (package / "helper.py").write_text("x = 1\n")  # any file of the package may matter
    plug_installed([point], METHODS)
    assert PLUGINS["theirs"].code != code
    with pytest.raises(PluginError, match=r"somebodys_methods\.nothing:Mine.*No module named"):
        plug_installed([EntryPoint("x", "somebodys_methods.nothing:Mine", "bench.methods")], METHODS)
    (package / "exits.py").write_text("raise SystemExit(0)\n")
    with pytest.raises(PluginError, match=r"somebodys_methods\.exits:Mine.*the plug-in exits"):
        plug_installed([EntryPoint("x", "somebodys_methods.exits:Mine", "bench.methods")], METHODS)
