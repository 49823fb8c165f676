"""Trials as cells: an arm with values from its search, trained and scored under the settings of tuning."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import ValidationError

from bench.engine import storage
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.lock import Busy
from bench.engine.storage import digest
from bench.plan.cells import Cell, Plan, folder_of
from bench.plan.cost import stage_flops
from bench.plan.plan import plan
from bench.suite.datasets import TRIALS
from bench.suite.settings import ArmSpec, Evaluation, SuiteSpec
from bench.suite.suite import Suite, SuiteError
from bench.suite.tuning.apply_values import apply_values
from bench.suite.tuning.lock_file import TrialResult
from bench.suite.tuning.search_space import initial_points, probe_values
from bench.suite.tuning.settings import Tune
from methods import OptionError

DIGITS = 6  # decimals of a score


@dataclass(frozen=True)
class Trial:
    """Values to try on an arm."""

    arm: ArmSpec
    number: int  # 0, 1, ...
    values: dict[str, Any]

    @property
    def label(self) -> str:
        """The label of its cells."""
        return f"{self.arm.label}, trial {self.number + 1}"


def metric_of(suite: Suite) -> str:
    """The metric of the scores: bits per byte if tokens are bytes, else bits per character."""
    return "bits_per_byte" if suite.facts.level == "byte" else "bits_per_char"


def tuned_arms(suite: Suite) -> list[ArmSpec]:
    """The arms that are tuned."""
    return [arm for arm in suite.spec.arms if suite.tune and arm.untuned is None]


def refusal(suite: Suite, trial: Trial) -> str | None:
    """The reason why a trial cannot be planned, or None."""
    try:
        plan_trials(suite, [trial])
    except (OptionError, ValidationError, SuiteError) as error:
        return " ".join(str(error).split())
    return None


def plan_trials(suite: Suite, trials: list[Trial]) -> Plan:
    """Plan the cells of trials as a suite.

    Raises OptionError, ValidationError or SuiteError if a method or a block refuses a value.
    """
    tune, spec = _tune(suite), suite.spec
    arms = []
    for trial in trials:
        arm = apply_values(spec, trial.arm, trial.values)
        arms.append(arm.model_copy(update={"label": trial.label, "budget": None, "base": None, "untuned": None}))
    content = {name: getattr(spec, name) for name in SuiteSpec.model_fields} | {
        "question": f"What do the trials of suite {suite.name} score?",
        "budget": tune.budget or spec.budget,
        "arms": arms,
        "seeds": tune.seeds,
        "evaluation": Evaluation(bound=_bounds(suite, trials)),
    }
    trial_spec = SuiteSpec.model_validate(content)
    name = f"{suite.name}{TRIALS}"
    return plan(replace(suite, name=name, spec=trial_spec, refused=(), tune=None, winners=None))


def plan_all_trials(suite: Suite) -> Plan:
    """Plan all trials that bench tune would run.

    If the sampler depends on scores, which are not known yet, other points of the same search stand for its trials;
    they cost about the same.
    """
    tune = _tune(suite)
    trials = []
    for arm in tuned_arms(suite):
        points = initial_points(tune, arm.label)
        trials += [Trial(arm, number, values) for number, values in enumerate(points)]
    return plan_trials(suite, [trial for trial in trials if refusal(suite, trial) is None])


def _bounds(suite: Suite, trials: list[Trial]) -> tuple[BoundSpec, ...]:
    """The headline estimator of each trial's arm, on the split of tuning."""
    labels: dict[BoundSpec, list[str]] = {}
    for trial in trials:
        headline = next(spec for spec in suite.spec.evaluation.bound if spec.is_for(trial.arm.label))
        on_split = headline.model_copy(update={"split": _tune(suite).split, "arms": None})
        labels.setdefault(on_split, []).append(trial.label)
    return tuple(spec.model_copy(update={"arms": arms}) for spec, arms in labels.items())


def tuning_digest(suite: Suite, arm: ArmSpec) -> str:
    """The digest of all that the trials of an arm depend on; the suite's values of searched settings do not count."""
    tune = _tune(suite)
    search = tune.of(arm.label)
    first = Trial(arm, 0, {key: probe_values(space)[0] for key, space in search.items()})
    spaces = {key: space if isinstance(space, list) else space.model_dump() for key, space in search.items()}
    content = {
        "arm": arm.label,
        "trials": tune.trials,
        "sampler": tune.sampler,
        "search": spaces,
        "seeds": tune.seeds,
        "cells": [[stage.id for stage in cell.stages] for cell in plan_trials(suite, [first]).cells],
    }
    return digest(content)


def summarize_trial(runs: Path, planned: Plan, values: dict[str, Any], metric: str) -> TrialResult:
    """The result of a trial over its seeds. Raises Busy if a cell has no result yet."""
    scores: list[tuple[float, float | None]] = []
    reasons: list[str] = []
    for cell in planned.cells:
        outcome = _score(runs, cell, metric)
        if isinstance(outcome, str):
            reasons.append(outcome)
        else:
            scores.append(outcome)

    flops = (flops for cell in planned.cells for flops in stage_flops(planned.suite, cell).values())
    cost: dict[str, Any] = {
        "cells": [cell.id for cell in planned.cells],
        "tokens": sum(cell.tokens for cell in planned.cells),
        "flops": math.fsum(flops),
        "seconds": round(math.fsum(_seconds(runs, cell) for cell in planned.cells), 3),
    }
    if reasons:
        return TrialResult(values=values, reason=reasons[0], **cost)

    score = fmean(value for value, _ in scores)
    error = stdev(value for value, _ in scores) / math.sqrt(len(scores)) if len(scores) > 1 else scores[0][1]
    rounded_error = None if error is None else round(error, DIGITS)
    return TrialResult(values=values, score=round(score, DIGITS), standard_error=rounded_error, **cost)


def _tune(suite: Suite) -> Tune:
    assert suite.tune is not None, f"suite {suite.name} is not tuned"
    return suite.tune


def _score(runs: Path, cell: Cell, metric: str) -> tuple[float, float | None] | str:
    """The score of a cell with its standard error over documents, or the reason why it has none."""
    folder = folder_of(runs, cell)
    for stage in cell.stages:
        state, reason = storage.status(folder, stage.folder)
        if state == "failed":
            return reason
        if state != "done":
            raise Busy(f"stage {stage.name} of cell {cell.id} has no result yet; run bench tune again")
    estimate = storage.read_result(folder, cell.stages[-1].folder).measures[metric]
    value = estimate.value
    if value is None or not math.isfinite(value):
        return f"its score is {'nan' if value is None else value}"
    return float(value), estimate.standard_error


def _seconds(runs: Path, cell: Cell) -> float:
    """The seconds of the stages that are done."""
    results = [storage.whole_result(folder_of(runs, cell), stage.folder) for stage in cell.stages]
    return math.fsum(result.seconds or 0.0 for result in results if result)
