"""The trials of one arm as an Optuna study, in an SQLite file for optuna-dashboard. No other module imports Optuna.

A study holds exactly as many trials as the suite asks for: a trial that fails keeps its slot, and an interrupted one is
resumed before any other. With `sobol`, all points are enqueued when the study is created; with `tpe`
(arXiv:1106.2461), each trial depends on the scores of earlier ones.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from bench.engine.record_files import BrokenRecord, StorageFull
from bench.suite.tuning.lock_file import TrialResult
from bench.suite.tuning.search_space import derive_seed, encode_values, initial_points, scrambling_key
from bench.suite.tuning.settings import Range, Tune

optuna.logging.set_verbosity(optuna.logging.WARNING)

FINISHED = (TrialState.COMPLETE, TrialState.FAIL)
ATTRIBUTE = "bench"  # the user attribute of a trial that holds its result


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Name the file in errors of the database. Raises BrokenRecord, StorageFull."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = error.__cause__ if isinstance(error, StorageInternalError) else error
        reason = str(getattr(cause, "orig", cause))
        if "disk is full" in reason:
            raise StorageFull(file, OSError(errno.ENOSPC, reason)) from None
        advice = "if it is broken, remove it: trials that are done are not run again"
        raise BrokenRecord(f"{file} cannot be opened ({reason}); {advice}") from None


class Study:
    """The study of an arm; its name holds the digest of all that the trials depend on.

    Raises BrokenRecord if the file is not a database of studies.
    """

    def __init__(self, file: Path, arm: str, digest: str, tune: Tune):
        file.parent.mkdir(parents=True, exist_ok=True)
        self.storage, self.name = f"sqlite:///{file.resolve()}", f"{arm} ({digest})"
        self.tune, self.search = tune, tune.of(arm)
        self.arm, self.seed_name = arm, scrambling_key(tune, arm)
        self.file = file
        with explained(file):
            self.study = self._open()

    def _open(self) -> optuna.Study:
        study = optuna.create_study(storage=self.storage, study_name=self.name, load_if_exists=True)
        if self.tune.sampler == "sobol":
            study.sampler = RandomSampler(0)  # never draws: all points are enqueued
            for point in initial_points(self.tune, self.arm)[len(study.trials) :]:
                study.enqueue_trial({key: _encode(self.search[key], value) for key, value in point.items()})
        return study

    def reset(self) -> None:
        """Delete the study and start it again."""
        optuna.delete_study(study_name=self.name, storage=self.storage)
        self.study = self._open()

    def remaining(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number and values of each trial without a result; record each before asking for the next."""
        while (trial := self._next_trial()) is not None:
            yield trial.number, {key: _suggest(trial, key, space) for key, space in self.search.items()}

    def _next_trial(self) -> optuna.Trial | None:
        with explained(self.file):
            return self._next()

    def _next(self) -> optuna.Trial | None:
        trials = self.study.get_trials(deepcopy=False)
        for trial in trials:
            if trial.state == TrialState.RUNNING:  # the driver was stopped
                self._seed(trial.number)
                return optuna.Trial(self.study, trial._trial_id)
        is_waiting = any(trial.state == TrialState.WAITING for trial in trials)
        if not is_waiting and len(trials) >= self.tune.trials:
            return None
        self._seed(len(trials))
        return self.study.ask()

    def _seed(self, number: int) -> None:
        """Seed the sampler by the trial's number, so that an interruption does not change the trials."""
        if self.tune.sampler == "tpe":
            self.study.sampler = TPESampler(seed=derive_seed(self.seed_name, number))

    def record(self, number: int, result: TrialResult) -> None:
        """Store the result of a trial; one without a score is a failure and keeps its slot."""
        trial = optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)
        state = TrialState.COMPLETE if result.score is not None else TrialState.FAIL
        with explained(self.file):
            trial.set_user_attr(ATTRIBUTE, result.model_dump(mode="json"))
            self.study.tell(number, result.score, state=state)

    def results(self) -> list[TrialResult]:
        """The results of all finished trials, in order."""
        return [_result(trial) for trial in self.study.trials if trial.state in FINISHED]


def _result(trial: FrozenTrial) -> TrialResult:
    return TrialResult.model_validate(trial.user_attrs[ATTRIBUTE])


def _encode(space: Range | list[Any], value: Any) -> Any:
    """A value as a study stores it."""
    return encode_values([value])[0] if isinstance(space, list) else value


def _suggest(trial: optuna.Trial, key: str, space: Range | list[Any]) -> Any:
    """The value of a trial; one that was enqueued or interrupted keeps its value."""
    if isinstance(space, list):
        names = encode_values(space)
        return space[names.index(trial.suggest_categorical(key, names))]
    if space.whole:
        return trial.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return trial.suggest_float(key, space.low, space.high, log=space.log)
