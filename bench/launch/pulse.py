"""The worker's side of the heartbeat: it notes how far a stage is, at most every few seconds."""

import logging
import os
import socket
import time
from pathlib import Path

from bench.engine import heartbeat
from bench.engine.heartbeat import Heartbeat

log = logging.getLogger(__name__)

SECONDS_PER_BEAT = 2.0


class Pulse:
    """The signs of life of a worker in one stage."""

    def __init__(self, cell: Path, stage: str):
        """A stage that was interrupted is where it was, until its first item is done."""
        self.cell = cell
        last = heartbeat.read(cell)
        step, total = (last.step, last.total) if last is not None and last.stage == stage else (0, 0)
        self.beat = Heartbeat(
            stage=stage, step=step, total=total, time=time.time(), pid=os.getpid(), host=socket.gethostname()
        )
        self.flush()
        self.due = 0.0  # by the monotonic clock: the first item is written at once

    def reach(self, step: int, total: int, tokens_per_second: float) -> None:
        """Note that `step` items of `total` are done."""
        update = {"step": step, "total": total, "tokens_per_second": tokens_per_second, "time": time.time()}
        self.beat = self.beat.model_copy(update=update)
        if time.monotonic() >= self.due:
            self.flush()

    def flush(self) -> None:
        """Write the last sign of life. A disk that refuses it does not stop the work."""
        try:
            heartbeat.write(self.cell, self.beat)
        except OSError as error:
            log.debug("no heartbeat in %s: %s", self.cell, error)
        self.due = time.monotonic() + SECONDS_PER_BEAT

    def end(self) -> None:
        """The stage has ended, with or without a result."""
        heartbeat.remove(self.cell)
