"""Certificate files: the checks of a method with its options, their outcomes, and the code that made them.

A certificate is valid while its code is the present code; only then does a report print "=" for a likelihood or "<="
for a bound. Certificates of the project's methods with default options are part of the project; others are stored with
the results. The file of an estimator other than the method's default one has its name: `mdlm-times-float32.json`.
"""

import hashlib
import json
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from bench.engine.code_hash import certificate_code, certificate_roots, is_fresh
from bench.engine.likelihood.estimators import EstimatorName, estimator_for, refusal
from bench.engine.model.method_instances import method_instance
from bench.engine.record_files import BrokenRecord, read_verified, stat_file, with_digest, write_bytes
from methods import PLUGINS, OptionError, describe

if TYPE_CHECKING:
    from bench.certify.check import Check

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "certificates"
VOCAB_SIZE = 2  # of the instances that say which estimators a method admits
ESTIMATORS: tuple[EstimatorName, ...] = ("counted", "times", "independent")
IDENTITY = ("method", "options", "precision", "plugin", "estimator")  # what a certificate says that it is about


@dataclass(frozen=True)
class Subject:
    """The method, options, precision and estimator that a certificate is about."""

    method: str
    options: dict[str, Any]  # that differ from their defaults
    precision: str
    plugin: str | None  # the code of the plug-in that the method comes from
    roots: tuple[str, ...]  # definitions that the code of the method and of its neighbours starts from
    estimator: str = (
        "auto"  # of the bound; "auto" is an exact likelihood, or the default of a method that is not loaded
    )
    default_estimator: str = "auto"  # the one that "auto" resolves to; "auto" if it is exact or not known

    def path(self, runs: Path) -> Path:
        """The path of the certificate; `runs` is the folder of results."""
        canonical = json.dumps([self.options, self.plugin], sort_keys=True).encode()
        suffix = f"-{hashlib.sha256(canonical).hexdigest()[:8]}" if self.options or self.plugin else ""
        estimator = "" if self.estimator in ("auto", self.default_estimator) else f"-{self.estimator}"
        name = f"{self.method}{estimator}{suffix}-{self.precision}.json"
        return (runs / "certificates" if suffix else FOLDER) / name

    def code(self) -> str:
        """The code that the outcome of its checks depends on."""
        return certificate_code(self.roots)

    def is_current(self, code: str) -> bool:
        """Whether checks made by `code` still hold."""
        return is_fresh(code, self.code(), "certificate", self.method)

    def describe(self) -> str:
        """The subject in words, such as "mdlm(steps=7), float32"; a default estimator is not named."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        method = f"{self.method}({options})" if options else self.method
        is_default = self.estimator in ("auto", self.default_estimator)
        return ", ".join([method, self.precision, *([] if is_default else [f"estimator {self.estimator}"])])


def subject(method: str, options: dict[str, Any], precision: str, estimator: EstimatorName = "auto") -> Subject:
    """The subject of a registered method.

    Raises OptionError as `methods.describe` does, and if the method does not admit the estimator.
    """
    plugin = PLUGINS.get(method)
    code = plugin.code if plugin else None
    names = resolve_estimator(method, options, estimator)
    return Subject(method, describe(method, options), precision, code, certificate_roots(method), *names)


def resolve_estimator(method: str, options: dict[str, Any], estimator: EstimatorName) -> tuple[str, str]:
    """The name that an estimator resolves to for a method, and that of its default one. Raises OptionError."""
    instance = method_instance(method, VOCAB_SIZE, options)
    if reason := refusal(instance, estimator):
        admitted = ", ".join(["auto", *admitted_estimators(method, options)])
        raise OptionError(f'estimator "{estimator}": method "{method}" {reason}; it admits: {admitted}')
    return estimator_for(instance, estimator).name, estimator_for(instance).name


def admitted_estimators(method: str, options: dict[str, Any]) -> list[EstimatorName]:
    """The estimators that a suite can ask for by name; none for an exact likelihood. Raises OptionError."""
    instance = method_instance(method, VOCAB_SIZE, options)
    return [name for name in ESTIMATORS if refusal(instance, name) is None]


def write_certificate(
    of: Subject, checks: Sequence["Check"], runs: Path, seed: int = 0, sizes: Mapping[str, str] | None = None
) -> Path:
    """Write the outcome of the checks, passed or not, and return the path.

    `seed` is what they drew with, `sizes` what they were made with, in words.
    """
    content = {
        **{name: getattr(of, name) for name in IDENTITY},
        "code": of.code(),
        "seed": seed,
        "versions": {"python": platform.python_version(), "torch": str(torch.__version__)},
        "sizes": dict(sizes or {}),
        "passed": bool(checks) and all(check.passed for check in checks),
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
    if isinstance(content, dict) and {"passed", "code", "checks"} <= content.keys() and _is_about(content, of):
        return content
    return None


def _is_about(content: dict[str, Any], of: Subject) -> bool:
    """Whether a certificate is about this subject, so that a copy under another name is none.

    Earlier versions did not name the estimator, which was the default one.
    """
    stated = {"estimator": of.default_estimator} | content
    names = [name for name in IDENTITY if name != "estimator" or of.estimator != "auto"]
    pairs = [(stated.get(name), getattr(of, name)) for name in names]
    return all(json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True) for a, b in pairs)


@cache
def _warn(text: str) -> None:
    """Log a warning once: every number of the method asks for its certificate."""
    log.warning("%s", text)


def is_certified(of: Subject, runs: Path) -> bool:
    """Whether the bound has a certificate of the present code."""
    certificate = read_certificate(of, runs)
    return certificate is not None and bool(certificate["passed"]) and of.is_current(str(certificate["code"]))
