"""Files of the working folder are not imported in place of Python's own or of what is installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.launch.exit_codes import USAGE_ERROR
from bench.launch.worker_process import worker_command
from tests.conftest import ROOT

INSTALLED = ("methods", "reports", "torch", "numpy", "pydantic", "rich", "yaml")
PYTHONS_OWN = ("queue", "random", "signal", "threading", "argparse", "pathlib", "ctypes", "json", "logging")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of modules that leave a trace when they are imported."""
    for name in (*INSTALLED, *PYTHONS_OWN):
        code = f"open({str(tmp_path / 'trace')!r}, 'a').write({name!r} + ' ')\nraise ImportError({name!r})\n"
        (tmp_path / f"{name}.py").write_text(code)
    return tmp_path


WORKER = worker_command("cell")
DRIVER = [sys.executable, "-m", "bench", "status", "suite"]


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (WORKER, "cell holds no job.json; cells are started by bench run"),
        (DRIVER, 'suite "suite" was never run'),
    ],
    ids=["worker", "driver"],
)
def test_modules_of_the_working_folder_are_not_imported(command, sentence, folder):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert not (folder / "trace").exists(), (folder / "trace").read_text()
    assert (done.returncode, done.stderr.count("Traceback")) == (USAGE_ERROR, 0), done.stderr
    assert sentence in done.stderr


CODE = "from bench.launch.worker_process import worker_command\nprint(*worker_command('cell'))"


def test_a_worker_runs_the_code_of_its_driver_and_not_a_checkout_that_is_installed_or_lies_there(tmp_path):
    """The driver's code is a copy that is not installed; another package `bench` lies in the working folder."""
    driver, other = tmp_path / "driver", tmp_path / "other"
    for name in ("bench", "methods", "reports"):
        (driver / name).mkdir(parents=True)
        shutil.copytree(ROOT / name, driver / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    (driver / "queue.py").write_text("raise ImportError('queue.py of a checkout')\n")
    main = driver / "bench" / "cli" / "main.py"
    main.write_text(main.read_text() + "\nprint(__file__, __import__('methods').__file__)\n")
    (other / "bench").mkdir(parents=True)
    (other / "bench" / "__init__.py").write_text("raise ImportError('the package of the working folder')\n")

    command = subprocess.run([sys.executable, "-c", CODE], cwd=driver, capture_output=True, text=True, check=True)
    done = subprocess.run(command.stdout.split(), cwd=other, capture_output=True, text=True)
    assert done.stdout.split() == [str(main), str(driver / "methods" / "__init__.py")]
    assert done.returncode == USAGE_ERROR
    assert "cell holds no job.json" in done.stderr
