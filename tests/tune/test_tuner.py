"""Tuning: the same number of trials for every arm, whatever fails and whenever the driver is killed."""

import signal
import subprocess
import sys
from itertools import pairwise
from math import log10

import optuna
import pytest

from bench.cli.main import main
from bench.engine import lock
from bench.engine import storage as record
from bench.launch.exit_codes import USAGE_ERROR
from bench.plan.plan import plan
from bench.suite.suite import read
from bench.suite.tuning.lock_file import TrialResult, TunedArm
from bench.suite.tuning.search_space import encode_values, sobol_points, value_at
from bench.suite.tuning.settings import Range
from bench.tune.study import Study
from bench.tune.trials import Trial, metric_of, plan_trials, refusal, tuning_digest
from bench.tune.tuner import study_file
from tests.conftest import ROOT, TINY
from tests.support.tuning import Fake, score, studies, tune, write_suite

SEARCH = {"a": Range(low=1e-4, high=1e-2, log=True), "b": ["x", "y", "z"], "c": Range(low=2.0, high=5.0, whole=True)}


def test_the_points_of_an_arm_are_fixed_and_fewer_are_the_beginning_of_more():
    few, many = sobol_points(SEARCH, 6, "100/MDLM"), sobol_points(SEARCH, 13, "100/MDLM")
    assert many[:6] == few == sobol_points(SEARCH, 6, "100/MDLM")
    assert sobol_points(SEARCH, 6, "100/AR") != few
    assert few[0] == {"a": 0.0003541, "b": "x", "c": 4}, "another scipy draws other points: old studies begin again"


def test_points_fill_every_stratum_once():
    drawn = sobol_points(SEARCH, 16, "x")
    logs = sorted(int(16 * (1 + 0.5 * log10(each["a"] / 1e-2))) for each in drawn)
    assert logs == list(range(16))
    counts = [[each["b"] for each in drawn].count(word) for word in "xyz"]
    assert max(counts) - min(counts) <= 2
    assert {each["c"] for each in drawn} == {2, 3, 4, 5}


@pytest.mark.parametrize("space", [SEARCH["a"], SEARCH["c"], Range(low=1.0, high=1000.0, log=True, whole=True)])
def test_a_coordinate_goes_from_end_to_end(space):
    values = [value_at(space, u / 1000) for u in range(1000)] + [value_at(space, 1 - 1e-12)]
    assert values[0] == space.low
    assert values[-1] == space.high
    assert all(one <= other for one, other in pairwise(values))
    assert isinstance(values[5], int if space.whole else float)


def test_values_of_a_list_are_told_apart_by_their_words():
    words = encode_values([True, 1, "one", 1.5, None, {"b": 1, "a": [2]}])
    assert words == ["true", "1", "one", "1.5", "null", '{"a": [2], "b": 1}']


def test_a_trial_is_a_cell_under_what_tuning_is_given(tmp_path):
    suite = read(write_suite(tmp_path))
    trial = Trial(suite.spec.arms[1], 2, {"training.learning_rate": 0.002, "options.schedule": "cosine"})
    (cell,) = plan_trials(suite, [trial]).cells
    assert (cell.arm, cell.seed, cell.steps, cell.options) == ("MDLM, trial 3", 100, 4, {"schedule": "cosine"})
    assert cell.training.learning_rate == 0.002
    assert [stage.name for stage in cell.stages] == ["train", "bound"]
    assert cell.stages[1].settings["split"] == "valid"
    assert cell.stages[1].settings["draws"] == suite.spec.evaluation.bound[0].draws
    assert metric_of(suite) == "bits_per_char"


def test_a_batch_whose_parts_make_steps_more_expensive_is_a_failed_trial(tmp_path):
    """Plaid trains an end in each part, so that two parts of 2 sequences take one more than 4 at once."""
    path = tmp_path / "plaid.yaml"
    arms = TINY[TINY.index("  - {label: AR") : TINY.index("seeds:")]
    text = TINY.replace(arms, "  - {label: Plaid, method: plaid}\n").replace("steps: 6", "flops: 1.0e+8")
    search = "tune: {trials: 2, seeds: [9], search: {training.batch_size: [8, 4]}}\n"
    path.write_text(text.replace("device: cpu", "device: cpu, accumulate: 2") + search)
    suite = read(path)
    reasons = [refusal(suite, Trial(suite.spec.arms[0], 0, {"training.batch_size": size})) for size in (8, 4)]
    assert reasons[0] is None
    assert "makes a step of 4 sequences more expensive" in reasons[1]


def test_every_arm_has_as_many_trials_and_tokens(tmp_path, monkeypatch):
    fake = Fake()
    lock = tune(read(write_suite(tmp_path)), tmp_path / "runs", fake, monkeypatch)
    assert [(label, arm.trials, arm.failed, arm.tokens) for label, arm in lock.arms.items()] == [
        ("AR", 3, 0, 3 * 4 * 8 * 12),
        ("MDLM", 3, 0, 3 * 4 * 8 * 12),
    ]
    assert len(fake.ran) == 6
    for arm in lock.arms.values():
        assert arm.score == min(each.score for each in arm.tried)
        assert arm.seconds == 3 * 3.0
        assert arm.flops > 0
    written = record.read_json(tmp_path / "runs" / "suites" / "tiny-trials.json")
    assert [cell["arm"] for cell in written["cells"]] == [
        f"{a}, trial {n}" for a in ("AR", "MDLM") for n in range(1, 4)
    ]


def test_failures_and_nan_keep_their_slots(tmp_path, monkeypatch):
    suite, odd = read(write_suite(tmp_path)), {1: "loss is nan", 2: None}
    fake = Fake(lambda cell: odd.get(len(fake.ran) - 1, score(cell)))
    lock = tune(suite, tmp_path / "runs", fake, monkeypatch)
    assert [each.reason for each in lock.arms["AR"].tried] == ["", "loss is nan", "its score is nan"]
    assert [(arm.trials, arm.failed) for arm in lock.arms.values()] == [(3, 2), (3, 0)]
    states = [state for _, state, _, _ in studies(suite, tmp_path / "runs")["AR"]]
    assert states == ["COMPLETE", "FAIL", "FAIL"]
    assert [each.values for each in lock.arms["AR"].tried] == sobol_points(suite.tune.of("AR"), 3, "100/AR")
    again = Fake()
    assert tune(suite, tmp_path / "runs", again, monkeypatch) == lock
    assert again.ran == []


def test_failed_trials_are_tried_again_when_asked_for_and_no_others(tmp_path, monkeypatch):
    suite = read(write_suite(tmp_path))
    fake = Fake(lambda cell: "out of memory" if len(fake.ran) == 2 else score(cell))
    first = tune(suite, tmp_path / "runs", fake, monkeypatch)
    again = Fake()
    lock = tune(suite, tmp_path / "runs", again, monkeypatch, retry=True)
    assert [cell.arm for cell in again.ran] == ["AR, trial 2"]
    assert [each.values for each in lock.arms["AR"].tried] == [each.values for each in first.arms["AR"].tried]
    assert lock.arms["AR"].failed == 0


def test_a_trial_that_cannot_be_planned_failed_without_a_cell(tmp_path, monkeypatch):
    change = (
        "    training.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}",
        "    network.heads: [2, 4]\n    network.width: [12, 16]",
    )
    lock = tune(read(write_suite(tmp_path, change)), tmp_path / "runs", Fake(lambda cell: 1.0), monkeypatch)
    for arm in lock.arms.values():
        told = {(each.values["network.heads"], each.values["network.width"]): each.reason for each in arm.tried}
        assert all((words != "") == (at[1] % (2 * at[0]) != 0) for at, words in told.items()), told
    assert sum(arm.failed for arm in lock.arms.values()) > 0
    assert all(not each.cells for arm in lock.arms.values() for each in arm.tried if each.reason)


def test_a_driver_that_was_killed_leads_to_the_same_trials(tmp_path, monkeypatch):
    suite = read(write_suite(tmp_path))
    code = f"from tests.support.tuning import kill; kill({str(tmp_path)!r}, 2)"
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    states = [state for _, state, _, _ in studies(suite, tmp_path / "runs")["AR"]]
    assert states == ["COMPLETE", "RUNNING", "WAITING"]
    resumed, whole = (tune(suite, tmp_path / name, Fake(), monkeypatch) for name in ("runs", "whole"))
    assert resumed == whole
    assert studies(suite, tmp_path / "runs") == studies(suite, tmp_path / "whole")


def carry_on(study: Study, stop: int | None = None) -> list[TrialResult]:
    """All trials of a study with a score made of their values, or those before the driver is stopped in one of them."""
    for number, values in study.remaining():
        if number == stop:
            break
        bits = 2 + (values["training.learning_rate"] - 0.004) ** 2
        study.record(number, TrialResult(values=values, score=bits))
    return study.results()


@pytest.mark.parametrize("sampler", ["sobol", "tpe"])
def test_a_study_that_was_stopped_has_the_trials_of_one_that_was_not(sampler, tmp_path):
    suite = read(write_suite(tmp_path, ("trials: 3", f"trials: 12\n  sampler: {sampler}")))
    whole = carry_on(Study(tmp_path / "whole.db", "MDLM", "d", suite.tune))
    for stop in (0, 3, 11, None):  # after ten trials tpe goes by their scores
        tried = carry_on(Study(tmp_path / "stopped.db", "MDLM", "d", suite.tune), stop)
        assert tried == whole[:stop]
    assert len({tuple(each.values.values()) for each in whole}) == 12
    assert ([each.values for each in whole] == sobol_points(suite.tune.of("MDLM"), 12, "100/MDLM")) == (
        sampler == "sobol"
    )


def test_slots_that_were_not_reserved_before_a_stop_are_reserved_after_it(tmp_path, monkeypatch):
    tune, put = read(write_suite(tmp_path)).tune, optuna.Study.enqueue_trial

    def stop(study, params):
        if len(study.trials) == 2:
            raise KeyboardInterrupt
        put(study, params)

    with monkeypatch.context() as patched:
        patched.setattr(optuna.Study, "enqueue_trial", stop)
        with pytest.raises(KeyboardInterrupt):
            Study(tmp_path / "stopped.db", "AR", "d", tune)
    tried = carry_on(Study(tmp_path / "stopped.db", "AR", "d", tune))
    assert [each.values for each in tried] == sobol_points(tune.of("AR"), 3, "100/AR")


@pytest.mark.parametrize(
    ("change", "arms"),
    [
        (("trials: 3", "trials: 4"), "AR MDLM"),
        (("seeds: [100]", "seeds: [101]"), "AR MDLM"),
        (("steps: 4", "steps: 5"), "AR MDLM"),
        (("high: 1.0e-2", "high: 2.0e-2"), "AR MDLM"),
        (("alphabet: 3", "alphabet: 4"), "AR MDLM"),
        (("batch_size: 8", "batch_size: 16"), "AR MDLM"),
        (("width: 16", "width: 32"), "AR MDLM"),
        (("draws: 2", "draws: 4"), "AR MDLM"),
        (("[linear, cosine]", "[cosine, geometric]"), "MDLM"),
        (("method: mdlm", "method: md4"), "MDLM"),
        (("{batch_size: 8", "{learning_rate: 0.005, batch_size: 8"), ""),  # what is searched does not count
        (("seeds: [0]", "seeds: [0, 1]"), ""),
        (("budget: {steps: 6}", "budget: {steps: 60}"), ""),
        (("Does it hold?", "Does it?"), ""),
    ],
)
def test_a_study_is_one_of_all_that_its_trials_depend_on(change, arms, tmp_path):
    one, other = read(write_suite(tmp_path)), read(write_suite(tmp_path, change))
    pairs = zip(one.spec.arms, other.spec.arms, strict=True)
    assert " ".join(arm.label for arm, new in pairs if tuning_digest(one, arm) != tuning_digest(other, new)) == arms


def test_more_trials_go_on_from_those_that_are_done(tmp_path, monkeypatch):
    tune(read(write_suite(tmp_path)), tmp_path / "runs", Fake(), monkeypatch)
    more = Fake()
    tune(read(write_suite(tmp_path, ("trials: 3", "trials: 5"))), tmp_path / "runs", more, monkeypatch)
    assert [cell.arm for cell in more.ran] == ["AR, trial 4", "AR, trial 5", "MDLM, trial 4", "MDLM, trial 5"]


def test_the_dashboard_opens_the_studies(tmp_path, monkeypatch):
    from optuna_dashboard import wsgi
    from werkzeug.test import Client

    suite = read(write_suite(tmp_path))
    tune(suite, tmp_path / "runs", Fake(), monkeypatch)
    page = Client(wsgi(f"sqlite:///{study_file(tmp_path / 'runs', suite)}"))
    found = page.get("/api/studies").json["study_summaries"]
    assert sorted(study["study_name"].split(" (")[0] for study in found) == ["AR", "MDLM"]
    one = page.get(f"/api/studies/{found[0]['study_id']}?after=0").json
    assert [trial["state"] for trial in one["trials"]] == ["Complete"] * 3


def test_one_driver_at_a_time(tmp_path, monkeypatch):
    with lock.at_work(tmp_path / "runs" / "tuning"), pytest.raises(lock.Busy):
        tune(read(write_suite(tmp_path)), tmp_path / "runs", Fake(), monkeypatch)


def test_a_file_that_is_no_study_is_told_with_the_way_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.tune.tuner.run", Fake())
    path, runs = write_suite(tmp_path), tmp_path / "runs"
    (runs / "tuning").mkdir(parents=True)
    study_file(runs, read(path)).write_bytes(b"garbage" * 100)
    assert main(["tune", str(path), "--runs", str(runs)]) == USAGE_ERROR
    assert "tiny.db cannot be opened (file is not a database); if it is broken, remove it" in capsys.readouterr().err


def test_what_was_trained_once_counts_once():
    tried = [TrialResult(values={"a": n}, score=1.0, cells=[id], tokens=5) for n, id in enumerate("xyx")]
    assert (TunedArm.of("d", tried).tokens, TunedArm.of("d", tried).trials) == (10, 3)


def test_several_seeds_of_tuning_are_averaged(tmp_path, monkeypatch):
    suite = read(write_suite(tmp_path, ("seeds: [100]", "seeds: [100, 101]")))
    lock = tune(suite, tmp_path / "runs", Fake(lambda cell: float(cell.seed)), monkeypatch)
    assert {(each.score, each.standard_error) for arm in lock.arms.values() for each in arm.tried} == {(100.5, 0.5)}


def test_tuning_changes_no_cell_of_an_arm_that_has_none(tmp_path):
    tuned, plain = read(write_suite(tmp_path)), read(ROOT / "suites" / "smoke.yaml")
    assert [cell.id for cell in plan(tuned).cells] == ["734684c44b84", "3c1787940e02"]
    assert plain.tune is None
