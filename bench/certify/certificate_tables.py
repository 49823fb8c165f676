"""The project's own certificates as the tables of bench/certify/README.md."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.certify import certificate_files as certificates
from bench.certify.certificate_files import admitted_estimators, subject
from bench.certify.false_alarms import RATE
from bench.certify.sizes import QUESTIONS
from bench.engine.likelihood.estimators import EstimatorName
from methods import METHODS, PLUGINS

START, END = "<!-- made by bench certify --write -->", "<!-- end -->"
PRECISIONS = ("float32", "bfloat16")
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]\d+)?")


def format_tables() -> str:
    """Markdown: what each check sees, how often it is wrong and how long it takes; then the verdict on every method."""
    rows = _read_all()
    lines = ["What the checks see, over all registered methods with their default options in float32:", ""]
    lines += _format_checks([row[PRECISIONS[0]]["checks"] for row in rows.values()])
    lines += ["", "The methods, and how many checks they passed:", "", *_format_verdicts(rows)]
    return "\n".join(lines)


def _read_all() -> dict[str, dict[str, Any]]:
    """The certificates of all registered methods by label and precision, those by other estimators if there are any."""
    rows = {}
    for name in (name for name in METHODS if name not in PLUGINS):
        default = subject(name, {}, PRECISIONS[0]).default_estimator
        rows[f"`{name}`"] = _read_precisions(name, "auto")
        others = {estimator: _read_precisions(name, estimator) for estimator in admitted_estimators(name, {})}
        rows |= {
            f"`{name}`, {estimator}": row
            for estimator, row in others.items()
            if estimator != default and any(certificate["checks"] for certificate in row.values())
        }
    return rows


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


def _format_checks(certificates_of_methods: Sequence[list[Any]]) -> Iterator[str]:
    """One row for each entry of `CHECKS`."""
    yield "| check | question | smallest bias that it sees | false alarms | seconds |"
    yield "|---|---|---|---|---|"
    for group, question in QUESTIONS.items():
        by_method = [[check for check in checks if check.get("group") == group] for checks in certificates_of_methods]
        checks = [check for checks in by_method for check in checks]
        random = max((sum(check.get("p_value") is not None for check in checks) for checks in by_method), default=0)
        alarms = f"at most {100 * random * RATE:.2f} %" if random else "none: nothing is drawn"
        seconds = [sum(check["seconds"] for check in checks) for checks in by_method if checks]
        times = f"{min(seconds):.1f} to {max(seconds):.1f}" if seconds else ""
        yield f"| {group} | {question} | {_format_sees(checks)} | {alarms} | {times} |"


def _format_sees(checks: Sequence[Any]) -> str:
    """What the checks see, each unit once, from the smallest bias to the largest."""
    by_unit: dict[str, list[str]] = {}
    for check in checks:
        if check["sees"]:
            unit = NUMBER.sub("{}", check["sees"], count=1)
            by_unit.setdefault(NUMBER.sub("", unit), []).append(check["sees"])
    return "<br>".join(_format_range(texts) for texts in by_unit.values()) or "any, up to roundings"


def _format_range(texts: Sequence[str]) -> str:
    """The smallest and the largest of biases in one unit."""
    ordered = sorted(texts, key=lambda text: float(NUMBER.findall(text)[0]))
    return ordered[0] if ordered[0] == ordered[-1] else f"{ordered[0]} to {ordered[-1]}"


def _format_verdicts(rows: Mapping[str, Any]) -> Iterator[str]:
    yield f"| method | {' | '.join(PRECISIONS)} | random figures | smallest p-value | seconds |"
    yield f"|---|{'---|' * (len(PRECISIONS) + 3)}"
    for label, row in rows.items():
        verdicts = [_format_verdict(row[precision]["checks"]) for precision in PRECISIONS]
        checks = row[PRECISIONS[0]]["checks"]
        p_values = [check["p_value"] for check in checks if check.get("p_value") is not None]
        smallest = f"{min(p_values):.2g}" if p_values else ""
        seconds = f"{sum(check.get('seconds', 0.0) for check in checks):.0f}"
        yield f"| {label} | {' | '.join(verdicts)} | {len(p_values)} | {smallest} | {seconds} |"


def _format_verdict(checks: Sequence[Any]) -> str:
    if not checks:
        return "none"
    failed = [check["name"] for check in checks if not check["passed"]]
    verdict = f"{len(checks) - len(failed)} of {len(checks)} passed"
    return f"{verdict}; **failed**: {', '.join(failed)}" if failed else verdict
