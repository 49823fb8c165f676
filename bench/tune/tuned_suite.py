"""Apply the winners of a lock file to the arms of a suite."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite, SuiteError, read_all
from bench.suite.tuning.apply_values import apply_values
from bench.suite.tuning.lock_file import Lock, TunedArm, format_values, read
from bench.suite.tuning.search_space import contains
from bench.suite.yaml_file import load
from bench.tune.trials import tuned_arms, tuning_digest

SUFFIXES = (".yaml", ".yml")  # of suite files


class NotTuned(SuiteError):
    """A suite with a block `tune` for which `bench tune` has not run yet."""


def lock_path(suite: Suite) -> Path:
    """The path of the lock file beside the suite; each scale and data set has its own."""
    return Path(os.path.relpath(suite.base / f"{suite.name}.lock"))


def refuse_shared_locks(suites: Sequence[Suite]) -> None:
    """Raise SuiteError if another tuned suite file in the folder has a lock file of the same name.

    This is so for NAME.yaml at SCALE beside NAME-SCALE.yaml, and for NAME.yaml beside NAME.yml.
    """
    for suite in suites:
        for path in (suite.base / f"{suite.name}{suffix}" for suffix in SUFFIXES):
            if path.is_file() and path.resolve() != suite.file.resolve() and _is_tuned(path):
                clash = f"its lock file {lock_path(suite)} would be that of {path.name} too"
                raise SuiteError(f"{suite.file}: suite {suite.name}: {clash}; rename the file or the scale")


def _is_tuned(path: Path) -> bool:
    """Whether a suite file has a block `tune`; one that cannot be read has none."""
    try:
        return load(path).content.get("tune") is not None
    except SuiteError:
        return False


def read_tuned(path: Path, scale: str | None = None, data: str | None = None) -> tuple[Suite, ...]:
    """Read the suites of a file as `read_all` does, and apply the winners to those that are tuned.

    Raises NotTuned if one was not tuned yet, SuiteError if its lock file does not fit what it is now.
    """
    command = f"bench tune {path}" + (f" --scale {scale}" if scale else "")
    suites = read_all(path, scale, data)
    return tuple(_with_lock(suite, path, command) if suite.tune else suite for suite in suites)


def _with_lock(suite: Suite, path: Path, command: str) -> Suite:
    file = lock_path(suite)
    lock = read(file)
    if lock is None:
        raise NotTuned(f"{path}: suite {suite.name} is tuned, and there is no {file} yet; run first: {command}")
    reasons = [_refusal(suite, arm, lock.arms.get(arm.label), command) for arm in tuned_arms(suite)]
    lines = [f"{file}: {reason}" for reason in reasons if reason]
    if lines:
        raise SuiteError("\n".join(lines))
    return with_winners(suite, lock)


def _refusal(suite: Suite, arm: ArmSpec, tuned: TunedArm | None, command: str) -> str | None:
    """The reason why the winner in the lock file does not apply to an arm, or None."""
    if tuned is None:
        return f'arm "{arm.label}" was not tuned with the others; run again: {command}'
    digest = tuning_digest(suite, arm)
    if tuned.digest != digest:
        change = f'arm "{arm.label}" was tuned under {tuned.digest}, and the suite is now {digest}'
        return f"{change}: its trials, its search, its data or its science changed; run again: {command}"
    if tuned.winner is None:
        return f'arm "{arm.label}" has no winner: all of its {tuned.trials} trials failed; change its search'
    return _edit(suite, arm, tuned, command)


def _edit(suite: Suite, arm: ArmSpec, tuned: TunedArm, command: str) -> str | None:
    """How the trials in the lock file were edited by hand, given that their digest is right, or None."""
    assert suite.tune is not None
    search, edited = suite.tune.of(arm.label), f"so it was edited by hand; run again: {command}"
    if tuned.trials != suite.tune.trials:
        return f'arm "{arm.label}" has {tuned.trials} trials, and the suite asks for {suite.tune.trials}, {edited}'
    for trial in tuned.tried:
        is_inside = trial.values.keys() == search.keys() and all(
            contains(space, trial.values[key]) for key, space in search.items()
        )
        if not is_inside:
            return f'arm "{arm.label}" has a trial outside its search, {format_values(trial.values)}, {edited}'
    return None


def with_winners(suite: Suite, lock: Lock) -> Suite:
    """The suite with the winners of a lock file applied to its arms."""
    tuned = {arm.label: lock.arms[arm.label] for arm in tuned_arms(suite)}
    arms = [
        apply_values(suite.spec, arm, tuned[arm.label].winner or {}) if arm.label in tuned else arm
        for arm in suite.spec.arms
    ]
    spec = suite.spec.model_copy(update={"arms": arms})
    return replace(suite, spec=spec, winners=lock.model_copy(update={"arms": tuned}))
