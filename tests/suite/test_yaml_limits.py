"""YAML that is too large, too deep, expands too far or is not plain data is refused with its place."""

import os
import random
import re
import tracemalloc
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.launch.exit_codes import USAGE_ERROR
from bench.suite.suite import SuiteError, read, read_all
from bench.suite.tuning.lock_file import read as read_lock
from bench.suite.yaml_file import load
from bench.suite.yaml_limits import LIMITS, Limits, compose, read_text
from tests.conftest import ROOT, TINY

FEW_BYTES = 10_000_000  # far below what expanded aliases take


def laughs(open_list: str, separator: str) -> str:
    """Lists of nine aliases each of the list before."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        items = separator.join([f"*{before}"] * 9)
        lines.append(f"{name}: &{name}{open_list}{items}" + ("]" if open_list == " [" else ""))
    return "\n".join(lines)


MERGES = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(100)) + "}\n"
REFUSED = {  # a file, the line and column, and words of the message
    "flow lists of aliases": (laughs(" [", ", "), r"5:\d+", r"[\d,]+ keys and values, where 30,000 is the limit"),
    "block lists of aliases": (laughs("\n  - ", "\n  - "), r"\d+:5", r"[\d,]+ keys and values, where 30,000"),
    "mappings of aliases": (
        "a: &a {x: 1, y: 2}\n"
        + "".join(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n" for n in range(1, 20)).replace("*a0", "*a"),
        r"\d+:\d+",
        r"keys and values, where 30,000 is the limit, aliases written out",
    ),
    "merges of many keys": (
        MERGES + "".join(f"b{n}: {{<<: [*a, *a, *a, *a, *a]}}\n" for n in range(100)),
        r"\d+:\d+",
        "keys and values, where 30,000",
    ),
    "a chain of merges": (
        "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: *a{n - 1}, k{n}: 1}}\n" for n in range(1, 200)),
        r"\d+:\d+",
        "nested 33 deep, where 32 is the limit",
    ),
    "open brackets": ("[" * 10_000, "1:33", "nested 33 deep, where 32 is the limit"),
    "open braces": ("{a: " * 10_000, "1:129", "nested 33 deep"),
    "dashes": ("- " * 10_000 + "x", "1:65", "nested 33 deep"),
    "indented keys": ("\n".join(f"{' ' * n}a:" for n in range(1000)), "33:33", "nested 33 deep"),
    "depth by aliases": (
        "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 5000)),
        r"31:\d+",
        "nested 33 deep",
    ),
    "too many values": ("a: [" + "1," * 40_000 + "]", r"1:\d+", "30,001 keys and values, where 30,000"),
    "too many bytes": ("# " + "x" * LIMITS.size, "1:1", "the file has 1,000,002 bytes, where 1,000,000 is the limit"),
    "a list in itself": ("a: &a [1, *a]", "1:11", r"\*a stands inside &a: nothing can contain itself"),
    "a mapping in itself": ("a: &a {b: {c: *a}}", "1:15", r"\*a stands inside &a"),
    "a merge of itself": ("a: &a {<<: *a}", "1:12", r"\*a stands inside &a"),
    "an unknown alias": ("a: *b", "1:4", "not valid YAML: found undefined alias 'b'"),
    "two documents": ("a: 1\n---\nb: 2", "2:1", "a second document starts here; a file holds one"),
    "another version": ("%YAML 1.1\n---\na: yes", "2:1", "YAML 1.1 is not read"),
    "nothing": ("", "1:1", "the file is empty; a suite is a mapping with the keys question"),
    "comments alone": ("# nothing\n", "1:1", "the file is empty; a suite is a mapping"),
    "a list": ("- a", "1:1", "a suite is a mapping with the keys question"),
    "a text": ("a", "1:1", "a suite is a mapping with the keys question"),
    "a tab": ("a:\n\tb: 1", "2:1", "indent with spaces, not with tabs"),
    "a NUL": ("a: b\0c", "1:5", "NUL is not text"),
    "a bell": ("a: 1\nb: \x07", "2:4", r"the control character U\+0007 is not text"),
    "an escape": ("a: \x1b[31m", "1:4", r"the control character U\+001B is not text"),
    "a variable": ("data: {path: ${DATA}/x}", "1:15", r"\$\{DATA\} is not filled in: write the value out, or quote it"),
    "a template": ("a: 1\nb: {{ c }}", "2:5", r"\{\{...\}\} is not filled in"),
    "an at sign": ("a: @b", "1:4", "quote the value"),
}


def refusal(path: Path) -> str:
    with pytest.raises(SuiteError) as error:
        load(path)
    return str(error.value)


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_beyond_the_limits_is_refused_at_its_place(case, tmp_path):
    text, place, words = REFUSED[case]
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    message = refusal(path)
    assert re.match(rf"{re.escape(str(path))}:{place}: .*{words}", message), message


@pytest.mark.parametrize("case", [case for case in REFUSED if "aliases" in case or "merges" in case])
def test_what_would_expand_is_refused_before_it_does(case, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(REFUSED[case][0], encoding="utf-8")
    tracemalloc.start()
    try:
        refusal(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FEW_BYTES


TAGS = (
    "!range [0]",
    "!!set {0}",
    "!!omap [a: 1]",
    "!!binary aGk=",
    "!!timestamp 2024-01-01",
    "!!int 5",
    "!x {a: 1}",
    "! 0",
)


@pytest.mark.parametrize("value", TAGS)
def test_a_tag_is_refused_by_name_with_its_place(value, tmp_path, capsys):
    path = tmp_path / "a.yaml"
    path.write_text(TINY.replace("seeds: [0]", f"seeds: {value}"))
    assert main(["plan", str(path)]) == USAGE_ERROR
    assert f"{path}:9:8: tags are not taken: {value.split()[0]}; remove it" in capsys.readouterr().err


def test_the_tag_of_text_is_taken(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(TINY.replace("question: Does it hold?", "question: !!str 5"))
    assert read(path).spec.question == "5"


def test_no_tag_runs_anything(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"question: !!python/object/apply:os.system ['touch {tmp_path}/ran']\n" + TINY.partition("\n")[2])
    assert "tags are not taken: !!python/object/apply:os.system" in refusal(path)
    assert not (tmp_path / "ran").exists()


def test_anchors_aliases_and_merges_of_usual_size_are_the_values_written_out(tmp_path):
    written, short = tmp_path / "written.yaml", tmp_path / "short.yaml"
    written.write_text(
        TINY.replace("training: {", "execution: {device: cpu}\ntraining: {").replace(
            "\nexecution: {device: cpu}\n", "\n", 1
        )
    )
    arms = "  - &first {label: AR, method: ar}\n  - {<<: *first, label: MDLM, method: mdlm}\n"
    short.write_text(TINY.replace("  - {label: AR, method: ar}\n  - {label: MDLM, method: mdlm}\n", arms))
    assert read(short).spec == read(written).spec


def test_an_alias_is_converted_once_and_shared(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {b: [1, 2]}\nc: [*a, *a]\n")
    content = load(path).content
    assert content["c"][0] is content["c"][1] is content["a"]


@pytest.mark.parametrize("key", ["1", "1.5", "true", "null", "~", "[a]", "{a: 1}", "2024-01-01"])
def test_a_key_that_is_not_text_is_told_with_its_place(key, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"a: 1\n? {key}\n: 2\n")
    assert re.match(
        rf"{path}:2:3: (key {re.escape(key)} is .*, not text; quote it|a key is text, not a )", refusal(path)
    )


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("9" * 5000, r"learning_rate is 9{30}\.\.\. \(5,000 characters\): whole numbers go up to 9,223,372"),
        ("9223372036854775808", r"learning_rate is 9223372036854775808: .*larger ones are written as 1.0e20"),
        ("1e999", "learning_rate is 1e999: Input should be a finite number"),
        ("-.inf", "learning_rate is -.inf: Input should be a finite number"),
        (".nan", "learning_rate is .nan: Input should be a finite number"),
        ("-_", "learning_rate is -_, which is not a number; quote it if it is text"),
        ("1:30:00", "training.learning_rate is '1:30:00': Input should be a valid number"),
        ("2024-01-01", "training.learning_rate is '2024-01-01': Input should be a valid number"),
    ],
)
def test_a_number_that_is_not_usable_is_told_once_with_its_place(number, words, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(TINY.replace("batch_size: 8", f"batch_size: 8, learning_rate: {number}"))
    with pytest.raises(SuiteError, match=rf"^{path}:5:27: {words}[^\n]*$"):
        read(path)


def test_files_that_are_no_text_or_no_files_are_told(tmp_path):
    utf_16, folder, pipe = tmp_path / "utf16.yaml", tmp_path / "folder.yaml", tmp_path / "pipe.yaml"
    utf_16.write_text(TINY, encoding="utf-16")
    folder.mkdir()
    os.mkfifo(pipe)
    assert refusal(utf_16) == f"{utf_16}:1:1: the encoding is UTF-16; save the file as UTF-8"
    utf_32 = tmp_path / "utf-32.yaml"
    utf_32.write_text(TINY, encoding="utf-32")
    assert refusal(utf_32) == f"{utf_32}:1:1: the encoding is UTF-32; save the file as UTF-8"
    assert refusal(folder) == f"{folder}: is a folder; name a file"
    assert refusal(pipe) == f"{pipe}: is not a regular file; name a file"
    assert refusal(Path("/dev/zero")) == "/dev/zero: is not a regular file; name a file"
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert refusal(latin) == f"{latin}:2:7: not a text file (byte 11 is not UTF-8)"


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(TINY)
    plain = read(path)
    path.write_bytes(b"\xef\xbb\xbf" + TINY.replace("\n", "\r\n").encode())
    assert read(path).spec == plain.spec
    assert read(path).source == plain.source


def test_a_chain_of_files_has_a_limit_of_length_and_of_bytes_together(tmp_path):
    for number in range(20):
        (tmp_path / f"{number}.yaml").write_text(f"question: Why?\nextends: {number + 1}.yaml\n")
    (tmp_path / "20.yaml").write_text(TINY)
    assert refusal(tmp_path / "0.yaml") == f"{tmp_path}/16.yaml:2:1: this is file 18 of a chain, where 17 is the limit"
    assert read(tmp_path / "10.yaml").spec.seeds == [0]
    (tmp_path / "20.yaml").write_text(TINY + "#" * (LIMITS.size - 300))
    assert re.match(
        rf"{tmp_path}/20.yaml:1:1: the file has [\d,]+ bytes, where 999,\d+ is the limit", refusal(tmp_path / "10.yaml")
    )


def test_a_lock_file_is_read_within_limits_too(tmp_path):
    path = tmp_path / "a.lock"
    path.write_text("suite: " + "[" * 10_000)
    with pytest.raises(SuiteError, match=r"a\.lock:1:39: .*nested 33 deep.*; write it again with: bench tune"):
        read_lock(path)


def test_the_limits_are_those_that_are_given(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("a: [1, 2, 3]")
    compose(path, read_text(path), Limits(nodes=6, depth=2))
    for limits in (Limits(nodes=5), Limits(depth=1)):
        with pytest.raises(SuiteError, match="is the limit"):
            compose(path, read_text(path), limits)


PIECES = re.compile(r"[\w.+-]+|[\[\]{},:]|\n *")
VALUES = r"""null|-1|0|1.5|1e400|99999999999999999999|.inf|''|[]|{}|[[]]|[{}]|[null]|{null: 1}|{1: 2}|{[1]: 2}|!x|&a
*a|<<|---|%|@|`|"|'|?|${X}|~/x|2024-01-01|1:30:00|text|markov|MDLM|AR|trained|true|[a, a]|{a: 1}|"a\0b"
{value: 1, label: 2}"""
STRANGE = ("\0", "\x07", "\ufeff", "\t", "\r", "\u2028", "{", "]", ":", "- ", "#", "&a ", "*a ", "!t ", "\u00e9")


def mutate(text: str, rng: random.Random) -> str:
    """The text with one to three pieces replaced, removed, doubled or preceded by a strange character."""
    for _ in range(rng.randint(1, 3)):
        piece, other = rng.choice(list(PIECES.finditer(text))), rng.choice(re.split(r"[|\n]", VALUES))
        change = rng.choice([other, other, other, "", 2 * piece.group(), rng.choice(STRANGE) + piece.group()])
        text = text[: piece.start()] + change + text[piece.end() :]
    return text


ABLATIONS = "ablate: {base: MDLM, grid: {options.steps: [10, 100], options.schedule: [linear, cosine]}}\n"
TUNING = "tune: {trials: 2, seeds: [7], search: {training.learning_rate: {low: 0.1, high: 1.0, log: true}}}\n"


@pytest.mark.parametrize("seed", range(4))
def test_whatever_a_suite_holds_only_its_faults_are_raised(seed, tmp_path):
    rng, path = random.Random(seed), tmp_path / "mutated.yaml"
    shipped = [(ROOT / "suites" / f"{name}.yaml").read_text() for name in ("markov", "smoke")]
    bases = [TINY, TINY + ABLATIONS, TINY + TUNING, *shipped]
    messages = []
    for _ in range(40):
        path.write_text(mutate(rng.choice(bases), rng), encoding="utf-8", newline="")
        try:
            read_all(path)
        except SuiteError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert all(str(path) in message for message in messages)


@pytest.mark.parametrize("argument", ["", "nope", "a\0b", "../x", "\u00e9" * 1000])
@pytest.mark.parametrize("option", ["--scale", "--data"])
def test_odd_names_of_scales_and_data_sets_are_told(option, argument, tiny, capsys):
    assert main(["plan", str(tiny), option, argument]) == USAGE_ERROR
    assert re.search(r"there is no scale|there is no data set|has no label", capsys.readouterr().err)
