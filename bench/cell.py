"""The record of a cell on disk. Its folder is the truth: `result.json` of a stage is written last and atomically, a
failure leaves `failure.json` with its reason, and a lock tells who is at work.

    RUNS/cells/<id>/job.json          what to do: science, stages, execution
                    train/            checkpoint.pt, curve.json, result.json
                    bound-<id>/       sequences.npz, result.json
                    samples-<id>/     result.json
                    log.txt           what the worker said
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

Status = Literal["done", "failed", "running", "missing"]


class Busy(RuntimeError):
    """Another process is at work on the cell."""


def write_json(path: Path, content: Any) -> None:
    """Replaces the file atomically. Raises ValueError on a number that is not finite."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, allow_nan=False, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_json(path: Path) -> Any:
    """The content of the file, or None when there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def succeed(stage: Path, result: dict[str, Any]) -> None:
    """Records that a stage is done; an earlier failure is forgotten."""
    write_json(stage / "result.json", result)
    (stage / "failure.json").unlink(missing_ok=True)


def fail(stage: Path, reason: str, trace: str) -> None:
    """Records why a stage failed: one line for the table, and the traceback."""
    write_json(stage / "failure.json", {"reason": reason, "traceback": trace})


def status(cell: Path, stage: str) -> tuple[Status, str]:
    """How far a stage of the cell is, with the reason of a failure."""
    folder = cell / stage
    if (folder / "result.json").exists():
        return "done", ""
    failure = read_json(folder / "failure.json")
    if failure:
        return "failed", failure["reason"]
    return ("running", "") if is_busy(cell) else ("missing", "")


@contextmanager
def at_work(cell: Path) -> Iterator[None]:
    """Holds the cell for this process; the lock goes with the process, however it ends. Raises Busy."""
    with (cell / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"{cell}: another process is at work on this cell; wait for it or stop it") from None
        yield


def is_busy(cell: Path) -> bool:
    """True while some process holds the cell."""
    if not (cell / "lock").exists():
        return False
    try:
        with at_work(cell):
            return False
    except Busy:
        return True
