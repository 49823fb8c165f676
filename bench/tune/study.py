"""The trials of one arm as a study of Optuna, in an SQLite file that optuna-dashboard opens. This is its only import.

A study holds as many trials as the suite asks for and never more: a trial that fails keeps its slot, and one that was
cut off is taken up again before any other. Under `sobol` all points stand in the study from the beginning; under `tpe`
(arXiv:1106.2461) each is chosen by the scores of those before it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from bench.engine.storage import BrokenRecord
from bench.suite.tuning.lock_file import Tried
from bench.suite.tuning.settings import Range, Tune
from bench.suite.tuning.space import first_points, fixed_by, seed_of, spelt

optuna.logging.set_verbosity(optuna.logging.WARNING)

FINISHED = (TrialState.COMPLETE, TrialState.FAIL)
TOLD = "bench"  # the attribute of a trial that holds all that is known of it


class Study:
    """The study of an arm, under a name of its own for each thing that its trials depend on.

    Raises BrokenRecord where its file is none of a study.
    """

    def __init__(self, file: Path, arm: str, digest: str, tune: Tune):
        file.parent.mkdir(parents=True, exist_ok=True)
        self.storage, self.name = f"sqlite:///{file.resolve()}", f"{arm} ({digest})"
        self.tune, self.search = tune, tune.of(arm)
        self.arm, self.first = arm, fixed_by(tune, arm)
        try:
            self.study = self._open()
        except SQLAlchemyError as error:
            way = "where it is broken, remove it: trials that are done are not run again"
            raise BrokenRecord(f"{file} cannot be opened ({getattr(error, 'orig', error)}); {way}") from None

    def _open(self) -> optuna.Study:
        study = optuna.create_study(storage=self.storage, study_name=self.name, load_if_exists=True)
        if self.tune.sampler == "sobol":
            study.sampler = RandomSampler(0)  # draws nothing: all points are given
            there = len(study.trials)
            for point in first_points(self.tune, self.arm)[there:]:
                study.enqueue_trial({key: _word(self.search[key], value) for key, value in point.items()})
        return study

    def forget(self) -> None:
        """Begins the study again."""
        optuna.delete_study(study_name=self.name, storage=self.storage)
        self.study = self._open()

    def asked(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The number and the values of each trial that is still to be made; each is told of before the next."""
        while (trial := self._next()) is not None:
            yield trial.number, {key: _suggest(trial, key, space) for key, space in self.search.items()}

    def _next(self) -> optuna.Trial | None:
        trials = self.study.get_trials(deepcopy=False)
        for cut_off in trials:
            if cut_off.state == TrialState.RUNNING:
                self._seed(cut_off.number)
                return optuna.Trial(self.study, cut_off._trial_id)
        waiting = any(trial.state == TrialState.WAITING for trial in trials)
        if not waiting and len(trials) >= self.tune.trials:
            return None
        self._seed(len(trials))
        return self.study.ask()

    def _seed(self, number: int) -> None:
        """Equal scores before a trial lead to the same trial, whether or not the driver was stopped in between."""
        if self.tune.sampler == "tpe":
            self.study.sampler = TPESampler(seed=seed_of(self.first, number))

    def tell(self, number: int, tried: Tried) -> None:
        """Records what came of a trial; one without a score is a failure and keeps its slot."""
        trial = optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[number]._trial_id)
        trial.set_user_attr(TOLD, tried.model_dump(mode="json"))
        state = TrialState.COMPLETE if tried.score is not None else TrialState.FAIL
        self.study.tell(number, tried.score, state=state)

    def tried(self) -> list[Tried]:
        """All trials that have ended, in their order."""
        return [_told(trial) for trial in self.study.trials if trial.state in FINISHED]


def _told(trial: FrozenTrial) -> Tried:
    return Tried.model_validate(trial.user_attrs[TOLD])


def _word(space: Range | list[Any], value: Any) -> Any:
    """A value as a study keeps it."""
    return spelt([value])[0] if isinstance(space, list) else value


def _suggest(trial: optuna.Trial, key: str, space: Range | list[Any]) -> Any:
    """The value of a trial, which is the one that it has already where it has one."""
    if isinstance(space, list):
        words = spelt(space)
        return space[words.index(trial.suggest_categorical(key, words))]
    if space.whole:
        return trial.suggest_int(key, int(space.low), int(space.high), log=space.log)
    return trial.suggest_float(key, space.low, space.high, log=space.log)
