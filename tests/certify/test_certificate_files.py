"""A bound prints "<=" only where its certificate was made by the code that is here."""

import json
from pathlib import Path
from typing import Any

import pytest

import bench
from bench.certify import certificate_files as certificates
from bench.certify import certificate_tables as readme
from bench.certify.certificate_files import Subject, subject
from bench.certify.check import Check
from bench.cli.main import main
from bench.launch.exit_codes import DONE, FAILED
from bench.results.suite_record import read
from methods import METHODS
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
    monkeypatch.setattr(certificates, "certificate_code", lambda roots: "other")
    assert not holds("mdlm", {}, "float32")


def test_only_the_project_s_own_defaults_are_kept_in_the_project(folder, tmp_path):
    assert subject("mdlm", {}, "float32").path(tmp_path).parent == folder
    assert subject("mdlm", {"steps": 7}, "float32").path(tmp_path).parent == tmp_path / "certificates"
    foreign = Subject("mdlm", {}, "float32", "0123", ())
    assert foreign.path(tmp_path).parent == tmp_path / "certificates"


def test_the_table_says_less_or_equal_with_a_certificate_and_a_dagger_without(folder, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(TINY)
    arguments = [str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]
    assert main(["run", *arguments]) == DONE
    assert kinds(tmp_path) == {"AR": "exact", "MDLM": "bound"}
    assert "†" in capsys.readouterr().out
    page = tmp_path / "runs" / "reports" / "tiny" / "index.html"
    assert "mdlm, float32: no certificate" in page.read_text()
    certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path / "runs")
    assert kinds(tmp_path) == {"AR": "exact", "MDLM": "certified"}
    assert main(["report", *arguments]) == DONE
    told = capsys.readouterr().out
    assert "<=" in told
    assert "†" not in told
    assert "mdlm, float32: certified; checks passed: 1" in page.read_text()
    assert GOOD.meaning in page.read_text()


def kinds(folder: Path) -> dict[str, str]:
    table = bench.load(folder / "runs")
    return dict(table[table["metric"] == "bits_per_char"].set_index("arm")["kind"])


def test_results_of_other_code_are_not_certified(folder, tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert main(["run", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]) == DONE
    certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path / "runs")
    monkeypatch.setattr("bench.results.staleness.stage_code", lambda stage, roots, source=None: "other")
    assert kinds(tmp_path)["MDLM"] == "bound"


def test_a_record_tells_the_state_of_the_certificates_of_its_bounds(folder, tmp_path, monkeypatch):
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert main(["run", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]) == DONE

    def state() -> list[tuple[str, str, list[str]]]:
        found = read(tmp_path / "runs", "tiny").certificates
        return [(certification.method, certification.state, certification.arms) for certification in found]

    assert state() == [("mdlm", "none", ["MDLM"])]
    certificates.write_certificate(subject("mdlm", {}, "float32"), [BAD], tmp_path / "runs")
    assert state() == [("mdlm", "refused", ["MDLM"])]
    certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path / "runs")
    assert state() == [("mdlm", "certified", ["MDLM"])]
    monkeypatch.setattr(certificates.Subject, "code", lambda self: "other")
    assert state() == [("mdlm", "outdated", ["MDLM"])]


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
    assert {each["name"] for each in kept["checks"]} >= {"Kraft sum, random weights of 0.05"}
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
    assert "Unfinished has no `log_noise`" in told
    assert "Kraft sum" in told
