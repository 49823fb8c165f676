"""Checkpoints of a training run: the newest and the one before, each replaced atomically, with their digests.

    checkpoint.pt             the newest
    checkpoint.previous.pt    the one before, for a resume if the newest is damaged
    checkpoint.json           the SHA-256 of both, written before either is renamed: after a kill at any moment, each
                              whole file has its digest there

A checkpoint holds "model", "ema" and "optimizer" (state dicts), the states of the random generators, and the counters
and learning curves of the training run; `bench.engine.train.trainer.Trainer.state` writes it. Of a finished training
only the file that its result names counts.
"""

import hashlib
import logging
import zipfile
from pathlib import Path
from typing import IO, Any, cast

import torch

from bench.engine.record_files import BrokenRecord, hash_file, open_file, replacing, stat_file, sync, sync_folder
from bench.engine.records import Record, TrainResult
from bench.engine.storage import read_record, write_record

log = logging.getLogger(__name__)

NAME = "checkpoint.pt"
PREVIOUS = "checkpoint.previous.pt"
DIGESTS = "checkpoint.json"
KEPT = 3  # digests: of the file that is being written and of the two that it replaces

OLD_KEYS = {"average": "ema", "optimiser": "optimizer"}  # of checkpoints written by earlier versions
OLD_COUNTERS = {"noisings": "noise_draws", "ends": "end_draws"}  # of their entry "progress"


class Digests(Record):
    """The SHA-256 of the checkpoints in a folder, the newest first."""

    digests: tuple[str, ...]


class HashedFile:
    """A file that is written from its beginning to its end, with the digest of what was written."""

    def __init__(self, file: IO[bytes]):
        self.file, self.total = file, hashlib.sha256()
        self.error: OSError | None = None  # torch's writer cannot pass on an error of the disk

    def write(self, content: Any) -> int:
        """Write some bytes; an error is kept, and nothing is written after it."""
        self.total.update(content)
        try:
            if self.error is None:
                self.file.write(content)
        except OSError as error:
            self.error = error
        return len(content)

    def flush(self) -> None:
        """Do nothing: the file is flushed by whoever opened it."""


def save(state: dict[str, Any], folder: Path) -> None:
    """Write the state of a training run to `folder`, and keep the one before. Raises StorageFull."""
    path = folder / NAME
    with replacing(path) as file:
        hashed = HashedFile(file)
        torch.save(state, cast(IO[bytes], hashed))
        if hashed.error is not None:
            raise hashed.error
        sync(file)

        digests = (hashed.total.hexdigest(), *known_digests(folder))[:KEPT]
        write_record(folder / DIGESTS, Digests(digests=digests))
        if path.is_file():
            path.replace(folder / PREVIOUS)
            sync_folder(folder)


def known_digests(folder: Path) -> tuple[str, ...]:
    """The digests of the checkpoints in `folder`, the newest first; none if an earlier version wrote them.

    A damaged list counts as none: the checksums inside the checkpoints are then checked instead.
    """
    try:
        record = read_record(folder / DIGESTS, Digests)
    except BrokenRecord as error:
        log.warning("%s; the checksums inside the checkpoints are checked instead", error)
        return ()
    return () if record is None else record.digests


def load(folder: Path) -> dict[str, Any] | None:
    """Return the newest state saved in `folder`, on the CPU; None if there is none.

    Raises ValueError if the file is damaged; if the training is finished, also if it is not the one of its result.
    """
    if stat_file(folder / NAME) is None:
        return None
    result = read_record(folder / "result.json", TrainResult)
    expected = result.files.get(NAME) if result is not None else None
    return read(folder / NAME, known_digests(folder) if expected is None else (expected,))


def load_whole(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """Return the newest undamaged state of an unfinished training, and a warning if a newer one is damaged.

    Raises ValueError if there are checkpoints, but all are damaged.
    """
    problems: list[str] = []
    for path in (folder / NAME, folder / PREVIOUS):
        try:
            if stat_file(path) is not None:
                return read(path, known_digests(folder)), "; ".join(problems)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("; ".join(problems))
    return None, ""


def read(path: Path, digests: tuple[str, ...]) -> dict[str, Any]:
    """Read a checkpoint that has one of these digests, or any whole one if none is known. Raises ValueError."""
    with open_file(path) as file:
        problem = find_damage(file, digests)
        if problem:
            raise damaged(path, problem)
        file.seek(0)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises whatever the bytes lead it to
            raise damaged(path, str(error)) from error
    return normalize_checkpoint(state)


def find_damage(file: IO[bytes], digests: tuple[str, ...]) -> str:
    """Say how a checkpoint differs from what was written; "" if it does not."""
    if digests:
        return "" if hash_file(file) in digests else "it was changed after it was written: its digest differs"
    try:
        entry = zipfile.ZipFile(file).testzip()  # torch.load ignores these checksums
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError) as error:
        return str(error)
    return f"the checksum of {entry} differs" if entry else ""


def damaged(path: Path, problem: str) -> ValueError:
    """The error for a checkpoint with this problem."""
    return ValueError(f"{path} is not a whole checkpoint ({problem}); bench run --retry-failed trains again")


def normalize_checkpoint(state: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys that earlier versions used to those of today; leave a checkpoint of today as it is."""
    renamed = {OLD_KEYS.get(name, name): value for name, value in state.items()}
    counters = renamed.get("progress", {})
    renamed["progress"] = {OLD_COUNTERS.get(name, name): count for name, count in counters.items()}
    return renamed
