"""`bench certify`: which subjects are certified with which checks, what is printed of them, and what is stored."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.certify import certificate_files as certificates
from bench.certify import checks
from bench.certify.certificate_files import subject
from bench.certify.check import Case, Check
from bench.certify.checks import CHECKS
from bench.certify.processes import Group, run_checks
from bench.certify.sizes import describe_sizes
from bench.cli.certify import WIDEST
from bench.cli.main import main
from bench.launch.exit_codes import BROKEN_PIPE, DONE, FAILED, USAGE_ERROR
from methods import METHODS, PLUGINS
from tests.conftest import ROOT, TINY

TWO = """
    - {draws: 2, replicates: 2}
    - {draws: 2, replicates: 2, estimator: times, arms: [MDLM]}
    - {draws: 4, replicates: 2, estimator: independent, arms: [MDLM]}"""
SEVERAL = TINY.replace("bound: {draws: 2, replicates: 2}", f"bound:{TWO}")
PLUGIN = """
import os

from methods.masked.absorbing import Mdlm


class Mine(Mdlm):
    paper = "Nobody 2026"


class Ending(Mdlm):
    paper = "Nobody 2026"

    def corrupt(self, x, t, rng):
        os._exit(7)


METHODS = {"mine": Mine, "ending": Ending}
"""


@pytest.fixture
def cases(monkeypatch, tmp_path) -> list[tuple[str, Case]]:
    """The cases that were asked, by check: two quick checks stand for all, of which one fails for md4."""
    asked: list[tuple[str, Case]] = []

    def check(name: str, case: Case) -> Iterator[Check]:
        asked.append((name, case))
        yield Check(
            f"the {name}", "0.1 ± 0.2 nats", (name, case.name) != ("second", "md4"), "it holds", sees="0.5 nats"
        )

    names = ("first", "second")
    quick = {name: lambda case, name=name: check(name, case) for name in names}
    monkeypatch.setattr("bench.certify.checks.CHECKS", quick)
    monkeypatch.setattr(certificates, "FOLDER", tmp_path / "certificates")
    monkeypatch.setenv("COLUMNS", "200")  # so that no short line is folded
    monkeypatch.setattr("bench.cli.certify.refresh_readme", lambda: None)
    return asked


@pytest.fixture
def plugin(tmp_path) -> Iterator[Path]:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    yield path
    for name in ("mine", "ending"):
        METHODS.pop(name, None)
        PLUGINS.pop(name, None)


def test_only_the_named_checks_run(cases, capsys):
    assert main(["certify", "mdlm", "--only", "second"]) == DONE
    assert [name for name, _ in cases] == ["second"]
    assert "passed: 1 of 1" in capsys.readouterr().out
    cases.clear()
    assert main(["certify", "mdlm", "--only", "second,first", "--only", "second"]) == DONE
    assert [name for name, _ in cases] == ["second", "first"]


def test_no_checks_are_no_pass(capsys):
    assert main(["certify", "ar", "--only", "identities"]) == DONE
    out = capsys.readouterr().out
    assert "no check of identities applies to ar" in out
    assert out.splitlines()[-1] == "passed: 0 of 1; no check applies to ar, float32"


def test_an_unknown_check_is_wrong_usage(cases, capsys):
    assert main(["certify", "mdlm", "--only", "secnd"]) == USAGE_ERROR
    assert 'unknown check "secnd"; did you mean "second"? known: first, second' in capsys.readouterr().err
    assert not cases


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--only", "first", "--write"], "a certificate holds all checks"),
        (["--force"], "--force without --write"),
        (["--estimator", "times", "--suite", "any.yaml"], "the bounds of a suite name its estimators"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(options, reason, cases, capsys):
    assert main(["certify", "mdlm", *options]) == USAGE_ERROR
    assert reason in capsys.readouterr().err
    assert not cases


@pytest.mark.parametrize("options", [["--seed", "-1"], ["--jobs", "0"], ["--precision", "half"], ["--only", ","]])
def test_a_value_that_cannot_be_is_wrong_usage(options, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["certify", "mdlm", *options])
    assert f"argument {options[0]}" in capsys.readouterr().err


def test_the_seed_reaches_the_checks_and_is_stored(cases, tmp_path, capsys):
    assert main(["certify", "mdlm", "--seed", "7", "--write", "--runs", str(tmp_path)]) == DONE
    assert {case.seed for _, case in cases} == {7}
    assert json.loads(subject("mdlm", {}, "float32").path(tmp_path).read_text())["seed"] == 7
    assert "seed 7" in capsys.readouterr().out


def test_a_method_is_certified_with_the_estimators_that_are_asked_for(cases, capsys):
    assert main(["certify", "mdlm", "--estimator", "times"]) == DONE
    assert {case.estimator for _, case in cases} == {"times"}
    assert "mdlm, float32, estimator times\n" in capsys.readouterr().out
    cases.clear()
    assert main(["certify", "mdlm", "udlm", "ar", "--all"]) == DONE
    assert [(case.name, case.estimator) for name, case in cases if name == "first"] == [
        *(("mdlm", name) for name in ("counted", "times", "independent")),
        *(("udlm", name) for name in ("times", "independent")),
        ("ar", "auto"),
    ]


def test_an_estimator_that_a_method_refuses_is_wrong_usage_unless_all_are_meant(cases, capsys):
    assert main(["certify", "udlm", "--estimator", "counted"]) == USAGE_ERROR
    assert "it admits: auto, times, independent" in capsys.readouterr().err
    main(["certify", "--estimator", "counted"])
    names = {case.name for _, case in cases}
    assert "mdlm" in names
    assert not names & {"ar", "udlm"}


def test_both_precisions_are_certified_at_once(cases, capsys):
    assert main(["certify", "mdlm", "--precision", "float32,bfloat16"]) == DONE
    assert [case.precision for name, case in cases if name == "first"] == ["float32", "bfloat16"]
    assert "certified: 2 of 2" in capsys.readouterr().out


def test_an_arm_is_certified_with_every_estimator_of_its_suite(cases, tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(SEVERAL)
    assert main(["certify", "--suite", str(tmp_path / "tiny.yaml")]) == DONE
    assert [(case.name, case.estimator) for name, case in cases if name == "first"] == [
        ("ar", "auto"),
        *(("mdlm", name) for name in ("counted", "times", "independent")),
    ]


def test_what_was_certified_is_printed_and_stored(cases, tmp_path, capsys):
    arguments = ["certify", "mdlm", "md4", "--write", "--runs", str(tmp_path)]
    assert main(arguments) == FAILED
    out = capsys.readouterr().out
    certified, refused = subject("mdlm", {}, "float32"), subject("md4", {}, "float32")
    assert re.search(f"code {certified.code()}; estimator counted; seed 0; python 3.*, torch 2", out)
    assert re.search(r"the first +0.1 ± 0.2 nats +passed +\d\.\d s +0.5 nats +it holds", out)
    assert re.search(r"2 of 2 checks passed; \d\.\d s\nsaved in .*mdlm-float32.json", out)
    assert out.splitlines()[-1] == "certified: 1 of 2; refused: md4, float32 (the second)"
    content = json.loads(refused.path(tmp_path).read_text())
    assert content["code"] == refused.code()
    assert content["estimator"] == "counted"
    assert content["sizes"] == describe_sizes()
    assert [check["sees"] for check in content["checks"]] == ["0.5 nats", "0.5 nats"]


def test_the_sizes_of_every_check_are_stated():
    assert describe_sizes().keys() == CHECKS.keys()
    assert all(re.search(r"\d", size) for size in describe_sizes().values())


def test_a_certificate_that_holds_is_not_made_again(cases, tmp_path, monkeypatch, capsys):
    arguments = ["certify", "mdlm", "--write", "--runs", str(tmp_path)]

    def runs_checks(*options: str) -> bool:
        cases.clear()
        assert main([*arguments, *options]) == DONE
        return bool(cases)

    assert runs_checks()
    assert not runs_checks()
    out = capsys.readouterr().out
    path = subject("mdlm", {}, "float32").path(tmp_path)
    assert f"mdlm, float32: certified by the present code ({path}); not made again without --force" in out
    assert out.endswith("certified: 1 of 1\n")
    assert runs_checks("--force")
    assert runs_checks("--estimator", "times"), "another estimator has a certificate of its own"
    assert runs_checks("--precision", "bfloat16")
    assert runs_checks("--seed", "1"), "another seed is another certificate"
    monkeypatch.setattr(certificates.Subject, "code", lambda self: "other")
    assert runs_checks("--seed", "1"), "other code"


def test_a_refused_certificate_is_made_again(cases, tmp_path):
    for _ in range(2):
        cases.clear()
        assert main(["certify", "md4", "--write", "--runs", str(tmp_path)]) == FAILED
        assert len(cases) == 2


def test_checks_always_run_without_write(cases, tmp_path):
    main(["certify", "mdlm", "--write", "--runs", str(tmp_path)])
    cases.clear()
    assert main(["certify", "mdlm", "--runs", str(tmp_path)]) == DONE
    assert len(cases) == 2


def test_an_outcome_is_printed_before_the_next_check_begins(cases, monkeypatch, capsys):
    printed: list[str] = []

    def look(case: Case) -> Iterator[Check]:
        printed.append(capsys.readouterr().out)
        yield Check("the look", "", True, "")

    monkeypatch.setitem(checks.CHECKS, "second", look)
    assert main(["certify", "mdlm"]) == DONE
    assert "the first" in printed[0]


def test_processes_give_the_same_outcomes_in_the_same_order(plugin, capsys):
    arguments = ["certify", "mine", "ar", "--only", "probes,identities", "--plugin", str(plugin)]
    outputs = []
    for jobs in ("1", "2"):
        assert main([*arguments, "--jobs", jobs]) == DONE
        outputs.append(re.sub(r"\d+\.\d s", "# s", capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    assert outputs[0].count("probe: units") == 2


@pytest.mark.slow
def test_a_check_that_ends_its_process_is_no_certificate(plugin, tmp_path, capsys):
    arguments = [
        "certify",
        "mine",
        "ending",
        "--plugin",
        str(plugin),
        "--jobs",
        "2",
        "--write",
        "--runs",
        str(tmp_path),
    ]
    assert main(arguments) == USAGE_ERROR
    assert "of ending, float32 ended with 7" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*.json") if path.name.startswith("ending")]


def test_seconds_are_those_of_each_check(monkeypatch):
    def two(case: Case) -> Iterator[Check]:
        yield Check("one", "", True, "")
        yield Check("two", "", True, "")

    clock = iter([0.0, 1.0, 1.5, 4.5, 5.0])
    monkeypatch.setattr("bench.certify.processes.perf_counter", lambda: next(clock))
    monkeypatch.setattr("bench.certify.checks.CHECKS", {"pair": two})
    ((_, outcomes),) = run_checks([Group(Case("mdlm", {}), "pair")])
    assert [check.seconds for check in outcomes] == [1.0, 3.0]


def test_a_reader_that_closes_the_output_ends_the_command_with_its_code():
    command = [sys.executable, "-m", "bench", "certify", "mdlm", "--only", "transport"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout.readline().startswith("mdlm, float32")
        process.stdout.close()
        assert process.wait(60) == BROKEN_PIPE
        assert "plug-in" not in process.stderr.read()


def test_lines_for_a_pipe_are_no_longer_than_a_wide_terminal(cases, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["certify", "mdlm"]) == DONE
    assert max(map(len, capsys.readouterr().out.splitlines())) <= WIDEST
