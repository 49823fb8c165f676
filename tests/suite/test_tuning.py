"""What a suite says of tuning, what is wrong with it, and the lock file that lays its winners on the arms."""

import json
import re

import pytest

from bench.cli.main import main
from bench.engine.data import DataError
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.launch.job_files import submit
from bench.plan.plan import plan
from bench.suite.schema import schema
from bench.suite.suite import SuiteError, read, with_data
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
