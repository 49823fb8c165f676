"""A bound prints "<=", and a likelihood "=", only where its certificate was made by the code that is here."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.certify import certificate_files as certificates
from bench.certify import certificate_tables as readme
from bench.certify.certificate_files import Subject, subject
from bench.certify.check import Check
from bench.cli.main import main
from bench.launch.exit_codes import DONE, FAILED
from methods import METHODS, OptionError
from methods.method import Method
from tests.conftest import TINY
from tests.support import museum
from tests.support.certifying import limit_checks

GOOD, BAD = Check("a", "1 ± 0", True, "it holds"), Check("b", "2 ± 0", False, "it does not")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of certificates."""
    monkeypatch.setattr(certificates, "FOLDER", tmp_path / "certificates")
    return tmp_path / "certificates"


NOWHERE = Path("no-runs")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", METHODS)
def test_every_registered_method_has_a_certificate_of_this_code(name, precision):
    certified = certificates.is_certified(subject(name, {}, precision), NOWHERE)
    assert certified, f"the code changed: make them again with bench certify --write --precision {precision}"


def test_the_tables_of_the_documentation_are_those_of_the_certificates():
    text = (certificates.FOLDER.parent / "README.md").read_text()
    assert readme.format_tables() in text
    assert "failed" not in readme.format_tables()
    assert readme.format_tables().count(" of ") >= 2 * len(METHODS)


def test_the_tables_show_the_other_estimators_that_are_certified(folder, tmp_path):
    oracle = Check("bound of an oracle, a table", "+0.1 ± 0.2 nats", True, "")
    certificates.write_certificate(subject("mdlm", {}, "float32"), [oracle], tmp_path)
    assert "times" not in readme.format_tables().partition("| method |")[2]
    certificates.write_certificate(subject("mdlm", {}, "float32", "times"), [oracle, BAD], tmp_path)
    tables = readme.format_tables()
    (row,) = re.findall(r"^\| `mdlm`, times .*", tables, re.MULTILINE)
    assert row.startswith("| `mdlm`, times | 1 of 2 passed; **failed**: b | none |")
    assert "independent |" not in tables


def test_a_certificate_holds_for_its_method_options_precision_and_code(folder, tmp_path, monkeypatch):
    certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path)
    certificates.write_certificate(subject("mdlm", {"steps": 8}, "float32"), [GOOD, BAD], tmp_path)
    certificates.write_certificate(subject("mdlm", {"steps": 7}, "float32"), [GOOD], tmp_path)

    def holds(*asked: Any) -> bool:
        return certificates.is_certified(subject(*asked), tmp_path)

    assert holds("mdlm", {}, "float32")
    assert holds("mdlm", {"steps": 7}, "float32")
    assert not holds("mdlm", {"steps": 8}, "float32")
    assert not holds("mdlm", {"steps": 9}, "float32")
    assert not holds("mdlm", {}, "bfloat16")
    assert not holds("md4", {}, "float32")
    assert holds("mdlm", {}, "float32", "counted")  # which it uses by default
    assert not holds("mdlm", {}, "float32", "times")
    certificates.write_certificate(subject("mdlm", {}, "float32", "times"), [GOOD], tmp_path)
    assert holds("mdlm", {}, "float32", "times")
    assert not holds("mdlm", {}, "float32", "independent")
    monkeypatch.setattr(certificates, "certificate_code", lambda roots: "other")
    assert not holds("mdlm", {}, "float32")


def test_the_file_of_another_estimator_has_its_name(tmp_path):
    names = {name: subject("mdlm", {}, "float32", name).path(tmp_path).name for name in ("auto", "counted", "times")}
    assert names["auto"] == names["counted"] == "mdlm-float32.json"
    assert names["times"] == "mdlm-times-float32.json"
    assert subject("udlm", {}, "float32", "times").path(tmp_path).name == "udlm-float32.json"
    assert subject("ar", {}, "float32").path(tmp_path).name == "ar-float32.json"
    assert re.fullmatch(
        "mdlm-times-[0-9a-f]{8}-float32.json",
        subject("mdlm", {"schedule": "cosine"}, "float32", "times").path(tmp_path).name,
    )


@pytest.mark.parametrize(("method", "estimator"), [("ar", "times"), ("udlm", "counted")])
def test_an_estimator_that_a_method_does_not_admit_has_no_certificate(method, estimator):
    with pytest.raises(OptionError, match=f'estimator "{estimator}": method "{method}" .* it admits: auto'):
        subject(method, {}, "float32", estimator)


def test_a_copy_of_a_certificate_under_another_name_certifies_nothing(folder, tmp_path):
    path = certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path)
    others = [subject("mdlm", {}, "float32", "times"), subject("mdlm", {}, "bfloat16"), subject("md4", {}, "float32")]
    for other in others:
        shutil.copy(path, other.path(tmp_path))
        assert certificates.read_certificate(other, tmp_path) is None


def test_a_certificate_says_what_was_certified(folder, tmp_path):
    path = certificates.write_certificate(subject("mdlm", {}, "bfloat16", "times"), [GOOD], tmp_path, seed=5)
    content = json.loads(path.read_text())
    assert (content["method"], content["precision"], content["estimator"]) == ("mdlm", "bfloat16", "times")
    assert re.fullmatch("[0-9a-f]{12}", content["code"])
    assert content["seed"] == 5
    assert content["versions"]["torch"] == str(torch.__version__)


def test_no_checks_are_no_certificate(folder, tmp_path):
    certificates.write_certificate(subject("mdlm", {}, "float32"), [], tmp_path)
    assert not certificates.is_certified(subject("mdlm", {}, "float32"), tmp_path)


def test_only_the_project_s_own_defaults_are_kept_in_the_project(folder, tmp_path):
    assert subject("mdlm", {}, "float32").path(tmp_path).parent == folder
    assert subject("mdlm", {"steps": 7}, "float32").path(tmp_path).parent == tmp_path / "certificates"
    foreign = Subject("mdlm", {}, "float32", "0123", ())
    assert foreign.path(tmp_path).parent == tmp_path / "certificates"


def test_the_arms_of_a_suite_are_certified_with_their_options(folder, tmp_path, monkeypatch, capsys):
    suite, runs = tmp_path / "tiny.yaml", tmp_path / "runs"
    suite.write_text(TINY.replace("method: mdlm}", "method: mdlm, options: {schedule: cosine}}"))
    limit_checks(monkeypatch, "bound")
    assert main(["certify", "--suite", str(suite), "--write", "--runs", str(runs)]) == DONE
    assert certificates.is_certified(subject("mdlm", {"schedule": "cosine"}, "float32"), runs)
    assert certificates.is_certified(subject("ar", {}, "float32"), runs)
    assert not certificates.is_certified(subject("mdlm", {}, "float32"), runs)
    monkeypatch.setitem(METHODS, "wrong", museum.Halved)
    assert main(["certify", "wrong", "--write", "--runs", str(runs)]) == FAILED
    kept = json.loads(subject("wrong", {}, "float32").path(runs).read_text())
    assert kept["passed"] is False
    failed = {each["name"] for each in kept["checks"] if not each["passed"]}
    assert failed >= {"bound of every text, 1 token", "Kraft sum of an oracle, 1 token"}
    assert "schedule=" in capsys.readouterr().out


def test_a_method_that_cannot_be_asked_is_a_failed_row(folder, tmp_path, monkeypatch, capsys):
    class Unfinished(METHODS["mdlm"]):
        def log_noise(self, z, t):
            return Method.log_noise(self, z, t)

    monkeypatch.setitem(METHODS, "wrong", Unfinished)
    limit_checks(monkeypatch, "bound", "steps")
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["certify", "wrong"]) == FAILED
    told = capsys.readouterr().out
    assert "Unfinished has no `log_noise`" in " ".join(told.split())
    assert "0 of 1 checks passed" in told
