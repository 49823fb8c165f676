"""Tune a suite: take trials from each arm's study, run them as cells, and record their results in the study."""

import logging
from collections.abc import Callable
from pathlib import Path

from bench.engine import lock, storage
from bench.engine.records import RESULTS
from bench.launch.job_files import submit
from bench.launch.local_launcher import RunSettings, run
from bench.launch.repair import clear_failures
from bench.plan.cells import Cell
from bench.results.record_names import record_name
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite
from bench.suite.tuning.lock_file import Lock, TrialResult, TunedArm, format_values
from bench.tune.study import Study
from bench.tune.trials import Trial, metric_of, plan_trials, refusal, summarize_trial, tuned_arms, tuning_digest

log = logging.getLogger(__name__)


def stage_of(folder: str) -> str:
    """The name of the stage whose folder is called so."""
    return folder.partition("-")[0]


def study_file(runs: Path, suite: Suite) -> Path:
    """The SQLite file with the studies of a suite."""
    return runs / "tuning" / f"{record_name(runs, suite.file, suite.name)}.db"


class Tuner:
    """Tunes the arms of a suite one after the other; `finished` is called after each cell that was run."""

    def __init__(
        self,
        runs: Path,
        suite: Suite,
        retry_failed: bool,
        finished: Callable[[Cell], None],
        hang_timeout: float | None = None,
    ):
        self.runs, self.suite, self.retry_failed, self.finished = runs, suite, retry_failed, finished
        self.hang_timeout = hang_timeout
        self.trials: list[Trial] = []  # all that could be planned, for the record of the trials

    def tune(self) -> Lock:
        """Run all missing trials.

        Raises KeyboardInterrupt after the running worker has written its checkpoint, Busy if another driver is at work
        in the same folder.
        """
        tune = self.suite.tune
        assert tune is not None, f"suite {self.suite.name} is not tuned"
        with lock.at_work(study_file(self.runs, self.suite).parent):
            arms = {arm.label: self._tune_arm(arm) for arm in tuned_arms(self.suite)}
            if self.trials:
                with lock.at_work(self.runs):
                    submit(self.runs, plan_trials(self.suite, self.trials))
        return Lock(
            suite=self.suite.name,
            metric=metric_of(self.suite),
            split=tune.split,
            seeds=tune.seeds,
            sampler=tune.sampler,
            budget=(tune.budget or self.suite.spec.budget).model_dump(exclude_none=True),
            arms=arms,
        )

    def _tune_arm(self, arm: ArmSpec) -> TunedArm:
        assert self.suite.tune is not None
        digest = tuning_digest(self.suite, arm)
        study = Study(study_file(self.runs, self.suite), arm.label, digest, self.suite.tune)
        if self.retry_failed:
            self._reset_failures(study)
        for number, result in enumerate(study.results()):
            self._plan(Trial(arm, number, result.values))
        for number, values in study.remaining():
            study.record(number, self._run(Trial(arm, number, values)))
        return TunedArm.of(digest, study.results())

    def _run(self, trial: Trial) -> TrialResult:
        """Run the cells of a trial; a trial that cannot be planned fails without any."""
        trials = self.suite.tune.trials if self.suite.tune else 0
        log.info("%s of %d: %s", trial.label, trials, format_values(trial.values))
        reason = self._plan(trial)
        if reason is not None:
            return TrialResult(values=trial.values, reason=reason)
        plan = plan_trials(self.suite, [trial])
        run(self.runs, plan, RunSettings(hang_timeout=self.hang_timeout), self.finished)
        return summarize_trial(self.runs, plan, trial.values, metric_of(self.suite))

    def _plan(self, trial: Trial) -> str | None:
        """Add a trial to the record; returns the reason if it cannot be planned."""
        reason = refusal(self.suite, trial)
        if reason is None:
            self.trials.append(trial)
        return reason

    def _reset_failures(self, study: Study) -> None:
        """Start the study again if a trial failed; cells that are done are not run again."""
        failed = [result for result in study.results() if result.score is None]
        for id in dict.fromkeys(id for result in failed for id in result.cells):
            cell = storage.cell_folder(self.runs, id)
            clear_failures(cell, [path.name for path in sorted(cell.glob("*")) if stage_of(path.name) in RESULTS])
        if failed:
            study.reset()
