"""Certificates as files: what a method with its options was asked, by which code, and whether all of it held.

A certificate counts as long as the code that it was made by is the code that is here; a report prints "<=" for no other
bound. Those of the project's own methods with their defaults are part of the project; all others lie by the results.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.engine.code_hash import certificate_code, certificate_roots, is_fresh
from methods import PLUGINS, describe

if TYPE_CHECKING:
    from bench.certify.checks import Check

FOLDER = Path(__file__).parent / "certificates"


@dataclass(frozen=True)
class Subject:
    """What a certificate is about."""

    method: str
    options: dict[str, Any]  # the departures from the defaults
    precision: str
    plugin: str | None  # the code of the plug-in that the method comes from
    roots: tuple[str, ...]  # definitions that the code of the method and of its neighbours starts from

    def path(self, runs: Path) -> Path:
        """The file of its certificate; `runs` is the folder of results."""
        canonical = json.dumps([self.options, self.plugin], sort_keys=True).encode()
        own = f"-{hashlib.sha256(canonical).hexdigest()[:8]}" if self.options or self.plugin else ""
        return (runs / "certificates" if own else FOLDER) / f"{self.method}{own}-{self.precision}.json"

    def code(self) -> str:
        """The code that a verdict on it depends on."""
        return certificate_code(self.roots)

    def is_current(self, code: str) -> bool:
        """Whether `code` is the code that a verdict would depend on now."""
        return is_fresh(code, self.code(), "certificate", self.method)


def subject(method: str, options: dict[str, Any], precision: str) -> Subject:
    """A registered method with its options; raises OptionError as `methods.describe` does."""
    plugin = PLUGINS.get(method)
    code = plugin.code if plugin else None
    return Subject(method, describe(method, options), precision, code, certificate_roots(method))


def write_certificate(of: Subject, checks: list["Check"], runs: Path) -> Path:
    """Keeps what was found, passed or not."""
    content = {
        **{name: value for name, value in asdict(of).items() if name != "roots"},
        "code": of.code(),
        "passed": all(each.passed for each in checks),
        "checks": [asdict(each) for each in checks],
    }
    path = of.path(runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def is_certified(of: Subject, runs: Path) -> bool:
    """Whether the bound is certified by the code that is here."""
    path = of.path(runs)
    if not path.is_file():
        return False
    certificate = json.loads(path.read_text(encoding="utf-8"))
    return bool(certificate["passed"]) and of.is_current(str(certificate["code"]))
