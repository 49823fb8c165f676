"""A plug-in imports helpers from its own folder, and from no other; they are part of its code."""

import json
import pickle
import sys
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.engine.code_hash import method_roots
from bench.engine.storage import read_suite
from bench.launch.exit_codes import DONE, FAILED
from bench.results.staleness import list_changed_plugins
from methods import METHODS, PLUGINS, PluginError, build, plug
from methods.plugin_files import digest, read_plugin
from tests.conftest import TINY

PLUGIN = """\
from .noise import Masked
from .tables import constants as numbers


class Mine(Masked):
    \"""Mine is masked.\"""

    paper = "Nobody 2026, arXiv:0000.00000"
    scale = numbers.SCALE

    def bound(self, x, z, t, prediction):
        from .late import weigh

        return weigh(super().bound(x, z, t, prediction))


METHODS = {"mine": Mine}
"""
HELPERS = {
    "noise.py": """\
from methods.absorbing import Absorbing
from methods.schedules import Linear, Schedule


class Masked(Absorbing):
    paper = "Nobody 2026, arXiv:0000.00000"

    def __init__(self, vocab_size: int, schedule: Schedule = Linear()):
        super().__init__(vocab_size, schedule, False, None, True, True)
""",
    "late.py": "from . import tables\n\n\ndef weigh(nats):\n    return 1.0 * nats\n",
    "tables/__init__.py": "",
    "tables/constants.py": "from ..noise import Masked\n\nSCALE = 2\n",
    "unused.py": "raise RuntimeError\n",
}


@pytest.fixture(autouse=True)
def _restore_registries():
    """Forget the methods that a test registers."""
    registries = [(registry, dict(registry)) for registry in (METHODS, PLUGINS)]
    yield
    for registry, before in registries:
        registry.clear()
        registry.update(before)


def write(folder: Path, name: str = "mine.py", text: str = PLUGIN, **helpers: str) -> Path:
    """Write a plug-in with its helpers; returns its path."""
    for file, content in {**HELPERS, **helpers, name: text}.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(content)
    return folder / name


@pytest.mark.parametrize("name", ["mine.py", "my-method.py", "my method.py", "my.method.py", "2nd.py"])
def test_a_plug_in_imports_helpers_from_its_folder(name, tmp_path):
    search_path = list(sys.path)
    plug(write(tmp_path / "a folder", name))
    assert build("mine", 3).scale == 2
    assert sys.path == search_path
    assert {"noise", "late", "tables", "constants"}.isdisjoint(sys.modules)
    names = [path.name for path in PLUGINS["mine"].modules.values()]
    assert names == [name, "late.py", "noise.py", "__init__.py", "constants.py"]


def test_a_plug_in_without_helpers_keeps_its_code(tmp_path):
    path = write(tmp_path, text="METHODS = {}\n")
    assert read_plugin(path).code == digest([path.read_bytes()])


@pytest.mark.parametrize("file", ["noise.py", "late.py", "tables/__init__.py", "tables/constants.py"])
def test_every_helper_is_part_of_the_code_however_late_it_is_imported(file, tmp_path):
    path = write(tmp_path)
    plug(path)
    before = PLUGINS["mine"].code
    (tmp_path / file).write_text(HELPERS[file] + "# a change\n")
    plug(path)
    assert PLUGINS["mine"].code != before
    (tmp_path / file).write_text(HELPERS[file])
    plug(path)
    assert PLUGINS["mine"].code == before


def test_a_file_that_is_not_imported_is_no_part_of_the_code(tmp_path):
    path = write(tmp_path)
    before = read_plugin(path).code
    (tmp_path / "unused.py").write_text("x = 1\n")
    assert read_plugin(path).code == before


def test_a_helper_is_reloaded_with_its_plug_in_and_not_before(tmp_path):
    """What was read when the plug-in was loaded is what runs, even if a helper is edited before a late import."""
    path = write(tmp_path)
    plug(path)
    files = read_plugin(path)
    (tmp_path / "late.py").write_text("def weigh(nats):\n    return 0.0 * nats\n")
    (tmp_path / "tables" / "constants.py").write_text("SCALE = 3\n")
    late = __import__(f"{files.package}.late", fromlist=["weigh"])
    assert (late.weigh(1.0), METHODS["mine"].scale) == (1.0, 2)
    plug(path)
    late = __import__(f"{files.package}.late", fromlist=["weigh"])
    assert (late.weigh(1.0), METHODS["mine"].scale) == (0.0, 3)


def test_equal_names_in_two_folders_do_not_collide(tmp_path):
    first = write(tmp_path / "first")
    second = write(
        tmp_path / "second", text=PLUGIN.replace('"mine"', '"other"'), **{"tables/constants.py": "SCALE = 5\n"}
    )
    plug(first)
    plug(second)
    assert (METHODS["mine"].scale, METHODS["other"].scale) == (2, 5)
    assert pickle.loads(pickle.dumps(METHODS["mine"])) is METHODS["mine"]
    assert pickle.loads(pickle.dumps(METHODS["other"])) is METHODS["other"]


def test_a_helper_is_never_taken_from_another_plug_in_s_folder(tmp_path):
    plug(write(tmp_path / "first"))
    alone = tmp_path / "second" / "mine.py"
    alone.parent.mkdir()
    alone.write_text(PLUGIN.replace('"mine"', '"other"'))
    with pytest.raises(PluginError, match=rf"mine.py:1: ModuleNotFoundError: there is no noise.py in {alone.parent}"):
        plug(alone)


def test_a_plug_in_and_its_helpers_may_be_symbolic_links(tmp_path):
    path = write(tmp_path / "project")
    (tmp_path / "shared.py").write_text(HELPERS["noise.py"])
    (tmp_path / "project" / "noise.py").unlink()
    (tmp_path / "project" / "noise.py").symlink_to(tmp_path / "shared.py")
    (tmp_path / "link.py").symlink_to(path)
    plug(tmp_path / "link.py")
    assert PLUGINS["mine"].path == path
    code = PLUGINS["mine"].code
    (tmp_path / "shared.py").write_text(HELPERS["noise.py"] + "# a change\n")
    assert read_plugin(path).code != code


REFUSED = {
    "an absolute import": ("import noise\n", r"mine.py:1: noise lies beside .*write `from . import noise`"),
    "an absolute import of a name": ("from tables.constants import SCALE\n", r"`from .tables.constants import ...`"),
    "a late absolute import": ("def late():\n    import noise\n", r"mine.py:2: noise lies beside"),
    "another folder": ("from ..elsewhere import f\n", r"mine.py:1: `from ..elsewhere import ...` leaves"),
    "a call": (
        "import importlib\nimportlib.import_module('.unused', __package__)\n",
        r"mine.py:2: ImportError: no import",
    ),
    "no such helper": ("from . import nothing\n", "mine.py:1: ImportError: cannot import name 'nothing'"),
    "no such module": ("from .nothing import f\n", "mine.py:1: ModuleNotFoundError: there is no nothing.py in "),
    "an error in a helper": ("from .unused import f\n", "unused.py:1: RuntimeError"),
}


@pytest.mark.parametrize(("text", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_import_that_cannot_be_followed_names_the_line_and_the_way_out(text, reason, tmp_path):
    with pytest.raises(PluginError, match=reason):
        plug(write(tmp_path, text=text + PLUGIN))
    assert "mine" not in METHODS


def test_a_syntax_error_in_a_helper_names_its_line(tmp_path):
    with pytest.raises(PluginError, match=r"late.py:2:"):
        plug(write(tmp_path, text=f"from . import late\n{PLUGIN}", **{"late.py": "x = 1\ndef\n"}))


def test_a_file_of_the_working_folder_is_refused_as_well(tmp_path, monkeypatch):
    """`python -m bench` has that folder on the search path, where a change of the helper would go unnoticed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match=r"write `from . import noise`"):
        plug(write(tmp_path, text="import noise\n" + PLUGIN))


def test_a_plug_in_that_fails_leaves_the_modules_of_the_one_before(tmp_path):
    path = write(tmp_path)
    plug(path)
    module = sys.modules[METHODS["mine"].__module__]
    path.write_text("x = 1 / 0\n")
    with pytest.raises(PluginError, match=r"mine.py:1: ZeroDivisionError"):
        plug(path)
    assert sys.modules[METHODS["mine"].__module__] is module
    assert build("mine", 3).scale == 2


def test_what_a_helper_names_of_the_project_is_part_of_the_code(tmp_path):
    plug(write(tmp_path))
    assert {"methods.masked.absorbing:Absorbing", "methods.schedules:Linear"} <= {*method_roots("mine")}


def test_a_cell_runs_with_a_helper_and_fails_once_the_helper_has_changed(tmp_path, capsys):
    path, runs = write(tmp_path / "method"), tmp_path / "runs"
    (tmp_path / "own.yaml").write_text(TINY.replace("  - {label: AR, method: ar}\n", "").replace("mdlm", "mine"))
    arguments = [str(tmp_path / "own.yaml"), "--runs", str(runs)]
    assert main(["run", *arguments, "--plugin", str(path)]) == DONE
    (cell,) = (runs / "cells").iterdir()
    assert json.loads((cell / "job.json").read_text())["science"]["plugin"] == read_plugin(path).code
    assert main(["status", *arguments]) == DONE
    assert "has changed" not in capsys.readouterr().out

    (tmp_path / "method" / "late.py").write_text("def weigh(nats):\n    return 2 * nats\n")
    (sentence,) = list_changed_plugins(runs, read_suite(runs, "own"))
    assert sentence.startswith(f"plug-in {path} has changed: the results of MDLM")
    (cell / "train" / "result.json").unlink()
    assert main(["cell", str(cell), "--plugin", str(path)]) == FAILED
    assert "changed since the suite was planned" in json.loads((cell / "train" / "failure.json").read_text())["reason"]
