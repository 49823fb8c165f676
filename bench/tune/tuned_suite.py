"""From the lock file to a suite whose arms have their winners."""

import os
from dataclasses import replace
from pathlib import Path

from bench.suite.settings import ArmSpec
from bench.suite.suite import Suite, SuiteError, read_all
from bench.suite.tuning.apply import laid
from bench.suite.tuning.lock_file import Lock, Tuned, read, say
from bench.suite.tuning.space import holds
from bench.tune.trials import tuned_arms, tuned_under


class NotTuned(SuiteError):
    """A suite is tuned, and bench tune was not run yet."""


def lock_file(suite: Suite) -> Path:
    """The lock file beside the suite; each scale has its own."""
    return Path(os.path.relpath(suite.base / f"{suite.name}.lock"))


def read_tuned(path: Path, scale: str | None = None, data: str | None = None) -> tuple[Suite, ...]:
    """A suite for each data set in `path`, or for the one that is labelled `data`, with what tuning found laid on its
    arms, where it is tuned.

    Raises NotTuned where one was not tuned yet, SuiteError where that was not as it stands now.
    """
    again = f"bench tune {path}" + (f" --scale {scale}" if scale else "")
    return tuple(_tuned(suite, path, again) if suite.tune else suite for suite in read_all(path, scale, data))


def _tuned(suite: Suite, path: Path, again: str) -> Suite:
    file = lock_file(suite)
    lock = read(file)
    if lock is None:
        raise NotTuned(f"{path}: suite {suite.name} is tuned, and there is no {file} yet; run first: {again}")
    told = [why for arm in tuned_arms(suite) if (why := _why_not(suite, arm, lock.arms.get(arm.label), again))]
    if told:
        raise SuiteError("\n".join(f"{file}: {why}" for why in told))
    return lay(suite, lock)


def _why_not(suite: Suite, arm: ArmSpec, tuned: Tuned | None, again: str) -> str | None:
    """Why an arm cannot be given its winner."""
    if tuned is None:
        return f'arm "{arm.label}" was not tuned with the others; run again: {again}'
    if tuned.digest != (now := tuned_under(suite, arm)):
        why = f'arm "{arm.label}" was tuned under {tuned.digest}, and the suite is now {now}'
        return f"{why}: its trials, its search, its data or its science changed; run again: {again}"
    if tuned.winner is None:
        return f'arm "{arm.label}" has no winner, for all of its {tuned.trials} trials failed; change its search'
    return _why_not_tried(suite, arm, tuned, again)


def _why_not_tried(suite: Suite, arm: ArmSpec, tuned: Tuned, again: str) -> str | None:
    """Why its trials cannot be those that the suite asks for; the suite is as it was when they were made."""
    assert suite.tune is not None
    search, by_hand = suite.tune.of(arm.label), f"so that it was changed by hand; run again: {again}"
    if tuned.trials != suite.tune.trials:
        return f'arm "{arm.label}" has {tuned.trials} trials, and the suite asks for {suite.tune.trials}, {by_hand}'
    for each in tuned.tried:
        if each.values.keys() != search.keys() or not all(holds(search[key], each.values[key]) for key in search):
            return f'arm "{arm.label}" has a trial that is not of its search, {say(each.values)}, {by_hand}'
    return None


def lay(suite: Suite, lock: Lock) -> Suite:
    """The suite with the winners of a lock on its arms."""
    tuned = {arm.label: lock.arms[arm.label] for arm in tuned_arms(suite)}
    arms = [
        laid(suite.spec, arm, tuned[arm.label].winner or {}) if arm.label in tuned else arm for arm in suite.spec.arms
    ]
    spec = suite.spec.model_copy(update={"arms": arms})
    return replace(suite, spec=spec, winners=lock.model_copy(update={"arms": tuned}))
