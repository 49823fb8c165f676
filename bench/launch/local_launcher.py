"""The local launcher: each cell in a process of its own on this machine, one after the other; finished stages stay."""

import logging
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.engine import storage
from bench.launch.exit_codes import BUSY, INTERRUPTED
from bench.launch.job_files import submit
from bench.plan.cells import Cell, Plan, folder_of, merge_stages
from bench.plan.forecast import add_speeds, restore_speeds

log = logging.getLogger(__name__)


def run(runs: Path, plan: Plan, retry_failed: bool, finished: Callable[[Cell], None]) -> None:
    """Run every cell that lacks a result; a cell that fails is recorded and the others go on.

    Failed stages are tried again only if `retry_failed`. Raises KeyboardInterrupt after the worker has written its
    checkpoint, Busy if another run is at work in the same folder.
    """
    with storage.at_work(runs):
        submit(runs, plan)
        restore_speeds(runs)

        distinct, visited = {cell.id: cell for cell in merge_stages(plan.all)}, set[str]()
        for cell in plan.all:
            folder = folder_of(runs, cell)
            if cell.id not in visited and is_due(folder, distinct[cell.id], retry_failed):
                start(folder, distinct[cell.id])
                add_speeds(runs, folder)
            visited.add(cell.id)
            finished(cell)


def is_due(folder: Path, cell: Cell, retry_failed: bool) -> bool:
    """Whether a stage of the cell has no result, or failed and is to be tried again."""
    states = [storage.status(folder, stage.folder)[0] for stage in cell.stages]
    if "failed" in states and not retry_failed:
        return False
    return any(state != "done" for state in states)


def start(folder: Path, cell: Cell) -> None:
    """Run the worker of a cell to its end. Raises KeyboardInterrupt, Busy."""
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
        raise storage.Busy(f"another process is at work on cell {folder}; wait for it or stop it")
    record_death(folder, cell, code)


def record_death(folder: Path, cell: Cell, code: int) -> None:
    """Record a failure for a worker that ended without a result and without a reason."""
    for stage in cell.stages:
        state, _ = storage.status(folder, stage.folder)
        if state == "failed":
            return
        if state != "done":
            storage.fail(folder / stage.folder, f"the worker {describe_exit(code)} without a result", "")
            return


def describe_exit(code: int) -> str:
    """How a process with this return code ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
