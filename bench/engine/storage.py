"""The folder of results, in which each cell's own folder is authoritative.

A stage writes `result.json` last and atomically, a failure leaves `failure.json` with its reason, and a lock file marks
a cell that a process is working on.

    RUNS/suites/NAME.json             the record of a suite
    RUNS/cells/ID/job.json            the job of a worker
                  train/              checkpoint.pt, result.json
                  bound-ID/           sequences.npz, result.json
                  samples-ID/         result.json
"""

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from bench.engine.records import RESULTS, Job, StageResult, StoredSuite

Kind = TypeVar("Kind", bound=BaseModel)
Status = Literal["done", "failed", "running", "missing"]


class Busy(RuntimeError):
    """Another process holds this folder."""


class BrokenRecord(ValueError):
    """A file of a record that cannot be read."""


def digest(science: dict[str, Any]) -> str:
    """The id of a cell or a stage: the first 12 hexadecimal digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(science, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def write_json(path: Path, content: Any) -> None:
    """Replace the file atomically. Raises ValueError if a number is not finite."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def read_json(path: Path) -> Any:
    """The content of the file, or None if there is no file. Raises BrokenRecord if it is incomplete."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise BrokenRecord(f"{path} is not a whole record ({error}); remove it and run the suite again") from None


def read_record(path: Path, kind: type[Kind]) -> Kind | None:
    """The record in a file, or None if there is no file. A file that has not changed is parsed once per process.

    Raises BrokenRecord if the file is cut short or holds another kind of record.
    """
    try:
        stamp = path.stat()
    except FileNotFoundError:
        return None
    return _parse(path, kind, stamp.st_mtime_ns, stamp.st_size, stamp.st_ino)


@lru_cache(100_000)
def _parse(path: Path, kind: type[Kind], changed_ns: int, size: int, inode: int) -> Kind | None:
    content = read_json(path)
    if content is None:
        return None

    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        reason = f"{place}: {problem['msg']}"
        raise BrokenRecord(
            f"{path} is not a record of this version ({reason}); remove it and run the suite again"
        ) from None


def write_record(path: Path, record: BaseModel) -> None:
    """Replace the file atomically. Raises ValueError if a number is not finite."""
    write_json(path, record.model_dump(mode="json"))


def cell_folder(runs: Path, id: str) -> Path:
    """The folder of a cell."""
    return runs / "cells" / id


def suite_file(runs: Path, suite: str) -> Path:
    """The file that holds the record of a suite."""
    return runs / "suites" / f"{suite}.json"


def read_job(cell: Path) -> Job | None:
    """The job in a cell's folder, if there is one. Raises BrokenRecord."""
    return read_record(cell / "job.json", Job)


def read_suite(runs: Path, suite: str) -> StoredSuite | None:
    """The record of a suite, if it was ever run. Raises BrokenRecord."""
    return read_record(suite_file(runs, suite), StoredSuite)


def read_result(cell: Path, stage: str) -> Any:
    """The result of the stage with this folder, as its class of `RESULTS`; None if it has none. Raises BrokenRecord."""
    kind: type[StageResult] = RESULTS[stage.partition("-")[0]]
    return read_record(cell / stage / "result.json", kind)


def succeed(stage: Path, result: StageResult) -> None:
    """Record that a stage is done, and remove an earlier failure."""
    write_record(stage / "result.json", result)
    (stage / "failure.json").unlink(missing_ok=True)


def fail(stage: Path, reason: str, trace: str) -> None:
    """Record why a stage failed: one line for tables, and the traceback."""
    write_json(stage / "failure.json", {"reason": reason, "traceback": trace})


def status(cell: Path, stage: str) -> tuple[Status, str]:
    """The status of a stage of the cell, with the reason if it failed."""
    folder = cell / stage
    if read_result(cell, stage) is not None:
        return "done", ""
    failure = read_json(folder / "failure.json")
    if failure:
        return "failed", failure["reason"]
    return ("running", "") if is_busy(cell) else ("missing", "")


@contextmanager
def at_work(folder: Path, patience: float = 1.0) -> Iterator[None]:
    """Hold the folder for this process; the lock ends with the process, however it ends.

    Raises Busy if another process still holds it after `patience` seconds, which outlasts the brief lock of `is_busy`.
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
    """Whether a process holds the folder."""
    if not (folder / "lock").exists():
        return False
    with (folder / "lock").open("w") as file:
        return not _locked(file)
