"""Training, validation and test as texts of their own: nothing is split, and every mistake has its place."""

import gzip
import json
import re

import numpy as np
import pytest

from bench.cli.main import main
from bench.engine.data import load
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.plan.plan import plan
from bench.suite.schema import schema
from bench.suite.suite import SuiteError, read
from tests.conftest import TINY
from tests.suite.test_schema import fits, parsed

TEXTS = {
    "train": "The rain in Spain stays mainly in the plain. " * 30,
    "valid": "A quick brown fox jumps over a lazy dog. " * 5,
    "test": "How now, brown cow? 42 of them? " * 6,
}
OWN = "{source: text-file, train: a.txt, valid: b.txt, test: c.txt, length: 12}"


def write(folder, data, name="suite.yaml"):
    """The tiny suite on these data, with texts beside it."""
    for file, text in zip(("a.txt", "b.txt", "c.txt"), TEXTS.values(), strict=True):
        (folder / file).write_text(text)
    path = folder / name
    path.write_text(re.sub("^data: .*", f"data: {data}", TINY, flags=re.MULTILINE))
    return path


def test_each_text_is_its_split_and_the_vocabulary_is_that_of_all(tmp_path):
    suite = read(write(tmp_path, OWN))
    data = load(suite.spec.data, suite.base, tmp_path / "cache")
    assert {name: data.tokenizer.decode(ids) for name, ids in data.splits.items()} == TEXTS
    assert data.tokenizer.decode(np.arange(suite.facts.vocab_size)) == "".join(sorted(set("".join(TEXTS.values()))))
    assert suite.facts.unseen_tokens["test"] == sum(character not in TEXTS["train"] for character in TEXTS["test"])


def test_the_end_of_training_may_be_reserved_and_bytes_be_tokens(tmp_path):
    suite = read(write(tmp_path, OWN.replace("}", ", reserve: 0.1, level: byte}")))
    data = load(suite.spec.data, suite.base, tmp_path / "cache")
    kept, reserved = (data.tokenizer.decode(data.splits[name]) for name in ("train", "reserve"))
    assert kept + reserved == TEXTS["train"]
    assert len(reserved) == round(len(TEXTS["train"]) / 10)
    assert suite.facts.vocab_size == 256


def test_ids_follow_the_content_and_its_splits_alone(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    ids = {plan(read(write(folder, OWN))).cells[0].id for folder in (tmp_path, tmp_path / "elsewhere")}
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(TEXTS["train"].encode()))
    ids.add(plan(read(write(tmp_path, OWN.replace("a.txt", "packed.txt.gz")))).cells[0].id)
    assert len(ids) == 1
    swapped = OWN.replace("b.txt", "x").replace("c.txt", "b.txt").replace("x,", "c.txt,")
    assert plan(read(write(tmp_path, swapped))).cells[0].id not in ids


def test_a_text_that_is_split_equals_its_parts(tmp_path):
    text = "".join(TEXTS.values())
    whole = read(write(tmp_path, "{source: text-file, path: whole.txt, length: 12}".replace("whole", "a")))
    assert whole.facts.tokens["train"] == len(TEXTS["train"]) * 90 // 100
    (tmp_path / "all.txt").write_text(text)
    split = read(write(tmp_path, "{source: text-file, path: all.txt, length: 12}")).facts
    train, valid = split.tokens["train"], split.tokens["valid"]
    (tmp_path / "1.txt").write_text(text[:train])
    (tmp_path / "2.txt").write_text(text[train : train + valid])
    (tmp_path / "3.txt").write_text(text[train + valid :])
    parts = read(write(tmp_path, "{source: text-file, train: 1.txt, valid: 2.txt, test: 3.txt, length: 12}")).facts
    assert parts.fingerprint == split.fingerprint


def test_folders_may_be_splits(tmp_path):
    (tmp_path / "many").mkdir()
    for name in "12":
        (tmp_path / "many" / f"{name}.txt").write_text(TEXTS["train"])
    facts = read(write(tmp_path, OWN.replace("a.txt", "many"))).facts
    assert facts.tokens["train"] == 2 * len(TEXTS["train"]) + 1


BAD = {  # the data; the column and the words
    "no text": ("{source: text-file, length: 12}", r"2:1: there is no text; give one path, or all of"),
    "one missing": (OWN.replace("test: c.txt, ", ""), r"2:1: test is missing; give one path, or all of"),
    "two missing": (
        "{source: text-file, valid: b.txt, length: 12}",
        r"2:1: train and test are missing; give one path",
    ),
    "path as well": (OWN.replace("train", "path: a.txt, train"), r"2:40: path and train are given; give one path"),
    "misspelt": (OWN.replace("valid", "vaild"), r'2:41: unknown key "vaild"; did you mean "valid"'),
    "no word": (OWN.replace("b.txt", "[b.txt]"), r"2:41: data\.valid is \['b\.txt'\]"),
    "empty": (OWN.replace("b.txt", '""'), r"2:41: data\.valid is ''"),
    "one text twice": (OWN.replace("c.txt", "./a.txt"), r"2:55: .*a\.txt: test and train are the same text"),
    "no file": (OWN.replace("c.txt", "gone.txt"), r"2:55: .*gone\.txt"),
    "too short": (OWN.replace("length: 12", "length: 200"), r"2:68: the test split holds 192 tokens"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_mistake_is_told_once_with_its_place(fault, tmp_path, capsys):
    data, words = BAD[fault]
    path = write(tmp_path, data)
    with pytest.raises(SuiteError, match=rf"suite\.yaml:{words}") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == USAGE_ERROR


def test_paths_start_at_the_file_that_names_them_through_extends_and_scales(tmp_path):
    (tmp_path / "sub").mkdir()
    write(tmp_path, OWN, "parent.yaml")
    child = tmp_path / "sub" / "child.yaml"
    child.write_text("extends: ../parent.yaml\nscales: {big: {data: {train: big.txt}}}\n")
    (tmp_path / "sub" / "big.txt").write_text(TEXTS["train"] * 2)
    assert read(child).facts.fingerprint == read(tmp_path / "parent.yaml").facts.fingerprint
    assert read(child, "big").facts.tokens["train"] == 2 * len(TEXTS["train"])

    path = tmp_path / "sub" / "whole.yaml"
    path.write_text("extends: ../parent.yaml\ndata: {path: big.txt, train: null, valid: null, test: null}\n")
    assert sum(read(path).facts.tokens.values()) == 2 * len(TEXTS["train"])


def test_the_schema_knows_both_forms(tmp_path):
    rules = schema()
    for data in (OWN, "{source: text-file, path: a.txt}"):
        assert fits(parsed(write(tmp_path, data).read_text()), rules, rules)
    for data in ("{source: text-file}", OWN.replace("test: c.txt, ", ""), OWN.replace("train", "path: a, train")):
        assert not fits(parsed(write(tmp_path, data).read_text()), rules, rules)


def test_copies_of_training_are_told_whatever_their_names(tmp_path, capsys):
    path = write(tmp_path, OWN.replace("c.txt", "copy.txt.gz"))
    (tmp_path / "copy.txt.gz").write_bytes(gzip.compress(TEXTS["train"].encode()))
    assert main(["plan", str(path), "--runs", str(tmp_path / "runs"), "--json"]) == DONE
    content = json.loads(capsys.readouterr().out)
    count = content["data"]["sequences"]["test"]
    assert content["data"]["sequences_in_training"]["test"] == count
    assert f"{count} of {count} test sequences also occur in the training text" in [
        warning["message"] for warning in content["warnings"]
    ]
