"""A fingerprint of the code that numbers depend on: results of other code are stale."""

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

NUMERICAL = (
    "methods/*.py",
    "bench/data/*.py",
    *(
        f"bench/{name}.py"
        for name in (
            "attention",
            "bound",
            "checkpoint",
            "measures",
            "model",
            "network",
            "pieces",
            "rng",
            "sample",
            "spec",
            "train",
            "worker",
        )
    ),
)


def code_fingerprint() -> str:
    """12 hexadecimal digits over the source files that a number may depend on."""
    return fingerprint(NUMERICAL)


@cache
def fingerprint(patterns: tuple[str, ...]) -> str:
    """12 hexadecimal digits over the names and contents of the project's files that match."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
