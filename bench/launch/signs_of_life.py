"""What the driver sees of a worker's heartbeat: it says when there is none, and for how long it waits."""

import logging
import time
from pathlib import Path

from bench.engine import heartbeat

log = logging.getLogger(__name__)

SILENT_SECONDS = 30.0  # before the first message; each further one after twice as long


class SignsOfLife:
    """The signs of life of the worker of a cell, by the driver's own clock."""

    def __init__(self, folder: Path, hang_timeout: float | None):
        self.folder, self.hang_timeout = folder, hang_timeout
        self.restart()

    def restart(self) -> None:
        """Count from now on."""
        self.last: object = None
        self.since = time.monotonic()
        self.message_after = SILENT_SECONDS

    def check(self, pid: int) -> str:
        """Say if the worker is silent; returns why it is to be killed, "" if it is not."""
        beat = heartbeat.read(self.folder)
        if beat is not None and beat != self.last:
            self.restart()
            self.last = beat

        seconds = time.monotonic() - self.since
        progress = "before its first stage" if beat is None else f"in {beat.stage}, {beat.describe()}"
        if self.hang_timeout is not None and seconds >= self.hang_timeout:
            return f"no sign of life for {seconds:.0f} s, {progress}; ended by --hang-timeout {self.hang_timeout:g}"
        if seconds >= self.message_after:
            self.message_after *= 2
            advice = "" if self.hang_timeout else "; --hang-timeout SECONDS ends such a worker"
            log.warning("no sign of life from process %d for %.0f s, %s%s", pid, seconds, progress, advice)
        return ""
