"""What a cell's folder tells its worker, and what a suite's record says of its cells."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.engine import storage as record
from bench.engine.code_hash import written_in
from bench.plan.budget import promise
from bench.plan.cells import Cell, Plan, folder_of, merged
from bench.plan.cost import works
from bench.results.record_names import record_name, stored_path
from methods import PLUGINS


def submit(runs: Path, plan: Plan) -> None:
    """Writes down what the suite asks for, so that status and reports know what belongs to it."""
    suite = plan.suite
    assert suite.facts.are_read, f"the data of suite {suite.name} were not read"
    assert suite.tune is None or suite.winners, (
        f"suite {suite.name} is tuned, and its winners were not laid on its arms"
    )
    name = record_name(runs, suite.file, suite.name)
    tuning = None if suite.winners is None else suite.winners.told(suite.spec.arms)
    for cell in merged(plan.all):
        record.write_json(folder_of(runs, cell) / "job.json", job(plan, cell))
    content = {
        "suite": name,
        "file": stored_path(runs, suite.file),
        "question": suite.spec.question,
        "asked": suite.asked,
        "source": suite.source,
        "facts": {**asdict(suite.facts)},
        "network": suite.spec.network.label,
        "cells": [_told(cell) for cell in plan.all],
        "tuning": tuning,
    }
    record.write_json(runs / "suites" / f"{name}.json", content)


def job(plan: Plan, cell: Cell) -> dict[str, Any]:
    """All that a worker needs to know."""
    spec, facts = plan.suite.spec, plan.suite.facts
    plugin = PLUGINS.get(cell.method)
    several = len(spec.seeds) > 1
    return {
        "title": f"{cell.arm}, seed {cell.seed}" if several and cell.role == "arm" else cell.arm,
        "method": cell.method,
        "plugin": str(plugin.path) if plugin and plugin.path else None,
        "options": cell.options,
        "vocab_size": facts.vocab_size,
        "network": cell.science.get("network", {}),
        "training": cell.training.model_dump(mode="json"),
        "steps": cell.steps,
        "seed": cell.seed,
        "data": spec.data.model_dump(mode="json"),
        "part": cell.science["data"].get("part", ""),
        "base": str(plan.suite.base),
        "fingerprint": facts.fingerprint,
        "execution": spec.execution.model_dump(mode="json"),
        "promise": promise(cell),
        "stages": _priced(plan, cell),
        "science": cell.science,
    }


def _priced(plan: Plan, cell: Cell) -> list[dict[str, Any]]:
    """The stages, each with the kind of its work and the FLOPs that it is to take, where these can be told."""
    done = works(plan.suite, cell)
    return [_stage(stage) | {"work": [vars(each) for each in done[stage.folder]]} for stage in cell.stages]


def _told(cell: Cell) -> dict[str, Any]:
    files = list(written_in(cell.method)) if cell.method else []
    plain = {
        name: value for name, value in vars(cell).items() if name not in ("network", "training", "budget", "amount")
    }
    own = {"network": cell.network.label, "training": cell.training.model_dump(mode="json")}
    return {
        **plain,
        **cell.amount._asdict(),
        **own,
        "written_in": files,
        "stages": [_stage(stage) for stage in cell.stages],
    }


def _stage(stage: Any) -> dict[str, Any]:
    return {**asdict(stage), "folder": stage.folder}
