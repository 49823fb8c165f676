"""Ablations, and arms with blocks of their own."""

import re

import pytest

from bench.cli.main import main
from bench.launch.exit_codes import DONE
from bench.launch.job_files import make_job
from bench.plan.cost import stage_flops
from bench.plan.plan import plan
from bench.suite.suite import read, with_data
from tests.conftest import ROOT, TINY
from tests.support.ablations import ARMS, ablate, labels, told, write


def test_a_grid_makes_every_combination_behind_its_base(tmp_path):
    arms = ARMS + "  - {label: GIDD, method: gidd}\n"
    path = write(tmp_path, ablate("  grid: {options.steps: [10, 1000], options.carry_over: [true, false]}"), arms)
    assert labels(path) == [
        "AR",
        "MDLM",
        "MDLM, steps 10, with carry_over",
        "MDLM, steps 10, without carry_over",
        "MDLM, steps 1000, with carry_over",
        "MDLM, steps 1000, without carry_over",
        "GIDD",
    ]
    arms = read(path).spec.arms
    assert arms[3].options == {"steps": 10, "carry_over": False}
    assert [arm.base for arm in arms] == [None, None, *["MDLM"] * 4, None]


def test_a_zip_takes_values_together_and_one_at_a_time_keeps_the_rest(tmp_path):
    values = "{options.steps: [10, 100], training.learning_rate: [0.1, 0.2]}"
    both = [(arm.options, arm.training) for arm in read(write(tmp_path, ablate(f"  zip: {values}"))).spec.arms[2:]]
    assert [(options["steps"], training.learning_rate) for options, training in both] == [(10, 0.1), (100, 0.2)]
    single = read(write(tmp_path, ablate(f"  one_at_a_time: {values}"))).spec.arms[2:]
    assert [arm.label for arm in single] == [
        *("MDLM, steps 10", "MDLM, steps 100"),
        *("MDLM, learning_rate 0.1", "MDLM, learning_rate 0.2"),
    ]
    assert [arm.options for arm in single] == [{"steps": 10}, {"steps": 100}, {}, {}]


def test_what_is_as_in_the_base_is_the_base_itself(tmp_path):
    values = "{options.steps: [null, 10], options.schedule: [{name: linear}, cosine]}"
    assert labels(write(tmp_path, ablate(f"  grid: {values}"))) == [
        *("AR", "MDLM", "MDLM, without steps, schedule cosine"),
        *("MDLM, steps 10, schedule linear", "MDLM, steps 10, schedule cosine"),
    ]


def test_labels_come_from_values_or_from_a_template(tmp_path):
    worded = "  one_at_a_time: {options.steps: [10, {value: 100, label: a hundred steps}]}\n"
    assert labels(write(tmp_path, ablate(worded)))[2:] == ["MDLM, steps 10", "MDLM, a hundred steps"]
    made = ablate(worded + '  labels: "{base} at {steps}"')
    assert labels(write(tmp_path, made))[2:] == ["MDLM at 10", "MDLM at a hundred steps"]
    made = ablate("  zip: {options.steps: [10, 100]}\n  labels: [few, '{base}, many: {options.steps}']")
    assert labels(write(tmp_path, made))[2:] == ["few", "MDLM, many: 100"]
    power = "  one_at_a_time: {options.schedule: [{name: polynomial, power: 3.0}]}"
    assert labels(write(tmp_path, ablate(power)))[2:] == ["MDLM, schedule polynomial, power 3.0"]


def test_the_base_of_one_block_may_be_made_by_another_before_it(tmp_path):
    more = """\
ablate:
  - {base: MDLM, grid: {options.steps: [10]}}
  - {base: "MDLM, steps 10", grid: {options.carry_over: [false]}}
  - {base: MDLM, grid: {method: [md4]}}
"""
    arms = read(write(tmp_path, more)).spec.arms
    assert [(arm.label, arm.base) for arm in arms[2:]] == [
        ("MDLM, steps 10", "MDLM"),
        ("MDLM, steps 10, without carry_over", "MDLM, steps 10"),
        ("MDLM, md4", "MDLM"),
    ]
    assert arms[3].options == {"steps": 10, "carry_over": False}


def test_a_part_of_an_option_can_be_varied_where_it_has_parts(tmp_path):
    more = ablate("  grid: {options.schedule.power: [2.0, 3.0]}")
    arms = ARMS.replace("method: mdlm}", "method: mdlm, options: {schedule: {name: polynomial, power: 2.0}}}")
    varied = read(write(tmp_path, more, arms)).spec.arms[2:]
    assert [arm.options["schedule"] for arm in varied] == [{"name": "polynomial", "power": 3.0}]
    arms = ARMS.replace("method: mdlm}", "method: mdlm, options: {schedule: cosine}}")
    assert "options.schedule of the base is 'cosine', which has no parts" in told(write(tmp_path, more, arms))


def test_what_is_excluded_is_shown_with_its_reason_and_not_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    more = """\
  grid: {options.steps: [10, 1000], options.schedule: [cosine, geometric]}
  exclude: [{where: {options.steps: [10, 20], options.schedule: geometric}, reason: its ends need many steps}]
"""
    path = write(tmp_path, ablate(more))
    assert "MDLM, steps 10, schedule geometric" not in labels(path)
    assert len(labels(path)) == 5
    assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == DONE
    shown = capsys.readouterr().out
    assert re.search(r"MDLM, steps 10, schedule geometric +mdlm +refused", shown)
    assert "refused: MDLM, steps 10, schedule geometric (mdlm): its ends need many steps" in shown


def test_an_exclusion_tells_true_from_one(tmp_path):
    more = "  grid: {options.time: [true]}\n  exclude: [{where: {options.time: 1}, reason: odd}]"
    assert "this excludes nothing" in told(write(tmp_path, ablate(more)))


BAD = {  # what is wrong with an ablation, its text, and what is told: the place and the words
    "varies what the base is already": (
        "  grid: {options.carry_over: [true]}",
        r"16:10: options.carry_over varies nothing: the base \"MDLM\" has this value",
    ),
    "varies training as it is already": (
        "  grid: {training.batch_size: [8, 8]}",
        r"16:10: training.batch_size varies nothing: the base \"MDLM\"",
    ),
    "an empty list": ("  grid: {options.steps: []}", r"16:10: ablate.grid.options.steps is \[\]: List should have at"),
    "no list": ("  grid: {options.steps: 10}", r"16:10: ablate.grid.options.steps is 10: Input should be a valid list"),
    "no values at all": ("  grid: {}", r"16:3: ablate.grid is {}: Dictionary should have at least 1 item"),
    "an option that the method lacks": (
        "  grid: {options.stepz: [10, 100]}",
        r"16:10: unknown option \"stepz\" for method \"mdlm\"; did you mean \"steps\"\? known: schedule",
    ),
    "an option that another method lacks": (
        "  grid: {method: [md4, mdlm], options.carry_over: [true, false]}",
        r"16:31: unknown option \"carry_over\" for method \"md4\"; known: schedule",
    ),
    "a value of the wrong type": (
        "  grid: {options.steps: [10, many]}",
        r"16:30: option \"steps\" of method \"mdlm\" is 'many': Input should be a valid integer",
    ),
    "a method that is none": ("  grid: {method: [md5]}", r"16:19: unknown method \"md5\"; did you mean \"md4\"\?"),
    "a setting that is none": (
        "  grid: {training.lerning_rate: [0.1]}",
        r"16:10: \"training.lerning_rate\" is not a setting of an arm; did you mean \"training.learning_rate\"\?",
    ),
    "a bad value of training": (
        "  grid: {training.learning_rate: [0.1, -1.0]}",
        r"16:40: training.learning_rate is -1.0: Input should be greater than 0",
    ),
    "what no arm has": (
        "  grid: {option.steps: [10]}",
        r"16:10: \"option.steps\" is not a setting of an arm; did you mean \"options.steps\"\?",
    ),
    "a setting of no schedule": (
        "  grid: {options.schedule.power: [2.0]}",
        r"16:35: the schedule of method \"mdlm\" has no name; known: linear",
    ),
    "a zip of two lengths": (
        "  zip: {options.steps: [10, 100], options.carry_over: [false]}",
        r"16:35: options.carry_over lists 1 values and options.steps 2; a zip takes as many of each",
    ),
    "labels of another length": (
        "  zip: {options.steps: [10, 100]}\n  labels: [one]",
        r"17:3: 1 labels are given for 2 arms",
    ),
    "two arms of one label": (
        "  grid: {options.steps: [10, {value: 11, label: steps 10}]}",
        r"16:30: two arms are called \"MDLM, steps 10\", the other one at .*suite.yaml:16:26; give a value its",
    ),
    "the label of another arm": (
        "  grid: {options.steps: [10]}\n  labels: AR",
        r"16:26: two arms are called \"AR\", the other one at .*suite.yaml:7:5;",
    ),
    "a template of what is not varied": (
        '  grid: {options.steps: [10]}\n  labels: "{base} {step}"',
        r"17:3: \"{step}\" is not a field; did you mean \"steps\"\? known:",
    ),
    "two forms": (
        "  grid: {options.steps: [10]}\n  zip: {options.steps: [10]}",
        r"14:1: ablate: give one of grid, zip, one_at_a_time",
    ),
    "an unknown key": ("  gird: {options.steps: [10]}", r"16:3: unknown key \"gird\"; did you mean \"grid\"\?"),
    "an exclusion that matches nothing": (
        "  grid: {options.steps: [10]}\n  exclude: [{where: {options.steps: 11}, reason: odd}]",
        r"17:13: this excludes nothing",
    ),
    "an exclusion of what is not varied": (
        "  grid: {options.steps: [10]}\n  exclude: [{where: {option.steps: 10}, reason: odd}]",
        r"17:22: option.steps is not varied here; did you mean \"options.steps\"\?",
    ),
    "an exclusion without a reason": (
        "  grid: {options.steps: [10]}\n  exclude: [{where: {options.steps: 10}}]",
        r"17:13: ablate.exclude.0.reason is missing",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_wrong_with_an_ablation_is_told_once_with_its_place(fault, tmp_path):
    text, message = BAD[fault]
    path = write(tmp_path, ablate(text))
    found = told(path)
    assert re.fullmatch(re.escape(f"{path}:") + f"(?:{message}).*", found), found


def test_a_base_that_is_no_arm_is_told_with_the_nearest(tmp_path):
    path = write(tmp_path, "ablate: {base: MDLN, grid: {options.steps: [10]}}\n")
    assert told(path) == f'{path}:14:10: there is no arm "MDLN"; did you mean "MDLM"? known: AR, MDLM'
    arms = ARMS.replace("method: mdlm}", "method: mdlm, base: MDLM}")
    assert told(write(tmp_path, arms=arms)).endswith(':8:33: there is no other arm "MDLM"; known: AR')
    arms = ARMS.replace("method: mdlm}", "method: mdlm, base: ARR}")
    assert told(write(tmp_path, arms=arms)).endswith(':8:33: there is no other arm "ARR"; did you mean "AR"? known: AR')


def test_two_labels_of_one_science_share_a_cell_and_the_base_is_not_hashed(tmp_path):
    arms = ARMS + "  - {label: Twin, method: mdlm, options: {carry_over: true}, base: AR}\n"
    more = ablate("  grid: {options.steps: [10, {value: 10, label: ten steps}]}")
    cells = {cell.arm: cell for cell in plan(read(write(tmp_path, more, arms))).cells}
    assert cells["Twin"].id == cells["MDLM"].id
    assert cells["MDLM, steps 10"].id == cells["MDLM, ten steps"].id != cells["MDLM"].id
    assert (cells["Twin"].base, cells["MDLM, steps 10"].base) == ("AR", "MDLM")


OWN = ARMS.replace(
    "method: mdlm}", "method: mdlm, training: {batch_size: 4}, budget: {steps: 9}, network: {width: 32}}"
)


def test_an_arm_has_blocks_of_its_own_laid_on_those_of_the_suite(tmp_path):
    suite = with_data(read(write(tmp_path, arms=OWN)))
    planned = plan(suite)
    plain, own = planned.cells
    before = plan(read(write(tmp_path))).cells
    assert plain.id == before[0].id
    assert own.id != before[1].id
    assert (own.steps, own.tokens) == (9, 9 * 4 * 12)
    assert own.science["training"] == {**plain.science["training"], "batch_size": 4}
    assert own.science["network"] == {**plain.science["network"], "width": 32}
    todo = make_job(planned, own)
    assert (todo.training["batch_size"], todo.training["validations"], todo.steps) == (4, 2, 9)
    assert todo.network["width"] == 32
    assert make_job(planned, plain).training["batch_size"] == 8


def test_a_varied_budget_takes_the_place_of_the_one_of_the_base(tmp_path):
    arms = ARMS.replace("method: mdlm}", "method: mdlm, budget: {tokens: 960}}")
    cells = plan(read(write(tmp_path, ablate("  grid: {budget.steps: [3, 9]}"), arms))).cells
    assert [(cell.arm, cell.steps) for cell in cells[1:]] == [("MDLM", 10), ("MDLM, steps 3", 3), ("MDLM, steps 9", 9)]


def test_an_arm_costs_what_its_own_blocks_cost(tmp_path):
    """The stage_flops of an arm with blocks of its own are those of a suite that has them for all."""
    suite = read(write(tmp_path, arms=OWN))
    same = TINY.replace("budget: {steps: 6}", "budget: {steps: 9}").replace("batch_size: 8", "batch_size: 4")
    (tmp_path / "same.yaml").write_text(same.replace("width: 16", "width: 32"))
    other = read(tmp_path / "same.yaml")
    one, two = plan(suite).cells[1], plan(other).cells[1]
    assert one.id == two.id
    assert stage_flops(suite, one) == stage_flops(other, two)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("training: {batch: 4}", r'8:44: unknown key "batch"; did you mean "batch_size"\?'),
        ("training: {clip: -1.0}", r"8:44: training.clip is -1.0: Input should be greater than 0"),
        ("network: {width: 18}", r"8:33: arms.1.network: width 18 is not an even multiple of 2 heads"),
        ("budget: {}", r"8:33: arms.1.budget: give one of steps, tokens and flops"),
        ("budget: 5", r"8:33: arms.1.budget is 5: Input should be"),
    ],
)
def test_blocks_of_an_arm_are_checked_as_those_of_the_suite(own, message, tmp_path):
    path = write(tmp_path, arms=ARMS.replace("method: mdlm}", f"method: mdlm, {own}}}"))
    found = told(path)
    assert re.fullmatch(re.escape(f"{path}:") + message + ".*", found), found


def test_a_fault_of_the_suite_is_not_told_again_for_its_arms(tmp_path):
    path = write(tmp_path, arms=OWN)
    path.write_text(path.read_text().replace("validations: 2", "validations: two"))
    assert len(told(path).splitlines()) == 1
    path = write(tmp_path, arms=OWN)
    path.write_text(path.read_text().replace("device: cpu", "device: cpu, accumulate: 8"))
    assert "accumulate 8 does not divide batch_size 4" in told(path)


@pytest.mark.parametrize("path", sorted((ROOT / "suites" / "ablations").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ablation_has_deltas_to_show_and_a_quick_scale_for_minutes(path, tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFUSION_BENCH_DATA", str(tmp_path))
    full, quick = read(path), read(path, "quick")
    for suite in (full, quick):
        has_estimators = len(suite.spec.evaluation.bound) > 1  # which are taken from the first of their arm
        assert path.stem == "base" or has_estimators or any(arm.base for arm in suite.spec.arms)
        assert len(suite.spec.seeds) > 1
    assert (full.spec.data.source, quick.spec.data.source) == ("text8", "pydoc")
    flops = sum(sum(stage_flops(quick, cell).values()) for cell in {cell.id: cell for cell in plan(quick).all}.values())
    assert flops < (2.5e13 if path.stem == "subs" else 3.5e13)  # about 8 and 12 minutes at 0.05 TFLOP/s
