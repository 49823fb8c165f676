"""Certificates as files: what a method with its options was asked, by which code, and whether all of it held.

A certificate counts as long as the code that it was made by is the code that is here; a report prints "<=" for no other
bound.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.code import fingerprint

if TYPE_CHECKING:
    from bench.certify.verdict import Check

FOLDER = Path(__file__).parent / "certificates"
CODE = (  # what the verdict on a bound depends on
    "methods/*.py",
    "bench/bound.py",
    "bench/measures.py",
    "bench/model.py",
    "bench/pieces.py",
    "bench/rng.py",
    "bench/sample.py",
    *(
        f"bench/certify/{name}.py"
        for name in ("court", "identities", "kraft", "oracle", "probes", "tightness", "verdict")
    ),
)


def path_of(method: str, options: dict[str, Any], precision: str) -> Path:
    """The file of a certificate; `options` are the departures from the defaults that `methods.describe` gives."""
    canonical = json.dumps(options, sort_keys=True).encode()
    departures = f"-{hashlib.sha256(canonical).hexdigest()[:8]}" if options else ""
    return FOLDER / f"{method}{departures}-{precision}.json"


def write(method: str, options: dict[str, Any], precision: str, checks: list["Check"]) -> Path:
    """Keeps what was found, passed or not."""
    content = {
        "method": method,
        "options": options,
        "precision": precision,
        "code": fingerprint(CODE),
        "passed": all(each.passed for each in checks),
        "checks": [asdict(each) for each in checks],
    }
    path = path_of(method, options, precision)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    read.cache_clear()
    return path


@cache
def read(path: Path) -> dict[str, Any] | None:
    """A certificate, or None where there is none."""
    content: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return content


def holds(method: str, options: dict[str, Any], precision: str) -> bool:
    """Whether the bound of this method is certified by the code that is here."""
    found = read(path_of(method, options, precision))
    return found is not None and found["passed"] and found["code"] == fingerprint(CODE)
