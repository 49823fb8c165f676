"""Carries out a plan: each cell in a process of its own, one after the other; what is done already stays as it is."""

import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bench.engine import storage as record
from bench.engine.code_hash import written_in
from bench.plan.budget import promise
from bench.plan.cost import works
from bench.plan.forecast import note, renew
from bench.plan.plan import Cell, Plan
from methods import PLUGINS

log = logging.getLogger(__name__)

# in the order in which they are done
STAGES = ("train", "bound", "estimate", "samples", "trajectories", "quality", "controls")
BUSY, INTERRUPTED = 75, 130  # exit codes of a worker


def folder_of(runs: Path, cell: Cell) -> Path:
    """The folder of a cell."""
    return runs / "cells" / cell.id


def submit(runs: Path, plan: Plan) -> None:
    """Writes down what the suite asks for, so that status and reports know what belongs to it."""
    suite = plan.suite
    assert suite.facts.are_read, f"the data of suite {suite.name} were not read"
    assert suite.tune is None or suite.winners, (
        f"suite {suite.name} is tuned, and its winners were not laid on its arms"
    )
    tuning = None if suite.winners is None else suite.winners.told(suite.spec.arms)
    for cell in merged(plan.all):
        record.write_json(folder_of(runs, cell) / "job.json", job(plan, cell))
    content = {
        "suite": suite.name,
        "question": suite.spec.question,
        "asked": suite.asked,
        "source": suite.source,
        "facts": {**asdict(suite.facts)},
        "network": suite.spec.network.label,
        "cells": [_told(cell) for cell in plan.all],
        "tuning": tuning,
    }
    record.write_json(runs / "suites" / f"{suite.name}.json", content)


def merged(cells: tuple[Cell, ...]) -> list[Cell]:
    """Each cell once, with all stages that arms of the same science ask of it."""
    whole: dict[str, Cell] = {}
    for cell in cells:
        before = whole.get(cell.id)
        stages = {stage.id: stage for known in (before, cell) if known for stage in known.stages}
        ordered = sorted(stages.values(), key=lambda stage: STAGES.index(stage.name))
        whole[cell.id] = replace(before or cell, stages=tuple(ordered))
    return list(whole.values())


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


def run(runs: Path, plan: Plan, retry_failed: bool, finished: Callable[[Cell], None]) -> None:
    """Runs every cell that has something missing; a cell that fails is recorded and the others go on.

    Failed stages are tried again only when `retry_failed`. Raises KeyboardInterrupt after the worker at work has
    written its checkpoint, Busy when another run is at work in the same folder.
    """
    with record.at_work(runs):
        submit(runs, plan)
        renew(runs)
        whole, seen = {cell.id: cell for cell in merged(plan.all)}, set[str]()
        for cell in plan.all:
            folder = folder_of(runs, cell)
            if cell.id not in seen and is_due(folder, whole[cell.id], retry_failed):
                _start(folder, whole[cell.id])
                note(runs, folder)
            seen.add(cell.id)
            finished(cell)


def is_due(folder: Path, cell: Cell, retry_failed: bool) -> bool:
    """True when a stage of the cell is missing, or failed and is to be tried again."""
    states = [record.status(folder, stage.folder)[0] for stage in cell.stages]
    if "failed" in states and not retry_failed:
        return False
    return any(state != "done" for state in states)


def _start(folder: Path, cell: Cell) -> None:
    log.info("%s, seed %d: cell %s", cell.arm, cell.seed, cell.id)
    for stage in cell.stages:
        (folder / stage.folder / "failure.json").unlink(missing_ok=True)
    worker = subprocess.Popen([sys.executable, "-m", "bench", "cell", str(folder)])
    try:
        code = worker.wait()
    except KeyboardInterrupt:
        worker.wait()  # the terminal sent it the same signal; it writes a checkpoint and stops
        raise
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == BUSY:
        raise record.Busy(f"another process is at work on cell {folder}; wait for it or stop it")
    _note_death(folder, cell, code)


def _note_death(folder: Path, cell: Cell, code: int) -> None:
    """A worker that ended without a word leaves a failure too."""
    for stage in cell.stages:
        state, _ = record.status(folder, stage.folder)
        if state == "failed":
            return
        if state != "done":
            record.fail(folder / stage.folder, f"the worker {_ending(code)} without a result", "")
            return


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
