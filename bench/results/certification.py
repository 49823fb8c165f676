"""What the certificates say of the arms of a suite."""

import json
from pathlib import Path
from typing import Any

from bench.certify.certificate_files import Subject
from bench.engine import storage as record
from bench.engine.code_hash import written_in
from methods import METHODS


def files_of(cell: dict[str, Any]) -> tuple[str, ...]:
    """The files that the method of a planned cell is written in; as recorded where it comes from a plug-in that is not
    loaded, or where there is no method."""
    return written_in(cell["method"]) if cell["method"] in METHODS else tuple(cell.get("written_in", ()))


def subject_of(cell: dict[str, Any], precision: str) -> Subject:
    """What a certificate of a planned cell's method is about."""
    science = cell["science"]
    return Subject(science["method"], science["options"], precision, science.get("plugin"), files_of(cell))


def collect(runs: Path, plan: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each method with its options and precision that has a bound in a suite's record: its arms, what it was
    asked, and the state of its certificate: "certified", "outdated" (passed, by other code than that which is here),
    "refused" or "none". Exact likelihoods need none."""
    found: dict[Path, dict[str, Any]] = {}
    for cell in plan["cells"]:
        if cell.get("role", "arm") == "arm" and (precision := _precision(runs, cell)):
            of = subject_of(cell, precision)
            row = found.setdefault(of.path(runs), {"arms": [], **_named(of), **_state(of, runs)})
            row["arms"] += [cell["arm"]] * (cell["arm"] not in row["arms"])
    return list(found.values())


def _precision(runs: Path, cell: dict[str, Any]) -> str:
    """In which a cell's bound was measured; "" where there is none, or it is exact."""
    for stage in cell["stages"]:
        result = record.read_json(runs / "cells" / cell["id"] / stage["folder"] / "result.json")
        if stage["name"] == "bound" and result and result["kind"] == "bound":
            return str(result["environment"].get("precision", ""))
    return ""


def _named(of: Subject) -> dict[str, str]:
    departures = ", ".join(f"{key}={value}" for key, value in of.options.items())
    return {"method": f"{of.method}({departures})" if departures else of.method, "precision": of.precision}


def _state(of: Subject, runs: Path) -> dict[str, Any]:
    path = of.path(runs)
    if not path.is_file():
        return {"state": "none", "checks": []}
    kept = json.loads(path.read_text(encoding="utf-8"))
    state = "refused" if not kept["passed"] else "certified" if kept["code"] == of.code() else "outdated"
    return {"state": state, "checks": kept["checks"]}
