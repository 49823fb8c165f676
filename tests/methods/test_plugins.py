"""A user's own method works from its own file, and its code is part of what its numbers are."""

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import bench
from bench.cli.main import main
from bench.engine.code_hash import fingerprint, written_in
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from methods import METHODS, PLUGINS, PluginError, build, plug
from methods.plugins import plug_installed
from tests.conftest import TINY

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
    assert main(["cell", str(cell)]) == FAILED
    assert "changed since the suite was planned" in json.loads((cell / "train" / "failure.json").read_text())["reason"]


def test_a_certificate_of_a_plug_in_lies_beside_the_results(plugin, suite, tmp_path, monkeypatch, capsys):
    runs = tmp_path / "runs"
    monkeypatch.setattr("bench.certify.checks.QUESTIONS", ("kraft",))
    assert main(["run", str(suite), "--runs", str(runs), "--plugin", str(plugin)]) == DONE
    assert main(["certify", "mine", "--write", "--plugin", str(plugin), "--runs", str(runs)]) == DONE
    assert [each.name.split("-")[0] for each in (runs / "certificates").iterdir()] == ["mine"]
    forget()
    assert arms(tmp_path) == {"AR": "exact", "MINE": "certified"}


def test_the_files_that_a_plug_in_imports_are_part_of_its_code(plugin):
    plug(plugin)
    assert written_in("mine") == ("methods/masked/absorbing.py", "methods/method.py", "methods/schedules.py")
    assert fingerprint(written_in("mine")) != fingerprint(written_in("gidd"))


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
    "not there": (None, "there is no such file"),
    "no syntax": ("class Mine(\n", r"mine.py:1:11: "),
    "an error": ("x = 1\ny = 1 / 0\n", r"mine.py:2: ZeroDivisionError"),
    "no METHODS": ("x = 1\n", r'names no methods; end it with METHODS = {"my-method": MyMethod}'),
    "a bad name": (PLUGIN.replace('"mine"', '"My Method"'), "cannot be the name of a method"),
    "a name taken": (PLUGIN.replace('"mine"', '"mdlm"'), 'method "mdlm" is registered by the project already'),
    "no method": (PLUGIN.replace("Mine}", "int}"), "has to be a subclass of methods.method.Method"),
    "no paper": (PLUGIN.replace("    paper =", "    source ="), "does not say where it comes from"),
    "unfinished": (
        "from methods.method import Method\nclass Mine(Method):\n    paper = ''\nMETHODS = {'mine': Mine}\n",
        "Mine lacks bound, corrupt",
    ),
    "no vocab_size": (
        PLUGIN.replace("vocab_size: int", "size: int").replace("(vocab_size", "(size"),
        "vocab_size first",
    ),
    "an untyped option": (PLUGIN.replace("schedule: Schedule = ", "schedule="), "needs a type and a default"),
    "no default": (PLUGIN.replace("schedule: Schedule = Linear()", "schedule: Schedule"), "needs a type and a default"),
}


@pytest.mark.parametrize(("text", "told"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_with_a_plug_in_is_told_before_anything_runs(text, told, plugin, capsys):
    plugin.unlink() if text is None else plugin.write_text(text)
    before = dict(METHODS)
    assert main(["methods", "--plugin", str(plugin)]) == USAGE_ERROR
    found = capsys.readouterr().err
    assert told in found
    assert "mine.py" in found
    assert before == METHODS


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
