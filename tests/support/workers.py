"""Fast workers for the tests: each is a process of its own, forked from a server that has already imported torch.

Starting Python and importing torch takes more than two seconds; the cell of a test takes a twentieth of that. The
server runs nothing else, so a worker gets what `bench run` gives it (its job, the environment, the working directory)
and none of the replacements that a test has made.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import forkserver
from pathlib import Path
from unittest.mock import patch

COVERAGE = "COVERAGE_PROCESS_CONFIG"  # environment variable that makes a new process measure its coverage
CELL_COMMAND = [sys.executable, "-m", "bench", "cell"]
PRELOAD = ["bench.launch.worker", "torch._dynamo"]  # torch's optimizers import torch._dynamo

for module in PRELOAD:
    assert find_spec(module), f"no module {module}: the server would skip it, and every worker would import torch anew"

servers = multiprocessing.get_context("forkserver")
servers.set_forkserver_preload(PRELOAD)


class ForkedWorker:
    """A running `bench cell FOLDER`, with the part of the interface of `subprocess.Popen` that the driver uses."""

    def __init__(self, folder: str):
        with patch.dict(os.environ):
            os.environ.pop(COVERAGE, None)  # this process has already measured what the server imports
            forkserver.ensure_running()
        self.process = servers.Process(target=run_cell, args=(folder, dict(os.environ), Path.cwd()))
        self.process.start()

    def wait(self) -> int:
        self.process.join()
        code = self.process.exitcode
        assert code is not None
        return code


class Subprocess:
    """Replaces the module `subprocess` in the driver: forks this Python's workers and starts other commands as is."""

    @staticmethod
    def Popen(command: list[str]) -> "ForkedWorker | subprocess.Popen[bytes]":  # noqa: N802
        *start, folder = command
        return ForkedWorker(folder) if start == CELL_COMMAND else subprocess.Popen(command)


def run_cell(folder: str, environment: dict[str, str], working_directory: Path) -> None:
    """Run the cell in the new process, measuring coverage if the tests do."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(working_directory)
    save_coverage = start_coverage()
    from bench.cli.main import main

    code = main(["cell", folder])
    save_coverage()
    sys.exit(code)


def start_coverage() -> Callable[[], None]:
    """Start measuring if a new process would; returns the function that saves the measurement."""
    if COVERAGE not in os.environ:
        return lambda: None
    import coverage

    measurement = coverage.process_startup()
    return measurement.save if measurement is not None else lambda: None
