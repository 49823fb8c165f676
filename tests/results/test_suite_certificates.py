"""What a record, its tables and its page say of a number with a certificate, without one, and with a refused one."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import bench
from bench.certify import certificate_files as certificates
from bench.certify.certificate_files import Subject, subject
from bench.certify.check import Check
from bench.cli.main import main
from bench.engine.records import BoundResult, Stage, StoredCell
from bench.launch.exit_codes import DONE
from bench.results.recorded_cell import RecordedCell
from bench.results.suite_certificates import kind_of, subject_of
from bench.results.suite_record import read
from tests.conftest import TINY

GOOD, BAD = Check("a", "1 ± 0", True, "it holds"), Check("b", "2 ± 0", False, "it does not")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder of certificates."""
    monkeypatch.setattr(certificates, "FOLDER", tmp_path / "certificates")
    return tmp_path / "certificates"


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
