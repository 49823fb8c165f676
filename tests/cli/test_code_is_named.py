"""Code runs only if the user names it: results that come from someone else cannot name code to run."""

import json

import pytest

from bench.cli.main import main
from bench.engine.storage import read_suite
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.results.staleness import list_changed_plugins
from methods import METHODS, PLUGINS
from tests.conftest import TINY
from tests.methods.test_plugins import PLUGIN

MARK = "open({path!r}, 'w').close()\n"


@pytest.fixture(autouse=True)
def registry():
    """Whatever a test registers is forgotten after it."""
    kept = [(store, dict(store)) for store in (METHODS, PLUGINS)]
    yield
    for store, content in kept:
        store.clear()
        store.update(content)


def forget(name: str) -> None:
    METHODS.pop(name, None)
    PLUGINS.pop(name, None)


@pytest.fixture
def trained(tmp_path, capsys):
    """Results of an arm whose method is a plug-in, which leaves a file whenever it is executed."""
    mark = tmp_path / "executed"
    (tmp_path / "mine.py").write_text(PLUGIN + MARK.format(path=str(mark)))
    (tmp_path / "own.yaml").write_text(TINY.replace("{label: AR, method: ar}", "{label: Mine, method: mine}"))
    arguments = ["run", str(tmp_path / "own.yaml"), "--runs", str(tmp_path / "runs")]
    assert main([*arguments, "--plugin", str(tmp_path / "mine.py")]) == DONE
    forget("mine")
    mark.unlink()
    capsys.readouterr()
    return tmp_path


def test_samples_need_the_plug_in_to_be_named(trained, capsys):
    arguments = ["sample", "own/Mine", "--runs", str(trained / "runs"), "--count", "1", "--template", "a_b"]
    assert main(arguments) == USAGE_ERROR
    assert f"whose code runs only if you name it: --plugin {trained / 'mine.py'}" in capsys.readouterr().err
    assert not (trained / "executed").exists()

    assert main([*arguments, "--plugin", str(trained / "mine.py")]) == DONE
    assert "conditioning is exact" in capsys.readouterr().out
    assert (trained / "executed").exists()


def test_an_edited_plug_in_is_not_taken_for_the_one_that_was_trained(trained, capsys):
    with (trained / "mine.py").open("a") as file:
        file.write("# a change\n")
    arguments = ["sample", "own/Mine", "--runs", str(trained / "runs"), "--plugin", str(trained / "mine.py")]
    assert main(arguments) == USAGE_ERROR
    assert "changed since the suite was planned" in capsys.readouterr().err


def test_status_says_that_a_plug_in_has_changed_without_executing_it(trained, capsys):
    arguments, plugin = ["status", str(trained / "own.yaml"), "--runs", str(trained / "runs")], trained / "mine.py"
    assert main(arguments) == DONE
    assert "plug-in" not in capsys.readouterr().out

    plugin.write_text(PLUGIN + "raise SystemExit('executed')\n")
    assert main(arguments) == DONE
    assert f"plug-in {plugin} has changed: the results of Mine were made by " in capsys.readouterr().out

    plugin.unlink()
    (sentence,) = list_changed_plugins(trained / "runs", read_suite(trained / "runs", "own"))
    assert sentence.startswith(f"plug-in {plugin} is gone; the results of Mine")


@pytest.mark.parametrize("command", ["sample", "cell", "status", "report", "compare", "score", "sync"])
def test_no_command_executes_what_a_job_names(command, trained, capsys):
    runs = trained / "runs"
    (cell,) = (path for path in (runs / "cells").iterdir() if json.loads((path / "job.json").read_text())["plugin"])
    for result in cell.glob("bound-*/result.json"):
        result.unlink()
    (trained / "text.txt").write_text("a b")
    arguments = {
        "sample": [str(cell)],
        "cell": [str(cell)],
        "status": ["own", "--runs", str(runs)],
        "report": ["own", "--runs", str(runs)],
        "compare": ["own/Mine", "own/Mine", "--runs", str(runs)],
        "score": [str(cell), str(trained / "text.txt")],
        "sync": ["own", "--runs", str(runs)],
    }[command]
    code = main([command, *arguments])
    assert not (trained / "executed").exists()
    if command in ("sample", "score"):
        assert code == USAGE_ERROR
        assert "--plugin" in capsys.readouterr().err
    if command == "cell":
        assert code == FAILED
        assert "--plugin" in json.loads(next(cell.glob("bound-*/failure.json")).read_text())["reason"]


def test_a_job_cannot_bring_code_for_a_registered_method(trained):
    runs = trained / "runs"
    foreign = trained / "foreign.py"
    foreign.write_text(MARK.format(path=str(trained / "executed")) + "METHODS = {}\n")
    for path in (runs / "cells").glob("*/job.json"):
        job = json.loads(path.read_text())
        path.write_text(json.dumps({**job, "plugin": str(foreign)}))
        main(["sample", str(path.parent), "--count", "1", "--calls", "2"])
    assert not (trained / "executed").exists()
