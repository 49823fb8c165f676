"""The project's own certificates as the tables of bench/certify/README.md."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.certify import certificate_files as certificates
from bench.certify.certificate_files import admitted_estimators, subject
from bench.engine.likelihood.estimators import EstimatorName
from methods import METHODS, PLUGINS

START, END = "<!-- made by bench certify --write -->", "<!-- end -->"
PRECISIONS = ("float32", "bfloat16")
BOUND = {  # headings, and the checks whose figures stand below them
    "a table": "bound of an oracle, a table",
    "a chain of order 1": "bound of an oracle, a chain of order 1",
    "a chain of order 2": "bound of an oracle, a chain of order 2",
    "a hidden chain": "bound of an oracle, a hidden chain",
    "Kraft sums": "Kraft sum, .*",
    "identity": "identity with .*",
    "ends, widened": "ends",
}
SAMPLES = {
    "steps: distance": "ancestral: steps of an oracle",
    "texts, a table": "(ancestral|ddim): texts, a table",
    "texts, a chain": "(ancestral|ddim): texts, a chain",
    "other policies": "(?!(ancestral|ddim):).*: (steps of an oracle|texts, a table)",
    "rare tokens": "draws of rare tokens",
    "probes": "probe: .*",
}


def format_tables() -> str:
    """Markdown: what is known of every registered method's bound and of its samples in float32; then all verdicts.

    The bounds by other estimators follow, if any is certified.
    """
    names = [name for name in METHODS if name not in PLUGINS]
    rows = {f"`{name}`": _read_precisions(name, "auto") for name in names}
    others = {
        f"`{name}`, {estimator}": _read_precisions(name, estimator)
        for name in names
        for estimator in admitted_estimators(name, {})
        if estimator != subject(name, {}, PRECISIONS[0]).default_estimator
    }
    others = {label: row for label, row in others.items() if any(row[precision]["checks"] for precision in row)}

    lines = ["The bound of an oracle minus -log p(x) in nats per text, and the Kraft sums of random networks:", ""]
    lines += _table(rows, BOUND)
    lines += ["", "The samples of an oracle, and all verdicts:", "", *_table(rows, SAMPLES, PRECISIONS)]
    if others:
        lines += ["", "Bounds by the other estimators:", "", *_table(others, BOUND, PRECISIONS)]
    return "\n".join(lines)


def refresh_readme() -> None:
    """Update the tables in the README, if the project has one."""
    readme = certificates.FOLDER.parent / "README.md"
    if readme.is_file():
        text = readme.read_text(encoding="utf-8")
        fresh = f"{START}\n{format_tables()}\n{END}"
        readme.write_text(re.sub(f"{START}.*{END}", lambda _: fresh, text, flags=re.DOTALL), encoding="utf-8")


def _read_precisions(name: str, estimator: EstimatorName) -> dict[str, Any]:
    """The certificates of a method with an estimator, by precision; one that is missing has no checks."""
    return {precision: _read(subject(name, {}, precision, estimator).path(Path())) for precision in PRECISIONS}


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"checks": []}


def _table(rows: Mapping[str, Any], columns: Mapping[str, str], verdicts: tuple[str, ...] = ()) -> Iterator[str]:
    """The rows by label, each of certificates by precision; figures are those of the first precision."""
    yield f"| method | {' | '.join([*columns, *verdicts])} |"
    yield f"|---|{'---|' * (len(columns) + len(verdicts))}"
    for label, row in rows.items():
        cells = [_cell(row[PRECISIONS[0]]["checks"], pattern) for pattern in columns.values()]
        cells += [_verdict(row[precision]["checks"]) for precision in verdicts]
        yield f"| {label} | {' | '.join(cells)} |"


def _cell(checks: list[Any], pattern: str) -> str:
    """The figures of the checks whose name matches; of many only how many passed."""
    matching = [check for check in checks if re.fullmatch(pattern, check["name"])]
    if pattern.startswith(("probe", "(?!")):
        return _verdict(matching)
    return "<br>".join(_figure(check) for check in matching)


def _figure(check: Any) -> str:
    policy = "ddim: " if check["name"].startswith("ddim") else ""
    figure = check["figure"].replace(" nats", "").replace("; ", "<br>")
    return f"{policy}{figure}{'' if check['passed'] else ' **failed**'}"


def _verdict(checks: list[Any]) -> str:
    return f"{sum(check['passed'] for check in checks)} of {len(checks)} passed" if checks else "none"
