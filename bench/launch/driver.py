"""Carries out a plan: each cell in a process of its own, one after the other; what is done already stays as it is."""

import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.engine import storage as record
from bench.launch.exit_codes import BUSY, INTERRUPTED
from bench.launch.job import submit
from bench.plan.cells import Cell, Plan, folder_of, merged
from bench.plan.forecast import note, renew

log = logging.getLogger(__name__)


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
