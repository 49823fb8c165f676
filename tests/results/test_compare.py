"""`bench compare`: what is subtracted, what is not, and what a gate lets pass, on copies of a tiny run."""

import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.cli.main import main
from bench.cli.views.comparison import exit_code
from bench.engine.storage import read_json, write_json
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.results.compare.compare import BOUNDS, MIXED, compare, match
from bench.results.compare.gate import REGRESSION, Margin
from bench.results.compare.operands import CompareError, Side, find_side
from bench.results.statistics.verdicts import BETTER, SAME, TIED, WORSE
from bench.results.suite_record import NoRecord, load, read
from tests.conftest import TINY

Names = Callable[..., Path]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two arms, whose one seed is copied into three that differ a little."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "tiny.yaml").write_text(TINY.replace("{label: AR, method: ar}", "{label: MD4, method: md4}"))
    runs = folder / "runs"
    assert main(["run", str(folder / "tiny.yaml"), "--runs", str(runs)]) == DONE
    plan = read_json(runs / "suites" / "tiny.json")
    for cell in list(plan["cells"]):
        for seed in (1, 2):
            copied = cell | {"seed": seed, "id": f"{seed}{cell['id'][1:]}"}
            shutil.copytree(runs / "cells" / cell["id"], runs / "cells" / copied["id"])
            grow(runs / "cells" / copied["id"], 0.0002 * seed)
            plan["cells"].append(copied)
    write_json(runs / "suites" / "tiny.json", plan)
    load(runs).to_csv(folder / "tidy.csv", index=False)
    return runs


def grow(cell: Path, share: float) -> None:
    """Makes the bound of a cell larger by a share, a little more on some sequences than on others."""
    (folder,) = cell.glob("bound-*")
    with np.load(folder / "sequences.npz") as parts:
        factors = 1 + share * np.linspace(0.8, 1.2, len(parts["integral"]))[:, None]
        grown = {name: parts[name] * factors for name in parts.files}
    np.savez(folder / "sequences.npz", allow_pickle=False, **grown)
    change(folder / "result.json", lambda result: scale(result["measures"], 1 + share))


def scale(measures: Any, factor: float) -> None:
    for name in ("bits_per_char", "bits_per_byte", "nats_per_token"):
        measures[name]["value"] *= factor


def change(path: Path, how: Callable[[Any], Any]) -> None:
    """Reads, changes and writes a JSON file."""
    content = read_json(path)
    how(content)
    write_json(path, content)


@pytest.fixture
def copied(ran: Path, tmp_path: Path) -> Names:
    """Another folder of the same results, in which the bound of an arm is larger, in each seed by a little more."""

    def made(arm: str = "MDLM", share: float = 0.0) -> Path:
        runs = tmp_path / "new"
        shutil.copytree(ran, runs)
        for cell in read_json(runs / "suites" / "tiny.json")["cells"]:
            if cell["arm"] == arm and share:
                grow(runs / "cells" / cell["id"], share * (1 + 0.01 * cell["seed"]))
        return runs

    return made


def subtract(runs: Path, one: Any, other: Any) -> Any:
    return compare(find_side(runs, str(one)), find_side(runs, str(other)))


def test_a_planted_regression_is_caught(ran: Path, copied: Names, capsys: pytest.CaptureFixture[str]) -> None:
    """2 % in each of three seeds, of one arm of two."""
    asked = ["compare", str(ran), str(copied(share=0.02)), "--fail-on-regression"]
    assert main([*asked, "0.5%"]) == FAILED
    said = capsys.readouterr().out
    assert "margin 0.5 % of A: held: MD4; regression: MDLM (exit code 3)" in " ".join(said.split())
    assert main([*asked, "0.005"]) == FAILED
    assert main([*asked, "4%"]) == DONE
    assert main(["compare", str(ran), str(ran.parent / "runs"), "--fail-on-regression", "0"]) == DONE
    found = subtract(ran, ran, tmp := asked[2])
    (md4, mdlm) = found.bounds
    assert (md4.verdict, mdlm.verdict) == (TIED, WORSE)
    assert mdlm.value / mdlm.base == pytest.approx(0.0202, rel=0.02)
    assert subtract(ran, tmp, ran).bounds[1].verdict == BETTER
    assert exit_code(subtract(ran, tmp, ran), Margin(0.0, True)) == DONE


def test_the_same_results_are_no_regression(ran: Path, copied: Names) -> None:
    """A/A: one record twice, and a copy of it elsewhere."""
    same, copy = subtract(ran, "tiny", "tiny"), subtract(ran, "tiny", copied())
    assert {each.verdict for each in same.bounds} == {SAME}
    assert {(each.verdict, each.value) for each in copy.bounds} == {(TIED, 0.0)}
    for found in (same, copy):
        assert exit_code(found, Margin(0.0, True)) == DONE
        assert not any((*found.settings.values(), *found.surroundings.values(), *found.protocols.values()))
    assert exit_code(subtract(ran, "tiny/MDLM/0", "tiny/MDLM/1"), Margin.parse("0.5%")) == DONE


def test_a_difference_is_that_of_the_report(ran: Path) -> None:
    """Two arms of a suite, against the pairs that the suite itself would make of them."""
    found = subtract(ran, "tiny/MD4", "tiny/MDLM")
    (each,) = found.bounds
    table = read(ran, "tiny").table
    scores = table[(table["stage"] == "bound") & (table["metric"] == "bits_per_char")].groupby("arm")["value"].mean()
    assert each.value == pytest.approx(scores["MDLM"] - scores["MD4"], rel=1e-3)  # the copies are rounded
    assert (each.base, each.seeds, each.n, each.is_paired) == (pytest.approx(scores["MD4"]), 3, 16, True)
    assert each.low < each.value < each.high
    assert each.reach.startswith("p < 0.05 is out of reach with 3 seeds")
    assert found.settings["MDLM against MD4"] == {"method": ("md4", "mdlm")}
    assert each.notes == BOUNDS


def test_a_bound_against_a_likelihood_is_told(ran: Path) -> None:
    side = find_side(ran, f"{ran.parent}/tidy.csv")
    exact = side.table.assign(kind="exact")
    (mixed, _), (exacts, _) = (
        compare(Side("A", (), exact, None, True), Side("B", (), table, None, True)).bounds
        for table in (side.table, exact)
    )
    assert (mixed.notes, exacts.notes) == (MIXED, "")


def test_names_stand_for_arms_seeds_cells_suites_and_files(ran: Path) -> None:
    plan = read_json(ran / "suites" / "tiny.json")
    id = plan["cells"][0]["id"]
    sizes = {
        "tiny": (2, 6),
        "tiny/MD4": (1, 3),
        "MD4": (1, 3),
        "MD4/2": (1, 1),
        "tiny/MD4/2": (1, 1),
        id: (1, 1),
        id[:8]: (1, 1),
        str(ran / "cells" / id): (1, 1),
        str(ran): (2, 6),
        f"{ran}/tiny/MD4": (1, 3),
        f"{ran}/suites/tiny.json": (2, 6),
        f"{ran}/suites/tiny.json/MD4": (1, 3),
        f"{ran.parent}/tidy.csv": (2, 0),
        f"{ran.parent}/tidy.csv/MD4": (1, 0),
    }
    for name, size in sizes.items():
        side = find_side(ran, name)
        assert (len(side.arms), len(side.cells)) == size, name
        assert set(side.table["arm"]) == set(side.arms), name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny/MDLN", 'there is no cell "tiny/MDLN"'),
        ("{runs}/suites/tiny.json/SEDD", 'suite "tiny" has no arm "SEDD"; it has MD4, MDLM'),
        ("{runs}/../tidy.csv/SEDD", 'has no arm "SEDD"; it has MD4, MDLM'),
        ("{runs}/../other.csv", "has no column seed, stage"),
    ],
)
def test_names_that_stand_for_nothing_say_what_there_is(name: str, said: str, ran: Path) -> None:
    (ran.parent / "other.csv").write_text("arm\nMD4\n")
    with pytest.raises((CompareError, NoRecord)) as raised:
        find_side(ran, name.format(runs=ran))
    assert said in str(raised.value)


def test_an_arm_of_two_suites_has_to_be_named_with_its_suite(copied: Names) -> None:
    runs = copied()
    change(runs / "suites" / "tiny.json", lambda plan: None)
    plan = read_json(runs / "suites" / "tiny.json")
    write_json(runs / "suites" / "more.json", plan | {"suite": "more"})
    with pytest.raises(CompareError, match="is an arm of 2 suites; say which: more/MD4, tiny/MD4"):
        find_side(runs, "MD4")
    with pytest.raises(CompareError, match="holds 2 suites; name one: more, tiny"):
        find_side(runs, str(runs))
    assert subtract(runs, "more", "tiny").bounds[0].verdict == SAME


def test_other_protocols_are_not_subtracted(ran: Path, copied: Names, capsys: pytest.CaptureFixture[str]) -> None:
    runs = copied()
    for path in runs.glob("cells/*/bound-*/result.json"):
        change(path, lambda result: result["settings"].update(draws=4))
    found = subtract(ran, "tiny", runs)
    assert {each.seeds for each in found.bounds} == {0}
    assert "draws 4, but 2 of base A: MD4" in found.bounds[0].reason
    assert found.protocols["MD4"] == {"bound.draws": ("2", "4")}
    assert main(["compare", "tiny", str(runs), "--runs", str(ran)]) == USAGE_ERROR
    assert "draws 4, but 2 of base A: MD4" in " ".join(capsys.readouterr().out.split())
    for path in runs.glob("cells/*/bound-*/result.json"):
        change(path, lambda result: result["settings"].update(draws=2, arms=["MD4", "MDLM"]))
    assert subtract(ran, "tiny", runs).protocols == {"MD4": {}, "MDLM": {}}  # whom a block is for changes no number
    file = subtract(ran, "tiny", f"{ran.parent}/tidy.csv")
    table = file_of(ran.parent / "tidy.csv", protocol="exactly k masked; another text")
    other = compare(find_side(ran, "tiny"), table)
    assert [each.seeds for each in file.bounds] == [3, 3]
    assert [each.seeds for each in other.bounds] == [0, 0]
    assert other.bounds[0].reason.startswith("protocol: exactly k masked; another text, but ")


def file_of(path: Path, **others: Any) -> Side:
    side = find_side(Path(), str(path))
    bound = side.table["stage"] == "bound"
    return Side(
        "file", (), side.table.assign(**{k: side.table[k].where(~bound, v) for k, v in others.items()}), None, True
    )


def test_a_results_file_is_compared_unpaired_and_says_so(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paired, unpaired = subtract(ran, "MD4", "MDLM"), subtract(ran, f"{ran.parent}/tidy.csv/MD4", "MDLM")
    (one,), (other,) = paired.bounds, unpaired.bounds
    assert other.value == pytest.approx(one.value, rel=1e-3)
    assert not other.is_paired
    assert other.high - other.low > 5 * (one.high - one.low)  # what the sequences have in common stays in it
    assert unpaired.settings["MDLM against MD4"] == {"method": ("md4", "mdlm")}
    assert main(["compare", f"{ran.parent}/tidy.csv", "tiny", "--runs", str(ran)]) == DONE
    assert "unpaired: a results file has no values of single sequences" in " ".join(capsys.readouterr().out.split())


def test_settings_and_surroundings_that_differ_are_told(ran: Path, copied: Names) -> None:
    runs = copied()
    for cell in (runs / "cells").iterdir():
        change(cell / "job.json", lambda job: job["training"].update(learning_rate=0.5))
        change(cell / "train" / "result.json", lambda result: result["environment"].update(torch="9.9"))
    found = subtract(ran, "tiny", runs)
    before = read_json(next((ran / "cells").iterdir()) / "job.json")["training"]["learning_rate"]
    assert set(found.settings) == {"MD4", "MDLM"}
    assert found.settings["MD4"] == {"training.learning_rate": (str(before), "0.5")}
    assert found.surroundings["MD4"]["train.torch"][1] == "9.9"
    assert list(found.surroundings["MD4"]) == ["train.torch"]


def test_what_was_not_measured_does_not_pass_a_gate(ran: Path, copied: Names) -> None:
    """An arm that is gone, one without a result, and a seed that failed: nothing of A may be lost unseen."""
    runs = copied()
    margin = Margin.parse("0.5%")
    change(
        runs / "suites" / "tiny.json", lambda plan: plan.update(cells=[c for c in plan["cells"] if c["arm"] == "MD4"])
    )
    gone = subtract(ran, "tiny", runs)
    assert gone.only == {"tiny": ["MDLM"]}
    assert exit_code(gone, margin) == exit_code(gone) == USAGE_ERROR
    assert exit_code(subtract(ran, runs, "tiny"), margin) == DONE  # a new arm is no loss
    (lost, *_, last) = read_json(runs / "suites" / "tiny.json")["cells"]
    shutil.rmtree(next((runs / "cells" / last["id"]).glob("bound-*")))
    torn = subtract(ran, "tiny/MD4", runs)
    assert (torn.bounds[0].seeds, exit_code(torn), exit_code(torn, margin)) == (2, DONE, USAGE_ERROR)
    with pytest.raises(CompareError, match="no arm is in both"):
        match(find_side(ran, "tiny"), Side("x", (), pd.DataFrame({"arm": ["a", "b"]}), None, True))
    assert lost["arm"] == "MD4"


def test_no_number_is_cut_off_on_a_narrow_terminal(
    ran: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    main(["compare", "MDLM", "MD4", "--runs", str(ran), "--fail-on-regression", "50%"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MD4 against MDLM  ")][:1]
    assert re.search(r" [+-]\d\.\d+ +\[-?\d\.\d+, -?\d\.\d+\] +\d+ × 3 ", line)


def test_unpaired_intervals_of_a_running_text_are_of_as_many_runs_as_there_are(ran: Path) -> None:
    """120 sequences in 10 runs: Student's with 9 degrees of freedom, on either side."""
    file = file_of(ran.parent / "tidy.csv", clusters=10, n=120, standard_error=0.01)
    one = replace(file, table=file.table[file.table["seed"] == 0])
    (found, *_) = compare(one, one).bounds
    assert (found.high - found.low) / 2 == pytest.approx(2.262 * 0.01 * math.sqrt(2), rel=1e-3)
    assert found.n == 120


def test_an_arm_that_was_tuned_is_told_apart_from_one_that_was_not(ran: Path, copied: Names) -> None:
    runs = copied()
    change(runs / "suites" / "tiny.json", lambda plan: plan.update(tuning={"arms": {"MDLM": {"trials": 6}}}))
    found = subtract(ran, "tiny", runs)
    assert found.settings == {"MD4": {}, "MDLM": {"tuning": ("none", "best of 6 trials")}}


def test_json_has_every_number_and_no_nan(ran: Path, copied: Names, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["compare", "MDLM", str(copied(share=0.02)), "--runs", str(ran), "--json", "--fail-on-regression", "1%"]
    assert main(asked) == FAILED
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (told["exit_code"], told["metric"], told["names"][0]) == (3, "bits_per_char", "MDLM")
    (bound,) = told["bounds"]
    assert (bound["decision"], bound["verdict"], bound["seeds"]) == (REGRESSION, WORSE, 3)
    assert bound["p_sign_flip"] == 0.25
