"""The lock of a folder: one process at a time works in it, and the lock ends with that process, however it ends.

The lock is a plain file named `lock` under BSD's flock. It names its holder for messages; the kernel alone decides who
holds it. Children of the holder do not: the file is closed on exec, and after a fork in the child.
"""

import errno
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

NAME = "lock"
SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a link is an error, and a named pipe does not block

_held: set[int] = set()  # file descriptors of this process's locks


class Busy(RuntimeError):
    """Another process holds this folder."""


class UnsafeLock(OSError):
    """Something else than a plain file stands where the lock should be, such as a link to another file."""


@contextmanager
def at_work(folder: Path, patience: float = 1.0) -> Iterator[None]:
    """Hold the folder for this process.

    Raises Busy if another process still holds it after `patience` seconds, which outlasts the brief lock of `is_busy`;
    UnsafeLock if the lock is not a plain file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = _open(folder / NAME, os.O_RDWR | os.O_CREAT)
    _held.add(file)
    try:
        deadline = time.monotonic() + patience
        while not _lock(file, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise Busy(f"another process is at work in {folder}{_describe_holder(file)}; wait for it or stop it")
            time.sleep(0.05)
        _write_holder(file)
        yield
    finally:
        if file in _held:  # a forked child has closed it already
            _held.remove(file)
            fcntl.flock(file, fcntl.LOCK_UN)  # at once, also if a child has not closed its copy yet
            os.close(file)


def is_busy(folder: Path) -> bool:
    """Whether a process holds the folder. Reads only. Raises UnsafeLock if the lock is not a plain file."""
    try:
        file = _open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(file, fcntl.LOCK_SH)  # shared: two who ask at once are not taken for a holder
    finally:
        os.close(file)


def _open(path: Path, flags: int) -> int:
    """Open a lock file without following a link. Raises UnsafeLock, FileNotFoundError."""
    try:
        file = os.open(path, flags | SAFE, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.EISDIR, errno.ENXIO) or path.is_symlink():
            raise _unsafe(path) from None
        raise
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _unsafe(path)
    return file


def _unsafe(path: Path) -> UnsafeLock:
    kind = "a symbolic link" if path.is_symlink() else "no plain file"
    return UnsafeLock(f"{path} is {kind}, so it cannot be the lock of its folder; remove it and run again")


def _lock(file: int, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write_holder(file: int) -> None:
    """Name this process in the lock file, for messages; the lock holds even if there is no room for that."""
    if os.fstat(file).st_nlink != 1:  # a second name of the file, such as a backup's, keeps its content
        return
    holder = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(holder).encode(), 0)


def _describe_holder(file: int) -> str:
    """The holder that the lock file names, as a part of a message; "" if it names none."""
    try:
        holder = json.loads(os.pread(file, 4096, 0))
        return f": process {holder['pid']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _let_go() -> None:
    """Close the locks in a forked child, which leaves them to the parent."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_let_go)
