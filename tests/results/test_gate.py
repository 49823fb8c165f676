"""What passes the gate of a comparison, and how metrics of samples are compared."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.cli.main import main
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR
from bench.results.compare.compare import compare
from bench.results.compare.compared_results import Side
from bench.results.compare.gate import HELD, REGRESSION, UNKNOWN, UNSURE, Margin, decide
from bench.results.compare.unpaired_difference import Difference
from bench.results.statistics.verdicts import BETTER, NO_VERDICT, TIED, WORSE
from bench.results.tidy_table import COLUMNS


def test_a_gate_fails_only_where_the_whole_interval_lies_above_the_margin() -> None:
    def difference(low: float, high: float, verdict: str) -> Difference:
        return Difference(
            "A", "bits_per_char", base=2.0, value=(low + high) / 2, low=low, high=high, seeds=3, verdict=verdict
        )

    margin = Margin.parse("0.5%")  # 0.01
    assert decide(difference(0.011, 0.03, WORSE), margin) == REGRESSION
    assert decide(difference(0.009, 0.03, WORSE), margin) == UNSURE
    assert decide(difference(0.011, 0.03, TIED), margin) == UNSURE  # of several arms: not sure enough
    assert decide(difference(-0.02, 0.03, TIED), margin) == UNSURE
    assert decide(difference(0.001, 0.009, WORSE), margin) == HELD
    assert decide(difference(-0.03, -0.02, BETTER), margin) == HELD
    assert decide(difference(math.nan, math.nan, TIED), margin) == UNSURE
    assert decide(Difference("A", "bits_per_char"), margin) == UNKNOWN


@pytest.mark.parametrize("text", ["-1%", "much", "", "nan", "inf%"])
def test_a_margin_is_a_share_or_a_number(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert Margin.parse("0.5%") == Margin(0.005, True)
    assert Margin.parse("0.01") == Margin(0.01, False)
    assert (Margin(0.005, True).of(-2.0), Margin(0.01, False).of(-2.0)) == (0.01, 0.01)
    with pytest.raises(SystemExit) as ended:
        main(["compare", "a", "b", f"--fail-on-regression={text}"])
    assert ended.value.code == USAGE_ERROR
    assert "is no margin; give a share such as 0.5%" in capsys.readouterr().err


def write_scores(path: Path, *bits: float, error: float = 0.001) -> str:
    """A results file with the score of one arm, a seed for each value."""
    common = {**COLUMNS, "arm": "x", "stage": "bound", "status": "done", "metric": "bits_per_char", "n": 500}
    common |= {"standard_error": error, "protocol": "exact", "data": "text8", "split": "test", "kind": "exact"}
    rows = [{**common, "seed": seed, "value": value} for seed, value in enumerate(bits)]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)
    return str(path)


@pytest.mark.parametrize(
    ("margin", "sentence"),
    [
        ("5", "the margin of 5 bits per character is not below A's bound itself (2 bits per character, x)"),
        ("2", "did you mean 2%?"),
        ("1e6", "give a share such as 0.5%"),
        ("100%", "allows a bound to double"),
        ("250%", "allows a bound to double"),
    ],
)
def test_a_margin_that_no_gate_can_fail_is_refused(
    margin: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A forgotten % is a margin of bits, larger than the bound itself."""
    old, new = write_scores(tmp_path / "a.csv", 2.0, 2.0, 2.0), write_scores(tmp_path / "b.csv", 3.0, 3.1, 2.9)
    try:
        code = main(["compare", old, new, f"--fail-on-regression={margin}"])
    except SystemExit as ended:  # of the parser
        code = int(str(ended.code))
    printed = capsys.readouterr()
    assert code == USAGE_ERROR
    assert sentence in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    ("margin", "words"),
    [
        ("5%", "margin 5 % of A = 0.1 bits per character: regression: x (exit code 3)"),
        ("0.1", "margin 0.1 bits per character (5 % of A): regression: x (exit code 3)"),
        ("0", "margin 0 bits per character (0 % of A): regression: x (exit code 3)"),
    ],
)
def test_the_gate_tells_its_margin_in_units_and_as_a_share(
    margin: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = write_scores(tmp_path / "a.csv", 2.0, 2.0, 2.0), write_scores(tmp_path / "b.csv", 3.0, 3.1, 2.9)
    assert main(["compare", old, new, f"--fail-on-regression={margin}"]) == FAILED
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("new", "decision", "code"), [(2.0, HELD, DONE), (2.5, REGRESSION, FAILED), (2.011, UNSURE, DONE)]
)
def test_the_gate_of_one_seed_says_that_it_is_test_text_only(
    new: float, decision: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no verdict; the exit code is that of the test text."""
    old = write_scores(tmp_path / "a.csv", 2.0)
    arguments = ["compare", old, write_scores(tmp_path / "b.csv", new), "--fail-on-regression", "0.5%"]
    assert main(arguments) == code
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{decision} (test text only): x (exit code {code})" in printed
    assert "no verdict: one seed" in printed
    assert not {"worse", "better"} & set(printed.replace("below zero B is better", "").split())
    assert main([*arguments, "--json"]) == code
    (bound,) = json.loads(capsys.readouterr().out)["bounds"]
    assert (bound["decision"], bound["is_test_text_only"], bound["verdict"]) == (decision, True, NO_VERDICT)


def test_seeds_that_agree_do_not_make_a_regression_certain(tmp_path: Path) -> None:
    """Three seeds of one value each, on documents whose error is wider than the difference, or unknown."""
    for error in (0.5, math.nan):
        old = write_scores(tmp_path / "a.csv", 2.0, 2.0, 2.0, error=error)
        new = write_scores(tmp_path / "b.csv", 2.1, 2.1, 2.1, error=error)
        assert main(["compare", old, new, "--fail-on-regression", "1%"]) == DONE


def make_texts(arm: str, metric: str, *values: float, **others: Any) -> list[dict[str, Any]]:
    common = {"arm": arm, "stage": "quality", "status": "done", "metric": metric, "way": "ancestral, 4 calls", "n": 100}
    common |= {"standard_error": 0.01, "texts": "100 x 12", **others}
    return [{**COLUMNS, **common, "seed": seed, "value": value} for seed, value in enumerate(values)]


def side_of(name: str, *rows: list[dict[str, Any]]) -> Side:
    return Side(name, (), pd.DataFrame([row for part in rows for row in part], columns=list(COLUMNS)), None, True)


def test_texts_are_compared_where_both_drew_in_the_same_way() -> None:
    baseline = side_of(
        "A", make_texts("x", "rep_4", 0.1, 0.1), make_texts("x", "js_1", 0.1), make_texts("x", "mauve", 0.5)
    )
    new = make_texts("x", "rep_4", 0.2, 0.2), make_texts("x", "js_1", 0.21), make_texts("x", "mauve", 0.9, way="euler")
    candidate = side_of("B", *new, make_texts("x", "rep_4", 0.9, way="euler"))
    differences = {difference.metric: difference for difference in compare(baseline, candidate).qualities}
    assert {name: difference.verdict for name, difference in differences.items()} == {
        "rep_4": "higher",
        "js_1": NO_VERDICT,
    }
    half = (differences["rep_4"].high - differences["rep_4"].low) / 2
    assert half == pytest.approx(
        1.984 * 0.01 * math.sqrt(2), rel=1e-3
    )  # Student's of 100 texts, of either side: seeds agree
    fewer = compare(baseline, side_of("B", make_texts("x", "rep_4", 0.2, texts="50 x 12"))).qualities[0]
    assert (fewer.seeds, fewer.reason) == (0, "texts: 50 x 12, but 100 x 12 of A")
