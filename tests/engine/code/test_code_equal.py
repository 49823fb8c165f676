"""Which recorded code counts as current code, and how hashes are cached."""

import json
from collections.abc import Sequence

import pytest

from bench.engine import code_hash
from bench.engine.code_hash import stage_code
from bench.engine.data import SOURCES
from bench.engine.records import RESULTS, Stage, StoredCell
from bench.engine.storage import succeed
from bench.results.staleness import code_origin, is_stale, recorded_origin
from tests.support.lab import write


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Replace the project's table of equal code."""

    def write_rows(rows: Sequence[tuple[str, str, str, str]]) -> None:
        content = [dict(zip(("old", "new", "stage", "method"), row, strict=True)) for row in rows]
        monkeypatch.setattr(code_hash, "_read_table", lambda: content)
        code_hash._equal_codes.cache_clear()

    yield write_rows
    code_hash._equal_codes.cache_clear()


def test_code_is_fresh_if_rows_of_its_stage_and_method_link_it(table):
    table([("a", "b", "train", "mdlm"), ("c", "b", "train", "mdlm"), ("c", "d", "train", "mdlm")])
    assert code_hash.is_fresh("a", "d", "train", "mdlm")
    assert code_hash.is_fresh("d", "a", "train", "mdlm")
    assert code_hash.is_fresh("x", "x", "bound", "ar")
    assert not code_hash.is_fresh("a", "d", "bound", "mdlm")
    assert not code_hash.is_fresh("a", "d", "train", "ar")
    assert not code_hash.is_fresh("a", "x", "train", "mdlm")


def test_a_training_run_by_several_codes_is_fresh_if_all_of_them_are(table):
    table([("a", "b", "train", "mdlm")])
    assert code_hash.is_fresh("a, then b", "b", "train", "mdlm")
    assert not code_hash.is_fresh("a, then c", "b", "train", "mdlm")


def test_the_code_of_data_counts_if_it_was_recorded(table):
    table([("a", "b", "train", "mdlm"), ("p", "q", "data", "")])
    assert code_hash.is_fresh("a", "b-p", "train", "mdlm")
    assert code_hash.is_fresh("a-p", "b-q", "train", "mdlm")
    assert not code_hash.is_fresh("a-p", "b-r", "train", "mdlm")
    assert not code_hash.is_fresh("a-p", "b", "train", "mdlm")


def test_rows_link_recorded_code_with_current_code(table):
    current = code_hash.current_code("certificate", "ar")
    rows = code_hash.equal_rows({"train": {"mdlm": "old"}, "certificate": {"ar": current}}, "a move")
    assert [(row["old"], row["stage"], row["method"], row["why"]) for row in rows] == [
        ("old", "train", "mdlm", "a move")
    ]
    table([(row["old"], row["new"], row["stage"], row["method"]) for row in rows])
    assert code_hash.is_fresh("old", code_hash.current_code("train", "mdlm"), "train", "mdlm")


def test_every_row_of_the_table_says_why():
    rows = json.loads(code_hash.TABLE.read_text())
    assert rows
    assert all(list(row) == ["old", "new", "stage", "method", "why"] and row["why"] for row in rows)


@pytest.mark.parametrize(
    ("changed", "stale"),
    [
        ("", set()),
        ("train", {"train", "bound", "samples", "quality"}),
        ("bound", {"bound"}),
        ("samples", {"samples", "quality"}),
        ("quality", {"quality"}),
    ],
)
def test_a_stage_is_stale_if_one_that_it_depends_on_is(changed, stale, tmp_path):
    settings = {"train": {}, "bound": {}, "samples": {}, "quality": {"samples": "samples"}}
    stages = [Stage(name=name, id="000000000001", folder=name, settings=value) for name, value in settings.items()]
    origin = code_origin("mdlm", "markov")
    for stage in stages:
        code = "other" if stage.name == changed else origin.code(stage.name)
        succeed(tmp_path / stage.folder, RESULTS[stage.name](environment={"code": code}))
    assert {stage.name for stage in stages if is_stale(tmp_path, stage, origin)} == stale


def test_a_result_without_code_and_a_stage_without_result_are_fresh(tmp_path):
    succeed(tmp_path / "bound", RESULTS["bound"]())
    stage = Stage(name="bound", id="000000000001", folder="bound")
    assert not is_stale(tmp_path, stage, code_origin("mdlm", "markov"))


def test_a_method_that_is_not_loaded_has_the_roots_of_its_record():
    root = "methods.masked.absorbing:Absorbing"
    cell = StoredCell(
        id="000000000001", arm="A", method="nowhere", seed=0, stages=(), roots={"stages": [root], "certificate": []}
    )
    assert recorded_origin(cell, "markov").code("train") == stage_code("train", (root,), SOURCES["markov"])
    old = StoredCell.model_validate(cell.model_dump(exclude={"roots"}) | {"written_in": ["methods/absorbing.py"]})
    assert recorded_origin(old, "markov").roots == ()


@pytest.mark.parametrize("state", ["missing", "broken", "unwritable"])
def test_hashes_are_computed_again_if_the_cache_cannot_be_used(state, tmp_path, monkeypatch):
    expected = code_hash.definitions()
    folder = tmp_path / "diffusion-bench" / "code"
    if state == "broken":
        write(folder, {f"{code_hash._project_digest()}.json": "{"})
    if state == "unwritable":
        (tmp_path / "diffusion-bench").write_text("a file in place of the folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(code_hash, "hashes", lambda project: expected)
    monkeypatch.setattr(code_hash, "project", lambda: None)
    assert code_hash.definitions.__wrapped__() == expected
    if state != "unwritable":
        assert [path.name for path in folder.iterdir()] == [f"{code_hash._project_digest()}.json"]
