"""Progress of a worker: a bar on a terminal, otherwise a log line every few seconds."""

import logging
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.launch.pulse import Pulse

log = logging.getLogger(__name__)

SECONDS_PER_LINE = 15.0


class Bar:
    """Progress through `total` items of `tokens_each` tokens: loss, tokens per second and the time left.

    A terminal that is gone does not stop the work.
    """

    def __init__(self, title: str, total: int, tokens_each: int, pulse: Pulse):
        self.title, self.total, self.tokens_each, self.pulse = title, total, tokens_each, pulse
        self.started = self.last_line = time.monotonic()
        self.first: int | None = None
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
        )
        self.display = Progress(*columns, TimeRemainingColumn(), console=console) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self.display:
            with suppress(OSError):
                self.display.start()
            self.task = self.display.add_task(self.title, total=self.total, status="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.display:
            with suppress(OSError):
                self.display.stop()

    def reach(self, count: int, prefix: str = "") -> None:
        """Update when `count` items are finished; the status begins with `prefix`."""
        self.first = count - 1 if self.first is None else self.first  # items finished before a resume are not timed
        now = time.monotonic()
        rate = (count - self.first) / max(now - self.started, 1e-9)
        status = f"{prefix}  {rate * self.tokens_each:,.0f} tokens/s".strip()
        self.pulse.reach(count, self.total, rate * self.tokens_each)
        if self.display:
            self.display.update(self.task, completed=count, status=status)
        elif now - self.last_line > SECONDS_PER_LINE:
            self.last_line = now
            seconds_left = (self.total - count) / rate
            log.info("%s: %d of %d  %s  %.0f s left", self.title, count, self.total, status, seconds_left)
