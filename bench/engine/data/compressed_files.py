"""Content of files that may be compressed, which is told by their first bytes: .gz, .xz, .bz2, and .zip of one file."""

import bz2
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench.engine.invalid_setting import DataError

WAY_OUT = "give text in UTF-8, as it is or compressed as .gz, .xz, .bz2 or .zip"
CHUNK = 1 << 20  # bytes that are unpacked at once
FREE_BYTES = 1 << 26  # unpacked content up to here may have any ratio
MAX_RATIO = 200  # unpacked bytes for each packed byte; text has 3 to 20
LISTED = 5  # members of an archive that an error names
HEAD = 512  # bytes that show what a file is

OPENERS: dict[str, Callable[..., IO[Any]]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
MAGIC = {  # suffix of what is read, by the first bytes
    b"\x1f\x8b": ".gz",
    b"\xfd7zXZ\0": ".xz",
    b"BZh": ".bz2",
    b"PK\x03\x04": ".zip",
    b"PK\x05\x06": ".zip",  # an empty one
}
FOREIGN = {  # the name and the way out of what is not read, by the first bytes
    b"\x28\xb5\x2f\xfd": ("a Zstandard file", "unpack it with: zstd -d FILE"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it"),
    b"\x04\x22\x4d\x18": ("an LZ4 file", "unpack it"),
    b"]\0\0": ("an LZMA file of the old kind", "unpack it with: unlzma FILE"),
    b"PAR1": ("a Parquet table", "write its text column to a file of text"),
    b"ARROW1": ("an Arrow table", "write its text column to a file of text"),
    b"%PDF-": ("a PDF document", "write its text to a file"),
    b"\xd0\xcf\x11\xe0": ("an Office document", "save it as plain text"),
    b"SQLite format 3\0": ("an SQLite database", "write its text to a file"),
}
FOREIGN_SUFFIXES = {  # the same, by the suffix, for what has no first bytes of its own or is text with a structure
    ".zst": ("a Zstandard file", "unpack it with: zstd -d FILE"),
    ".7z": ("a 7-Zip archive", "unpack it"),
    ".rar": ("a RAR archive", "unpack it"),
    ".tar": ("a tar archive", "unpack it and name the folder"),
    ".tgz": ("a tar archive", "unpack it and name the folder"),
    ".parquet": ("a Parquet table", "write its text column to a file of text"),
    ".arrow": ("an Arrow table", "write its text column to a file of text"),
    ".jsonl": ("a file of records, not of running text", "write their text to a file of text"),
    ".ndjson": ("a file of records, not of running text", "write their text to a file of text"),
    ".docx": ("an Office document", "save it as plain text"),
    ".pdf": ("a PDF document", "write its text to a file"),
}
DOCUMENTS = ("[Content_Types].xml", "mimetype")  # members by which a zip is an office document
DAMAGE = (lzma.LZMAError, zlib.error, EOFError, zipfile.BadZipFile, gzip.BadGzipFile)


def read_content(file: Path) -> bytes:
    """Return the bytes of a file, decompressed if it is compressed, whatever its name.

    Raises DataError("path") if the archive is damaged, holds several files or unpacks to far more than text does, or if
    the content is no text but of a known kind; and OSError.
    """
    with file.open("rb") as stream:
        head = stream.read(HEAD)
    kind = find_compression(head)
    suffixes = [suffix.lower() for suffix in file.suffixes[-2:]]
    refuse_foreign(file, head, suffixes[-1:] if kind is None else suffixes)
    if kind is None and suffixes[-1:] and suffixes[-1] in (*OPENERS, ".zip"):
        raise DataError("path", f"{file}: not a whole {suffixes[-1]} file; compress it again, or rename it")
    if kind is None:
        return file.read_bytes()

    content = unpack(file, kind)
    if (inner := find_compression(content[:HEAD])) is not None:
        raise DataError("path", f"{file}: holds a {inner} file, compressed twice; unpack it once")
    refuse_foreign(file, content[:HEAD], [])
    return content


def find_compression(head: bytes) -> str | None:
    """The suffix of the kind of compression that starts with these bytes, or None."""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic) and _is_sure(head, kind)), None)


def _is_sure(head: bytes, kind: str) -> bool:
    """Whether the bytes are of this kind; text, too, may begin with BZh."""
    return kind != ".bz2" or head[4:10] in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")


def refuse_foreign(file: Path, head: bytes, suffixes: list[str]) -> None:
    """Raise DataError("path") if the content or the name is of a kind that is known not to be running text."""
    descriptions = [FOREIGN[magic] for magic in FOREIGN if head.startswith(magic)]
    descriptions += [FOREIGN_SUFFIXES[suffix] for suffix in suffixes if suffix in FOREIGN_SUFFIXES]
    if head[257:262] == b"ustar":
        descriptions.insert(0, FOREIGN_SUFFIXES[".tar"])
    for description, advice in descriptions:
        raise DataError("path", f"{file}: {description}, which is not read; {advice.replace('FILE', str(file))}")


def unpack(file: Path, kind: str) -> bytes:
    """Return the unpacked content. Raises DataError("path") if it is damaged or too large, and OSError."""
    try:
        with _open(file, kind) as stream:
            return _read_bounded(stream, file)
    except DAMAGE as error:
        raise _damaged(file, kind, error) from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: encrypted, or another compression
        raise DataError("path", f"{file}: cannot be unpacked ({error}); give it unpacked") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(file, kind, error) from error  # bz2


def _damaged(file: Path, kind: str, error: Exception) -> DataError:
    return DataError("path", f"{file}: not a whole {kind} file ({error}); compress it again or give it unpacked")


@contextmanager
def _open(file: Path, kind: str) -> Iterator[IO[Any]]:
    """Open the content of a compressed file."""
    if kind != ".zip":
        with OPENERS[kind](file, "rb") as stream:
            yield stream
        return
    with zipfile.ZipFile(file) as archive, archive.open(_find_member(archive, file)) as stream:
        yield stream


def _find_member(archive: zipfile.ZipFile, file: Path) -> str:
    """The one file in an archive. Raises DataError("path") if there are none or several."""
    names = [member.filename for member in archive.infolist() if not member.is_dir()]
    if any(name in DOCUMENTS for name in names):
        raise DataError("path", f"{file}: an Office document or a book, which is not read; save it as plain text")
    names = [name for name in names if not any(part.startswith((".", "__MACOSX")) for part in name.split("/"))]
    if len(names) == 1:
        return names[0]
    listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    problem = f"holds {len(names)} files ({listed})" if names else "holds no file"
    raise DataError("path", f"{file}: {problem}; a .zip holds one file of text, so unpack it and name the folder")


def _read_bounded(stream: IO[Any], file: Path) -> bytes:
    """Read a stream, up to the ratio of unpacked to packed bytes that a text can have."""
    limit = max(FREE_BYTES, MAX_RATIO * file.stat().st_size)
    content = bytearray()
    while chunk := stream.read(CHUNK):
        content += chunk
        if len(content) > limit:
            problem = f"unpacks to more than {limit:,} bytes, {MAX_RATIO} times its size, which no text does"
            raise DataError("path", f"{file}: {problem}; give it unpacked")
    return bytes(content)
