"""A cell in a process of its own: train, then every stage that has no result yet."""

import logging
import os
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench.engine import lock, storage
from bench.engine.environment import make_deterministic
from bench.engine.model.registered_method import check_registered
from bench.engine.record_files import StorageFull, is_full, remove_partials
from bench.engine.records import Stage, StageResult
from bench.engine.stages import STAGES
from bench.engine.stages.context import CellContext, StageContext
from bench.engine.train.trainer import Interrupted
from bench.launch.exit_codes import BUSY, DONE, FAILED, INTERRUPTED, STORAGE_FULL
from bench.launch.progress import Bar
from bench.launch.pulse import Pulse
from bench.launch.signals import StopRequests, exit_at_once, handled_by
from bench.plan.budget import check_budget
from methods import plug
from methods.plugins import check_harness, find_plugin_line

log = logging.getLogger(__name__)


class Worker:
    """Carries out the job in a cell's folder, with the plug-ins that the driver was given."""

    def __init__(self, cell: Path, plugins: Sequence[Path] = ()):
        """Raises BrokenRecord if there is no job in the folder."""
        job = storage.read_job(cell)
        if job is None:
            raise storage.BrokenRecord(f"{cell} holds no job.json; cells are started by bench run")
        self.folder, self.job, self.cell = cell, job, CellContext(cell, job)
        self.plugins, self.requests, self.pid = plugins, StopRequests(), os.getpid()

    @property
    def stopped(self) -> bool:
        """Whether the worker was asked to stop."""
        return self.requests.first is not None

    def run(self) -> int:
        """Run every stage that has no result; a stage that fails stops only those that need it.

        Returns the exit code: 0, 3 after a failure, 5 without room for results, 75 if another process holds the cell,
        130 if interrupted.
        """
        make_deterministic(self.cell.device)
        try:
            with handled_by(self._stop), lock.at_work(self.folder):
                remove_partials(self.folder)
                return self._run_stages()
        except lock.Busy as busy:
            log.error("%s", busy)
            return BUSY
        except lock.UnsafeLock as error:
            log.error("%s", error)
            return FAILED

    def _run_stages(self) -> int:
        failed: set[str] = set()
        for stage in self.job.stages:
            is_done = storage.read_result(self.folder, stage.folder) is not None
            if is_done or stage.settings.get("samples") in failed:
                continue
            if self.stopped:
                return INTERRUPTED

            pulse = Pulse(self.folder, stage.folder)
            try:
                self._run_stage(stage, pulse)
            except Interrupted:
                pulse.flush()
                return INTERRUPTED
            except Exception as error:
                if is_full(error):
                    return self._stop_full(stage, error)
                line = find_plugin_line(error)
                reason = f"{type(error).__name__}: {error}{f' ({line})' if line else ''}"
                log.error("%s of %s failed: %s", stage.name, self.folder.name, reason)
                storage.fail(self.folder / stage.folder, reason, traceback.format_exc())
                failed.add(stage.folder)

            pulse.end()
            if stage.name == "train" and failed:
                break
        return FAILED if failed else DONE

    def _end_if_forked(self) -> None:
        """End a child that a plug-in forked and that left the plug-in's code: the cell is the worker's."""
        if os.getpid() != self.pid:
            os._exit(FAILED)

    def _run_stage(self, stage: Stage, pulse: Pulse) -> None:
        """Run one stage and record its result. Raises whatever the stage raises, BudgetMissed."""
        for plugin in self.plugins:
            plug(plugin)
        check_registered(self.job)
        folder = self.folder / stage.folder
        folder.mkdir(parents=True, exist_ok=True)
        context = StageContext(self.cell, folder, lambda: self.stopped, partial(Bar, pulse=pulse))

        kind = STAGES[stage.name]
        start = time.monotonic()
        try:
            result = kind.run(context, kind.settings.model_validate(stage.settings))
        finally:
            self._end_if_forked()
        seconds = time.monotonic() - start
        check_harness()

        check_budget(self.job.due, result.counted)
        storage.succeed(folder, self._complete(result, stage, seconds))

    def _stop_full(self, stage: Stage, error: Exception) -> int:
        """Record the reason if there is room for it; returns the exit code, with which the driver stops as well."""
        log.error("%s of %s failed: %s", stage.name, self.folder.name, error)
        with suppress(StorageFull):
            storage.fail(self.folder / stage.folder, str(error), traceback.format_exc())
        return STORAGE_FULL

    def _complete(self, result: StageResult, stage: Stage, seconds: float) -> StageResult:
        """The result with its settings, and with the environment and the time if the stage did not set them."""
        update: dict[str, Any] = {"settings": stage.settings}
        if not result.environment:
            update["environment"] = self.cell.environment(stage.name)
        if result.seconds is None:
            update["seconds"] = seconds
        return result.model_copy(update=update)

    def _stop(self, number: int) -> None:
        if self.requests.add(number):
            exit_at_once(number)
