"""What a suite says of tuning, what is wrong with it, and the lock file that lays its winners on the arms."""

import json
import re
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.engine.data import DataError
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.suite.schema import schema
from bench.suite.suite import SuiteError, read, with_data
from bench.suite.tuning.lock_file import Lock, TrialResult, TunedArm, write
from bench.suite.tuning.lock_file import read as read_lock
from bench.tune.trials import tuning_digest
from bench.tune.tuned_suite import lock_path, read_tuned, with_winners
from tests.conftest import ROOT, TINY
from tests.suite.test_schema import fits, parsed
from tests.support.tuning import TUNE, Fake, write_suite

BOTH = "    training.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"
OWN = "{options.schedule: [linear, cosine]}"

BAD = {
    "seed": (("seeds: [100]", "seeds: [100, 0]"), r"16:3: tuning seed 0 is one of the suite's"),
    "seed twice": (("seeds: [100]", "seeds: [7, 7]"), r"14:1: tune: a seed occurs twice"),
    "split": (("seeds: [100]", "seeds: [100]\n  split: test"), r"17:3: tuning on test, the reported split"),
    "default split": (("{draws: 2,", "{split: valid, draws: 2,"), r"14:1: tuning on valid, the reported split"),
    "trials": (("trials: 3", "trials: 0"), r"15:3: tune.trials is 0: "),
    "budget": (("{steps: 4}", "{steps: 4, tokens: 9}"), r"17:3: tune.budget: give one of steps, tokens and flops"),
    "unknown key": (("trials: 3", "trails: 3"), r'15:3: unknown key "trails"; did you mean "trials"\?'),
    "empty range": (
        ("low: 1.0e-4", "low: 1.0e-1"),
        r"19:5: tune.*: the range is empty: low 0.1 is not below high 0.01",
    ),
    "logarithm": (("low: 1.0e-4", "low: 0.0"), r"19:5: .*low 0 has no logarithm"),
    "whole": (("log: true", "whole: true"), r"19:5: .*a range of whole numbers needs whole ends"),
    "unknown word": (("log: true", "lgo: true"), r'19:57: unknown key "lgo"; did you mean "low"\?'),
    "one value": (("[linear, cosine]", "[linear]"), r"21:12: .*List should have at least 2 items"),
    "no space": (("[linear, cosine]", "linear"), r"21:12: .*Input should be a valid list"),
    "twice": (("[linear, cosine]", "[linear, linear]"), r"21:12: options.schedule: linear occurs twice"),
    "label": (("    MDLM: {o", "    MLDM: {o"), r'21:5: there is no arm "MLDM"; did you mean "MDLM"\?'),
    "nothing": (("options.schedule", "question"), r'21:12: "question" is not a setting of an arm'),
    "method": (("options.schedule: [linear, cosine]", "method: [mdlm, md4]"), r"21:12: method cannot be searched"),
    "spent": ((OWN, "{budget.steps: [4, 8]}"), r"21:12: budget.steps cannot be searched"),
    "option": (("options.schedule", "options.shedule"), r'21:12: unknown option "shedule" .*did you mean "schedule"\?'),
    "lacking": (
        (BOTH, BOTH + "    options.schedule: [linear, cosine]\n"),
        r'20:5: unknown option "schedule" for method "ar"',
    ),
    "value": (("[linear, cosine]", "[linear, cosin]"), r'21:12: options.schedule .cosin.: .*did you mean "cosine"\?'),
    "out of reach": (
        ("low: 1.0e-4, high: 1.0e-2, log: true", "low: -1.0, high: 1.0"),
        r"19:5: training.learning_rate -1.0: .*greater than 0",
    ),
    "not whole": (
        (OWN, "{training.warmup_steps: {low: 1, high: 8}}"),
        r"21:12: training.warmup_steps 1.0: .*valid integer",
    ),
    "part": (
        (OWN, "{options.schedule: [cosine, linear], options.schedule.power: [1.0, 2.0]}"),
        r"21:48: options.schedule.power is part of options.schedule",
    ),
    "said": (
        ("method: mdlm}", "method: mdlm, options: {schedule: cosine}}"),
        r'8:43: arm "MDLM" gives options.schedule, which is searched',
    ),
    "unequal": (
        (BOTH, BOTH + "    training.batch_size: [4, 8]\n"),
        r"20:5: training.batch_size: trials of equal steps and different batches",
    ),
    "untuned beside tuned": (("  search:\n" + BOTH, ""), r'7:5: arm "AR" is not tuned but stands beside arms that are'),
    "nothing is tuned": (
        ("ar}\n  - {label: MDLM, method: mdlm}", "ar, untuned: x}\n  - {label: MDLM, method: mdlm, untuned: y}"),
        r"14:1: every arm is untuned, so nothing is tuned.*\n.*21:5: arm .MDLM. is untuned but has a search",
    ),
    "untuned and searched": (
        ("method: mdlm}", "method: mdlm, untuned: as published}"),
        r'21:5: arm "MDLM" is untuned but has a search',
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_wrong_with_tuning_is_told_at_its_place(fault, tmp_path):
    change, message = BAD[fault]
    path = write_suite(tmp_path, change)
    with pytest.raises(SuiteError) as error:
        read(path)
    assert re.fullmatch(re.escape(f"{path}:") + message + ".*", str(error.value)), error.value


def test_all_faults_are_told_at_once(tmp_path):
    changes = (
        ("seeds: [100]", "seeds: [0]\n  split: test"),
        ("[linear, cosine]", "[linear, cosin]"),
        ("    MDLM:", "    A: {}\n    MDLM:"),
    )
    path = write_suite(tmp_path, *changes, ("width: 16", "widht: 16"))
    with pytest.raises(SuiteError) as error:
        read(path)
    assert [int(line.split(":")[1]) for line in str(error.value).splitlines()] == [3, 16, 17, 22, 23]


def test_tuning_is_inherited_and_has_scales(tmp_path):
    write_suite(tmp_path)
    child = tmp_path / "child.yaml"
    child.write_text(
        "extends: tiny.yaml\nscales:\n  more: {tune: {trials: 9, budget: {tokens: 960}}}\n  none: {tune: null}\n"
    )
    assert read(child).tune == read(tmp_path / "tiny.yaml").tune
    more = read(child, "more").tune
    assert (more.trials, more.budget.tokens, more.budget.steps, more.seeds) == (9, 960, None, [100])
    assert read(child, "none").tune is None


def test_arms_of_an_ablation_are_tuned_each_by_itself(tmp_path):
    path = write_suite(
        tmp_path, ("    MDLM: {options.schedule: [linear, cosine]}", "    MDLM: {training.clip: [0.5, 1.0]}")
    )
    path.write_text(path.read_text() + "ablate: {base: MDLM, grid: {method: [md4]}}\n")
    suite = read(path)
    assert [list(suite.tune.of(arm.label)) for arm in suite.spec.arms] == [
        ["training.learning_rate"],
        ["training.clip", "training.learning_rate"],
        ["training.learning_rate"],
    ]
    path.write_text(path.read_text().replace("method: [md4]", "training.learning_rate: [0.1, 0.2]"))
    with pytest.raises(SuiteError, match=r'22:\d+: arm "MDLM, learning_rate 0.1" gives training.learning_rate'):
        read(path)


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
    said = {"metric": "bits_per_char", "split": "valid", "seeds": [100], "sampler": "sobol", "budget": {"steps": 4}}
    return Lock(suite=suite.name, arms=arms, **said)


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


def test_a_suite_that_is_not_tuned_yet_is_refused_with_the_way_out(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write_suite(tmp_path)
    for command in (["run", str(path)], ["certify", "--suite", str(path)]):
        assert main(command) == USAGE_ERROR
        assert f"run first: bench tune {path}" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
    with pytest.raises(AssertionError, match="its arms lack the tuned settings"):
        submit(tmp_path / "runs", plan(with_data(read(path))))


@pytest.mark.parametrize("sampler", ["sobol", "tpe"])
def test_the_plan_of_a_suite_that_is_not_tuned_yet_is_that_of_its_trials(sampler, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path, ran = write_suite(tmp_path, ("  trials: 3", f"  sampler: {sampler}\n  trials: 3")), Fake()
    assert main(["plan", str(path), "--json"]) == DONE
    found = capsys.readouterr()
    assert f"this plan shows the trials of tuning: {path}: suite tiny is tuned" in found.err
    assert f"run first: bench tune {path}" in found.err
    assert not (tmp_path / "runs").exists()
    planned = json.loads(found.out)["cells"]
    monkeypatch.setattr("bench.tune.tuner.run", ran)
    assert main(["tune", str(path)]) == DONE
    assert sum(cell["tokens"] for cell in planned) == sum(cell.tokens for cell in ran.ran) > 0
    if sampler == "sobol":
        assert [cell["cell"] for cell in planned] == [cell.id for cell in ran.ran]
    capsys.readouterr()
    assert main(["plan", str(path), "--json"]) == DONE
    assert {cell["arm"] for cell in json.loads(capsys.readouterr().out)["cells"]} == {"AR", "MDLM"}


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
    found = laid.winners.as_record(laid.spec.arms)
    assert (list(found["arms"]), found["untuned"]) == (["MDLM"], {"AR": "its published rate"})


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
        with pytest.raises(SuiteError, match=rf"tiny.lock: .*{message}.*; write it again with: bench tune"):
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
    whole = lock_of(suite)
    fewer = {label: TunedArm.of(arm.digest, arm.tried[:1]) for label, arm in whole.arms.items()}
    write(lock_path(suite), whole.model_copy(update={"arms": fewer}))
    assert 'arm "AR" has 1 trials, and the suite asks for 3, so it was edited by hand' in told(path)
    lock_path(suite).write_bytes(b"\xff\xfe")
    assert "tiny.lock: not UTF-8" in told(path)
    lock_path(suite).write_text("")
    assert "tiny.lock: the file: Input should be a valid dictionary" in told(path)


def test_data_that_cannot_be_had_do_not_stop_the_tuning_of_others(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.tune.tuner.run", Fake())
    monkeypatch.setattr("bench.suite.suite.with_data", lose("tiny-two"))
    one = "{source: markov, length: 12, alphabet: 3, train: 64, valid: 16, test: 16}"
    both = f"\n  - {{label: one, {one[1:]}\n  - {{label: two, {one[1:].replace('alphabet: 3', 'alphabet: 4')}"
    path = write_suite(tmp_path, (f" {one}", both))
    assert main(["tune", str(path), "--runs", str(tmp_path / "runs")]) == FAILED
    assert "tiny-two is NOT run, its data are not available: no network" in capsys.readouterr().err
    assert [file.name for file in tmp_path.glob("*.lock")] == ["tiny-one.lock"]


def lose(name):
    """`with_data`, but for one suite whose data cannot be had."""

    def found(suite):
        if suite.name == name:
            raise DataError("source", "no network")
        return with_data(suite)

    return found


def test_bench_tune_writes_the_lock_that_bench_plan_reads(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.tune.tuner.run", Fake())
    path = write_suite(tmp_path, ("trials: 3", "trials: 3\n  sampler: tpe"))
    assert main(["tune", str(path), "--runs", str(tmp_path / "runs")]) == DONE
    out = capsys.readouterr().out
    assert re.search(r"^AR: 3 trials, 0 failed, 1,152 tokens$", out, re.MULTILINE)
    assert "tpe chooses each trial by the scores of earlier ones" in out
    assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == DONE
    assert re.search(r"AR has learning_rate 0.00\d+: the best of 3 trials", capsys.readouterr().out)


def test_bench_tune_says_so_where_an_arm_has_no_winner_or_nothing_is_tuned(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("bench.tune.tuner.run", Fake(lambda cell: "loss is nan" if cell.method == "ar" else 1.0))
    path = write_suite(tmp_path)
    assert main(["tune", str(path), "--runs", str(tmp_path / "runs")]) == FAILED
    out = capsys.readouterr().out
    assert "AR: no winner, every trial failed" in out
    assert "trial 2 failed: loss is nan" in out
    assert main(["tune", str(ROOT / "suites" / "smoke.yaml")]) == USAGE_ERROR
    assert "smoke is not tuned; add a block `tune`" in capsys.readouterr().err


def test_the_suite_that_ships_has_as_many_trials_for_ar(tmp_path):
    for scale in (None, "quick"):
        suite = read(ROOT / "suites" / "tuning.yaml", scale)
        assert [arm.label for arm in suite.spec.arms] == ["AR", "MDLM"]
        assert [list(suite.tune.of(arm.label)) for arm in suite.spec.arms] == [
            ["training.learning_rate"],
            ["options.schedule", "training.learning_rate"],
        ]
    assert suite.tune.trials == 6


def test_the_schema_for_editors_knows_tuning():
    root, text = schema(), TINY.replace("method: ar}", "method: ar, untuned: as published}") + TUNE
    assert fits(parsed(text), root, root)
    assert fits(parsed("extends: a.yaml\nscales: {x: {tune: {trials: 2, search: {a: {low: 1.0}}}}}\n"), root, root)
    for old, new in (("trials: 3", "trails: 3"), ("[linear, cosine]", "[linear]"), ("log: true", "lgo: true")):
        assert not fits(parsed(text.replace(old, new, 1)), root, root), new
