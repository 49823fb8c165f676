"""Certificates of the methods in a suite."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.certify.certificate_files import ESTIMATORS, Subject, is_certified, read_certificate, resolve_estimator
from bench.engine.likelihood.estimators import EstimatorName
from bench.engine.records import Stage, StoredSuite
from bench.results.recorded_cell import RecordedCell, recorded_cells
from bench.results.staleness import recorded_roots
from methods import METHODS, OptionError

State = Literal["certified", "outdated", "refused", "none"]  # outdated: passed, but by other code
CLAIMS = {"exact": "likelihood", "bound": "bound"}  # what a result claims, and its kind without a certificate
CERTIFIED = {"exact": "exact", "bound": "certified"}  # its kind with one


@dataclass(frozen=True)
class Certification:
    """A method with its options, precision and estimator that has a bound in a suite's record, and its certificate."""

    method: str  # with its options
    precision: str
    state: State
    checks: list[dict[str, Any]]  # as the certificate lists them
    arms: list[str] = field(default_factory=list)
    estimator: str = ""  # if it is not the default one of the method
    provenance: dict[str, str] = field(
        default_factory=dict
    )  # what was certified and how, in words, as the certificate says

    @property
    def name(self) -> str:
        """The method, the precision, and the estimator if it is not the default one."""
        return ", ".join(filter(None, (self.method, self.precision, self.estimator and f"estimator {self.estimator}")))

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The checks that failed."""
        return [check for check in self.checks if not check["passed"]]


def subject_of(cell: RecordedCell, precision: str, estimator: EstimatorName, runs: Path) -> Subject:
    """The subject of a certificate for a bound of a cell's method, by the estimator that its settings name."""
    science = cell.stored.science
    roots = recorded_roots(cell.stored, "certificate")
    subject = Subject(science["method"], science["options"], precision, science.get("plugin"), roots)
    try:
        names = resolve_estimator(subject.method, subject.options, estimator) if subject.method in METHODS else None
    except OptionError:  # of other code than that of the record
        names = None
    if names:
        return replace(subject, estimator=names[0], default_estimator=names[1])

    default = (read_certificate(subject, runs) or {}).get("estimator", "auto") if names_a_file(subject) else "auto"
    return replace(subject, estimator=estimator, default_estimator=default)


def names_a_file(subject: Subject) -> bool:
    """Whether the method of a record is a name: it could be a path."""
    return Path(subject.method).name == subject.method


def kind_of(runs: Path, cell: RecordedCell, stage: Stage, result: Any, stale: bool) -> str:
    """The claim of a number: one with a certificate was made by the code that was certified."""
    kind = str(getattr(result, "kind", ""))
    if kind not in CLAIMS or not _names_estimator(stage):
        return CLAIMS.get(kind, kind)
    subject = subject_of(cell, _precision(result), _estimator(stage), runs)
    return CERTIFIED[kind] if not stale and is_certified(subject, runs) else CLAIMS[kind]


def certifications(runs: Path, suite: StoredSuite) -> list[Certification]:
    """The certification of each method, options, precision and estimator with a bound or a likelihood."""
    by_path: dict[Path, Certification] = {}
    for cell in recorded_cells(runs, suite):
        for subject in _subjects(runs, cell) if cell.role == "arm" else ():
            path = subject.path(runs)
            certification = by_path.get(path) or by_path.setdefault(path, _certification(subject, runs))
            if cell.arm not in certification.arms:
                certification.arms.append(cell.arm)
    return list(by_path.values())


def _subjects(runs: Path, cell: RecordedCell) -> Iterator[Subject]:
    """The subjects of a cell's bounds."""
    for stage in cell.stages:
        result = cell.result(stage) if stage.name in ("bound", "estimate") else None
        if result is not None and result.kind in CLAIMS and _names_estimator(stage):
            yield subject_of(cell, _precision(result), _estimator(stage), runs)


def _precision(result: Any) -> str:
    return str(result.environment.get("precision", ""))


def _names_estimator(stage: Stage) -> bool:
    """Whether the settings of a stage name an estimator of this version."""
    return _estimator(stage) in ("auto", *ESTIMATORS)


def _estimator(stage: Stage) -> EstimatorName:
    """The estimator that the settings of a stage name; earlier versions had but the default one."""
    name: EstimatorName = stage.settings.get("estimator", "auto")
    return name


def _certification(subject: Subject, runs: Path) -> Certification:
    options = ", ".join(f"{name}={value}" for name, value in subject.options.items())
    certification = Certification(
        method=f"{subject.method}({options})" if options else subject.method,
        precision=subject.precision,
        state="none",
        checks=[],
        estimator="" if subject.estimator in ("auto", subject.default_estimator) else subject.estimator,
    )
    certificate = read_certificate(subject, runs) if names_a_file(subject) else None
    if certificate is None:
        return certification

    state: State = "outdated"
    if not certificate["passed"]:
        state = "refused"
    elif subject.is_current(certificate["code"]):
        state = "certified"
    return replace(
        certification, state=state, checks=certificate["checks"], provenance=_describe_provenance(certificate)
    )


def _describe_provenance(certificate: dict[str, Any]) -> dict[str, str]:
    """How a certificate was made, in words; earlier versions recorded the code alone."""
    estimator = certificate.get("estimator", "")
    versions = ", ".join(f"{name} {version}" for name, version in certificate.get("versions", {}).items())
    recorded = {
        "code": certificate["code"],
        "plug-in": certificate.get("plugin") or "",
        "options": ", ".join(f"{name}={value}" for name, value in certificate.get("options", {}).items()) or "defaults",
        "precision": certificate.get("precision", ""),
        "estimator": {"auto": "exact likelihood"}.get(estimator, estimator),
        "seed": certificate.get("seed", ""),
        "versions": versions,
        **{f"sizes, {name}": size for name, size in certificate.get("sizes", {}).items()},
    }
    return {name: str(value) for name, value in recorded.items() if value != ""}
