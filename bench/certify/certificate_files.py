"""Certificate files: the checks of a method with its options, their outcomes, and the code that made them.

A certificate is valid while its code is the present code; only then does a report print "<=" for the bound.
Certificates of the project's methods with default options are part of the project; others are stored with the results.
"""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.engine.code_hash import certificate_code, certificate_roots, is_fresh
from bench.engine.record_files import BrokenRecord, read_verified, stat_file, with_digest, write_bytes
from methods import PLUGINS, describe

if TYPE_CHECKING:
    from bench.certify.check import Check

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "certificates"


@dataclass(frozen=True)
class Subject:
    """The method, options and precision that a certificate is about."""

    method: str
    options: dict[str, Any]  # that differ from their defaults
    precision: str
    plugin: str | None  # the code of the plug-in that the method comes from
    roots: tuple[str, ...]  # definitions that the code of the method and of its neighbours starts from

    def path(self, runs: Path) -> Path:
        """The path of the certificate; `runs` is the folder of results."""
        canonical = json.dumps([self.options, self.plugin], sort_keys=True).encode()
        suffix = f"-{hashlib.sha256(canonical).hexdigest()[:8]}" if self.options or self.plugin else ""
        return (runs / "certificates" if suffix else FOLDER) / f"{self.method}{suffix}-{self.precision}.json"

    def code(self) -> str:
        """The code that the outcome of its checks depends on."""
        return certificate_code(self.roots)

    def is_current(self, code: str) -> bool:
        """Whether checks made by `code` still hold."""
        return is_fresh(code, self.code(), "certificate", self.method)


def subject(method: str, options: dict[str, Any], precision: str) -> Subject:
    """The subject of a registered method. Raises OptionError as `methods.describe` does."""
    plugin = PLUGINS.get(method)
    code = plugin.code if plugin else None
    return Subject(method, describe(method, options), precision, code, certificate_roots(method))


def write_certificate(of: Subject, checks: list["Check"], runs: Path) -> Path:
    """Write the outcome of the checks, passed or not, and return the path."""
    content = {
        **{name: value for name, value in asdict(of).items() if name != "roots"},
        "code": of.code(),
        "passed": all(check.passed for check in checks),
        "checks": [asdict(check) for check in checks],
    }
    path = of.path(runs)
    content = content if path.parent == FOLDER else with_digest(content)  # the project's own are in git
    write_bytes(path, f"{json.dumps(content, indent=1, ensure_ascii=False)}\n".encode())
    return path


def read_certificate(of: Subject, runs: Path) -> dict[str, Any] | None:
    """The certificate of a subject; None if it has none, or one that cannot be read or was changed."""
    path = of.path(runs)
    try:
        content = None if stat_file(path) is None else read_verified(path)[0]
    except BrokenRecord as error:
        _warn(str(error))
        return None
    if isinstance(content, dict) and {"passed", "code", "checks"} <= content.keys():
        return content
    return None


@cache
def _warn(text: str) -> None:
    """Log a warning once: every number of the method asks for its certificate."""
    log.warning("%s", text)


def is_certified(of: Subject, runs: Path) -> bool:
    """Whether the bound has a certificate of the present code."""
    certificate = read_certificate(of, runs)
    return certificate is not None and bool(certificate["passed"]) and of.is_current(str(certificate["code"]))
