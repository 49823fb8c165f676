"""The record of a cell on disk. Its folder is the truth: `result.json` of a stage is written last and atomically, a
failure leaves `failure.json` with its reason, and a lock tells who is at work.

    RUNS/cells/<id>/job.json          what to do: science, stages, execution
                    train/            checkpoint.pt, curve.json, result.json
                    bound-<id>/       sequences.npz, result.json
                    samples-<id>/     result.json
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

Status = Literal["done", "failed", "running", "missing"]


class Busy(RuntimeError):
    """Another process is at work here."""


class BrokenRecord(ValueError):
    """A file of a record that cannot be read."""


def digest(science: dict[str, Any]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of canonical JSON: the id of a cell or a stage."""
    canonical = json.dumps(science, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def write_json(path: Path, content: Any) -> None:
    """Replaces the file atomically. Raises ValueError on a number that is not finite."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_json(path: Path) -> Any:
    """The content of the file, or None when there is none. Raises BrokenRecord when it is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BrokenRecord(f"{path} is not a whole record ({error}); remove it and run the suite again") from None


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
    if read_json(folder / "result.json") is not None:
        return "done", ""
    failure = read_json(folder / "failure.json")
    if failure:
        return "failed", failure["reason"]
    return ("running", "") if is_busy(cell) else ("missing", "")


@contextmanager
def at_work(folder: Path, patience: float = 1.0) -> Iterator[None]:
    """Holds the folder for this process; the lock goes with the process, however it ends.

    Raises Busy when another process still holds it after `patience` seconds; a look by `is_busy` is shorter than that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        deadline = time.monotonic() + patience
        while not _locked(file):
            if time.monotonic() >= deadline:
                raise Busy(f"another process is at work in {folder}; wait for it or stop it")
            time.sleep(0.05)
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_busy(folder: Path) -> bool:
    """True while some process holds the folder."""
    if not (folder / "lock").exists():
        return False
    with (folder / "lock").open("w") as file:
        return not _locked(file)
