"""Paths as people write them in a suite: where they lead, and why nothing is there."""

import os
import re
from itertools import islice
from pathlib import Path

from methods.suggestions import suggest

VARIABLE = re.compile(r"\$\{[^}]*\}|\$[A-Za-z_]\w*|%[A-Za-z_]\w*%|\{\{.*?\}\}")
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
WILDCARDS = re.compile(r"[*?]|\[.+\]")
LISTED = 1000  # names of a folder among which a similar one is looked for


def resolve_path(written: str, base: Path) -> Path:
    """The path that a suite in the folder `base` means: ~ and ~user are home folders, and a relative path starts there.

    Nothing else is filled in or corrected: `explain_missing` tells why such a path leads nowhere.
    """
    return base / os.path.expanduser(written)


def explain_missing(written: str, base: Path) -> str:
    """Why there is no file or folder at the path, and the way out."""
    path = resolve_path(written, base)
    if variable := VARIABLE.search(written):
        return f"{written}: {variable[0]} is not filled in; write the path out"
    if ADDRESS.match(written):
        return f"{written}: an address is not fetched; give a path, such as /data/text.txt"
    if "\0" in written:
        return f"{written!r}: a path holds no NUL"
    if written.startswith("~") and str(path) == str(base / written):
        return f"{written}: there is no home folder of {written.partition('/')[0]}; write the path out"
    if written != written.strip():
        return f"{written!r}: there is no such file or folder; it starts or ends with a space, remove it"
    if "\\" in written:
        return (
            f"{written}: there is no such file or folder; separate folders by /, as in {written.replace(chr(92), '/')}"
        )
    if WILDCARDS.search(written):
        return f"{written}: there is no such file or folder; wildcards are not filled in, name one file or folder"
    return _explain_plain(path, base)


def _explain_plain(path: Path, base: Path) -> str:
    """What is missing of a path that holds nothing special, where a relative one starts, and a similar name."""
    try:
        if os.path.lexists(path):
            return f"{path}: a link that leads to no file or folder; mend the link, or name another path"
        missing = path
        while not missing.parent.is_dir() and missing != missing.parent:
            missing = missing.parent
        names = sorted(entry.name for entry in islice(os.scandir(missing.parent), LISTED))
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror}); check the path and its rights"

    start = f"a relative path starts at {base.resolve()}/, the folder of the suite file"
    suggestion = suggest(missing.name, names)
    return f"{path}: there is no such file or folder; {suggestion + '; ' if suggestion else ''}{start}"
