"""Labels of arms: text that people can read and tell apart, one and the same wherever a suite writes it."""

import re
import unicodedata
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.suite.label_rules import appearance, refusal, show
from bench.suite.suite import read
from tests.conftest import TINY
from tests.support.ablations import ablate, labels, told, write

READABLE = ["1e-4", "0.0001", "0.10", "007", "NA", "nan", "null", "True", "1.0", "inf", "é", "自己回帰", "a/b", "x: y"]
READABLE += ["p=0.9, T=1", "👩\u200d🔬 lab", "⚡\ufe0f fast", "x²", "-", "uniform", "data"]

UNREADABLE = {  # how YAML writes it between double quotes -> what the error says
    "   ": '"   " is blank',
    " MDLM2": '" MDLM2" begins or ends with a space',
    "MDLM2 ": '"MDLM2 " begins or ends with a space',
    "MD  LM": '"MD  LM" has two spaces in a row',
    r"MD\u200bLM": r'"MD\u200bLM" has what nobody can see: U+200B zero width space',
    r"MDLM2\u200d": "U+200D zero width joiner",
    r"MD\xa0LM": r'"MD\xa0LM" has what nobody can see: U+00A0 no-break space',
    r"MD\u3000LM": "U+3000 ideographic space",
    r"\ufeffMDLM2": "U+FEFF zero width no-break space",
    r"MD\u202eLM": "U+202E right-to-left override",
    r"MD\u00adLM": "U+00AD soft hyphen",
    r"MDLM2\n": r'"MDLM2\n" has what nobody can see: U+000A end of line',
    r"MD\tLM": "U+0009 tab",
    r"MD\u2028LM": "U+2028 line separator",
    r"MD\0LM": "U+0000",
    r"\u3164": "U+3164 hangul filler",
    r"\ue000": "U+E000",
}

TWINS = {  # labels that people take for each other -> in what they differ
    ("MDLM", "mdlm"): "upper and lower case",
    ("MDLM", "ＭＤＬＭ"): "U+FF2D fullwidth latin capital letter m and U+004D latin capital letter m",
    ("MDLM", "МDLM"): "U+041C cyrillic capital letter em and U+004D latin capital letter m",
    ("fine", "ﬁne"): "U+FB01 latin small ligature fi and U+0066 latin small letter f",
    ("a-b", "a‐b"): "U+2010 hyphen and U+002D hyphen-minus",
    ("⚡ fast", "⚡\ufe0f fast"): "U+FE0F variation selector-16 and U+0020 space",
}

UNQUOTED = {  # what YAML reads as something else than text
    "1e-4": "a number",
    "0.0001": "a number",
    "007": "a number",
    "0x1F": "a number",
    "1_000": "a number",
    "true": "true or false",
    "null": "nothing",
}


def label_arm(label: str, folder: Path) -> Path:
    """The tiny suite, in whose line 7 the first arm has this label, as YAML writes it."""
    path = folder / "tiny.yaml"
    path.write_text(TINY.replace("label: AR", f"label: {label}"), encoding="utf-8")
    return path


@pytest.mark.parametrize("label", READABLE)
def test_text_in_quotes_is_a_label_as_it_is(label: str, tmp_path: Path) -> None:
    assert labels(label_arm(f'"{label}"', tmp_path)) == [label, "MDLM"]


@pytest.mark.parametrize(("label", "message"), UNREADABLE.items())
def test_what_nobody_can_read_is_shown_with_escapes_and_its_place(label: str, message: str, tmp_path: Path) -> None:
    error = told(label_arm(f'"{label}"', tmp_path))
    assert "\n" not in error
    assert re.match(r".*tiny\.yaml:7:6: label ", error)
    assert message in error
    assert not any(unicodedata.category(character) in ("Cf", "Cc", "Co", "Zl") for character in error)


@pytest.mark.parametrize(("pair", "difference"), TWINS.items())
def test_labels_that_look_alike_are_told_apart_for_the_reader(
    pair: tuple[str, str], difference: str, tmp_path: Path
) -> None:
    first, second = pair
    path = label_arm(f'"{first}"', tmp_path)
    path.write_text(path.read_text("utf-8").replace("label: MDLM, method: mdlm", f'label: "{second}", method: mdlm'))
    error = told(path)
    assert f"tiny.yaml:8:6: label {show(second)} cannot be told apart from {show(first)} in line 7" in error
    assert difference in error
    assert appearance(first) == appearance(second)


def test_normal_forms_are_one_label_wherever_it_is_written(tmp_path: Path) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    text = TINY.replace("label: AR", f"label: {composed}").replace("mdlm}", f"mdlm, base: {decomposed}}}")
    text = text.replace("replicates: 2}", f"replicates: 2, arms: [{decomposed}, MDLM]}}")
    text = text.replace("calls: 4}", f"calls: 4, arms: [{decomposed}]}}")
    path = tmp_path / "tiny.yaml"
    path.write_text(text, encoding="utf-8")
    spec = read(path).spec
    assert [(arm.label, arm.base) for arm in spec.arms] == [(composed, None), ("MDLM", composed)]
    assert spec.evaluation.bound[0].arms == [composed, "MDLM"]
    assert spec.evaluation.samples[0].arms == [composed]
    path.write_text(text.replace("label: MDLM", f"label: {decomposed}"), encoding="utf-8")
    assert f'tiny.yaml:8:6: label "{composed}" occurs twice; the first is in line 7' in told(path)


@pytest.mark.parametrize(("value", "kind"), UNQUOTED.items())
def test_a_label_that_yaml_reads_as_something_else_has_to_be_quoted(value: str, kind: str, tmp_path: Path) -> None:
    advice = f"YAML reads this as {kind}: put it in quotes"
    error = told(label_arm(value, tmp_path))
    assert re.search(r"tiny\.yaml:7:6: arms\.0\.label is ", error)
    assert advice in error
    if value == "null":
        return
    for old, new, place in (
        ("mdlm}", f"mdlm, base: {value}}}", "8:33: arms.1.base is "),
        ("replicates: 2}", f"replicates: 2, arms: [{value}]}}", "11:43: evaluation.bound.arms.0 is "),
    ):
        path = tmp_path / "reference.yaml"
        path.write_text(TINY.replace(old, new))
        error = told(path)
        assert place in error
        assert advice in error


def test_labels_of_an_ablation_hold_to_the_same_rules(tmp_path: Path) -> None:
    def refused(block: str) -> str:
        return told(write(tmp_path, ablate(block)))

    one = "  grid: {options.steps: [10, {value: 20, label: %s}]}"
    assert "16:42: label is 0.0001, which YAML reads as a number: put it in quotes" in refused(one % "1e-4")
    assert 'label "a  b" has two spaces in a row' in refused(one % '"a  b"')
    assert 'label "" is empty' in refused(one % '""')
    twins = "  grid: {options.steps: [{value: 10, label: a}, {value: 20, label: A}]}"
    assert 'two arms are called "MDLM, A", the other one at' in refused(twins)
    template = "  grid: {options.steps: [10]}\n  labels: '{base}  {steps}'"
    assert '17:3: label "MDLM  10" has two spaces in a row' in refused(template)
    assert "labels.0 is 7: Input should be a valid string; YAML" in refused(
        "  zip: {options.steps: [10]}\n  labels: [7]"
    )
    assert labels(write(tmp_path, ablate(one % '"1e-4"')))[2:] == ["MDLM, steps 10", "MDLM, 1e-4"]


def test_a_base_that_nobody_can_read_is_one_mistake(tmp_path: Path) -> None:
    arms = '  - {label: AR, method: ar}\n  - {label: "MD\\u200bLM", method: mdlm}\n'
    block = ablate("  grid: {options.steps: [10, 20]}").replace("MDLM", '"MD\\u200bLM"')
    assert told(write(tmp_path, block, arms)).count("U+200B") == 1


def test_names_of_scales_and_data_that_are_no_text_are_quoted_too(tmp_path: Path) -> None:
    data = TINY.replace("data: {", "data: [{label: 007, ").replace(
        "test: 16}", "test: 16}, {source: markov, length: 9}]"
    )
    path = tmp_path / "tiny.yaml"
    path.write_text(data + "scales: {1e-4: {seeds: [1]}}\n")
    error = told(path)
    assert re.search(r"2:9: label 7 is not allowed; .*a number: put it in quotes", error)
    assert "14:10: key 1e-4 is a number, not text; quote it" in error
    twins = "data: [{label: x, source: markov, length: 9}, {label: X, source: markov, length: 8}]"
    path.write_text(re.sub("data: .*", twins, TINY))
    assert 'two data sets are called "X" or "x", which only the case tells apart' in told(path)


def test_all_mistakes_come_at_once_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = TINY.replace("label: AR", 'label: "MDLM "').replace("seeds", '  - {label: "   ", method: md4}\nseeds')
    path = tmp_path / "tiny.yaml"
    path.write_text(text)
    assert main(["plan", str(path)]) == USAGE_ERROR
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0].rpartition("tiny.yaml")[2] for line in lines] == [":7:6", ":9:6"]
    assert main(["plan", str(label_arm("A", tmp_path))]) == DONE


def test_a_label_of_no_kind_of_text_is_refused_alone() -> None:
    assert [refusal(value) is None for value in ("a", "a b", "", 7, None)] == [True, True, False, False, False]
