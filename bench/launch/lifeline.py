"""A worker ends with its driver: it reads from a pipe whose other end only the driver holds.

The pipe ends with the driver, however that ends, on every system, and also if the driver was gone before the worker's
first instruction. A worker that trains then writes its checkpoint.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress

from bench.launch.signals import STOP_SIGNALS

VARIABLE = "DIFFUSION_BENCH_LIFELINE"  # environment variable with the file descriptor of the worker's end
NOTICES = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)  # in the order of preference

GRACE_SECONDS = 120.0  # for a checkpoint; then the worker is killed, since no driver can be asked any more

PR_SET_PDEATHSIG = 1  # option of Linux's prctl: the signal that a process receives when its parent dies

assert set(NOTICES) < set(STOP_SIGNALS)


class Lifeline:
    """The worker's end of the pipe; `is_cut` once the driver is gone."""

    def __init__(self, file: int):
        os.set_inheritable(file, False)
        self.file, self.is_cut = file, False
        if sys.platform == "linux":  # wakes a worker that is stopped, so that it sees the end of the pipe
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGCONT)
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def _watch(self) -> None:
        while os.read(self.file, 1):
            pass
        self.is_cut = True
        number = next((number for number in NOTICES if signal.getsignal(number) is not signal.SIG_IGN), signal.SIGKILL)
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        time.sleep(GRACE_SECONDS)
        end_group()

    def release(self) -> None:
        """At the end of the worker: if nobody is left to do it, end its children, and with them the worker."""
        if self.is_cut:
            end_group()


def hold_lifeline() -> Lifeline | None:
    """Hold the pipe that the driver passed; None in a process that no driver started."""
    file = os.environ.pop(VARIABLE, "")
    return Lifeline(int(file)) if file else None


def end_group() -> None:
    """Kill this process with all of its group, which the driver made for it alone."""
    if os.getpgrp() == os.getpid():
        with suppress(ProcessLookupError):
            os.killpg(os.getpgrp(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
