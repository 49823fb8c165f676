"""Signs of life: while a worker is in a stage, a small file in the cell's folder says how far it is.

The file is removed when the stage ends, with or without a result, so that one that is left tells where a worker was
interrupted.
"""

import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ValidationError

from bench.engine.record_files import remove as remove_file

NAME = "heartbeat.json"


class Heartbeat(BaseModel):
    """The progress of a worker through a stage."""

    stage: str  # folder of the stage
    step: int = 0
    total: int = 0  # 0 before the first step
    tokens_per_second: float = 0.0
    time: float  # of the last sign of life, in seconds since the epoch
    pid: int
    host: str

    def describe(self) -> str:
        """How far the stage is: "at step 3 of 10"."""
        if not self.total:
            return "before its first step"
        return f"at {'step' if self.stage == 'train' else 'item'} {self.step} of {self.total}"

    def describe_sign(self) -> str:
        """How far the stage is, how fast, and how long ago its last sign of life was."""
        speed = f", {self.tokens_per_second:,.0f} tokens/s" if self.tokens_per_second else ""
        return f"{self.describe()}{speed}, last sign of life {max(0, round(time.time() - self.time))} s ago"


def write(cell: Path, beat: Heartbeat) -> None:
    """Replace the file atomically. Raises OSError."""
    partial = cell / f"{NAME}.{os.getpid()}.partial"
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        os.write(file, beat.model_dump_json().encode())
        os.replace(partial, cell / NAME)
    except OSError:
        with suppress(OSError):
            partial.unlink()
        raise
    finally:
        os.close(file)


def read(cell: Path) -> Heartbeat | None:
    """The last sign of life of a worker; None if there is none, or none that can be read."""
    path = cell / NAME
    try:
        return Heartbeat.model_validate_json(path.read_bytes()) if path.is_file() else None
    except (OSError, ValidationError):
        return None


def remove(cell: Path) -> None:
    """Remove the file when a stage has ended; a folder in its place is moved away."""
    remove_file(cell / NAME)
