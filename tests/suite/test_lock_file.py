"""Winners of a lock file are applied to the arms that they belong to, and to no others."""

import re
from pathlib import Path

import pytest

from bench.plan.plan import plan
from bench.suite.suite import SuiteError, read
from bench.suite.tuning.lock_file import Lock, TrialResult, TunedArm, write
from bench.suite.tuning.lock_file import read as read_lock
from bench.tune.trials import tuning_digest
from bench.tune.tuned_suite import lock_path, read_tuned, with_winners
from tests.support.tuning import write_suite


def lock_of(suite, **scores: float | None) -> Lock:
    """A lock of a suite whose arms were tried at the same point each time."""
    values = {
        "AR": {"training.learning_rate": 0.002},
        "MDLM": {"options.schedule": "cosine", "training.learning_rate": 0.003},
    }
    arms = {}
    for arm in suite.spec.arms:
        score = scores.get(arm.label, 1.5)
        tried = TrialResult(values=values[arm.label], score=score, reason="" if score else "loss is nan")
        arms[arm.label] = TunedArm.of(tuning_digest(suite, arm), [tried] * suite.tune.trials)
    settings = {"metric": "bits_per_char", "split": "valid", "seeds": [100], "sampler": "sobol", "budget": {"steps": 4}}
    return Lock(suite=suite.name, arms=arms, **settings)


def told(path: Path) -> str:
    with pytest.raises(SuiteError) as error:
        read_tuned(path)[0]
    return str(error.value)


def test_winners_are_laid_on_the_arms(tmp_path):
    path = write_suite(tmp_path)
    suite = read(path)
    write(lock_path(suite), lock_of(suite))
    ar, mdlm = read_tuned(path)[0].spec.arms
    assert (ar.training.learning_rate, ar.training.batch_size, ar.options) == (0.002, 8, {})
    assert (mdlm.training.learning_rate, mdlm.options) == (0.003, {"schedule": "cosine"})
    by_hand = write_suite(
        tmp_path,
        ("method: ar}", "method: ar, training: {learning_rate: 0.002}}"),
        ("method: mdlm}", "method: mdlm, options: {schedule: cosine}, training: {learning_rate: 0.003}}"),
    )
    by_hand.write_text(by_hand.read_text().split("tune:")[0])
    assert [cell.id for cell in plan(read_tuned(path)[0]).cells] == [
        cell.id for cell in plan(with_winners(suite, lock_of(suite))).cells
    ]


@pytest.mark.parametrize(
    ("change", "arms"),
    [
        (("trials: 3", "trials: 4"), ["AR", "MDLM"]),
        (("alphabet: 3", "alphabet: 4"), ["AR", "MDLM"]),
        (("[linear, cosine]", "[cosine, linear]"), ["MDLM"]),
    ],
)
def test_a_stale_lock_is_refused(change, arms, tmp_path):
    suite = read(write_suite(tmp_path))
    write(lock_path(suite), lock_of(suite))
    lines = told(write_suite(tmp_path, change)).splitlines()
    assert [re.search('arm "(.*?)" was tuned under', line)[1] for line in lines] == arms
    assert all("run again: bench tune" in line for line in lines)


def test_an_arm_that_came_later_or_never_finished_is_refused(tmp_path):
    path = write_suite(tmp_path)
    suite = read(path)
    write(lock_path(suite), lock_of(suite, AR=None))
    assert 'arm "AR" has no winner: all of its 3 trials failed' in told(path)
    later = write_suite(tmp_path, ("  - {label: MDLM, ", "  - {label: MD4, method: md4}\n  - {label: MDLM, "))
    assert 'arm "MD4" was not tuned with the others' in told(later)


def test_an_untuned_arm_stands_beside_tuned_ones_if_it_says_why(tmp_path):
    path = write_suite(tmp_path, ("method: ar}", "method: ar, untuned: its published rate}"))
    suite = read(path)
    write(lock_path(suite), lock_of(suite))
    laid = read_tuned(path)[0]
    assert laid.spec.arms[0].training == suite.spec.arms[0].training
    stored = laid.winners.as_record(laid.spec.arms)
    assert (list(stored["arms"]), stored["untuned"]) == (["MDLM"], {"AR": "its published rate"})


def test_a_lock_is_read_as_it_was_written_and_not_as_it_was_changed(tmp_path):
    suite = read(write_suite(tmp_path))
    lock, file = lock_of(suite), lock_path(suite)
    write(file, lock)
    assert read_lock(file) == lock
    text = file.read_text()
    for old, new, message in (
        ("winner: {training.learning_rate: 0.002}", "winner: {training.learning_rate: 0.1}", "edited by hand"),
        ("    score: 1.5\n", "    score: 1.4\n", "edited by hand"),
        ("    tokens: 0\n", "    tokens: 7\n", "its tokens is not that of its trials"),
        ("seeds: [100]", "seeds: [100", "not valid YAML"),
        ("sampler: sobol\n", "", "sampler: Field required"),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        with pytest.raises(SuiteError, match=rf"tiny.lock:.*{message}.*; write it again with: bench tune"):
            read_lock(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("training.learning_rate: 0.002", "training.learning_rate: fast"),
        ("training.learning_rate: 0.002", "training.learning_rate: 0.1"),
        ("training.learning_rate: 0.002", "training.rate: 0.002"),
        ("options.schedule: cosine", "options.schedule: cosin"),
        ("options.schedule: cosine, ", ""),
    ],
)
def test_a_winner_that_is_not_of_the_search_is_refused_though_its_trial_was_changed_too(old, new, tmp_path):
    path = write_suite(tmp_path)
    suite = read(path)
    write(lock_path(suite), lock_of(suite))
    read_tuned(path)
    lock_path(suite).write_text(lock_path(suite).read_text().replace(old, new))
    assert re.search(r'tiny.lock: arm "(AR|MDLM)" has a trial outside its search, .*edited by hand', told(path))


def test_a_lock_with_fewer_trials_or_that_is_no_text_is_refused(tmp_path):
    path = write_suite(tmp_path)
    suite = read(path)
    tuned = lock_of(suite)
    fewer = {label: TunedArm.of(arm.digest, arm.tried[:1]) for label, arm in tuned.arms.items()}
    write(lock_path(suite), tuned.model_copy(update={"arms": fewer}))
    assert 'arm "AR" has 1 trials, and the suite asks for 3, so it was edited by hand' in told(path)
    lock_path(suite).write_bytes(b"\xff\xfe")
    assert "tiny.lock:1:1: the encoding is UTF-16" in told(path)
    lock_path(suite).write_text("")
    assert "tiny.lock: the file: Input should be a valid dictionary" in told(path)
