"""Progress of a worker: a bar on a terminal, a line every few seconds elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from bench.engine.train import trainer as train

log = logging.getLogger(__name__)

SECONDS_A_LINE = 15.0


class Bar:
    """Counts `total` pieces of `tokens_each` tokens; shows loss, tokens per second and the time left."""

    def __init__(self, title: str, total: int, tokens_each: int):
        self.title, self.total, self.tokens_each = title, total, tokens_each
        self.began = self.told = time.monotonic()
        self.first: int | None = None
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description:<28}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[told]}"),
        )
        self.display = Progress(*columns, TimeRemainingColumn(), console=console) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self.display:
            self.display.start()
            self.task = self.display.add_task(self.title, total=self.total, told="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.display:
            self.display.stop()

    def advance(self, progress: "train.Progress", loss: float) -> None:
        """Called after each step of training."""
        self.reach(progress.step, f"loss {loss:.3f} nats")

    def reach(self, done: int, extra: str = "") -> None:
        """Called when `done` pieces are finished."""
        self.first = done - 1 if self.first is None else self.first
        now = time.monotonic()
        rate = (done - self.first) / max(now - self.began, 1e-9)
        told = f"{extra}  {rate * self.tokens_each:,.0f} tokens/s".strip()
        if self.display:
            self.display.update(self.task, completed=done, told=told)
        elif now - self.told > SECONDS_A_LINE:
            self.told = now
            log.info("%s: %d of %d  %s  %.0f s left", self.title, done, self.total, told, (self.total - done) / rate)
