"""Certificates of the methods in a suite."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.certify.certificate_files import Subject, read_certificate
from bench.engine.records import StoredSuite
from bench.results.recorded_cell import RecordedCell, recorded_cells
from bench.results.staleness import recorded_roots

State = Literal["certified", "outdated", "refused", "none"]  # outdated: passed, but by other code


@dataclass(frozen=True)
class Certification:
    """A method with its options and precision that has a bound in a suite's record, and its certificate."""

    method: str  # with its options
    precision: str
    state: State
    checks: list[dict[str, Any]]  # as the certificate lists them
    arms: list[str] = field(default_factory=list)


def subject_of(cell: RecordedCell, precision: str) -> Subject:
    """The subject of a certificate for a cell's method: method, options, precision and code."""
    science = cell.stored.science
    roots = recorded_roots(cell.stored, "certificate")
    return Subject(science["method"], science["options"], precision, science.get("plugin"), roots)


def certifications(runs: Path, suite: StoredSuite) -> list[Certification]:
    """The certification of each method, options and precision with a bound. Exact likelihoods need none."""
    by_path: dict[Path, Certification] = {}
    for cell in recorded_cells(runs, suite):
        precision = _bound_precision(cell) if cell.role == "arm" else ""
        if not precision:
            continue

        subject = subject_of(cell, precision)
        certification = by_path.setdefault(subject.path(runs), _certification(subject, runs))
        if cell.arm not in certification.arms:
            certification.arms.append(cell.arm)
    return list(by_path.values())


def _bound_precision(cell: RecordedCell) -> str:
    """The precision of a cell's bound; "" if there is none, or it is exact."""
    precisions = (result.environment.get("precision", "") for result in cell.results("bound") if result.kind == "bound")
    return next(precisions, "")


def _certification(subject: Subject, runs: Path) -> Certification:
    options = ", ".join(f"{name}={value}" for name, value in subject.options.items())
    method = f"{subject.method}({options})" if options else subject.method
    names_a_file = Path(subject.method).name == subject.method  # a record's method could be a path
    certificate = read_certificate(subject, runs) if names_a_file else None
    if certificate is None:
        return Certification(method, subject.precision, "none", [])

    state: State = "outdated"
    if not certificate["passed"]:
        state = "refused"
    elif subject.is_current(certificate["code"]):
        state = "certified"
    return Certification(method, subject.precision, state, certificate["checks"])
