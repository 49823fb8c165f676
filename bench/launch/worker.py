"""A cell in a process of its own: train, then every stage that has no result yet."""

import ctypes
import logging
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from bench.engine import storage
from bench.engine.records import Stage, StageResult
from bench.engine.stages import STAGES
from bench.engine.stages.context import CellContext, StageContext
from bench.engine.train.trainer import Interrupted
from bench.launch.exit_codes import BUSY, DONE, FAILED, INTERRUPTED
from bench.launch.progress import Bar
from bench.plan.budget import check_budget

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # option of Linux's prctl: the signal that a process receives when its parent dies


class Worker:
    """Carries out the job in a cell's folder."""

    def __init__(self, cell: Path):
        """Raises BrokenRecord if there is no job in the folder."""
        job = storage.read_job(cell)
        if job is None:
            raise storage.BrokenRecord(f"{cell} holds no job.json; cells are started by bench run")
        self.folder, self.job, self.cell = cell, job, CellContext(cell, job)
        self.stopped = False

    def run(self) -> int:
        """Run every stage that has no result; a stage that fails stops only those that need it.

        Returns the exit code: 0, 3 after a failure, 75 if another process holds the cell, 130 if interrupted.
        """
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        stop_with_parent()
        make_deterministic(self.cell.device)

        try:
            with storage.at_work(self.folder):
                return self._run_stages()
        except storage.Busy as busy:
            log.error("%s", busy)
            return BUSY

    def _run_stages(self) -> int:
        failed: set[str] = set()
        for stage in self.job.stages:
            is_done = storage.read_result(self.folder, stage.folder) is not None
            if is_done or stage.settings.get("samples") in failed:
                continue
            if self.stopped:
                return INTERRUPTED

            try:
                self._run_stage(stage)
            except Interrupted:
                return INTERRUPTED
            except Exception as error:
                log.error("%s of %s failed: %s", stage.name, self.folder.name, error)
                reason = f"{type(error).__name__}: {error}"
                storage.fail(self.folder / stage.folder, reason, traceback.format_exc())
                failed.add(stage.folder)
                if stage.name == "train":
                    break
        return FAILED if failed else DONE

    def _run_stage(self, stage: Stage) -> None:
        """Run one stage and record its result. Raises whatever the stage raises, BudgetMissed."""
        self.cell.load_plugin()
        folder = self.folder / stage.folder
        folder.mkdir(parents=True, exist_ok=True)
        context = StageContext(self.cell, folder, stopped=lambda: self.stopped, progress=Bar)

        kind = STAGES[stage.name]
        start = time.monotonic()
        result = kind.run(context, kind.settings.model_validate(stage.settings))
        seconds = time.monotonic() - start

        check_budget(self.job.due, result.counted)
        storage.succeed(folder, self._complete(result, stage, seconds))

    def _complete(self, result: StageResult, stage: Stage, seconds: float) -> StageResult:
        """The result with its settings, and with the environment and the time if the stage did not set them."""
        update: dict[str, Any] = {"settings": stage.settings}
        if not result.environment:
            update["environment"] = self.cell.environment(stage.name)
        if result.seconds is None:
            update["seconds"] = seconds
        return result.model_copy(update=update)

    def _stop(self, number: int, frame: Any) -> None:
        if self.stopped:
            raise SystemExit(INTERRUPTED)  # second signal: exit immediately
        self.stopped = True


def make_deterministic(device: torch.device) -> None:
    """Make equal runs on a CPU equal bit for bit: otherwise the order in which threads accumulate gradients varies."""
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def stop_with_parent() -> None:
    """Ask Linux to send SIGTERM when the driver dies, so that no worker goes on unseen; does nothing elsewhere."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
