"""Real drivers with stand-ins for workers: processes that start in a third of a second, for tests of signals and ends.

The driver is the project's `run_worker`. The worker has the project's lifeline and handlers; its training is a wait,
and its checkpoint is an empty file.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.launch.signals import STOP_SIGNALS
from tests.conftest import ROOT

DRIVER = """
import sys
from pathlib import Path

from bench.launch import worker_process
from bench.launch.exit_codes import INTERRUPTED
from bench.launch.signals import handled_by, interrupt

folder, hang_timeout, *worker = sys.argv[1:]
worker_process.worker_command = lambda folder, plugins: [sys.executable, "-P", *worker, str(folder)]
with handled_by(interrupt):
    try:
        sys.exit(worker_process.run_worker(Path(folder), float(hang_timeout) or None))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(INTERRUPTED)
"""
WORKER = """
import os, subprocess, sys, time
from pathlib import Path

from bench.launch.exit_codes import INTERRUPTED
from bench.launch.lifeline import hold_lifeline
from bench.launch.signals import StopRequests, exit_at_once, handled_by

folder, requests = Path(sys.argv[-1]), StopRequests()

def leave_behind(*, session):
    if os.fork() == 0:
        if session:
            os.setsid()
            if os.fork():
                os._exit(0)
        (folder / f"child-{os.getpid()}").touch()
        time.sleep(100)
        os._exit(0)

def train():
    (folder / "began").write_text(str(os.getpid()))
    while requests.first is None:
        time.sleep(0.01)
        TRAIN
    (folder / "signal").write_text(str(requests.first))
    SAVE
    (folder / "checkpoint").touch()
    return INTERRUPTED

def react(number):
    if requests.add(number):
        exit_at_once(number)

with handled_by(react):
    lifeline = hold_lifeline()
    START
    code = train()
    lifeline.release()
sys.exit(code)
"""


class StandIn:
    """A driver in a process group of its own with its stand-in worker; `folder` is the cell's."""

    def __init__(
        self,
        folder: Path,
        start: str = "pass",
        train: str = "pass",
        save: str = "pass",
        ignored: tuple[int, ...] = (),
        hang_timeout: float = 0,
    ):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        code = WORKER.replace("START", start).replace("TRAIN", train).replace("SAVE", save)

        def set_dispositions() -> None:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        command = [sys.executable, "-P", "-c", DRIVER, str(folder), str(hang_timeout), "-c", code]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
            preexec_fn=set_dispositions,
        )

    def wait_for(self, *names: str) -> None:
        """Wait until the worker has made these files in the folder."""
        wait_until(lambda: all(list(self.folder.glob(name)) for name in names))

    @property
    def worker(self) -> int:
        """The process id of the worker, which has begun."""
        self.wait_for("began")
        wait_until(lambda: bool((self.folder / "began").read_text()))
        return int((self.folder / "began").read_text())

    @property
    def children(self) -> list[int]:
        """The process ids of what the worker left behind."""
        return [int(path.name.partition("-")[2]) for path in self.folder.glob("child-*")]

    def finish(self) -> tuple[int, str]:
        """The driver's exit code, and what it said."""
        output, _ = self.process.communicate(timeout=60)
        return self.process.returncode, output.decode()


@contextmanager
def stand_in(folder: Path, **settings: object) -> Iterator[StandIn]:
    """A stand-in of which nothing is left at the end of the test."""
    driver = StandIn(folder, **settings)  # type: ignore[arg-type]
    try:
        yield driver
    finally:
        pids = [path.read_text() for path in folder.glob("began")]
        for pid in [driver.process.pid, *map(int, filter(None, pids)), *driver.children]:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        driver.process.communicate()


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition that comes true, however loaded the machine is."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether a process runs or is stopped."""
    return state(pid) not in ("", "Z", "X")


def state(pid: int) -> str:
    """The letter of a process's state, "" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
