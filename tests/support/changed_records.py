"""Records that a test changes on purpose, with the digests that they would have if a worker had written them so."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.engine.record_files import DIGEST, read_json, with_digest, write_json


def rewrite(path: Path, content: dict[str, Any]) -> None:
    """Write a record with its digest, and with those of the files beside it that it names."""
    rest = {key: value for key, value in content.items() if key != DIGEST}
    files = {name: hashlib.sha256((path.parent / name).read_bytes()).hexdigest() for name in content.get("files", {})}
    write_json(path, with_digest(rest | ({"files": files} if files else {})))


def change(path: Path, how: Callable[[Any], Any]) -> None:
    """Read, change and write a record."""
    content = read_json(path)
    how(content)
    rewrite(path, content)
