"""Text from local files and folders; whatever is not text is refused with its file and byte."""

from pathlib import Path

from bench.engine.data.compressed_files import WAY_OUT, read_content
from bench.engine.invalid_setting import DataError
from bench.engine.written_paths import explain_missing, resolve_path

BYTE_ORDER_MARK = "\ufeff"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte-order marks
SAMPLE = 1000  # bytes at the start of a file that show how it is encoded


def find_path(written: str, base: Path, field: str = "path") -> Path:
    """The existing file or folder that a suite in the folder `base` names. Raises DataError(field) if there is none."""
    path = resolve_path(written, base)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        raise DataError(field, explain_missing(written, base)) from None
    except OSError as error:
        raise DataError(field, f"{path}: cannot be read ({error.strerror}); check the path and its rights") from error
    return path


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
        raise DataError("path", f"{path}: is neither a file nor a folder; name a file of text, or a folder of them")
    names = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    return [path / name for name in sorted(names) if not any(part.startswith(".") for part in name.parts)]


def read_file(file: Path) -> str:
    """Read one file, decompressed by its content and without a byte-order mark at its start.

    Raises DataError("path") if it is not text, and OSError.
    """
    content = read_content(file)
    if encoding := find_utf_16(content):
        raise DataError("path", f"{file}: its encoding is {encoding}; save it as UTF-8")
    if (nul := content.find(b"\0")) >= 0:
        raise DataError("path", f"{file}: not text: byte {nul} is NUL; {WAY_OUT}")
    try:
        return content.decode("utf-8").removeprefix(BYTE_ORDER_MARK)
    except UnicodeDecodeError as error:
        raise DataError("path", f"{file}: not UTF-8 text: byte {error.start}: {error.reason}; {WAY_OUT}") from error


def find_utf_16(content: bytes) -> str | None:
    """The name of the encoding if the content is UTF-16 or UTF-32, with or without a byte-order mark, or None."""
    sample = content[:SAMPLE]
    if sample.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    has_zeros = 2 * sample.count(0) >= 0.8 * len(sample) > 2
    is_alternating = has_zeros and (not any(sample[::2]) or not any(sample[1::2]))
    return "UTF-16" if sample.startswith(UTF_16) or is_alternating else None
