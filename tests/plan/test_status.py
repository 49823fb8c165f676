"""What a plan says of each cell: its state and its cost, in a table or as JSON."""

import json

from bench.cli.main import main
from bench.engine import storage as record
from bench.engine.records import RESULTS
from bench.launch.exit_codes import DONE
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.plan.status import plan_status
from bench.suite.suite import read
from tests.conftest import TINY
from tests.support.ablations import ablate, write


def test_the_plan_as_json_says_what_is_there(tmp_path, capsys):
    path = write(tmp_path, ablate("  grid: {options.steps: [10]}"))
    first, second, third = plan(read(path)).cells
    runs = tmp_path / "runs"

    def done(cell, stage, code=None) -> None:
        result = RESULTS[stage.name](environment={"code": code} if code else {})
        record.succeed(folder_of(runs, cell) / stage.folder, result)

    done(first, first.stages[0])
    done(first, first.stages[1], code="of-yesterday")
    record.fail(folder_of(runs, second) / second.stages[0].folder, "it burst", "")
    assert main(["plan", str(path), "--runs", str(runs), "--json"]) == DONE
    shown = json.loads(capsys.readouterr().out)
    states = {cell["arm"]: [stage["state"] for stage in cell["stages"]] for cell in shown["cells"]}
    assert states == {
        "AR": ["cached", "stale", "to run"],
        "MDLM": ["failed", "to run", "to run"],
        "MDLM, steps 10": ["to run"] * 3,
    }
    assert shown["cells"][1]["stages"][0]["reason"] == "it burst"
    assert (shown["cells"][2]["base"], shown["cells"][2]["cell"]) == ("MDLM", third.id)
    total = shown["total"]
    assert (total["cells"], total["tokens"]) == (3, 3 * 6 * 8 * 12)
    assert total["flops"] == sum(stage["flops"] for cell in shown["cells"] for stage in cell["stages"])
    assert total["flops"] - total["flops_left"] == sum(stage["flops"] for stage in shown["cells"][0]["stages"][:2])
    assert main(["plan", str(path), "--runs", str(runs)]) == DONE
    table = capsys.readouterr().out
    assert "failed: it burst" in table
    assert "bound stale" in " ".join(table.split())


def test_stages_that_only_a_second_arm_asks_of_a_cell_are_counted(tmp_path, capsys):
    """Two labels of one training whose bounds are estimated differently."""
    path, runs = tmp_path / "twice.yaml", tmp_path / "runs"
    two = "  - {label: MDLM, method: mdlm}\n  - {label: Twin, method: mdlm}\n"
    blocks = "bound: [{draws: 2, replicates: 2, arms: [AR, MDLM]}, {draws: 4, replicates: 2, arms: [Twin]}]"
    text = TINY.replace("  - {label: MDLM, method: mdlm}\n", two)
    path.write_text(text.replace("bound: {draws: 2, replicates: 2}", blocks))
    made = plan(read(path))
    for cell in made.cells[:2]:
        for stage in cell.stages:
            record.succeed(folder_of(runs, cell) / stage.folder, RESULTS[stage.name]())
    status = plan_status(made, runs)
    assert [(cell.arm, step.name) for cell, step in status.to_run] == [("MDLM", "bound")]
    assert status.remaining == status.cells[2].remaining > status.cells[1].remaining == 0
    assert main(["plan", str(path), "--runs", str(runs)]) == DONE
    assert "nothing is left to run" not in capsys.readouterr().out
