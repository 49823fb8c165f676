"""A bound prints "<=", and a likelihood "=", only where its certificate was made by the code that is here."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import bench
from bench.certify import certificate_files as certificates
from bench.certify import certificate_tables as readme
from bench.certify.certificate_files import Subject, subject
from bench.certify.check import Check
from bench.certify.checks import CHECKS
from bench.cli.main import main
from bench.engine.records import BoundResult, Stage, StoredCell
from bench.launch.exit_codes import DONE, FAILED
from bench.results.recorded_cell import RecordedCell
from bench.results.suite_certificates import kind_of, subject_of
from bench.results.suite_record import read
from methods import METHODS, OptionError
from methods.method import Method
from tests.conftest import TINY
from tests.support import museum

GOOD, BAD = Check("a", "1 ± 0", True, "it holds"), Check("b", "2 ± 0", False, "it does not")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of certificates."""
    monkeypatch.setattr(certificates, "FOLDER", tmp_path / "certificates")
    return tmp_path / "certificates"


NOWHERE = Path("no-runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder with the tiny suite and its finished runs, which are only read."""
    place = tmp_path_factory.mktemp("finished")
    (place / "tiny.yaml").write_text(TINY)
    assert main(["run", str(place / "tiny.yaml"), "--runs", str(place / "runs")]) == DONE
    return place


def copy_runs(finished: Path, place: Path) -> None:
    """Copy the finished runs to a place where certificates can be written."""
    for name in ("cells", "suites"):
        shutil.copytree(finished / "runs" / name, place / "runs" / name)


def run_only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Leave out all other checks."""
    monkeypatch.setattr("bench.certify.checks.CHECKS", {name: CHECKS[name] for name in names})


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
    assert "estimators" not in readme.format_tables()
    certificates.write_certificate(subject("mdlm", {}, "float32", "times"), [oracle, BAD], tmp_path)
    tables = readme.format_tables()
    (row,) = re.findall(r"^\| `mdlm`, times .*", tables, re.MULTILINE)
    assert row.startswith("| `mdlm`, times | +0.1 ± 0.2 |")
    assert row.endswith("| 1 of 2 passed | none |")
    assert "independent" not in tables


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


def test_a_certificate_of_an_earlier_version_is_one_of_the_default_estimator(folder, finished, tmp_path):
    path = certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path)
    content = json.loads(path.read_text())
    for name in ("estimator", "seed", "versions"):
        del content[name]
    for check in content["checks"]:
        for name in ("sees", "p_value", "seconds"):
            del check[name]
    path.write_text(json.dumps(content))
    assert certificates.is_certified(subject("mdlm", {}, "float32"), tmp_path)
    copy_runs(finished, tmp_path)
    assert main(["report", str(finished / "tiny.yaml"), "--runs", str(tmp_path / "runs")]) == DONE
    page = (tmp_path / "runs" / "reports" / "tiny" / "index.html").read_text()
    assert "mdlm, float32: certified; checks passed: 1" in page
    shutil.copy(path, subject("mdlm", {}, "float32", "times").path(tmp_path))
    assert not certificates.is_certified(subject("mdlm", {}, "float32", "times"), tmp_path)


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


def test_a_method_that_is_not_loaded_has_the_certificates_of_its_estimators(tmp_path):
    science = {"method": "mine", "options": {}, "plugin": "0123456789ab"}
    stored = StoredCell(id="000000000001", arm="A", method="mine", seed=0, stages=(), science=science)
    cell = RecordedCell(stored, tmp_path)
    default = Subject("mine", {}, "float32", "0123456789ab", (), "counted", "counted")
    other = replace(default, estimator="times")
    for made in (default, other):
        certificates.write_certificate(made, [GOOD], tmp_path)
    assert {path.name[:10] for path in (tmp_path / "certificates").iterdir()} == {
        "mine-times",
        default.path(tmp_path).name[:10],
    }

    def certified(estimator: str) -> bool:
        return certificates.is_certified(subject_of(cell, "float32", estimator, tmp_path), tmp_path)

    assert [certified(name) for name in ("auto", "counted", "times", "independent")] == [True, True, True, False]


def test_an_estimator_of_another_version_has_no_certificate(finished, tmp_path):
    stored = StoredCell(id="000000000001", arm="A", method="mdlm", seed=0, stages=())
    stage = Stage(name="bound", id="000000000001", settings={"estimator": "../novel"})
    result = BoundResult(kind="bound", environment={"precision": "float32"})
    assert kind_of(tmp_path, RecordedCell(stored, tmp_path), stage, result, False) == "bound"
    assert (
        kind_of(tmp_path, RecordedCell(stored, tmp_path), stage, result.model_copy(update={"kind": "exact"}), False)
        == "likelihood"
    )


def test_only_the_project_s_own_defaults_are_kept_in_the_project(folder, tmp_path):
    assert subject("mdlm", {}, "float32").path(tmp_path).parent == folder
    assert subject("mdlm", {"steps": 7}, "float32").path(tmp_path).parent == tmp_path / "certificates"
    foreign = Subject("mdlm", {}, "float32", "0123", ())
    assert foreign.path(tmp_path).parent == tmp_path / "certificates"


def test_the_table_says_less_or_equal_with_a_certificate_and_a_dagger_without(folder, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(TINY)
    arguments = [str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]
    assert main(["run", *arguments]) == DONE
    assert kinds(tmp_path) == {"AR": "likelihood", "MDLM": "bound"}
    table = capsys.readouterr().out
    assert "†" in table
    assert (
        "likelihood or bound that is not certified; <= is kept for certified ones, = for them and for references"
        in table
    )
    page = tmp_path / "runs" / "reports" / "tiny" / "index.html"
    assert "mdlm, float32: no certificate" in page.read_text()
    certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path / "runs")
    assert kinds(tmp_path) == {"AR": "likelihood", "MDLM": "certified"}
    assert main(["report", *arguments]) == DONE
    table = capsys.readouterr().out
    assert re.search("AR +† ", table)
    assert "likelihood that is not certified; = is kept for certified ones and for references" in table
    assert "AR has a likelihood without a certificate at" in page.read_text()

    certificates.write_certificate(subject("ar", {}, "float32"), [GOOD], tmp_path / "runs")
    assert kinds(tmp_path) == {"AR": "exact", "MDLM": "certified"}
    assert main(["report", *arguments]) == DONE
    told = capsys.readouterr().out
    assert "<=" in told
    assert "†" not in told
    assert "mdlm, float32: certified; checks passed: 1" in page.read_text()
    assert GOOD.meaning in page.read_text()


def test_the_page_says_what_was_certified_and_why_it_was_refused(folder, finished, tmp_path):
    copy_runs(finished, tmp_path)
    arguments = ["report", str(finished / "tiny.yaml"), "--runs", str(tmp_path / "runs")]
    certified, refused = subject("ar", {}, "float32"), subject("mdlm", {}, "float32")
    certificates.write_certificate(certified, [GOOD], tmp_path / "runs", 3, {"oracle": "512 texts"})
    certificates.write_certificate(refused, [GOOD, BAD], tmp_path / "runs")
    assert main(arguments) == DONE
    page = (tmp_path / "runs" / "reports" / "tiny" / "index.html").read_text()
    assert "mdlm, float32: refused: 1 of 2 checks failed: b (2 ± 0)" in page
    terms = dict(
        re.findall(
            "<dt>(.*?)</dt><dd>(.*?)</dd>", page[page.index("ar, float32: certified") :].partition("</details>")[0]
        )
    )
    assert terms["Code"] == certified.code()
    assert terms["Estimator"] == "exact likelihood"
    assert terms["Precision"] == "float32"
    assert terms["Options"] == "defaults"
    assert terms["Seed"] == "3"
    assert terms["Sizes, oracle"] == "512 texts"
    assert torch.__version__ in terms["Versions"]
    assert "guards against mistakes, not malice" in page


def test_a_refused_likelihood_is_none(folder, finished, tmp_path):
    copy_runs(finished, tmp_path)
    certificates.write_certificate(subject("ar", {}, "float32"), [GOOD, BAD], tmp_path / "runs")
    assert kinds(tmp_path)["AR"] == "likelihood"
    table = bench.load(tmp_path / "runs")
    computed = table[table["metric"] == "source_nats_per_token"]
    assert set(computed["kind"]) == {"exact"}, "computed by the harness from the source"


def test_the_bound_of_each_estimator_needs_its_own_certificate(folder, tmp_path):
    bounds = "\n    - {draws: 2, replicates: 2}\n    - {draws: 2, replicates: 2, estimator: times, arms: [MDLM]}"
    (tmp_path / "tiny.yaml").write_text(TINY.replace("bound: {draws: 2, replicates: 2}", f"bound:{bounds}"))
    assert main(["run", str(tmp_path / "tiny.yaml"), "--runs", str(tmp_path / "runs")]) == DONE

    def states() -> dict[str, tuple[str, str]]:
        table = bench.load(tmp_path / "runs")
        rows = table[(table["metric"] == "nats_per_token") & (table["arm"] == "MDLM") & (table["split"] == "test")]
        certified = {
            of.estimator: of.state for of in read(tmp_path / "runs", "tiny").certificates if of.method == "mdlm"
        }
        stages = dict(zip(rows["stage"], rows["kind"], strict=True))
        return {"counted": (stages["bound"], certified[""]), "times": (stages["estimate"], certified["times"])}

    assert states() == {"counted": ("bound", "none"), "times": ("bound", "none")}
    certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path / "runs")
    assert states() == {"counted": ("certified", "certified"), "times": ("bound", "none")}
    certificates.write_certificate(subject("mdlm", {}, "float32", "times"), [BAD], tmp_path / "runs")
    assert states() == {"counted": ("certified", "certified"), "times": ("bound", "refused")}
    certificates.write_certificate(subject("mdlm", {}, "float32", "times"), [GOOD], tmp_path / "runs")
    assert states()["times"] == ("certified", "certified")
    certificates.write_certificate(subject("mdlm", {}, "float32"), [BAD], tmp_path / "runs")
    assert states() == {"counted": ("bound", "refused"), "times": ("certified", "certified")}


def kinds(folder: Path) -> dict[str, str]:
    table = bench.load(folder / "runs")
    return dict(table[table["metric"] == "bits_per_char"].set_index("arm")["kind"])


def test_results_of_other_code_are_not_certified(folder, finished, tmp_path, monkeypatch):
    copy_runs(finished, tmp_path)
    certificates.write_certificate(subject("mdlm", {}, "float32"), [GOOD], tmp_path / "runs")
    monkeypatch.setattr("bench.results.staleness.stage_code", lambda stage, roots, source=None: "other")
    assert kinds(tmp_path)["MDLM"] == "bound"


def test_a_record_tells_the_state_of_the_certificates_of_its_bounds(folder, finished, tmp_path, monkeypatch):
    copy_runs(finished, tmp_path)

    def state() -> list[tuple[str, str, list[str]]]:
        found = read(tmp_path / "runs", "tiny").certificates
        bounds = [certification for certification in found if certification.method != "ar"]
        return [(certification.method, certification.state, certification.arms) for certification in bounds]

    assert [of.method for of in read(tmp_path / "runs", "tiny").certificates] == ["ar", "mdlm"]
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
    run_only(monkeypatch, "kraft")
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
    run_only(monkeypatch, "oracle", "kraft")
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["certify", "wrong"]) == FAILED
    told = capsys.readouterr().out
    assert "Unfinished has no `log_noise`" in told
    assert "Kraft sum" in told
