"""Text from local files and folders; whatever is not text is refused with its file and byte."""

import gzip
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from bench.engine.invalid_setting import DataError

OPENERS: dict[str, Callable[..., IO[Any]]] = {".xz": lzma.open, ".gz": gzip.open}
WAY_OUT = "give text in UTF-8, as it is or packed as .xz or .gz"


def read_text(path: Path) -> str:
    """Read the file `path`, or all files under the folder `path`, joined by one newline.

    The files of a folder are read in the order of their relative paths, without hidden files and folders. Raises
    DataError("path") if a file is missing, unreadable, not UTF-8 or holds a NUL, or if the text is blank.
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
    """Return the file `path` itself, or the files under the folder `path`, sorted, without hidden ones."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        problem = "is neither a file nor a folder" if path.exists() else "there is no such file or folder"
        raise DataError("path", f"{path}: {problem}; a relative path starts at the folder of the suite file")
    names = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    return [path / name for name in sorted(names) if not any(part.startswith(".") for part in name.parts)]


def read_file(file: Path) -> str:
    """Read one file, decompressed by its suffix. Raises DataError("path") if it is not text, and OSError."""
    content = decompress(file)
    if (nul := content.find(b"\0")) >= 0:
        raise DataError("path", f"{file}: not text: byte {nul} is NUL; {WAY_OUT}")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("path", f"{file}: not UTF-8 text: byte {error.start}: {error.reason}; {WAY_OUT}") from error


def decompress(file: Path) -> bytes:
    """Return the bytes of a file, decompressed if it ends in .xz or .gz.

    Raises DataError("path") if the archive is damaged, and OSError.
    """
    try:
        with OPENERS.get(file.suffix, open)(file, "rb") as stream:
            content: bytes = stream.read()
    except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        problem = f"{file}: not a whole {file.suffix} file ({error})"
        raise DataError("path", f"{problem}; pack it again or give it unpacked") from error
    return content
