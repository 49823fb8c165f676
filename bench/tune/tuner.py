"""Tunes a suite: asks the study of each arm for trials, runs them as cells, and tells it what came of them."""

import logging
from collections.abc import Callable
from pathlib import Path

from bench.engine import storage as record
from bench.launch.driver import run
from bench.launch.job import submit
from bench.plan.cells import Cell
from bench.results.record_names import record_name
from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite
from bench.suite.tuning.lock_file import Lock, Tried, Tuned, say
from bench.tune.study import Study
from bench.tune.trials import Trial, judge, metric_of, plan_trials, tuned_arms, tuned_under, why_not

log = logging.getLogger(__name__)


def study_file(runs: Path, suite: Suite) -> Path:
    """The SQLite file with the studies of a suite."""
    return runs / "tuning" / f"{record_name(runs, suite.file, suite.name)}.db"


class Tuner:
    """Tunes the arms of a suite one after the other; `finished` is called with every cell that was run."""

    def __init__(self, runs: Path, suite: Suite, retry_failed: bool, finished: Callable[[Cell], None]):
        self.runs, self.suite, self.retry_failed, self.finished = runs, suite, retry_failed, finished
        self.made: list[Trial] = []  # all that could be planned, which stand in one record in the end

    def tune(self) -> Lock:
        """Makes every trial that is missing. Raises KeyboardInterrupt after the worker at work has written its
        checkpoint, Busy when another driver is at work in the same folder."""
        tune = self.suite.tune
        assert tune is not None, f"suite {self.suite.name} is not tuned"
        with record.at_work(study_file(self.runs, self.suite).parent):
            arms = {arm.label: self._arm(arm) for arm in tuned_arms(self.suite)}
            if self.made:
                with record.at_work(self.runs):
                    submit(self.runs, plan_trials(self.suite, self.made))
        return Lock(
            suite=self.suite.name,
            metric=metric_of(self.suite),
            split=tune.split,
            seeds=tune.seeds,
            sampler=tune.sampler,
            budget=(tune.budget or self.suite.spec.budget).model_dump(exclude_none=True),
            arms=arms,
        )

    def _arm(self, arm: ArmSpec) -> Tuned:
        assert self.suite.tune is not None
        digest = tuned_under(self.suite, arm)
        study = Study(study_file(self.runs, self.suite), arm.label, digest, self.suite.tune)
        if self.retry_failed:
            self._forget_failures(study)
        for number, tried in enumerate(study.tried()):
            self._note(Trial(arm, number, tried.values))
        for number, values in study.asked():
            study.tell(number, self._try(Trial(arm, number, values)))
        return Tuned.of(digest, study.tried())

    def _try(self, trial: Trial) -> Tried:
        """Runs the cells of a trial; one that cannot be planned failed without any."""
        log.info("%s of %d: %s", trial.label, self.suite.tune.trials if self.suite.tune else 0, say(trial.values))
        reason = self._note(trial)
        if reason is not None:
            return Tried(values=trial.values, reason=reason)
        planned = plan_trials(self.suite, [trial])
        run(self.runs, planned, False, self.finished)
        return judge(self.runs, planned, trial.values, metric_of(self.suite))

    def _note(self, trial: Trial) -> str | None:
        """Adds a trial to the record; why it cannot be planned."""
        reason = why_not(self.suite, trial)
        if reason is None:
            self.made.append(trial)
        return reason

    def _forget_failures(self, study: Study) -> None:
        """What failed is tried again, in a study that begins again; what is done is not run again."""
        failed = [tried for tried in study.tried() if tried.score is None]
        for id in (id for tried in failed for id in tried.cells):
            for failure in (self.runs / "cells" / id).glob("*/failure.json"):
                failure.unlink()
        if failed:
            study.forget()
