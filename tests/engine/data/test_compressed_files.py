"""Compressed text is read whatever its name, has the fingerprint of the text itself, and is else refused by name."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import pytest
from pydantic import TypeAdapter

from bench.engine.data import DataError, DataSpec, compressed_files, summarize

PROSE = "It was the best of times, it was the worst of times.\n" * 40
TEXT = PROSE.encode()


def zipped(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return stream.getvalue()


def facts(folder, name, content):
    """The facts of a text file with this content."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    spec = TypeAdapter(DataSpec).validate_python({"source": "text-file", "path": name, "length": 16})
    return summarize(spec, folder)


PACKED = {
    "gz": gzip.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "bz2": bz2.compress(TEXT),
    "zip": zipped(**{"folder/": b"", "folder/text.txt": TEXT, "__MACOSX/._text.txt": b"\0", ".DS_Store": b"\0"}),
    "two members of gz": gzip.compress(TEXT[:100]) + gzip.compress(TEXT[100:]),
    "two streams of xz": lzma.compress(TEXT[:100]) + lzma.compress(TEXT[100:]),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["text.{}", "TEXT.TXT.{}", "text.txt", "no-suffix"])
def test_a_compressed_text_has_the_fingerprint_of_the_text(kind, name, tmp_path):
    suffix = kind.split()[-1]
    name = name.format(suffix.upper() if name.isupper() else suffix)
    assert facts(tmp_path, name, PACKED[kind]).fingerprint == facts(tmp_path, "plain.txt", TEXT).fingerprint


def test_a_folder_may_hold_compressed_and_plain_files(tmp_path):
    facts(tmp_path, "packed/b.txt.xz", PACKED["xz"])
    facts(tmp_path, "packed/deep/c.GZ", PACKED["gz"])
    facts(tmp_path, "plain/b.txt", TEXT)
    facts(tmp_path, "plain/deep/c", TEXT)
    fingerprints = set()
    for name in ("packed", "plain"):
        spec = TypeAdapter(DataSpec).validate_python({"source": "text-file", "path": name, "length": 16})
        fingerprints.add(summarize(spec, tmp_path).fingerprint)
    assert len(fingerprints) == 1


REFUSED = {  # the name of a file, its content, and words of the message
    "a cut gz": ("a.gz", PACKED["gz"][:-20], "not a whole .gz file"),
    "a cut xz": ("a.xz", PACKED["xz"][:-20], "not a whole .xz file"),
    "a cut bz2": ("a.bz2", PACKED["bz2"][:-20], "not a whole .bz2 file"),
    "a cut zip": ("a.zip", PACKED["zip"][:-20], "not a whole .zip file"),
    "damaged bz2": ("a.bz2", PACKED["bz2"][:40] + b"????" + PACKED["bz2"][44:], "not a whole .bz2 file"),
    "plain text in gz": ("a.gz", TEXT, "not a whole .gz file"),
    "plain text in ZIP": ("a.ZIP", TEXT, "not a whole .zip file"),
    "zip of several": ("a.zip", zipped(a=TEXT, b=TEXT), r"holds 2 files \(a, b\); a .zip holds one file of text"),
    "zip of many": (
        "a.zip",
        zipped(**{f"f{n}": b"" for n in range(9)}),
        r"holds 9 files \(f0, f1, f2, f3, f4, \.\.\.\)",
    ),
    "empty zip": ("a.zip", zipped(), "holds no file"),
    "zip in zip": ("a.zip", zipped(b=PACKED["zip"]), "holds a .zip file, compressed twice; unpack it once"),
    "xz in gz": ("a.gz", gzip.compress(PACKED["xz"]), "holds a .xz file, compressed twice"),
    "a tar": ("a.tar", tarred(), "a tar archive, which is not read; unpack it and name the folder"),
    "a tar without a suffix": ("a", tarred(), "a tar archive, which is not read"),
    "a tar.gz": ("a.tar.gz", gzip.compress(tarred()), "a tar archive, which is not read"),
    "a tar in gz": ("a.gz", gzip.compress(tarred()), "a tar archive, which is not read"),
    "a TGZ": ("a.TGZ", gzip.compress(tarred()), "a tar archive, which is not read"),
    "zst": (
        "a.zst",
        b"\x28\xb5\x2f\xfd" + b"x" * 99,
        r"a Zstandard file, which is not read; unpack it with: zstd -d \S+a.zst",
    ),
    "zst without a suffix": ("a.txt", b"\x28\xb5\x2f\xfd" + b"x" * 99, "a Zstandard file"),
    "7z": ("a.7z", b"7z\xbc\xaf\x27\x1c" + b"x" * 99, "a 7-Zip archive, which is not read; unpack it"),
    "rar": ("a.rar", b"Rar!\x1a\x07\x01\x00" + b"x" * 99, "a RAR archive"),
    "lz4": ("a.lz4", b"\x04\x22\x4d\x18" + b"x" * 99, "an LZ4 file"),
    "parquet": ("a.parquet", b"PAR1" + b"\0" * 99, "a Parquet table, which is not read; write its text column"),
    "jsonl": ("a.jsonl", b'{"text": "a"}\n' * 99, "a file of records, not of running text"),
    "jsonl in gz": ("a.JSONL.gz", gzip.compress(b'{"text": "a"}\n' * 99), "a file of records, not of running text"),
    "docx": ("a.docx", zipped(**{"[Content_Types].xml": b"", "word/document.xml": TEXT}), "an Office document"),
    "docx as txt": ("a.txt", zipped(**{"[Content_Types].xml": b"", "word/document.xml": TEXT}), "an Office document"),
    "pdf": ("a.pdf", b"%PDF-1.7\n" + TEXT, "a PDF document"),
    "UTF-16": ("a.txt", PROSE.encode("utf-16"), "its encoding is UTF-16; save it as UTF-8"),
    "UTF-16 without a mark": ("a.txt", PROSE.encode("utf-16-be"), "its encoding is UTF-16; save it as UTF-8"),
    "UTF-32": ("a.txt", PROSE.encode("utf-32"), "its encoding is UTF-32; save it as UTF-8"),
    "UTF-16 in xz": ("a.xz", lzma.compress(PROSE.encode("utf-16")), "its encoding is UTF-16; save it as UTF-8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_read_is_refused_by_name_with_the_way_out(case, tmp_path):
    name, content, words = REFUSED[case]
    with pytest.raises(DataError, match=words) as error:
        facts(tmp_path, name, content)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert error.value.field == "path"


def test_text_that_begins_like_bzip2_is_text(tmp_path):
    assert facts(tmp_path, "a.txt", b"BZh is how it begins. " + TEXT).vocab_size > 2


@pytest.mark.parametrize("kind", ["gz", "xz", "bz2", "zip"])
def test_what_unpacks_to_far_more_than_text_does_is_refused_before_it_has(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(compressed_files, "FREE_BYTES", 1000)
    zeros = bytes(5_000_000)
    packers = {"gz": gzip.compress, "xz": lzma.compress, "bz2": bz2.compress, "zip": lambda content: zipped(a=content)}
    content = packers[kind](zeros)
    limit = max(1000, 200 * len(content))
    with pytest.raises(
        DataError, match=f"unpacks to more than {limit:,} bytes, 200 times its size, which no text does"
    ):
        facts(tmp_path, f"a.{kind}", content)
