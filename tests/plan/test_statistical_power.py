"""What a plan says of its seeds before anything is run."""

import json
import math

import numpy as np
import pytest

from bench.cli.main import main
from bench.engine import storage as record
from bench.engine.measurements import Measurement
from bench.engine.records import RESULTS, BoundResult
from bench.launch.exit_codes import DONE
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.plan.statistical_power import describe_power, plan_power
from bench.results.statistics.significance_tests import POWER
from bench.results.statistics.verdicts import WORSE, assess
from bench.suite.suite import read
from tests.results.test_power_of_verdicts import pairs_of, slack
from tests.support.ablations import ablate, write


def of(folder, seeds: int, arms: int, scores=None):
    """The power of so many arms with a base over so many seeds."""
    values = ", ".join(str(10 + place) for place in range(arms))
    path = write(folder, ablate(f"  grid: {{options.steps: [{values}]}}"))
    path.write_text(path.read_text().replace("seeds: [0]", f"seeds: {list(range(seeds))}"))
    return plan_power(plan(read(path)), scores or {}, "bits_per_char")


@pytest.mark.parametrize(
    ("seeds", "arms", "needed", "reachable"), [(5, 1, 6, False), (6, 1, 6, True), (6, 2, 7, False), (8, 6, 8, True)]
)
def test_more_arms_need_more_seeds(seeds, arms, needed, reachable, tmp_path):
    found = of(tmp_path, seeds, arms)
    assert found is not None
    assert (found.arms, found.seeds_needed, found.is_reachable) == (arms, needed, reachable)
    assert found.smallest_p == arms * 2.0 ** (1 - seeds)
    told = describe_power(found, seeds)[0]
    assert (f"{needed} seeds suffice for" in told) is not reachable
    assert ("can reach p < 0.05" in told) is reachable


def test_the_smallest_difference_that_is_found_shrinks_with_the_seeds(tmp_path):
    """In standard deviations of a paired difference: 3.26 by three seeds, 0.94 by eleven (so do simulated t-tests)."""
    three, eleven = of(tmp_path, 3, 1), of(tmp_path, 11, 1)
    assert three.detectable_sd == pytest.approx(3.26, abs=0.01)
    assert eleven.detectable_sd == pytest.approx(0.94, abs=0.01)
    assert "in 80% of experiments if it is at least 3.3 standard deviations" in describe_power(three, 3)[1]


def test_the_scores_are_those_of_the_bound_that_counts(tmp_path, capsys):
    """Other estimates of it, also of an arm with the same weights, say nothing of the seeds."""
    path = write(tmp_path, ablate("  grid: {options.steps: [10]}"))
    several = "bound: [{draws: 2, replicates: 2}, {draws: 4, replicates: 2}]"
    text = path.read_text().replace("bound: {draws: 2, replicates: 2}", several)
    path.write_text(text.replace("seeds: [0]", "seeds: [0, 1, 2]"))
    runs = tmp_path / "runs"
    for cell in plan(read(path)).cells:
        for stage in cell.stages:
            value = {"bound": 1.0 + (cell.arm != "MDLM") * cell.seed, "estimate": 5.0}.get(stage.name)
            if value is not None:
                result = RESULTS[stage.name](measures={"bits_per_char": Measurement(value=value)})
                record.succeed(folder_of(runs, cell) / stage.folder, result)
    assert main(["plan", str(path), "--runs", str(runs), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)["power"]
    assert found["detectable"] == pytest.approx([found["detectable_sd"]] * 2)  # differences 0, 1 and 2


@pytest.mark.parametrize(("seeds", "arms"), [(3, 1), (3, 4), (6, 1), (8, 4), (8, 6)])
def test_the_power_in_a_plan_is_what_the_table_of_differences_finds(seeds, arms, tmp_path):
    """After correction, and with the sign-flip test where it can speak: the verdicts of made-up seeds are counted."""
    found, rng = of(tmp_path, seeds, arms), np.random.default_rng(5)
    planted = np.array([found.detectable_sd] + [0.0] * (arms - 1))[:, None, None]
    noise = rng.standard_normal((200, arms, seeds, 1)) + np.zeros(4)
    share = np.mean([assess(pairs_of(planted + each))[0].verdict == WORSE for each in noise])
    assert share == pytest.approx(POWER, abs=slack(POWER, 200))


def test_one_seed_has_no_error_over_seeds(tmp_path):
    found = of(tmp_path, 1, 1)
    assert math.isnan(found.detectable_sd)
    first, second = describe_power(found, 1)
    assert first.startswith("no verdict from one seed: give at least 3 seeds (the 95 % interval is ± 9 with 2, ± 2.5 ")
    assert second == "with 6 seeds, the sign-flip test can reach p < 0.05 for 1 arm"


def test_without_a_base_no_difference_is_tested(tiny):
    assert plan_power(plan(read(tiny)), {}, "bits_per_char") is None
    assert describe_power(None, 3) == ["no arm has a base, so no difference will be tested"]
    lone, *rest = describe_power(None, 1)
    assert lone.startswith("no verdict from one seed: give at least 3 seeds")
    assert rest == describe_power(None, 3)


def test_measured_differences_are_told_in_the_score_s_unit(tmp_path, capsys):
    path = write(tmp_path, ablate("  grid: {options.steps: [10, 20]}"))
    path.write_text(path.read_text().replace("seeds: [0]", "seeds: [0, 1, 2]"))
    runs = tmp_path / "runs"
    scores = {"MDLM": (2.0, 2.1, 2.3), "MDLM, steps 10": (2.1, 2.2, 2.4), "MDLM, steps 20": (2.0, 2.2, 2.5)}
    for cell in plan(read(path)).cells:
        if cell.arm in scores:
            measures = {"bits_per_char": Measurement(value=scores[cell.arm][cell.seed])}
            record.succeed(folder_of(runs, cell) / cell.stages[1].folder, BoundResult(measures=measures))
    assert main(["plan", str(path), "--runs", str(runs), "--json"]) == DONE
    found = json.loads(capsys.readouterr().out)["power"]
    low, high = found["detectable"]  # differences (0.1, 0.1, 0.1) and (0, 0.1, 0.2)
    assert low == pytest.approx(0, abs=1e-9)
    assert high == pytest.approx(0.1 * found["detectable_sd"])
    assert (found["seeds"], found["arms"], found["is_reachable"], found["unit"]) == (3, 2, False, "bits_per_char")
