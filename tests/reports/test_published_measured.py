"""Own numbers stand beside those of papers only where all that matters is alike."""

from pathlib import Path
from typing import Any

import pytest

from bench.engine.storage import read_suite as load_suite
from reports.published.table import View
from tests.reports.test_published import view_of, write_run
from tests.support.changed_records import change

pytestmark = pytest.mark.usefixtures("nothing_fetched")


def own_cells(view: View, label: str) -> list[str]:
    """What was measured here, in the row of that label."""
    row = next(row for row in view.table.rows if row.label == label)
    pairs = zip(view.table.columns, row.entries, strict=True)
    return [" ".join(filter(None, (c.sign, c.value, c.error))) for at, c in pairs if at.title == "Measured here"]


@pytest.mark.parametrize(
    ("bits", "verdict"),
    [
        ((1.371,), "no verdict: one seed (+0.001)"),
        ((1.377,), "no verdict: one seed (+0.007)"),
        (
            (1.377, 1.377),
            "differs by +0.007",
        ),  # 0.005 of rounding, and 1.96 x 0.001 of sequences, since the seeds agree
        ((1.3769, 1.3769), "reproduced within error"),
        ((1.4, 1.42), "reproduced within error"),  # two seeds: t with one degree of freedom, 12.7 x 0.01
        ((1.399, 1.4, 1.401), "differs by +0.030"),
    ],
)
def test_what_matches_stands_there_with_error_n_and_verdict(
    tmp_path: Path, bits: tuple[float, ...], verdict: str
) -> None:
    view = view_of("text8", write_run(tmp_path, *bits))
    value, count, told = own_cells(view, "MD4")
    expected = {1: f"† {bits[0]:.4f} 0.0010", 2: "† 1.410 0.010", 3: "† 1.40000 0.00058"}[len(bits)]
    assert value == (expected if len(set(bits)) == len(bits) else f"† {bits[0]:.3f}")
    assert (count, told) == (f"19531 × {len(bits)}", verdict)
    assert own_cells(view, "GenMD4") == ["", "", "not run"]
    assert own_cells(view, "EDLM") == ["", "", "—"]
    number = view.numbers.set_index("row").loc["MD4"]
    assert number["own_value"] == pytest.approx(sum(bits) / len(bits))
    assert (number["verdict"], number["own_n"], number["own_seeds"]) == (verdict, 19531, len(bits))
    assert "Measured here: arm masks of suite own." in [note for _, note in view.table.footnotes]
    assert {"=", "<=", "†", "±", "‡"} <= {sign for sign, _ in view.table.footnotes}


@pytest.mark.parametrize(("bits", "verdict"), [(1.494, "reproduced within error"), (1.495, "differs by +0.045")])
def test_the_spread_of_the_paper_counts(tmp_path: Path, bits: float, verdict: str) -> None:
    """1.45 +- 0.02: within 0.005 of rounding and the root of (1.96 x 0.02)^2 + (1.96 x 0.001)^2."""
    view = view_of("text8", write_run(tmp_path, bits, bits, method="d3pm-absorb"))  # two seeds that agree
    assert own_cells(view, "D3PM absorb")[-1] == verdict
    assert own_cells(view, "D3PM absorb, 256 steps")[-1] == "—"


def test_a_running_text_has_as_many_values_as_runs_of_neighbours(tmp_path: Path) -> None:
    """Of two runs Student's factor is 12.7, so that 1.377 is within error of 1.37."""
    runs = write_run(tmp_path, 1.377, 1.377)
    for path in (runs / "cells").glob("*/bound-*/result.json"):
        change(path, lambda result: result["measures"]["bits_per_char"].update(clusters=2))
    assert own_cells(view_of("text8", runs), "MD4")[-1] == "reproduced within error"


def test_of_several_arms_the_one_with_most_seeds_stands_there(tmp_path: Path) -> None:
    write_run(tmp_path, 1.5, name="first")
    write_run(tmp_path, 1.37, 1.372, name="more")
    view = view_of("text8", write_run(tmp_path, 1.6, 1.7, 1.8, name="short", tokens=500_000))
    assert own_cells(view, "MD4")[1] == "19531 × 2"
    assert "Measured here: arm masks of suite more." in [note for _, note in view.table.footnotes]


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "length": ({"length": 128}, "length 128 instead of 256"),
    "network": ({"network": "micro"}, "network micro, dropout 0.05 instead of small"),
    "tokens": ({"tokens": 500_000}, "0.52M training tokens instead of 98.30B to 163.84B"),
    "split": ({"split": "valid"}, "split valid instead of test"),
    "sequences": ({"sequences": 120}, "only the first 120 of 19,531 sequences evaluated"),
    "reserve": ({"reserve": ", reserve: 0.2"}, "part of the training text held back"),
}


@pytest.mark.parametrize("field", OTHERS)
def test_another_protocol_is_named_and_not_put_in_the_column(tmp_path: Path, field: str) -> None:
    changes, told = OTHERS[field]
    view = view_of("text8", write_run(tmp_path, 1.37, **changes))
    assert own_cells(view, "MD4") == ["not run"]
    assert not view.numbers["own_value"].notna().any()
    notes = [note for _, note in view.table.footnotes if "under another protocol" in note]
    assert notes == [f"MD4: suite own has a number under another protocol: {told}."]


def test_other_options_are_another_method(tmp_path: Path) -> None:
    view = view_of("text8", write_run(tmp_path, 1.37, options="{schedule: cosine}"))
    assert own_cells(view, "MD4") == ["not run"]
    assert not any("under another protocol" in note for _, note in view.table.footnotes)


def test_other_data_and_other_code_are_another_protocol(tmp_path: Path) -> None:
    runs = write_run(tmp_path, 1.37)
    path = next((runs / "suites").glob("*.json"))
    change(path, lambda suite: suite["facts"].update(source="text8-part"))
    assert own_cells(view_of("text8", runs), "MD4") == ["not run"]
    change(path, lambda suite: suite["facts"].update(source="text8"))
    assert len(own_cells(view_of("text8", runs), "MD4")) == 3
    for result in runs.glob("cells/*/bound-*/result.json"):
        change(result, lambda content: content["environment"].update(code="another"))
    view = view_of("text8", runs)
    assert own_cells(view, "MD4") == ["not run"]
    assert any(
        note.endswith("under another protocol: stale, as the code has changed since.")
        for _, note in view.table.footnotes
    )


def test_numbers_that_were_made_in_different_ways_carry_a_mark(tmp_path: Path) -> None:
    for name, method in (("first", "md4"), ("second", "mdlm"), ("third", "sedd-absorb")):
        write_run(tmp_path, 1.4, name=name, method=method)
    (cell,) = load_suite(tmp_path, "second").cells
    (result,) = (tmp_path / "cells" / cell.id).glob("bound-*/result.json")
    change(result, lambda content: content["environment"].update(precision="bfloat16"))
    view = view_of("text8", tmp_path)
    notes = [text for _, text in view.table.footnotes if text.startswith("made ")]
    assert notes, view.table.footnotes
    assert all("bfloat16" in note for note in notes)
