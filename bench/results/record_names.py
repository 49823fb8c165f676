"""Which record belongs to which suite file if files of equal name lie in different folders.

Within a folder of results, the first file to run owns its name: its records are NAME, NAME-SCALE, NAME-LABEL and
NAME-SCALE-LABEL. In the records of any other file of that name, NAME~HASH stands for NAME, with the first hexadecimal
digits of the SHA-256 of the file's path. A record stores the path of its file relative to the folder of results, so
that both can be moved together. The name is free again if the only file that used it no longer exists, as after a move
without the results. Records of older versions store no path; the next file of their name takes them over.
"""

import glob
import hashlib
import os
import re
from collections import Counter
from pathlib import Path, PurePath

from bench.engine import storage

TAG = re.compile(r"~[0-9a-f]{4,}(?=-|$)")
DIGITS = (4, 8, 64)  # of the hash; more only if a tag is taken


class AmbiguousName(ValueError):
    """A name that the records of several suite files share."""


def record_name(runs: Path, file: Path, name: str) -> str:
    """The record under `runs` of the suite in `file`, whose `name` is NAME, NAME-SCALE, ... as the suite calls itself.

    `file` may be gone, or a bare NAME. Raises AmbiguousName if it is, and several files share the name.
    """
    path, files = stored_path(runs, file), _read_files(runs, file.stem)
    tagged = _tagged(files, path, file.stem, name)
    for candidate in (name, tagged):
        if files.get(candidate) == path:
            return candidate
    if not file.is_file():
        return find_record(runs, name)

    namesakes = {record: source for record, source in files.items() if source and PurePath(source).stem == file.stem}
    owners = {source for record, source in namesakes.items() if not TAG.search(record)}
    strangers = set(namesakes.values()) - {path}
    is_moved = len(strangers) == 1 and path not in namesakes.values() and not _exists(runs, *strangers)
    holder = files.get(name)
    is_held = holder is not None and _exists(runs, holder)  # also by a file NAME-SCALE, which has another stem
    return name if (owners <= {path} or is_moved) and not is_held else tagged


def find_record(runs: Path, name: str) -> str:
    """The record that a name on the command line refers to; the name as it is if there is none.

    Raises AmbiguousName if the records of several files share it; NAME~HASH names each of them, the first one too.
    """
    files = _read_files(runs)
    namesakes = {record: path for record, path in files.items() if _untagged(record) == _untagged(name)}
    if name in namesakes and (TAG.search(name) or len(namesakes) == 1):
        return name
    aliases = {_alias(record, path): record for record, path in namesakes.items()}
    if TAG.search(name):
        return aliases.get(name, name)
    if len(namesakes) > 1:
        places = ", ".join(f"{alias} ({place(runs, files[record])})" for alias, record in sorted(aliases.items()))
        raise AmbiguousName(f'"{name}" is ambiguous under "{runs}": {places}; give one of these names')
    return next(iter(namesakes), name)


def resolve(runs: Path, reference: str) -> str:
    """A reference SUITE or SUITE/ARM with the record that SUITE stands for. Raises AmbiguousName."""
    suite, slash, arm = reference.partition("/")
    return f"{find_record(runs, suite)}{slash}{arm}"


def unambiguous_names(runs: Path) -> dict[str, str]:
    """A name that `find_record` accepts for each record: its own, or NAME~HASH if several files share the name."""
    files = _read_files(runs)
    sharers = Counter(_untagged(record) for record in files)
    return {
        record: record if sharers[_untagged(record)] == 1 else _alias(record, path) for record, path in files.items()
    }


def owner(runs: Path, name: str) -> str | None:
    """The suite file of a record, as text; None if there is no such record or path."""
    path = _read_files(runs, name).get(name)
    return None if path is None else place(runs, path)


def stored_path(runs: Path, file: Path) -> str:
    """The path of a suite file as its record stores it: relative to the folder of results, without symbolic links."""
    return Path(os.path.relpath(file.resolve(), runs.resolve())).as_posix()


def place(runs: Path, path: str | None) -> str:
    """A stored path as text: relative to the working directory if it lies below."""
    if path is None:
        return "its file is not recorded"
    file = Path(os.path.normpath(runs.resolve() / path))
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def _read_files(runs: Path, prefix: str = "") -> dict[str, str | None]:
    """The stored paths of suite files, by the names of their records; None for records of older versions."""
    paths = sorted((runs / "suites").glob(f"{glob.escape(prefix)}*.json"))
    return {path.stem: _read_path(path) for path in paths}


def _read_path(record: Path) -> str | None:
    """The stored path of a record's suite file; a broken record, which the next run of its file replaces, has none."""
    try:
        content = storage.read_json(record)
    except storage.BrokenRecord:
        return None
    path = content.get("file") if isinstance(content, dict) else None
    return path if isinstance(path, str) else None


def _exists(runs: Path, path: str) -> bool:
    return (runs.resolve() / path).is_file()


def _tagged(files: dict[str, str | None], path: str, stem: str, name: str) -> str:
    """The name with the shortest tag that no other file has."""
    names = [_with_tag(name, stem, path, digits) for digits in DIGITS]
    return next((tagged for tagged in names if files.get(tagged) in (None, path)), names[-1])


def _with_tag(name: str, stem: str, path: str, digits: int = DIGITS[0]) -> str:
    return f"{stem}~{hashlib.sha256(path.encode()).hexdigest()[:digits]}{name.removeprefix(stem)}"


def _alias(record: str, path: str | None) -> str:
    """The record's name with a tag, whether or not it has one."""
    return record if path is None or TAG.search(record) else _with_tag(record, PurePath(path).stem, path)


def _untagged(record: str) -> str:
    return TAG.sub("", record, count=1)
