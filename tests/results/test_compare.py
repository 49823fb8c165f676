"""`bench compare`: what is subtracted, what is not, and what passes the gate, on copies of a tiny run."""

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
from bench.engine.record_files import read_json
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.results.compare.compare import BOUNDS, MIXED, compare, match
from bench.results.compare.compared_results import CompareError, Side, find_side
from bench.results.compare.gate import REGRESSION, Margin
from bench.results.statistics.verdicts import BETTER, SAME, TIED, WORSE
from bench.results.suite_record import NoRecord, load, read
from tests.conftest import TINY
from tests.support.changed_records import change, rewrite

Names = Callable[..., Path]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two arms; a single seed is copied into three that differ a little."""
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
    rewrite(runs / "suites" / "tiny.json", plan)
    load(runs).to_csv(folder / "tidy.csv", index=False)
    return runs


def grow(cell: Path, share: float) -> None:
    """Increase the bound of a cell by a share, which varies a little between sequences."""
    (folder,) = cell.glob("bound-*")
    with np.load(folder / "sequences.npz") as parts:
        factors = 1 + share * np.linspace(0.8, 1.2, len(parts["integral"]))[:, None]
        grown = {name: parts[name] * factors for name in parts.files}
    np.savez(folder / "sequences.npz", allow_pickle=False, **grown)
    change(folder / "result.json", lambda result: scale(result["measures"], 1 + share))


def scale(measures: Any, factor: float) -> None:
    for name in ("bits_per_char", "bits_per_byte", "nats_per_token"):
        measures[name]["value"] *= factor


@pytest.fixture
def copied(ran: Path, tmp_path: Path) -> Names:
    """A copy of the results in which the bound of one arm is larger, by a share that grows a little with the seed."""

    def copy(arm: str = "MDLM", share: float = 0.0) -> Path:
        runs = tmp_path / "new"
        shutil.copytree(ran, runs)
        for cell in read_json(runs / "suites" / "tiny.json")["cells"]:
            if cell["arm"] == arm and share:
                grow(runs / "cells" / cell["id"], share * (1 + 0.01 * cell["seed"]))
        return runs

    return copy


def subtract(runs: Path, baseline: Any, candidate: Any) -> Any:
    """Compare two names."""
    return compare(find_side(runs, str(baseline)), find_side(runs, str(candidate)))


def test_a_planted_regression_is_caught(ran: Path, copied: Names, capsys: pytest.CaptureFixture[str]) -> None:
    """One arm of two is 2 % worse in each of its three seeds."""
    arguments = ["compare", str(ran), str(copied(share=0.02)), "--fail-on-regression"]
    assert main([*arguments, "0.5%"]) == FAILED
    output = capsys.readouterr().out
    gate = re.search(r"margin 0\.5 % of A = (.+?) bits per character: (.+)", " ".join(output.split()))
    assert gate
    assert gate[2] == "held: MD4; regression: MDLM (exit code 3)"
    assert all(0.0078 < float(size) < 0.0079 for size in gate[1].split(" to "))
    assert main([*arguments, "0.005"]) == FAILED
    assert main([*arguments, "4%"]) == DONE
    assert main(["compare", str(ran), str(ran.parent / "runs"), "--fail-on-regression", "0"]) == DONE
    comparison = subtract(ran, ran, tmp := arguments[2])
    (md4, mdlm) = comparison.bounds
    assert (md4.verdict, mdlm.verdict) == (TIED, WORSE)
    assert mdlm.value / mdlm.base == pytest.approx(0.0202, rel=0.02)
    assert subtract(ran, tmp, ran).bounds[1].verdict == BETTER
    assert exit_code(subtract(ran, tmp, ran), Margin(0.0, True)) == DONE


def test_the_same_results_are_no_regression(ran: Path, copied: Names) -> None:
    """A/A: one record twice, and a copy of it elsewhere."""
    same, copy = subtract(ran, "tiny", "tiny"), subtract(ran, "tiny", copied())
    assert {difference.verdict for difference in same.bounds} == {SAME}
    assert {(difference.verdict, difference.value) for difference in copy.bounds} == {(TIED, 0.0)}
    for comparison in (same, copy):
        assert exit_code(comparison, Margin(0.0, True)) == DONE
        assert not any(
            (*comparison.settings.values(), *comparison.surroundings.values(), *comparison.protocols.values())
        )
    assert exit_code(subtract(ran, "tiny/MDLM/0", "tiny/MDLM/1"), Margin.parse("0.5%")) == DONE


def test_a_difference_is_that_of_the_report(ran: Path) -> None:
    """Two arms of a suite, against the pairs that the suite itself would make of them."""
    comparison = subtract(ran, "tiny/MD4", "tiny/MDLM")
    (difference,) = comparison.bounds
    table = read(ran, "tiny").table
    scores = table[(table["stage"] == "bound") & (table["metric"] == "bits_per_char")].groupby("arm")["value"].mean()
    assert difference.value == pytest.approx(scores["MDLM"] - scores["MD4"], rel=1e-3)  # the copies are rounded
    assert difference.base == pytest.approx(scores["MD4"])
    assert (difference.seeds, difference.n, difference.is_paired) == (3, 16, True)
    assert difference.low < difference.value < difference.high
    assert difference.reach.startswith("p < 0.05 is out of reach with 3 seeds")
    assert comparison.settings["MDLM against MD4"] == {"method": ("md4", "mdlm")}
    assert difference.notes == BOUNDS


def test_a_bound_against_a_likelihood_is_told(ran: Path) -> None:
    side = find_side(ran, f"{ran.parent}/tidy.csv")
    exact = side.table.assign(kind="exact")
    claimed = exact.assign(kind="likelihood")  # without a certificate
    (mixed, _), (exacts, _), (likelihoods, _) = (
        compare(Side("A", (), exact, None, True), Side("B", (), table, None, True)).bounds
        for table in (side.table, exact, claimed)
    )
    assert (mixed.notes, exacts.notes, likelihoods.notes) == (MIXED, "", "")


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
    ("name", "message"),
    [
        ("tiny/MDLN", 'there is no cell "tiny/MDLN"'),
        ("{runs}/suites/tiny.json/SEDD", 'suite "tiny" has no arm "SEDD"; it has MD4, MDLM'),
        ("{runs}/../tidy.csv/SEDD", 'has no arm "SEDD"; it has MD4, MDLM'),
        ("{runs}/../other.csv", "has no column seed, stage"),
    ],
)
def test_names_that_stand_for_nothing_say_what_there_is(name: str, message: str, ran: Path) -> None:
    (ran.parent / "other.csv").write_text("arm\nMD4\n")
    with pytest.raises((CompareError, NoRecord)) as raised:
        find_side(ran, name.format(runs=ran))
    assert message in str(raised.value)


def test_an_arm_of_two_suites_has_to_be_named_with_its_suite(copied: Names) -> None:
    runs = copied()
    change(runs / "suites" / "tiny.json", lambda plan: None)
    plan = read_json(runs / "suites" / "tiny.json")
    rewrite(runs / "suites" / "more.json", plan | {"suite": "more"})
    with pytest.raises(CompareError, match="is an arm of 2 suites; say which: more/MD4, tiny/MD4"):
        find_side(runs, "MD4")
    with pytest.raises(CompareError, match="holds 2 suites; name one: more, tiny"):
        find_side(runs, str(runs))
    assert subtract(runs, "more", "tiny").bounds[0].verdict == SAME


def test_other_protocols_are_not_subtracted(ran: Path, copied: Names, capsys: pytest.CaptureFixture[str]) -> None:
    runs = copied()
    for path in runs.glob("cells/*/bound-*/result.json"):
        change(path, lambda result: result["settings"].update(draws=4))
    comparison = subtract(ran, "tiny", runs)
    assert {difference.seeds for difference in comparison.bounds} == {0}
    assert "draws 4, but base A: MD4 has 2" in comparison.bounds[0].reason
    assert comparison.protocols["MD4"] == {"bound.draws": ("2", "4")}
    assert main(["compare", "tiny", str(runs), "--runs", str(ran)]) == USAGE_ERROR
    assert "draws 4, but base A: MD4 has 2" in " ".join(capsys.readouterr().out.split())
    for path in runs.glob("cells/*/bound-*/result.json"):
        change(path, lambda result: result["settings"].update(draws=2, arms=["MD4", "MDLM"]))
    assert subtract(ran, "tiny", runs).protocols == {"MD4": {}, "MDLM": {}}  # whom a block is for changes no number
    file = subtract(ran, "tiny", f"{ran.parent}/tidy.csv")
    table = file_of(ran.parent / "tidy.csv", protocol="exactly k masked; another text")
    refused = compare(find_side(ran, "tiny"), table)
    assert [difference.seeds for difference in file.bounds] == [3, 3]
    assert [difference.seeds for difference in refused.bounds] == [0, 0]
    assert refused.bounds[0].reason.startswith("protocol: exactly k masked; another text, but ")


def file_of(path: Path, **others: Any) -> Side:
    side = find_side(Path(), str(path))
    bound = side.table["stage"] == "bound"
    return Side(
        "file", (), side.table.assign(**{k: side.table[k].where(~bound, v) for k, v in others.items()}), None, True
    )


def test_a_results_file_is_compared_unpaired_and_says_so(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paired, unpaired = subtract(ran, "MD4", "MDLM"), subtract(ran, f"{ran.parent}/tidy.csv/MD4", "MDLM")
    (paired_bound,), (unpaired_bound,) = paired.bounds, unpaired.bounds
    assert unpaired_bound.value == pytest.approx(paired_bound.value, rel=1e-3)
    assert not unpaired_bound.is_paired
    width = paired_bound.high - paired_bound.low
    assert unpaired_bound.high - unpaired_bound.low > 5 * width  # shared variance of the sequences does not cancel
    assert unpaired.settings["MDLM against MD4"] == {"method": ("md4", "mdlm")}
    assert main(["compare", f"{ran.parent}/tidy.csv", "tiny", "--runs", str(ran)]) == DONE
    assert "unpaired: a results file has no values of single sequences" in " ".join(capsys.readouterr().out.split())


def test_settings_and_surroundings_that_differ_are_told(ran: Path, copied: Names) -> None:
    runs = copied()
    for cell in (runs / "cells").iterdir():
        change(cell / "job.json", lambda job: job["training"].update(learning_rate=0.5))
        change(cell / "train" / "result.json", lambda result: result["environment"].update(torch="9.9"))
    comparison = subtract(ran, "tiny", runs)
    before = read_json(next((ran / "cells").iterdir()) / "job.json")["training"]["learning_rate"]
    assert set(comparison.settings) == {"MD4", "MDLM"}
    assert comparison.settings["MD4"] == {"training.learning_rate": (str(before), "0.5")}
    assert comparison.surroundings["MD4"]["train.torch"][1] == "9.9"
    assert list(comparison.surroundings["MD4"]) == ["train.torch"]


def test_the_same_arm_in_another_precision_is_subtracted_with_a_note(ran: Path, copied: Names) -> None:
    runs = copied()
    for path in (runs / "cells").glob("*/*/result.json"):
        change(path, lambda result: result["environment"].update(precision="bfloat16"))
        change(path, lambda result: result["environment"].pop("tf32"))  # as an earlier version wrote it
    comparison = subtract(ran, "tiny", runs)
    assert all("made in bfloat16; the base in float32" in bound.notes for bound in comparison.bounds)
    assert comparison.surroundings["MD4"] == {
        f"{stage}.precision": ("float32", "bfloat16") for stage in ("train", "bound", "samples")
    }
    load(runs).to_csv(runs.parent / "other.csv", index=False)
    (bound,) = subtract(ran, f"{ran.parent}/tidy.csv/MD4", f"{runs.parent}/other.csv/MD4").bounds
    assert bound.notes.startswith("made in bfloat16; A in float32")


def test_what_was_not_measured_does_not_pass_a_gate(ran: Path, copied: Names) -> None:
    """A missing arm, an arm without a result and a failed seed: nothing of A may disappear silently."""
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
    side = replace(file, table=file.table[file.table["seed"] == 0])
    (difference, *_) = compare(side, side).bounds
    assert (difference.high - difference.low) / 2 == pytest.approx(2.262 * 0.01 * math.sqrt(2), rel=1e-3)
    assert difference.n == 120


def test_an_arm_that_was_tuned_is_told_apart_from_one_that_was_not(ran: Path, copied: Names) -> None:
    runs = copied()
    change(runs / "suites" / "tiny.json", lambda plan: plan.update(tuning={"arms": {"MDLM": {"trials": 6}}}))
    comparison = subtract(ran, "tiny", runs)
    assert comparison.settings == {"MD4": {}, "MDLM": {"tuning": ("none", "best of 6 trials")}}


def test_json_has_every_number_and_no_nan(ran: Path, copied: Names, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["compare", "MDLM", str(copied(share=0.02)), "--runs", str(ran), "--json", "--fail-on-regression", "1%"]
    assert main(arguments) == FAILED
    content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert (content["exit_code"], content["metric"], content["names"][0]) == (3, "bits_per_char", "MDLM")
    (bound,) = content["bounds"]
    assert (bound["decision"], bound["verdict"], bound["seeds"]) == (REGRESSION, WORSE, 3)
    assert bound["p_sign_flip"] == 0.25
