"""What `bench plan` prints, and the full comparison that it is made for."""

import re

import pytest

from bench.cli.main import main
from bench.engine import storage as record
from bench.engine.data import download as fetch
from bench.engine.records import RESULTS
from bench.launch.exit_codes import DONE
from bench.plan.cells import folder_of
from bench.plan.cost import stage_flops
from bench.plan.plan import plan
from bench.suite.suite import read
from tests.conftest import ROOT

FAMILIES = ROOT / "suites" / "families.yaml"


@pytest.fixture
def shown(tmp_path, capsys, monkeypatch):
    """A function that plans a suite on a terminal of 100 columns and returns the lines."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("DIFFUSION_BENCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "urlopen", None)  # nothing may be fetched

    def show(path) -> list[str]:
        assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == DONE
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    return show


def short(flops: float) -> str:
    return f"{flops:.2e}".replace("e+", "e")


def test_the_full_comparison_is_costed_on_a_fresh_clone(shown):
    lines = shown(FAMILIES)
    cells = plan(read(FAMILIES)).cells
    assert max(map(len, lines)) <= 100
    assert "The text is not here yet: bench run fetches it, 31 MB, from http://mattmahoney.net/dc/text8.zip" in lines
    for cell in cells:
        cost = stage_flops(read(FAMILIES), cell)
        training, evaluation = short(cost["train"]), short(sum(cost.values()) - cost["train"])
        pattern = rf"{cell.arm} +{cell.method} +0 +{cell.id} +to run +{training} +{evaluation}"
        assert sum(bool(re.fullmatch(pattern, line)) for line in lines) == 1, pattern
    assert any(line.startswith("13 cells, 157,286,400,000 training tokens, ") for line in lines)


def test_the_full_comparison_gives_every_arm_the_same_tokens():
    suite = read(FAMILIES)
    assert {(cell.steps, cell.tokens) for cell in plan(suite).cells} == {(100_000, 13_107_200_000)}
    assert len({cell.id for cell in plan(suite).cells}) == 12
    assert {cell.method for cell in plan(suite).cells} == {
        *("ar", "d3pm-absorb", "d3pm-uniform", "sedd-absorb", "sedd-uniform", "plaid"),
        *("mdlm", "md4", "genmd4", "gidd", "udlm"),
    }


def test_the_full_comparison_says_of_itself_what_the_plan_says(shown):
    """FLOPs, and the hours that they take at a speed that is named."""
    told = float(re.search(r"left to run: ([\d.]+e\d+) FLOPs; how long", "\n".join(shown(FAMILIES)))[1])
    hours = f"{float(f'{told / 100e12 / 3600:.2g}'):,.0f} hours"
    assert f"It takes {short(told)} FLOPs, about {hours} at a sustained 100 TFLOP/s" in FAMILIES.read_text()
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if "families.yaml" in line)
    assert f"about {hours} of a GPU at 100 TFLOP/s" in row


def test_an_autoregressive_cell_costs_about_six_flops_a_parameter_and_token():
    """Kaplan et al., arXiv:2001.08361v1, section 2.1: 6 N a token, and 12 x layers x width x length for attention."""
    suite = read(FAMILIES)
    shape, cell = suite.spec.network.shape(), plan(suite).cells[0]
    matrices = 12 * shape.layers * shape.width**2
    expected = (6 * matrices + 12 * shape.layers * shape.width * 256) * cell.tokens
    assert cell.method == "ar"
    assert stage_flops(suite, cell)["train"] == pytest.approx(
        expected, rel=1e-3
    )  # the head of 27 tokens, and validations


def test_what_is_there_is_not_counted_as_left(tiny, tmp_path, shown):
    suite = read(tiny)
    first, second = plan(suite).cells
    total = sum(sum(stage_flops(suite, cell).values()) for cell in (first, second))
    assert f"2 cells, 1,152 training tokens, {short(total)} FLOPs" in shown(tiny)
    for stage in first.stages[:2]:
        record.succeed(folder_of(tmp_path / "runs", first) / stage.folder, RESULTS[stage.name]())
    lines = shown(tiny)
    assert re.search(r"train cached, bound cached,", "\n".join(lines))
    left = total - sum(stage_flops(suite, first)[stage.folder] for stage in first.stages[:2])
    assert f"left to run: {short(left)} FLOPs; how long that takes is unknown" in "\n".join(lines)
    for cell in (first, second):
        for stage in cell.stages:
            record.succeed(folder_of(tmp_path / "runs", cell) / stage.folder, RESULTS[stage.name]())
    lines = shown(tiny)
    assert "nothing is left to run" in lines
    assert sum(" cached " in line for line in lines) == 2


def test_ways_of_drawing_that_are_there_in_part_are_counted(tiny, tmp_path, shown):
    block = "samples: [{calls: 4}, {calls: 4, temperature: 0.9}, {calls: 4, temperature: 0.8}]"
    tiny.write_text(tiny.read_text().replace("samples: {count: 2, calls: 4}", block))
    first = plan(read(tiny)).cells[0]
    for stage in first.stages[:3]:
        record.succeed(folder_of(tmp_path / "runs", first) / stage.folder, RESULTS[stage.name]())
    assert "train cached, bound cached, samples 1 of 3" in "\n".join(shown(tiny))


def test_cells_of_equal_science_are_paid_once(tiny, shown):
    def totals() -> list[str]:
        return [line for line in shown(tiny) if line.startswith(("2 cells", "left to run"))]

    before = totals()
    assert len(before) == 2
    tiny.write_text(tiny.read_text().replace("seeds:", "  - {label: Twin, method: mdlm}\nseeds:"))
    assert totals() == before
