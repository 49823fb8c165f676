"""Budgets: FLOPs rounded to whole steps, arms that are matched, and training runs that miss their budget."""

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bench.cli.main import main
from bench.engine import storage as record
from bench.engine.data import DataSpec, load
from bench.engine.flops import FlopCounter
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.train.settings import Budget, Training
from bench.engine.train.trainer import Progress, Trainer
from bench.launch.exit_codes import DONE
from bench.launch.job_files import submit
from bench.launch.worker import Worker
from bench.plan.cells import Plan, folder_of
from bench.plan.fairness import match_arms
from bench.plan.plan import plan
from bench.results import suite_record as results
from bench.suite.suite import SuiteError, read
from methods import METHODS, build
from tests.conftest import TINY
from tests.support.ablations import ARMS, ablate, told, write

FLOPS = "1.5e8"
EVERY = "".join(f"  - {{label: {name}, method: {name}}}\n" for name in METHODS)


def in_flops(folder: Path, flops: str = FLOPS, arms: str = ARMS, more: str = "") -> Path:
    path = folder / "flops.yaml"
    path.write_text(TINY.replace("steps: 6", f"flops: {flops}").replace(ARMS, arms) + more)
    return path


def test_a_budget_in_flops_is_the_same_training_as_its_whole_steps(tmp_path):
    """Each arm at its own price; the ids are those of suites that give the steps."""
    cells = plan(read(in_flops(tmp_path, arms=EVERY))).cells
    for cell in cells:
        one = FlopCounter(build(cell.method, 3), cell.network.shape(), 12).training_step(8, 1)
        assert cell.steps == round(float(FLOPS) / one)
        assert abs(cell.flops - float(FLOPS)) <= one / 2
    steps = {cell.method: cell.steps for cell in cells}
    assert steps["genmd4"] < 0.6 * steps["mdlm"]  # two noise draws for each sequence
    assert steps["plaid"] < 0.8 * steps["mdlm"]  # looks twice, and goes back twice
    own = "".join(f"  - {{label: {n}, method: {n}, budget: {{steps: {steps[n]}}}}}\n" for n in METHODS)
    assert [cell.id for cell in cells] == [cell.id for cell in plan(read(write(tmp_path, arms=own))).cells]


def test_less_than_a_step_is_one_step(tmp_path):
    assert {cell.steps for cell in plan(read(in_flops(tmp_path, "1"))).cells} == {1}


def test_a_budget_asks_for_its_price():
    assert Budget(flops=10.0).in_steps(96, 4.1) == 2
    assert Budget(flops=10.0).in_steps(96, 3.9) == 3
    with pytest.raises(AssertionError, match="10 FLOPs was not planned in steps"):
        Budget(flops=10.0).in_steps(96)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ("{flops: 0}", r"4:10: budget.flops is 0: "),
        ("{flops: -1.0e9}", r"4:10: budget.flops is -1000000000.0: "),
        ("{flops: many}", r"4:10: budget.flops is 'many': "),
        ("{flops: true}", r"4:10: budget.flops is True: "),
        ("{flops: .inf}", r"4:10: flops is .inf: "),
        ("{flops: 1.0e9, tokens: 96}", r"4:1: budget: give one of steps, tokens and flops"),
        ("{flop: 1.0e9}", r'4:10: unknown key "flop"; did you mean "flops"\?'),
    ],
)
def test_a_budget_that_is_none_is_told_with_its_place(budget, words, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(TINY.replace("{steps: 6}", budget))
    with pytest.raises(SuiteError, match=words):
        read(path)


def test_budgets_in_flops_are_varied_and_replace_the_base_s(tmp_path):
    path = write(tmp_path, ablate("  grid: {budget.flops: [1.5e8, 3e8]}"))
    spec = read(path).spec
    assert [arm.label for arm in spec.arms] == ["AR", "MDLM", "MDLM, flops 1.5e8", "MDLM, flops 3e8"]
    assert spec.arms[3].budget == Budget(flops=3e8)
    steps = [cell.steps for cell in plan(read(path)).cells]
    assert steps[1] == 6
    assert abs(steps[3] - 2 * steps[2]) <= 1
    assert "budget.flops is -1" in told(write(tmp_path, ablate("  grid: {budget.flops: [-1.0]}")))


def test_accumulation_that_makes_steps_more_expensive_is_refused_for_budgets_in_flops(tmp_path):
    """Plaid trains an end in each part, however small: of 8 parts four times as many as of one."""
    arms = "  - {label: Plaid, method: plaid}\n"
    path = in_flops(tmp_path, arms=arms)
    path.write_text(path.read_text().replace("device: cpu", "device: cpu, accumulate: 8"))
    problem = "arm Plaid: execution.accumulate 8 makes a step of 8 sequences more expensive"
    reason = "because each part has ends of its own; accumulate fewer parts, or give a budget in tokens"
    with pytest.raises(SuiteError) as error:
        plan(read(path))
    assert str(error.value) == f"flops: {problem}, {reason}"
    path.write_text(path.read_text().replace("accumulate: 8", "accumulate: 2"))
    assert plan(read(path)).cells[0].id == plan(read(in_flops(tmp_path, arms=arms))).cells[0].id


def test_scorers_and_controls_are_planned_under_a_budget_in_flops_too(tmp_path):
    """Control texts are a cell without training; the scorer gets what an arm gets."""
    path = in_flops(tmp_path)
    with_reserve = path.read_text().replace("test: 16}", "test: 16, reserve: 0.25}")
    path.write_text(
        with_reserve.replace("calls: 4}", "calls: 4}\n  quality: {copied: 8, scorer: {kind: trained, seed: 9}}")
    )
    made = plan(read(path))
    submit(tmp_path, made)
    jobs = {cell.arm: record.read_job(folder_of(tmp_path, cell)) for cell in made.all}
    due = {arm: job.due for arm, job in jobs.items() if job is not None}
    assert due["controls"] == {}
    assert due["scorer"] == due["AR"]
    assert due["AR"]["flops"][0] == float(FLOPS)


def test_a_plan_says_how_far_arms_are_matched(tmp_path, capsys):
    path = in_flops(tmp_path, arms=EVERY + "  - {label: Own, method: ar, budget: {steps: 1}}\n")
    assert main(["plan", str(path), "--runs", str(tmp_path), "--json"]) == DONE
    shown = json.loads(capsys.readouterr().out)
    cells = [cell for cell in shown["cells"] if cell["arm"] != "Own"]
    off = {cell["arm"]: abs(cell["flops"] / float(FLOPS) - 1) for cell in cells}
    found = shown["matched"]
    assert (found["unit"], found["promised"], found["own"]) == ("flops", float(FLOPS), 1)
    assert (found["arm"], found["deviation"]) == (max(off, key=lambda arm: off[arm]), pytest.approx(max(off.values())))
    for unit in ("steps", "tokens", "flops"):
        assert found["least"][unit] == min(cell[unit] for cell in cells)
        assert found["most"][unit] == max(cell[unit] for cell in cells)
    assert main(["plan", str(path), "--runs", str(tmp_path)]) == DONE
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "Each cell is trained for 1.50e08 FLOPs in whole steps of 8 sequences, except for arms with their own budgets."
        in told
    )
    least, most = found["least"], found["most"]
    deviation = f"{100 * max(off.values()):.2g} %"
    words = (
        f"Arms without a budget of their own are matched in FLOPs of training to within {deviation}, "
        f"by whole steps (largest deviation: {found['arm']}); steps differ, {least['steps']} to {most['steps']}, "
        f"tokens differ, {least['tokens']:,} to {most['tokens']:,}."
    )
    assert words in told


def test_tokens_that_are_no_whole_steps_are_reported(tmp_path):
    path = tmp_path / "tokens.yaml"
    path.write_text(TINY.replace("steps: 6", "tokens: 600"))
    match = match_arms(plan(read(path)))
    assert match is not None
    assert (match.unit, match.least["tokens"], match.deviation) == ("tokens", 576, pytest.approx(24 / 600))


@pytest.mark.parametrize("name", METHODS)
def test_what_a_trainer_counts_costs_what_was_planned(name, tmp_path):
    spec = {"source": "markov", "length": 12, "alphabet": 3, "train": 64, "valid": 16, "test": 16}
    data = load(TypeAdapter(DataSpec).validate_python(spec), tmp_path, tmp_path / "data")
    shape = Shape(layers=1, width=16, heads=2)
    for parts in (1, 2):
        model = Model(build(name, 3), shape, 3, "sdpa")
        run = Trainer(model, data, Training(batch_size=8), Budget(steps=2), 0, parts)
        run.step()
        run.step()
        price = FlopCounter(build(name, 3), shape, 12)
        trained = price.training(run.progress.noise_draws, run.progress.end_draws)
        assert trained == pytest.approx(2 * price.training_step(8, parts))


@pytest.fixture
def planned(tmp_path) -> tuple[Plan, Path]:
    """A plan in FLOPs of one arm that is written down, and its folder of results."""
    made = plan(read(in_flops(tmp_path, arms="  - {label: MDLM, method: mdlm}\n")))
    submit(tmp_path / "runs", made)
    return made, tmp_path / "runs"


def worked(made: Plan, runs: Path) -> str:
    """Why training failed, after a worker was at it in this process; "" where it did not."""
    folder = folder_of(runs, made.cells[0])
    Worker(folder)._run_stages()
    return record.status(folder, "train")[1]


def test_flops_that_were_counted_are_recorded(planned):
    made, runs = planned
    assert worked(made, runs) == ""
    table = results.read(runs, "flops").table
    row = table[table["metric"] == "flops"].iloc[0]
    assert (row["value"], row["unit"], row["stage"]) == (made.cells[0].flops, "FLOPs", "train")


def test_a_training_run_that_stops_early_fails_with_both_numbers(planned, monkeypatch):
    made, runs = planned
    run = Trainer.run

    def early(trainer, *rest) -> None:
        trainer.steps -= 1
        run(trainer, *rest)

    monkeypatch.setattr(Trainer, "run", early)
    steps = made.cells[0].steps
    assert worked(made, runs) == (
        f"BudgetMissed: budget: training counted {steps - 1} steps instead of {steps}; "
        "remove the folder of this training run to train again"
    )


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("tokens", "training counted 7,103 tokens instead of 7,104; "),
        ("noise_draws", "FLOPs of training instead of 1.5e+08 within "),
    ],
)
def test_a_training_run_that_counts_wrongly_fails_with_both_numbers(field, words, planned, monkeypatch):
    """A token too few; of the noise draws, which tokens do not show, half."""
    made, runs = planned
    loss = Trainer.loss

    def wrong(trainer, x, t):
        before: Progress = trainer.progress
        found = loss(trainer, x, t)
        if field == "noise_draws":
            before.noise_draws -= len(x) // 2
        elif before.step == 0:
            before.tokens -= 1
        return found

    monkeypatch.setattr(Trainer, "loss", wrong)
    assert words in worked(made, runs)
