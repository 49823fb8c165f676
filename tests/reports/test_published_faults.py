"""Faults of a file of published numbers are reported with their places."""

import re
import shutil
from pathlib import Path

import pytest

from bench.results.suite_record import NoRecord
from bench.suite.yaml_document import SuiteError
from reports.published.published_numbers import FOLDER, read

FAULTS = {
    "a misspelt key": ("    rows:\n", "    rowz:\n", ":15:5: unknown key"),
    "another number of columns": ("numbers: [1.45]", "numbers: [1.45, 2.0]", "2 numbers for 1 columns"),
    "an unknown paper": ("paper: d3pm", "paper: d3mp", ':16:40: there is no paper "d3mp"; did you mean "d3pm"?'),
    "an unknown method": ("method: d3pm-absorb", "method: d3pm", ':16:60: unknown method "d3pm"'),
    "an unknown option": ("method: d3pm-absorb", "method: mdlm, options: {step: 3}", 'did you mean "steps"?'),
    "an unknown metric": ("metric: bits_per_char", "metric: bpc", ':12:1: there is no metric "bpc"'),
    "an unknown network": ("network: small", "network: smal", 'did you mean "small"?'),
    "no sign": ('sign: "<="\n', "", ":15:40: the number has no sign"),
    "half a counterpart": ("network: small, ", "", ":16:40: the counterpart `here` lacks network"),
    "a spread of nothing": ("[1.45]", "[{value: 1.45, spread: 0.1}]", "say what it means in the `spread` of the table"),
    "doubt without a reason": ("status: withdrawn, reason: gone", "status: withdrawn", "needs a `reason`"),
    "a word for a number": ("1.45", "much", ":16:40: numbers[0] is 'much'"),
    "no YAML": ("columns:\n", "columns: [\n", "not valid YAML"),
}

SMALL = """\
title: A small table
sign: "<="
columns:
  - {title: BPC, unit: bits per character}
protocol: {data: text8}
# what an arm
# has to be

# to stand
# here:

here: {data: text8, length: 256, split: test, network: small, metric: bits_per_char, tokens: [1, 2]}
groups:
  - title: All
    rows:
      - {label: D3PM absorb, numbers: [1.45], paper: d3pm, here: {method: d3pm-absorb}}
      - {label: SEDD, numbers: [{value: 1.32, status: withdrawn, reason: gone}], paper: sedd}
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_place(tmp_path: Path, fault: str) -> None:
    shutil.copy(FOLDER / "papers.yaml", tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL)
    assert [str(claim.value) for claim in read("small", tmp_path).claims] == ["1.45", "1.32"]
    old, new, told = FAULTS[fault]
    assert old in SMALL
    (tmp_path / "small.yaml").write_text(SMALL.replace(old, new, 1))
    with pytest.raises(SuiteError, match=re.escape(told)) as caught:
        read("small", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'small.yaml'}:")


def test_an_unknown_table_is_told_with_the_nearest() -> None:
    with pytest.raises(NoRecord, match='"text9"; did you mean "text8"'):
        read("text9")
