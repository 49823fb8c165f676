"""What passes the gate of a comparison, and how metrics of samples are compared."""

import math
from typing import Any

import pandas as pd
import pytest

from bench.cli.main import main
from bench.launch.exit_codes import USAGE_ERROR
from bench.results.compare.compare import compare
from bench.results.compare.compared_results import Side
from bench.results.compare.gate import HELD, REGRESSION, UNKNOWN, UNSURE, Margin, decide
from bench.results.compare.unpaired_difference import Difference
from bench.results.statistics.verdicts import BETTER, TIED, WORSE
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


def make_texts(arm: str, metric: str, *values: float, **others: Any) -> list[dict[str, Any]]:
    common = {"arm": arm, "stage": "quality", "status": "done", "metric": metric, "way": "ancestral, 4 calls", "n": 100}
    common |= {"standard_error": 0.01, "texts": "100 x 12", **others}
    return [{**COLUMNS, **common, "seed": seed, "value": value} for seed, value in enumerate(values)]


def side_of(name: str, *rows: list[dict[str, Any]]) -> Side:
    return Side(name, (), pd.DataFrame([row for part in rows for row in part], columns=list(COLUMNS)), None, True)


def test_texts_are_compared_where_both_drew_in_the_same_way() -> None:
    baseline = side_of("A", make_texts("x", "rep_4", 0.1), make_texts("x", "js_1", 0.1), make_texts("x", "mauve", 0.5))
    new = make_texts("x", "rep_4", 0.2), make_texts("x", "js_1", 0.11), make_texts("x", "mauve", 0.9, way="euler")
    candidate = side_of("B", *new, make_texts("x", "rep_4", 0.9, way="euler"))
    differences = {difference.metric: difference for difference in compare(baseline, candidate).qualities}
    assert {name: difference.verdict for name, difference in differences.items()} == {"rep_4": "higher", "js_1": TIED}
    half = (differences["rep_4"].high - differences["rep_4"].low) / 2
    assert half == pytest.approx(1.984 * 0.01 * math.sqrt(2), rel=1e-3)  # Student's of 100 texts, of either side
    fewer = compare(baseline, side_of("B", make_texts("x", "rep_4", 0.2, texts="50 x 12"))).qualities[0]
    assert (fewer.seeds, fewer.reason) == (0, "texts: 50 x 12, but 100 x 12 of A")
