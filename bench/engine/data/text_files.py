"""Text from local files and folders, checked: what is not text is refused with its file and byte."""

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from bench.engine.errors import DataError

OPENERS: dict[str, Callable[..., IO[Any]]] = {".xz": lzma.open, ".gz": gzip.open}
WAY_OUT = "give text in UTF-8, as it is or packed as .xz or .gz"


def read_text(path: Path) -> str:
    """The text of the file `path`, or of all files under the folder `path`, joined by one newline.

    The files of a folder come in the order of their relative paths; hidden files and folders are left out.
    Raises DataError("path") for what is missing, unreadable, not UTF-8, holds a NUL, or is blank throughout.
    """
    try:
        text = "\n".join(read_file(file) for file in find_files(path))
    except OSError as error:
        problem = f"{error.filename or path}: cannot be read ({error.strerror or error})"
        raise DataError("path", f"{problem}; check the path and its rights") from error
    if not text or text.isspace():
        raise DataError("path", f"{path}: there is no text in it; {WAY_OUT}")
    return text


def find_files(path: Path) -> list[Path]:
    """The file `path` itself, or the files under the folder `path`, sorted by relative path, without hidden ones."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        problem = "is neither a file nor a folder" if path.exists() else "there is no such file or folder"
        raise DataError("path", f"{path}: {problem}; a relative path starts at the folder of the suite file")
    names = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    return [path / name for name in sorted(names) if not any(part.startswith(".") for part in name.parts)]


def read_file(file: Path) -> str:
    """The text of one file, unpacked by its ending. Raises DataError("path") where it is not text, and OSError."""
    content = unpack(file)
    if (nul := content.find(b"\0")) >= 0:
        raise DataError("path", f"{file}: not text: byte {nul} is NUL; {WAY_OUT}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("path", f"{file}: not UTF-8 text: byte {error.start}: {error.reason}; {WAY_OUT}") from error


def unpack(file: Path) -> bytes:
    """The content of a file, unpacked if named .xz or .gz. Raises DataError("path") for a broken pack, and OSError."""
    try:
        with OPENERS.get(file.suffix, open)(file, "rb") as stream:
            content: bytes = stream.read()
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        problem = f"{file}: not a whole {file.suffix} file ({error})"
        raise DataError("path", f"{problem}; pack it again or give it unpacked") from error
    return content
