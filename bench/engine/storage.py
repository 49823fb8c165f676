"""The folder of results, in which each cell's own folder is authoritative.

A stage writes `result.json` last and atomically, a failure leaves `failure.json` with its reason, and a lock file marks
a cell that a process is working on. A broken record is a failure of its stage; it hides no other.

    RUNS/suites/NAME.json             the record of a suite
    RUNS/cells/ID/job.json            the job of a worker
                  lock                held by the process at work    heartbeat.json  how far it is
                  train/              checkpoint.pt (checkpoint.previous.pt, checkpoint.json), result.json
                  bound-ID/           sequences.npz, result.json
                  samples-ID/         result.json
"""

import hashlib
import json
import re
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar
from zipfile import BadZipFile, ZipFile

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bench.engine import heartbeat
from bench.engine.identifiers import CELL_ID
from bench.engine.lock import UnsafeLock, is_busy
from bench.engine.record_files import (
    BrokenRecord,
    broken,
    read_bytes,
    read_verified,
    stat_file,
    with_digest,
    write_json,
)
from bench.engine.record_files import read_json as read_json  # of a record that need not be whole
from bench.engine.records import (
    RESULTS,
    BoundResult,
    ControlsResult,
    EstimateResult,
    Failure,
    Job,
    QualityResult,
    SamplesResult,
    StageResult,
    StoredSuite,
    TrainResult,
    TrajectoriesResult,
)
from bench.engine.redaction import redact

Kind = TypeVar("Kind", bound=BaseModel)
Status = Literal["done", "failed", "running", "interrupted", "missing"]
BEGUN = ("running", "interrupted")  # states of stages without a result that a worker has begun

SHAPES = {  # problems of pydantic in the words of JSON, by the end of their type
    "model_type": "is not an object",
    "dict_type": "is not an object",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "missing": "is missing",
}
MEASURED: dict[type[BaseModel], tuple[str, ...]] = {  # keys that every version has written to a result
    TrainResult: ("steps", "tokens", "curve"),
    BoundResult: ("measures", "protocol"),
    EstimateResult: ("measures", "protocol"),
    SamplesResult: ("texts", "ids"),
    TrajectoriesResult: ("texts", "finals"),
    QualityResult: ("measures", "protocol"),
    ControlsResult: ("controls",),
}


class Parsed(NamedTuple, Generic[Kind]):
    """A record as it was read."""

    record: Kind
    is_verified: bool  # by its digest; records of earlier versions have none


def digest(science: dict[str, Any]) -> str:
    """The id of a cell or a stage: the first 12 hexadecimal digits of the SHA-256 of its canonical JSON."""
    canonical = json.dumps(science, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def read_record(path: Path, kind: type[Kind]) -> Kind | None:
    """The record in a file, or None if there is no file. A file that has not changed is parsed once per process.

    Raises BrokenRecord if the file is cut short, was changed after it was written, or holds another kind of record.
    """
    parsed = _read(path, kind)
    return None if parsed is None else parsed.record


def _read(path: Path, kind: type[Kind]) -> Parsed[Kind] | None:
    stamp = stat_file(path)
    return None if stamp is None else _parse(path, kind, stamp.st_mtime_ns, stamp.st_size, stamp.st_ino)


@lru_cache(100_000)
def _parse(path: Path, kind: type[Kind], changed_ns: int, size: int, inode: int) -> Parsed[Kind]:
    content, verified = read_verified(path)
    missing = set(MEASURED.get(kind, ())) - (content.keys() if isinstance(content, dict) else set())
    if missing:
        raise broken(path, f"is not a record of this kind ({', '.join(sorted(missing))}: is missing)")
    try:
        return Parsed(kind.model_validate(content), verified)
    except ValidationError as error:
        raise broken(path, f"is not a record of this version ({_describe(error.errors()[0])})") from None


def _describe(problem: ErrorDetails) -> str:
    """The first problem of a record, without the names of classes."""
    place = ".".join(map(str, problem["loc"])) or "the file"
    return f"{place}: {SHAPES.get(problem['type'], problem['msg'])}"


def write_record(path: Path, record: BaseModel) -> None:
    """Replace the file atomically. Raises ValueError if a number is not finite, StorageFull."""
    write_json(path, with_digest(record.model_dump(mode="json")))


def cell_folder(runs: Path, id: str) -> Path:
    """The folder of a cell. Raises BrokenRecord if the id is not one, and could be a path."""
    if not re.fullmatch(CELL_ID, id):
        raise BrokenRecord(f"{id!r} is not the id of a cell, which has 12 hexadecimal digits")
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
    """The result of the stage with this folder, as its class of `RESULTS`; None if it has none.

    Raises BrokenRecord, also if a file beside it was changed; checkpoints are checked when they are loaded.
    """
    kind: type[StageResult] = RESULTS[stage.partition("-")[0]]
    result = read_record(cell / stage / "result.json", kind)
    for name in kind.arrays if result is not None else ():
        _check_arrays(cell / stage / name, result.files.get(name) if result else None)
    return result


def whole_result(cell: Path, stage: str) -> Any:
    """The result of the stage with this folder; None if it has none, or a broken one, which `status` tells."""
    try:
        return read_result(cell, stage)
    except BrokenRecord:
        return None


def has_digest(cell: Path, stage: str) -> bool:
    """Whether the result of the stage, which has a whole one, holds its digest; earlier versions wrote none."""
    parsed = _read(cell / stage / "result.json", RESULTS[stage.partition("-")[0]])
    return parsed is not None and parsed.is_verified


def _check_arrays(path: Path, expected: str | None) -> None:
    """Check a file by its digest, or without one by its checksums. Raises BrokenRecord."""
    stamp = stat_file(path)
    if stamp is not None:
        _check_content(path, expected, stamp.st_mtime_ns, stamp.st_size, stamp.st_ino)
    elif expected is not None:
        raise broken(path, "is missing")


@lru_cache(100_000)
def _check_content(path: Path, expected: str | None, changed_ns: int, size: int, inode: int) -> None:
    content = read_bytes(path)
    if expected is not None:
        if hashlib.sha256(content).hexdigest() != expected:
            raise broken(path, "was changed after it was written (its digest differs)")
        return

    try:
        damaged = ZipFile(BytesIO(content)).testzip()
    except (BadZipFile, EOFError, ValueError, OSError) as error:
        raise broken(path, f"cannot be read ({error})") from None
    if damaged is not None:
        raise broken(path, f"is damaged (the checksum of {damaged} differs)")


def succeed(stage: Path, result: StageResult) -> None:
    """Record that a stage is done, and remove an earlier failure."""
    write_record(stage / "result.json", result)
    (stage / "failure.json").unlink(missing_ok=True)


def fail(stage: Path, reason: str, trace: str) -> None:
    """Record why a stage failed, without secrets: one line for tables, and the traceback."""
    write_json(stage / "failure.json", {"reason": redact(reason), "traceback": redact(trace)})


def read_failure(cell: Path, stage: str) -> Failure | None:
    """Why the stage failed; None if it did not. Raises BrokenRecord."""
    return read_record(cell / stage / "failure.json", Failure)


def status(cell: Path, stage: str) -> tuple[Status, str]:
    """The status of a stage of the cell, with the reason if it failed, or how far it is if a worker has begun it.

    A broken record is a failure.
    """
    try:
        if read_result(cell, stage) is not None:
            return "done", ""
        failure = read_failure(cell, stage)
    except BrokenRecord as error:
        return "failed", error.reason
    if failure is not None:
        return "failed", failure.reason

    try:
        busy = is_busy(cell)
    except UnsafeLock as error:
        return "failed", str(error)
    return _progress(cell, stage, busy)


def _progress(cell: Path, stage: str, busy: bool) -> tuple[Status, str]:
    """The status of a stage that has neither a result nor a failure."""
    beat = heartbeat.read(cell)
    if beat is not None and beat.stage == stage:
        return ("running", beat.describe_sign()) if busy else ("interrupted", beat.describe())
    if busy:
        return ("running", "") if beat is None else ("missing", "")
    if (cell / stage / "checkpoint.pt").exists():
        return "interrupted", "after its last checkpoint"
    return "missing", ""


def describe_status(state: str, reason: str) -> str:
    """A state with its reason: "failed: out of memory", "interrupted at step 3 of 10"."""
    if not reason:
        return state
    return f"{state} {reason}" if state in BEGUN else f"{state}: {reason}"
