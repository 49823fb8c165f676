"""Trials as cells: an arm with values of what is searched, trained and scored under what tuning is given."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import ValidationError

from bench.engine import storage as record
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.storage import digest
from bench.plan.cells import Cell, Plan, folder_of
from bench.plan.cost import stage_flops
from bench.plan.plan import plan
from bench.suite.settings import ArmSpec, Evaluation, SuiteSpec
from bench.suite.suite import Suite, SuiteError
from bench.suite.tuning.apply import laid
from bench.suite.tuning.lock_file import Tried
from bench.suite.tuning.settings import Tune
from bench.suite.tuning.space import checked, first_points
from methods import OptionError

DIGITS = 6  # decimals of a score


@dataclass(frozen=True)
class Trial:
    """Values that are tried on an arm."""

    arm: ArmSpec
    number: int  # 0, 1, ...
    values: dict[str, Any]

    @property
    def label(self) -> str:
        """What its cells are called."""
        return f"{self.arm.label}, trial {self.number + 1}"


def metric_of(suite: Suite) -> str:
    """The metric of the suite's score: bits per byte where tokens are bytes, else bits per character."""
    return "bits_per_byte" if suite.facts.level == "byte" else "bits_per_char"


def tuned_arms(suite: Suite) -> list[ArmSpec]:
    """The arms that are tuned."""
    return [arm for arm in suite.spec.arms if suite.tune and arm.untuned is None]


def why_not(suite: Suite, trial: Trial) -> str | None:
    """Why a trial cannot be planned, in words; None where it can."""
    try:
        plan_trials(suite, [trial])
    except (OptionError, ValidationError, SuiteError) as error:
        return " ".join(str(error).split())
    return None


def plan_trials(suite: Suite, trials: list[Trial]) -> Plan:
    """The cells of trials, as those of a suite of its own. Raises what a block or a method says of values."""
    tune, spec = _tune(suite), suite.spec
    own = {"budget": None, "base": None, "untuned": None}
    arms = [laid(spec, trial.arm, trial.values).model_copy(update=own | {"label": trial.label}) for trial in trials]
    content = {name: getattr(spec, name) for name in SuiteSpec.model_fields} | {
        "question": f"What do the trials of suite {suite.name} score?",
        "budget": tune.budget or spec.budget,
        "arms": arms,
        "seeds": tune.seeds,
        "evaluation": Evaluation(bound=_bounds(suite, trials)),
    }
    whole = SuiteSpec.model_validate(content)
    return plan(replace(suite, name=f"{suite.name}-trials", spec=whole, refused=(), tune=None, winners=None))


def plan_ahead(suite: Suite) -> Plan:
    """The cells of all trials that bench tune asks for. Where a sampler chooses by scores, which are not known yet, as
    many others of the same search, which cost about as much."""
    tune = _tune(suite)
    points = {arm.label: first_points(tune, arm.label) for arm in tuned_arms(suite)}
    trials = [Trial(arm, n, values) for arm in tuned_arms(suite) for n, values in enumerate(points[arm.label])]
    return plan_trials(suite, [trial for trial in trials if why_not(suite, trial) is None])


def _bounds(suite: Suite, trials: list[Trial]) -> tuple[BoundSpec, ...]:
    """The headline estimator of each trial's arm, on the split of tuning."""
    wanted: dict[BoundSpec, list[str]] = {}
    for trial in trials:
        headline = next(each for each in suite.spec.evaluation.bound if each.is_for(trial.arm.label))
        wanted.setdefault(headline.model_copy(update={"split": _tune(suite).split, "arms": None}), []).append(
            trial.label
        )
    return tuple(each.model_copy(update={"arms": labels}) for each, labels in wanted.items())


def tuned_under(suite: Suite, arm: ArmSpec) -> str:
    """The digest of all that the trials of an arm depend on; what the suite says of a thing that is searched does not
    count."""
    tune = _tune(suite)
    search = tune.of(arm.label)
    first = Trial(arm, 0, {key: checked(space)[0] for key, space in search.items()})
    asked = {key: space if isinstance(space, list) else space.model_dump() for key, space in search.items()}
    told = {"arm": arm.label, "trials": tune.trials, "sampler": tune.sampler, "search": asked}
    cells = [[stage.id for stage in cell.stages] for cell in plan_trials(suite, [first]).cells]
    return digest({**told, "seeds": tune.seeds, "cells": cells})


def judge(runs: Path, planned: Plan, values: dict[str, Any], metric: str) -> Tried:
    """What came of the cells of one trial. Raises Busy where one of them has no result yet."""
    cells = planned.cells
    found = [_measured(runs, cell, metric) for cell in cells]
    reasons = [found_or_reason for found_or_reason in found if isinstance(found_or_reason, str)]
    scores = [each for each in found if not isinstance(each, str)]
    spent: dict[str, Any] = {
        "cells": [cell.id for cell in cells],
        "tokens": sum(cell.tokens for cell in cells),
        "flops": math.fsum(flops for cell in cells for flops in stage_flops(planned.suite, cell).values()),
        "seconds": round(math.fsum(_seconds(runs, cell) for cell in cells), 3),
    }
    if reasons:
        return Tried(values=values, reason=reasons[0], **spent)
    score = fmean(value for value, _ in scores)
    error = stdev(value for value, _ in scores) / math.sqrt(len(scores)) if len(scores) > 1 else scores[0][1]
    return Tried(values=values, score=round(score, DIGITS), standard_error=_rounded(error), **spent)


def _rounded(error: float | None) -> float | None:
    return None if error is None else round(error, DIGITS)


def _tune(suite: Suite) -> Tune:
    assert suite.tune is not None, f"suite {suite.name} is not tuned"
    return suite.tune


def _measured(runs: Path, cell: Cell, metric: str) -> tuple[float, float | None] | str:
    """The score of a cell with its error over documents, or why it has none."""
    folder = folder_of(runs, cell)
    for stage in cell.stages:
        state, reason = record.status(folder, stage.folder)
        if state == "failed":
            return reason
        if state != "done":
            raise record.Busy(f"stage {stage.name} of cell {cell.id} has no result yet; run bench tune again")
    measurement = record.read_result(folder, cell.stages[-1].folder).measures[metric]
    value = measurement.value
    if value is None or not math.isfinite(value):
        return f"its score is {'nan' if value is None else value}"
    return float(value), measurement.standard_error


def _seconds(runs: Path, cell: Cell) -> float:
    """Of what of a cell is done."""
    results = [record.read_result(folder_of(runs, cell), stage.folder) for stage in cell.stages]
    return math.fsum(result.seconds for result in results if result)
