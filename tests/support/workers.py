"""Fast workers for the tests: each is a process of its own, forked from a server that has already imported torch.

Starting Python and importing torch takes more than two seconds; the cell of a test takes a twentieth of that. The
server runs nothing else, so a worker gets what `bench run` gives it (its job, the environment, the working directory)
and none of the replacements that a test has made.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.launch.worker_process import worker_command

COVERAGE = "COVERAGE_PROCESS_CONFIG"  # environment variable that makes a new process measure its coverage
CELL_COMMAND = worker_command("")[:-1]
PRELOAD = ["bench.launch.worker", "torch._dynamo"]  # torch's optimizers import torch._dynamo

for module in PRELOAD:
    assert find_spec(module), f"no module {module}: the server would skip it, and every worker would import torch anew"

servers = multiprocessing.get_context("forkserver")
servers.set_forkserver_preload(PRELOAD)


class ForkedWorker:
    """A running `bench cell`, with the part of the interface of `subprocess.Popen` that the driver uses."""

    def __init__(self, *arguments: str):
        with patch.dict(os.environ):
            os.environ.pop(COVERAGE, None)  # this process has already measured what the server imports
            forkserver.ensure_running()
        self.process = servers.Process(target=run_cell, args=(arguments, dict(os.environ), Path.cwd()))
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def wait(self, timeout: float | None = None) -> int:
        self.process.join(timeout)
        code = self.process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("bench cell", timeout or 0)
        return code

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class Subprocess:
    """Replaces the module `subprocess` in the driver: forks this Python's workers and starts other commands as is."""

    DEVNULL, TimeoutExpired = subprocess.DEVNULL, subprocess.TimeoutExpired

    @staticmethod
    def Popen(command: list[str], **options: Any) -> "ForkedWorker | subprocess.Popen[bytes]":  # noqa: N802
        start, arguments = command[: len(CELL_COMMAND)], command[len(CELL_COMMAND) :]
        return ForkedWorker(*arguments) if start == CELL_COMMAND else subprocess.Popen(command, **options)


def run_cell(arguments: tuple[str, ...], environment: dict[str, str], working_directory: Path) -> None:
    """Run the cell in the new process, measuring coverage if the tests do."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & would have it ignored
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(working_directory)
    save_coverage = start_coverage()
    from bench.cli.main import main

    code = main(["cell", *arguments])
    save_coverage()
    sys.exit(code)


def start_coverage() -> Callable[[], None]:
    """Start measuring if a new process would; returns the function that saves the measurement."""
    if COVERAGE not in os.environ:
        return lambda: None
    import coverage

    measurement = coverage.process_startup()
    return measurement.save if measurement is not None else lambda: None
