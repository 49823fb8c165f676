"""Workers of cells as the tests start them: each a process of its own, forked from one that has imported torch.

What a cell of a test costs is the start of Python and the import of torch: more than two seconds for a twentieth of
work. The fork is taken from a server that runs nothing else, so a worker knows its job, the environment and the folder
of the driver, as one that `bench run` starts does, and nothing that a test has replaced.
"""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from unittest.mock import patch

MEASURED = "COVERAGE_PROCESS_CONFIG"  # with it, a process that starts is counted by coverage
CELL = [sys.executable, "-m", "bench", "cell"]

servers = multiprocessing.get_context("forkserver")
servers.set_forkserver_preload(["bench.worker", "torch._dynamo"])  # the optimizers of torch import the latter


class Forked:
    """Stands for the process of `bench cell FOLDER`."""

    def __init__(self, folder: str):
        with patch.dict(os.environ):
            os.environ.pop(MEASURED, None)  # what the server imports was counted in this process
            forkserver.ensure_running()
        self.process = servers.Process(target=work, args=(folder, dict(os.environ), Path.cwd()))
        self.process.start()

    def wait(self) -> int:
        self.process.join()
        code = self.process.exitcode
        assert code is not None
        return code


class Starter:
    """Stands for the module `subprocess` in `bench.run`: forks for workers of this Python, and starts all others."""

    @staticmethod
    def Popen(command: list[str]) -> "Forked | subprocess.Popen[bytes]":  # noqa: N802
        *start, folder = command
        return Forked(folder) if start == CELL else subprocess.Popen(command)


def work(folder: str, environment: dict[str, str], here: Path) -> None:
    """In the new process: the cell, counted by coverage where the tests are."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(here)
    save = measured()
    from bench.cli import main

    code = main(["cell", folder])
    save()
    sys.exit(code)


def measured() -> Callable[[], None]:
    """Starts to count, where a process that starts would; returns what writes the counts."""
    if MEASURED not in os.environ:
        return lambda: None
    import coverage

    counted = coverage.process_startup()
    return counted.save if counted is not None else lambda: None
