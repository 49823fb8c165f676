"""A worker as its driver sees it: in a session of its own, sent signals, watched, and ended with its children."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.launch.adoption import adopted_children, list_children
from bench.launch.lifeline import VARIABLE
from bench.launch.signals import StopRequests, handled_by, paused_by_terminal
from bench.launch.signs_of_life import SignsOfLife

MAIN = Path(__file__).parents[1] / "__main__.py"

POLL_SECONDS = 1.0  # between two looks at a worker's signs of life


class Hung(RuntimeError):
    """A worker gave no sign of life for too long and was killed."""


def worker_command(folder: Path | str, plugins: Sequence[Path] = ()) -> list[str]:
    """The command that runs the cell in a folder, with the code of this very process (see bench/__main__.py)."""
    options = [word for path in plugins for word in ("--plugin", str(path))]
    return [sys.executable, "-P", str(MAIN), "cell", str(folder), *options]


def run_worker(folder: Path, hang_timeout: float | None, plugins: Sequence[Path] = ()) -> int:
    """Run the worker of the cell in a folder to its end, and end its children; returns its exit code.

    `plugins` are the files that the user has named, since a worker loads no other.

    A stop signal to this process is passed on to the worker, which writes its checkpoint; a second one ends the worker
    at once. Raises KeyboardInterrupt after either, Hung if the worker gave no sign of life for `hang_timeout` seconds.
    """
    worker = WorkerProcess(folder, hang_timeout, plugins)
    with handled_by(worker.pass_on), adopted_children(), paused_by_terminal(worker.pause, worker.resume):
        try:
            worker.start()
            code = worker.wait()
        finally:
            worker.end()

    if worker.requests.first is not None:
        raise KeyboardInterrupt
    return code


class WorkerProcess:
    """A worker in a session and a process group of its own, so that the terminal's signals reach the driver alone."""

    def __init__(self, folder: Path, hang_timeout: float | None, plugins: Sequence[Path] = ()):
        self.requests = StopRequests()
        self.command, self.signs = worker_command(folder, plugins), SignsOfLife(folder, hang_timeout)
        self.process: Any = None  # subprocess.Popen, once it is started
        self.lifeline: int | None = None  # the end of the pipe that tells the worker whether the driver is there
        self.bystanders = set[int]()  # children of this process that are none of the worker's business

    def start(self) -> None:
        """Start the process, and pass on what came while it started."""
        worker_end, self.lifeline = os.pipe()
        self.signs.restart()
        try:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                env={**os.environ, VARIABLE: str(worker_end)},
                pass_fds=(worker_end,),
                start_new_session=True,
            )
        finally:
            os.close(worker_end)

        self.bystanders = list_children() - {self.process.pid}
        if self.requests.first is not None:
            self.send(self.requests.first)

    def pass_on(self, number: int) -> None:
        """Pass a stop signal on to the worker alone: its children may be at work on the step that it finishes."""
        at_once = self.requests.add(number)
        if self.process is not None:
            self.send(signal.SIGKILL if at_once else number)

    def send(self, number: int) -> None:
        """Send a signal to the worker, if it has not ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for the end of the worker, and say if it gives no sign of life. Raises Hung."""
        while True:
            try:
                return int(self.process.wait(timeout=POLL_SECONDS))
            except subprocess.TimeoutExpired:
                pass

            reason = self.signs.check(self.process.pid)
            if reason:
                raise Hung(reason)

    def end(self) -> None:
        """Kill what is left of the worker's group and of its other descendants, and let go of the pipe."""
        if self.process is not None:
            self.send_group(signal.SIGKILL)
            self.process.wait()
            kill_strays(self.bystanders)
        if self.lifeline is not None:
            os.close(self.lifeline)

    def pause(self) -> None:
        """Stop the worker with its driver."""
        self.send_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the worker with its driver."""
        self.send_group(signal.SIGCONT)
        self.signs.restart()

    def send_group(self, number: int) -> None:
        """Send a signal to the worker with all of its group."""
        if self.process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)


def kill_strays(bystanders: set[int]) -> None:
    """Kill the children that this process has inherited from a worker, and those that these leave behind."""
    while strays := list_children() - bystanders:
        for pid in strays:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
