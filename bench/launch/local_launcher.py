"""The local launcher: each cell in a process of its own on this machine, one after the other; finished stages stay."""

import errno
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.engine import lock, storage
from bench.engine.record_files import StorageFull, remove_partials
from bench.launch.exit_codes import BUSY, INTERRUPTED, STORAGE_FULL
from bench.launch.job_files import submit
from bench.launch.repair import clear_failures
from bench.launch.worker_process import Hung, run_worker
from bench.plan.cells import Cell, Plan, folder_of, merge_stages
from bench.plan.forecast import add_speeds, restore_speeds
from methods import PLUGINS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunSettings:
    """What a run does about failures and about workers that hang."""

    retry_failed: bool = False  # run failed stages again
    fail_fast: bool = False  # start no further cell after one that failed
    hang_timeout: float | None = None  # seconds without a sign of life before a worker is killed; None: never


class StoppedEarly(RuntimeError):
    """A cell failed and the run was asked to stop there."""


def run(runs: Path, plan: Plan, settings: RunSettings, finished: Callable[[Cell], None]) -> None:
    """Run every cell that lacks a result; a cell that fails is recorded and the others go on.

    Raises KeyboardInterrupt after the worker has written its checkpoint, Busy if another run is at work in the same
    folder, StoppedEarly after the first cell that failed if the settings ask for it, StorageFull if there is no room.
    """
    with lock.at_work(runs):
        distinct, visited = {cell.id: cell for cell in merge_stages(plan.all)}, set[str]()
        if settings.retry_failed:
            for id, cell in distinct.items():
                clear_failures(storage.cell_folder(runs, id), [stage.folder for stage in cell.stages])
        for name in ("suites", "reports", "data"):
            remove_partials(runs / name)
        submit(runs, plan)
        restore_speeds(runs)

        for cell in plan.all:
            folder = folder_of(runs, cell)
            if cell.id not in visited and is_due(folder, distinct[cell.id], settings.retry_failed):
                start(folder, distinct[cell.id], settings.hang_timeout)
                add_speeds(runs, folder)
            visited.add(cell.id)
            finished(cell)
            if settings.fail_fast:
                check_failures(folder, distinct[cell.id])


def record(runs: Path, plan: Plan) -> None:
    """Record a suite whose cells are not started. Raises Busy."""
    with lock.at_work(runs):
        submit(runs, plan)


def check_failures(folder: Path, cell: Cell) -> None:
    """Raise StoppedEarly if a stage of the cell failed."""
    for stage in cell.stages:
        state, reason = storage.status(folder, stage.folder)
        if state == "failed":
            raise StoppedEarly(f"stopped at the first failure: {stage.name} of {cell.arm}, seed {cell.seed}: {reason}")


def is_due(folder: Path, cell: Cell, retry_failed: bool) -> bool:
    """Whether a stage of the cell has no result, or failed and is to be tried again."""
    states = [storage.status(folder, stage.folder)[0] for stage in cell.stages]
    if "failed" in states and not retry_failed:
        return False
    return any(state != "done" for state in states)


def start(folder: Path, cell: Cell, hang_timeout: float | None) -> None:
    """Run the worker of a cell to its end. Raises KeyboardInterrupt, Busy, StorageFull."""
    log.info("%s, seed %d: cell %s", cell.arm, cell.seed, cell.id)
    for stage in cell.stages:
        (folder / stage.folder / "failure.json").unlink(missing_ok=True)

    try:
        code = run_worker(folder, hang_timeout, _list_plugins())
    except Hung as error:
        log.error("%s", error)
        record_death(folder, cell, str(error))
        return

    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == STORAGE_FULL:
        raise StorageFull(folder, OSError(errno.ENOSPC, "no room"))
    if code == BUSY:
        raise lock.Busy(f"another process is at work on cell {folder}; wait for it or stop it")
    record_death(folder, cell, f"the worker {describe_exit(code)} without a result")


def _list_plugins() -> list[Path]:
    """The plug-in files that this process was given."""
    return sorted({plugin.path for plugin in PLUGINS.values() if plugin.path})


def record_death(folder: Path, cell: Cell, reason: str) -> None:
    """Record a failure for a worker that ended without a result and without a reason of its own."""
    states = {stage.folder: storage.status(folder, stage.folder)[0] for stage in cell.stages}
    at_work = next((stage for stage, state in states.items() if state == "interrupted"), None)
    if at_work is None and "failed" not in states.values():
        at_work = next((stage for stage, state in states.items() if state != "done"), None)
    if at_work is not None:
        storage.fail(folder / at_work, reason, "")


def describe_exit(code: int) -> str:
    """How a process with this return code ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    hint = " (out of memory?)" if -code == signal.SIGKILL else ""
    return f"was killed by {signal.Signals(-code).name}{hint}"
