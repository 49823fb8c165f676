"""Stop signals: the one place that says which they are, who reacts to them, and when a repetition means "at once".

SIGINT, SIGTERM, SIGHUP, and SIGUSR1 and SIGUSR2, which schedulers send ahead of a time limit, all ask to stop. A signal
that was ignored when the process started stays ignored, as nohup and the `&` of a shell want it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from bench.launch.exit_codes import INTERRUPTED

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
URGENT = (signal.SIGINT, signal.SIGTERM)  # a second one of these means "at once"; the others are early notices

ECHO_SECONDS = 0.25  # `timeout` and others send a signal twice in a row; a person is slower


@contextmanager
def handled_by(reaction: Callable[[int], None]) -> Iterator[None]:
    """Pass the stop signals to `reaction` inside the block; outside of the main thread the block changes nothing."""
    if not _may_handle():
        yield
        return

    def handle(number: int, frame: Any) -> None:
        reaction(number)

    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    heeded = [number for number, handler in previous.items() if handler is not signal.SIG_IGN]
    try:
        for number in heeded:
            signal.signal(number, handle)
        yield
    finally:
        for number in heeded:
            signal.signal(number, previous[number] or signal.SIG_DFL)


@contextmanager
def paused_by_terminal(pause: Callable[[], None], resume: Callable[[], None]) -> Iterator[None]:
    """Call `pause` before Ctrl-Z stops this process, and `resume` when fg or bg continues it."""
    if not _may_handle() or signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: Any) -> None:
        pause()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # this process stops here
        signal.signal(signal.SIGTSTP, stop)
        resume()

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)


def _may_handle() -> bool:
    """Whether this is the main thread, which alone may set handlers."""
    return threading.current_thread() is threading.main_thread()


def interrupt(number: int) -> NoReturn:
    """The reaction of commands: KeyboardInterrupt, whichever signal it was."""
    raise KeyboardInterrupt


def exit_at_once(number: int) -> NoReturn:
    """The reaction of a process that has nothing to save, such as a worker that still imports."""
    os._exit(INTERRUPTED)


class StopRequests:
    """The stop signals that a process has received."""

    def __init__(self) -> None:
        self.first: int | None = None
        self._urgent_since: float | None = None

    def add(self, number: int) -> bool:
        """Note a signal; returns whether it repeats a request that is being carried out, and so means "at once"."""
        if self.first is None:
            self.first = number
        if number not in URGENT:
            return False

        now = time.monotonic()
        if self._urgent_since is None:
            self._urgent_since = now
        return now - self._urgent_since > ECHO_SECONDS
