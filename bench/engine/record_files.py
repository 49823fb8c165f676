"""Files of records: written whole or not at all, read without following links, with digests that tell a change.

A SHA-256 stands in each record for its own content, and for the files beside it that its numbers depend on.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

DIGEST = "digest"  # the key of a record that holds the digest of the rest
PARTIAL = ".partial"  # ending of a file that is being written
TOPS = ("cells", "suites", "certificates")  # the folders of records in a folder of results
DEPTH = 3  # of a record below the folder of results, at most
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a full disk, a used-up quota, a limit on the size of files
REMAKE = "bench run --retry-failed makes it again"
REWRITE = "bench run writes it again"
RECERTIFY = "bench certify --write makes it again"
CHUNK = 1 << 20


class BrokenRecord(ValueError):
    """A file of a record that cannot be read or that was changed after it was written."""

    def __init__(self, message: str, reason: str = ""):
        super().__init__(message)
        self.reason = reason or message  # for tables, which are the same wherever the folder of results lies


class StorageFull(OSError):
    """There is no room to write a file."""

    def __init__(self, path: Path, error: OSError):
        super().__init__(error.errno, os.strerror(error.errno or errno.ENOSPC), str(path))

    def __str__(self) -> str:
        advice = "what is finished is kept: make room, and bench run --retry-failed goes on"
        return f"no room to write {self.filename} ({self.strerror}); {advice}"


def is_full(error: BaseException) -> bool:
    """Whether an error says that there is no room to write."""
    return isinstance(error, OSError) and error.errno in FULL


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file or folder that there is no room for. Raises StorageFull."""
    try:
        yield
    except OSError as error:
        if not is_full(error) or isinstance(error, StorageFull):
            raise
        raise StorageFull(path, error) from error


def broken(path: Path, problem: str, remedy: str = "") -> BrokenRecord:
    """The error for a file with this problem: where it is, and what mends it."""
    remedy = remedy or _remedy(path)
    *parents, name = _parts_below(path)
    shown = "/".join([*(part.name for part in parents), name.name])
    return BrokenRecord(f"{path} {problem}; {remedy}", f"{shown} {problem}; {remedy}")


def _remedy(path: Path) -> str:
    """The command that makes a file again."""
    if path.parent.name == "certificates":
        return RECERTIFY
    return REWRITE if path.name == "job.json" or path.parent.name == "suites" else REMAKE


def _parts_below(path: Path) -> list[Path]:
    """A path and its parents below the folder of results, outermost first; the path alone if it lies in none."""
    parents = list(path.parents)[:DEPTH]
    top = next((number for number, parent in enumerate(parents) if parent.name in TOPS), -1)
    return [*reversed(parents[: top + 1]), path]


def stat_file(path: Path) -> os.stat_result | None:
    """The status of a regular file, or None if there is none.

    Raises BrokenRecord for anything else, and for symbolic links on the way from the folder of results.
    """
    *parents, _ = _parts_below(path)
    if any(_stat(parent, path) is None for parent in parents):
        return None
    return _stat(path, path)


def is_plain_file(path: Path) -> bool:
    """Whether a path is a regular file, and no link on the way leads to it."""
    try:
        return stat_file(path) is not None
    except BrokenRecord:
        return False


def check_parents(path: Path) -> None:
    """Raise BrokenRecord if a file would be written through a symbolic link inside a folder of results."""
    for parent in _parts_below(path)[:-1]:
        _stat(parent, path)


def _stat(part: Path, path: Path) -> os.stat_result | None:
    """The status of a path or of a folder that it lies in; None if there is none. Raises BrokenRecord."""
    try:
        status = part.lstat()
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise broken(path, f"cannot be read ({error.strerror})") from None

    where = "" if part == path else f"is behind {part.name}, which "
    if stat.S_ISLNK(status.st_mode):
        remedy = "put the folder that it leads to in its place" if part.name in TOPS else ""
        raise broken(path, f"{where}is a symbolic link; links are not followed inside a folder of results", remedy)
    is_expected = stat.S_ISREG if part == path else stat.S_ISDIR
    if not is_expected(status.st_mode):
        raise broken(path, f"{where}is not a {'regular file' if part == path else 'folder'}")
    return status


@contextmanager
def open_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file for reading. Raises BrokenRecord if that fails, also when it is missing."""
    if stat_file(path) is None:
        raise broken(path, "is missing")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise broken(path, f"cannot be read ({error.strerror})") from None
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_bytes(path: Path) -> bytes:
    """The content of a regular file. Raises BrokenRecord, also when it is missing."""
    with open_file(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise broken(path, f"cannot be read ({error.strerror})") from None


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None if there is no file. Raises BrokenRecord if it is not whole."""
    return None if stat_file(path) is None else _parse(path, read_bytes(path))


def read_verified(path: Path) -> tuple[Any, bool]:
    """The content of a record, and whether it holds its digest; those of earlier versions hold none.

    Raises BrokenRecord if it is missing, not whole, or was changed.
    """
    text = read_bytes(path)
    content = _parse(path, text)
    if not isinstance(content, dict) or DIGEST not in content:
        return content, False
    if content[DIGEST] != content_digest(text.decode("utf-8")):
        raise broken(path, "was changed after it was written (its digest differs)")
    return content, True


def _parse(path: Path, text: bytes) -> Any:
    try:
        content = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise broken(path, f"is not a whole record ({error})") from None
    if content is None:
        raise broken(path, "is not a whole record (it is null)")
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")


def content_digest(text: str) -> str:
    """The SHA-256 of the canonical JSON of a record without its own digest; numbers count as they are written."""
    content = json.loads(text, parse_float=str, parse_int=str)
    rest = {key: value for key, value in content.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def with_digest(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a record with its digest. Raises ValueError if a number is not finite."""
    return {DIGEST: content_digest(json.dumps(content, allow_nan=False)), **content}


def hash_file(file: IO[bytes]) -> str:
    """The SHA-256 of the rest of a file."""
    total = hashlib.sha256()
    while chunk := file.read(CHUNK):
        total.update(chunk)
    return total.hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Replace the file atomically. Raises ValueError if a number is not finite, StorageFull."""
    text = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_bytes(path: Path, content: bytes) -> str:
    """Replace the file atomically and return the SHA-256 of its content. Raises StorageFull."""
    with replacing(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a new file that takes the place of `path` when it is complete and on the disk.

    If anything fails, the old file stays and nothing is left of the new one. A folder or a link of that name is moved
    away or replaced, not followed. Raises StorageFull, or BrokenRecord if a folder on the way is a link.
    """
    check_parents(path)
    partial = path.with_name(f"{path.name}.{uuid4().hex[:8]}.{os.getpid()}{PARTIAL}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(partial, flags, 0o666), "wb") as file:
                yield file
                sync(file)
            if path.is_dir() and not path.is_symlink():
                set_aside(path)
            partial.replace(path)
            sync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def append(path: Path, text: str) -> None:
    """Add text to the end of a file; a link is not followed. Raises StorageFull."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with writing(path), os.fdopen(os.open(path, flags, 0o666), "ab") as file:
        file.write(text.encode())


def sync(file: IO[bytes]) -> None:
    """Wait until the content of a file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot
            raise
    finally:
        os.close(descriptor)


def set_aside(path: Path) -> None:
    """Move a broken file, folder or link away, to NAME.broken or, if that exists, NAME.broken-2, ..."""
    names = (f"{path.name}.broken{suffix}" for suffix in ("", *(f"-{number}" for number in range(2, 1000))))
    target = next(path.with_name(name) for name in names if not os.path.lexists(path.with_name(name)))
    path.rename(target)


def remove(path: Path) -> None:
    """Remove a file or a link; a folder in its place is moved away."""
    if path.is_dir() and not path.is_symlink():
        set_aside(path)
    else:
        path.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left half written in a folder and below; links are not followed."""
    for place, folders, names in os.walk(folder):
        for path in (Path(place, name) for name in (*names, *folders) if name.endswith(PARTIAL)):
            if _is_at_work(path):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_at_work(partial: Path) -> bool:
    """Whether another process of this machine, whose id is in the name, may still be writing the file."""
    id = partial.name.removesuffix(PARTIAL).rpartition(".")[2]
    if not id.isdecimal() or int(id) == os.getpid():
        return False
    try:
        os.kill(int(id), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
