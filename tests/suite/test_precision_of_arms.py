"""An arm may name its precision: it is a part of its id, of its certificate and of how it is run."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench.cli.main import main as bench
from bench.engine.storage import read_job
from bench.plan.cells import Cell, folder_of
from bench.plan.plan import plan
from bench.suite.suite import SuiteError, read
from tests.conftest import TINY

ARM = "  - {label: MDLM, method: mdlm}\n"
NAMED = "  - {label: MDLM, method: mdlm, precision: float32}\n"
ABLATE = "ablate: {base: MDLM, one_at_a_time: {precision: [float32, bfloat16]}}\n"


def write(folder: Path, arms: str = NAMED, more: str = ABLATE) -> Path:
    path = folder / "precision.yaml"
    path.write_text(TINY.replace(ARM, arms).replace("  - {label: AR, method: ar}\n", "") + more)
    return path


def cells_of(path: Path) -> dict[str, Cell]:
    return {cell.arm: cell for cell in plan(read(path)).cells}


def test_an_arm_that_names_no_precision_keeps_its_id(tmp_path):
    bare = cells_of(write(tmp_path, ARM, ""))["MDLM"]
    assert "precision" not in bare.science
    in_bfloat16 = write(tmp_path, ARM, "").read_text().replace("{device: cpu}", "{device: cpu, precision: bfloat16}")
    (tmp_path / "precision.yaml").write_text(in_bfloat16)
    assert cells_of(tmp_path / "precision.yaml")["MDLM"].id == bare.id


def test_precision_varies_in_every_form_of_an_ablation(tmp_path):
    forms = {
        "one_at_a_time: {precision: [bfloat16]}": ["MDLM", "MDLM, precision bfloat16"],
        "grid: {precision: [float32, bfloat16], method: [mdlm, md4]}": [
            "MDLM",
            "MDLM, precision float32, md4",
            "MDLM, precision bfloat16, mdlm",
            "MDLM, precision bfloat16, md4",
        ],
        "zip: {precision: [bfloat16], method: [md4]}": ["MDLM", "MDLM, precision bfloat16, md4"],
    }
    for form, labels in forms.items():
        cells = cells_of(write(tmp_path, more=f"ablate: {{base: MDLM, {form}}}\n"))
        assert list(cells) == labels
        assert len({cell.id for cell in cells.values()}) == len(labels)
        for label, cell in cells.items():
            assert cell.execution.precision == ("bfloat16" if "bfloat16" in label else "float32")


@pytest.mark.parametrize(
    ("arms", "more", "message"),
    [
        (ARM.replace("mdlm}", "mdlm, precision: float16}"), "", r":7:33: arms\.0\.precision is 'float16'"),
        (NAMED, ABLATE.replace("bfloat16", "half"), r"precision is 'half'"),
        (NAMED, ABLATE.replace(", bfloat16", ""), r"precision varies nothing: the base \"MDLM\" has this value"),
        (NAMED, ABLATE.replace("precision:", "precisoin:"), r'"precisoin" is not a setting of an arm; did you mean'),
        (ARM, "tune: {trials: 2, seeds: [9], search: {precision: [float32, bfloat16]}}\n", "cannot be searched"),
    ],
)
def test_mistakes_are_named_with_their_place(arms, more, message, tmp_path):
    with pytest.raises(SuiteError, match=message):
        read(write(tmp_path, arms, more))


def test_a_precision_that_the_device_cannot_run_ends_the_run_before_it_starts(tmp_path, capsys, monkeypatch):
    path = write(tmp_path)
    path.write_text(path.read_text().replace("{device: cpu}", "{device: cpu, attention: flash}"))
    monkeypatch.setattr("bench.engine.environment.attention", lambda _: None)
    assert bench(["run", str(path), "--runs", str(tmp_path / "runs")]) == 2
    assert "needs a GPU and bfloat16" in capsys.readouterr().err


def test_arms_are_trained_evaluated_and_compared_in_their_own_precision(tmp_path, capsys):
    path, runs = write(tmp_path), tmp_path / "runs"
    assert bench(["run", str(path), "--runs", str(runs), "--verbose"]) == 0
    cells = cells_of(path)
    values = {}
    for label, cell in cells.items():
        precision = "bfloat16" if "bfloat16" in label else "float32"
        job = read_job(folder_of(runs, cell))
        assert job is not None
        assert (job.execution["precision"], job.science["precision"]) == (precision, precision)
        for stage in cell.stages:
            result = json.loads((folder_of(runs, cell) / stage.folder / "result.json").read_text())
            assert result["environment"]["precision"] == precision
            if stage.name == "bound":
                values[precision] = result["measures"]["nats_per_token"]["value"]
    assert 0 < abs(values["float32"] - values["bfloat16"]) < 0.05  # roundings of 8 bits over six steps

    output = capsys.readouterr().out
    assert "made in float32: MDLM; in bfloat16: MDLM, precision bfloat16" in output
    assert "made in bfloat16; the base in float32" in output
    table = (runs / "reports" / "precision" / "deltas.csv").read_text()
    assert "not paired" not in table

    assert bench(["plan", str(path), "--runs", str(runs)]) == 0
    assert "substituted" not in capsys.readouterr().out
    path.write_text(path.read_text().replace("{device: cpu}", "{device: cpu, precision: bfloat16}"))
    assert bench(["plan", str(path), "--runs", str(runs)]) == 0
    output = capsys.readouterr().out
    assert "nothing is left to run" in output
    assert "substituted" not in output


def test_certify_takes_each_arm_in_its_own_precision(tmp_path, monkeypatch):
    shown: list[Any] = []
    monkeypatch.setattr("bench.cli.certify.show", lambda subjects, _: shown.extend(subjects) or True)
    path = write(tmp_path, NAMED + "  - {label: MD4, method: md4}\n")
    assert bench(["certify", "--suite", str(path)]) == 0
    assert bench(["certify", "--suite", str(path), "--precision", "bfloat16", "ar"]) == 0
    assert bench(["certify", "ar"]) == 0
    first = [("mdlm", "float32"), ("mdlm", "bfloat16"), ("md4", "float32")]
    second = [("mdlm", "float32"), ("mdlm", "bfloat16"), ("md4", "bfloat16"), ("ar", "bfloat16")]
    assert [(subject.method, subject.precision) for subject in shown] == [*first, *second, ("ar", "float32")]


def test_the_example_of_the_documentation_is_a_suite(tmp_path):
    page = (Path(__file__).resolve().parents[2] / "suites" / "README.md").read_text()
    (example,) = [block for block in re.findall(r"```yaml\n(.*?)```", page, re.S) if "precision" in block]
    path = tmp_path / "example.yaml"
    arms = "arms:\n  - {label: AR, method: ar}\n" + ARM
    path.write_text(TINY.replace(arms, example))
    assert [cell.execution.precision for cell in plan(read(path)).cells] == ["float32", "bfloat16"]
