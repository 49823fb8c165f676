"""A bound prints "<=" only where its certificate was made by the code that is here."""

import json
from pathlib import Path

import pytest

import bench
from bench.certify import certificates
from bench.certify.verdict import Check
from bench.cli import DONE, FAILED, main
from methods import METHODS, describe
from tests import museum
from tests.conftest import TINY

GOOD, BAD = Check("a", "1 ± 0", True, "it holds"), Check("b", "2 ± 0", False, "it does not")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of certificates."""
    monkeypatch.setattr(certificates, "FOLDER", tmp_path / "certificates")
    certificates.read.cache_clear()
    yield tmp_path / "certificates"
    certificates.read.cache_clear()


@pytest.mark.parametrize("name", METHODS)
def test_every_registered_method_has_a_certificate_of_this_code(name):
    assert certificates.holds(name, {}, "float32"), "the code changed: make them again with bench certify --write"


def test_a_certificate_holds_for_its_method_options_precision_and_code(folder, monkeypatch):
    certificates.write("mdlm", {}, "float32", [GOOD])
    certificates.write("mdlm", {"steps": 8}, "float32", [GOOD, BAD])
    assert certificates.holds("mdlm", {}, "float32")
    assert not certificates.holds("mdlm", {"steps": 8}, "float32")
    assert not certificates.holds("mdlm", {"steps": 9}, "float32")
    assert not certificates.holds("mdlm", {}, "bfloat16")
    assert not certificates.holds("md4", {}, "float32")
    monkeypatch.setattr(certificates, "fingerprint", lambda patterns: "other")
    assert not certificates.holds("mdlm", {}, "float32")


def test_the_table_says_less_or_equal_with_a_certificate_and_a_dagger_without(folder, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(TINY)
    arguments = [str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]
    assert main(["run", *arguments]) == DONE
    assert kinds(tmp_path) == {"AR": "exact", "MDLM": "bound"}
    assert "†" in capsys.readouterr().out
    certificates.write("mdlm", {}, "float32", [GOOD])
    assert kinds(tmp_path) == {"AR": "exact", "MDLM": "certified"}
    assert main(["report", *arguments]) == DONE
    told = capsys.readouterr().out
    assert "<=" in told
    assert "†" not in told


def kinds(folder: Path) -> dict[str, str]:
    table = bench.load(folder / "runs")
    return dict(table[table["metric"] == "bits_per_char"].set_index("arm")["kind"])


def test_results_of_other_code_are_not_certified(folder, tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert main(["run", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]) == DONE
    certificates.write("mdlm", {}, "float32", [GOOD])
    monkeypatch.setattr("bench.results.code_fingerprint", lambda: "other")
    assert kinds(tmp_path)["MDLM"] == "bound"


def test_the_arms_of_a_suite_are_certified_with_their_options(folder, tmp_path, monkeypatch, capsys):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(TINY.replace("method: mdlm}", "method: mdlm, options: {schedule: cosine}}"))
    monkeypatch.setattr("bench.certify.verdict.QUESTIONS", ("kraft",))
    assert main(["certify", "--suite", str(suite), "--write"]) == DONE
    assert certificates.holds("mdlm", describe("mdlm", {"schedule": "cosine"}), "float32")
    assert certificates.holds("ar", {}, "float32")
    assert not certificates.holds("mdlm", {}, "float32")
    monkeypatch.setitem(METHODS, "wrong", museum.Halved)
    assert main(["certify", "wrong", "--write"]) == FAILED
    kept = json.loads(certificates.path_of("wrong", {}, "float32").read_text())
    assert kept["passed"] is False
    assert {each["name"] for each in kept["checks"]} >= {"Kraft sum, random weights of 0.05"}
    assert "schedule=" in capsys.readouterr().out
