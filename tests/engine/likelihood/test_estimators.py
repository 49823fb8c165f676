"""Several estimators of one bound: they agree in the mean, their variance is measured, and suites choose among them."""

import math
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from bench.engine.likelihood.bound import PARTS, Keyed, bound
from bench.engine.likelihood.estimators import estimator_for, independent_uniforms
from bench.engine.likelihood.metrics import estimator_sd
from bench.engine.model.method_with_network import Model
from bench.engine.model.network import Shape
from bench.engine.records import Stage
from bench.plan.cost import stage_flops
from bench.plan.plan import plan
from bench.results.recorded_cell import RecordedCell
from bench.results.statistics.paired_differences import describe_difference
from bench.suite.suite import SuiteError
from bench.suite.suite import read as read_suite
from methods.discrete.d3pm import D3pmAbsorb
from methods.discrete.gidd import Gidd
from methods.discrete.sedd import SeddAbsorb
from methods.discrete.uniform import Udlm
from methods.masked.absorbing import Md4, Mdlm
from methods.masked.genmd4 import GenMd4
from methods.method import Method
from methods.schedules import Cosine, Geometric, Polynomial
from tests.conftest import TINY
from tests.support.toys import TEXTS, V, density, exact_bound, integral, last_guess, model

ESTIMATED = {
    "mdlm": Mdlm(V),
    "md4 cosine": Md4(V, Cosine()),
    "md4 cubic": Md4(V, Polynomial(3.0)),
    "mask mass": Mdlm(V, zero_masking=False),
    "sedd": SeddAbsorb(V),
    "geometric": Mdlm(V, Geometric()),
    "udlm": Udlm(V),
    "gidd": Gidd(V, 0.2),
    "three steps": D3pmAbsorb(V, steps=3),
}
BLOCKS = """\
    - {draws: 4, replicates: 2}
    - {draws: 4, replicates: 2, estimator: times, arms: [MDLM, SEDD]}
    - {draws: 8, replicates: 3, estimator: independent, arms: [MDLM, SEDD]}
"""
SUITE = (
    TINY.replace("{label: MDLM, method: mdlm}", "{label: MDLM, method: mdlm}\n  - {label: SEDD, method: sedd-absorb}")
    .replace("  bound: {draws: 2, replicates: 2}\n", f"  bound:\n{BLOCKS}")
    .replace("  samples: {count: 2, calls: 4}\n", "")
)


def whole(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.stack([parts[name] for name in PARTS]).sum(0)


@pytest.mark.parametrize("estimator", ["times", "independent"])
@pytest.mark.parametrize("name", ESTIMATED)
def test_every_estimator_has_the_bound_as_its_mean(name, estimator):
    """One text many times over, within four standard errors; where masks could be counted, from a late t_min on, so
    that the last guess counts."""
    made, x = model(deepcopy(ESTIMATED[name])), TEXTS[5]
    if made.method.masking is not None:
        made.method.t_min = 0.3
    each = whole(bound(made, x.repeat(4000, 1), 4, 2, 1, 4000, estimator=estimator)).mean(1)
    with torch.no_grad():
        expected = exact_bound(made, x) if made.method.masking is None else with_last_guess(made, x, 0.3)
    assert abs(float(each.mean() - expected)) < 4 * float(each.std()) / math.sqrt(len(each))


def with_last_guess(made: Model, x: torch.Tensor, t_min: float) -> torch.Tensor:
    """The bound of one text without any sampling, whose last guess is made at t_min."""
    return integral(lambda t: density(made, x, t), t_min, 1.0) + last_guess(made, x, t_min)


def test_independent_times_know_nothing_of_each_other():
    u = torch.stack(list(independent_uniforms(4, 4000, Keyed(0, list(range(4000)), 0))))
    assert u.shape == (4, 4000)
    assert float((u.corrcoef() - torch.eye(4)).abs().max()) < 4 / math.sqrt(4000)
    assert float((u.mean(1) - 0.5).abs().max()) < 4 * math.sqrt(1 / 12 / 4000)


def trained(method: Method) -> Model:
    torch.manual_seed(0)
    made = Model(method, Shape(layers=2, width=16, heads=2, condition=8), 5, "sdpa").double()
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return made


class Slope(Mdlm):
    """A bound that is linear in time whatever z is."""

    t_min = 0.0

    def scored(self, z):
        return None

    def bound(self, x, z, t, prediction):
        return 1 + 12 * t


@pytest.mark.parametrize(("estimator", "expected"), [("times", 0.0), ("independent", math.sqrt(12 / 8))])
def test_antithetic_strata_leave_no_variance_where_the_integrand_is_linear_in_time(estimator, expected):
    found = estimator_sd(whole(bound(model(Slope(V)), TEXTS.repeat(200, 1), 8, 2, 0, 1800, estimator=estimator)), 2)
    assert found.value == pytest.approx(expected, abs=1e-9 + 4 * (found.standard_error if expected else 0))


def test_counted_masks_vary_less_than_masks_at_times():
    made, x = trained(Mdlm(5)), torch.randint(5, (400, 16), generator=torch.Generator().manual_seed(0))
    counted, times = (estimator_sd(whole(bound(made, x, 8, 2, 0, 400, estimator=how)), 16) for how in ("auto", "times"))
    assert times.value - counted.value > 4 * math.hypot(times.standard_error, counted.standard_error)


def test_the_deviation_is_that_of_one_replicate_and_its_error_that_of_repeating_it():
    """1,000 repetitions of 40 sequences whose noise has deviation 3, in 2 replicates, on top of what they cost."""
    generator = torch.Generator().manual_seed(0)
    noise = 3 * torch.randn(1000, 40, 2, generator=generator, dtype=torch.float64)
    found = [estimator_sd(each + torch.arange(40.0)[:, None], 6) for each in noise]
    values = torch.tensor([each.value for each in found])
    assert float(values.square().mean().sqrt()) == pytest.approx(3 / 6, rel=0.02)
    claimed = math.sqrt(sum(each.standard_error**2 for each in found) / 1000)
    assert claimed == pytest.approx(float(values.std()), rel=0.1)
    assert found[0].n == 40


def test_calls_are_those_of_the_network():
    made, seen = model(Mdlm(V)), []
    forward = made.network.forward
    made.network.forward = lambda *given: (seen.append(len(given[0])), forward(*given))[1]  # type: ignore[method-assign]
    for how, expected in (("auto", 8), ("counted", 8), ("times", 10), ("independent", 10)):
        seen.clear()
        bound(made, TEXTS[:3], 8, 2, 0, 3, estimator=how)
        assert sum(seen) == 3 * 2 * expected
        assert estimator_for(made.method, how).network_calls(8) == expected


@pytest.mark.parametrize(
    ("method", "asked"),
    [(GenMd4(V), "counted"), (Udlm(V), "counted"), (D3pmAbsorb(V), "counted"), (Mdlm(V, Geometric()), "counted")],
)
def test_masks_that_are_not_alike_cannot_be_counted(method: Method, asked):
    with pytest.raises(ValueError, match=f'estimator "{asked}": .* does not mask all positions by one schedule'):
        bound(model(method), TEXTS, 4, 2, 0, 9, estimator=asked)


def read_text(folder: Path, text: str):
    path = folder / "suite.yaml"
    path.write_text(text)
    return read_suite(path)


def test_an_estimator_that_a_method_cannot_follow_is_refused_with_its_place(tmp_path):
    text = SUITE.replace("method: sedd-absorb", "method: gidd").replace(
        "estimator: times, arms: [MDLM, SEDD]", "estimator: counted"
    )
    with pytest.raises(SuiteError) as error:
        read_text(tmp_path, text)
    told = str(error.value).splitlines()
    assert len(told) == 2
    assert 'suite.yaml:14:33: arm AR: estimator "counted": method "ar" has an exact likelihood, so nothing' in told[0]
    assert (
        'suite.yaml:14:33: arm SEDD: estimator "counted": method "gidd" does not mask all positions by one schedule'
        in told[1]
    )
    assert told[0].endswith("list the arms that it suits in `arms: [...]`")


def test_arms_that_do_not_exist_or_are_measured_by_no_block_are_told(tmp_path):
    text = SUITE.replace("{draws: 4, replicates: 2}", "{draws: 4, replicates: 2, arms: [AR, MLDM]}")
    with pytest.raises(SuiteError) as error:
        read_text(tmp_path, text)
    assert 'suite.yaml:13:33: there is no arm "MLDM"; did you mean "MDLM"? the arms are AR, MDLM, SEDD' in str(
        error.value
    )
    text = SUITE.replace("{draws: 4, replicates: 2}", "{draws: 4, replicates: 2, arms: [MDLM]}")
    with pytest.raises(SuiteError, match="no block lists arm AR in its `arms`, so nothing is measured on it"):
        read_text(tmp_path, text)


def stages(suite, arm: str) -> list[tuple[str, str, int]]:
    cell = next(cell for cell in plan(suite).cells if cell.arm == arm)
    found = [stage for stage in cell.stages if stage.name in ("bound", "estimate")]
    return [(stage.name, stage.settings["estimator"], stage.settings["draws"]) for stage in found]


def test_what_comes_to_the_same_for_a_method_is_done_once(tmp_path):
    text = SUITE.replace(", arms: [MDLM, SEDD]", "").replace("estimator: independent", "estimator: auto")
    text = text.replace("estimator: times", "estimator: auto, seed: 1")
    suite = read_text(tmp_path, text.replace("method: sedd-absorb", "method: gidd"))
    assert stages(suite, "AR") == [("bound", "auto", 4)]  # exact: neither draws nor noise change it
    assert stages(suite, "MDLM") == [("bound", "auto", 4), ("estimate", "auto", 4), ("estimate", "auto", 8)]
    suite = read_text(
        tmp_path, TINY.replace("  bound: {", "  bound:\n    - {draws: 2, replicates: 2, arms: [AR]}\n    - {")
    )
    assert stages(suite, "MDLM")[0] == ("bound", "auto", 2)
    text = TINY.replace("draws: 2, rep", "draws: 2, estimator: counted, arms: [MDLM], rep").replace(
        "  - {label: AR, method: ar}\n", ""
    )
    assert stages(read_text(tmp_path, text), "MDLM")[0] == ("bound", "counted", 2)


def test_a_list_of_one_has_the_ids_of_a_single_block(tmp_path):
    single = plan(read_text(tmp_path, TINY)).cells
    listed = plan(
        read_text(
            tmp_path,
            TINY.replace("bound: {draws: 2, replicates: 2}", "bound: [{draws: 2, replicates: 2, estimator: auto}]"),
        )
    ).cells
    assert [[stage.id for stage in cell.stages] for cell in single] == [[s.id for s in cell.stages] for cell in listed]


def test_each_estimate_has_its_own_price(tmp_path):
    suite = read_text(tmp_path, SUITE)
    cell = next(cell for cell in plan(suite).cells if cell.arm == "MDLM")
    flops = [stage_flops(suite, cell)[stage.folder] for stage in cell.stages[1:]]
    assert [price / flops[0] for price in flops] == [1.0, 5 / 4, 10 * 3 / (4 * 2)]  # last guesses: 1 of 4, and 2 of 8


def test_what_sets_estimates_apart_is_named_with_its_value():
    settings = [
        {"replicates": 2, "seed": 0, "split": "test", "sequences": None},
        {"replicates": 2, "seed": 7, "split": "test", "sequences": 16},
    ]
    stages = [
        Stage(name=name, id="000000000001", settings=s) for name, s in zip(("bound", "estimate"), settings, strict=True)
    ]
    cell = cast(RecordedCell, SimpleNamespace(stages=stages))
    differences = [describe_difference(cell, stage) for stage in stages]
    assert differences == [", noise seed 0, all sequences", ", noise seed 7, 16 sequences"]
