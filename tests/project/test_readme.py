"""What the documentation shows is what happens."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.certify import checks
from bench.cli.main import main
from bench.engine.quality import CONTROLS, JUDGED, QualitySpec
from bench.engine.quality.scorers import SCORERS
from bench.engine.sample.policies import POLICIES
from bench.launch.exit_codes import (
    BROKEN_PIPE,
    DONE,
    FAILED,
    INCOMPLETE,
    INTERRUPTED,
    NOT_TRACKED,
    STORAGE_FULL,
    USAGE_ERROR,
)
from bench.suite.suite import read_all
from methods import METHODS, SCHEDULES, parameters
from tests.conftest import ROOT, TINY
from tests.support.tuning import Fake

README = (ROOT / "README.md").read_text()
COMMANDS = (ROOT / "bench" / "cli" / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
WORDS = re.findall(r"```yaml\n(.*?)```", (ROOT / "suites" / "README.md").read_text(), re.DOTALL)


def commands(word: str) -> list[str]:
    lines = (line.split("#")[0].strip() for kind, block in BLOCKS if kind == "sh" for line in block.splitlines())
    return [line for line in lines if line.startswith(word)]


def test_the_make_targets_of_the_documentation_exist():
    named = {line.split()[1] for line in commands("make ")}
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    named |= set(re.findall(r"^make (\w+)", contributing, re.MULTILINE))
    assert {"quickstart", "test", "setup", "gpu"} <= named
    for target in named:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_commands_and_the_code_of_the_readme_work_one_after_the_other(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "suites", tmp_path / "suites")
    monkeypatch.chdir(tmp_path)
    shown = commands("bench ")
    verbs = [
        "methods",
        "certify",
        "plan",
        "run",
        "status",
        "report",
        "sample",
        "score",
        "compare",
        "sync",
        "tune",
        "ui",
    ]
    (tmp_path / "mine.txt").write_text("the end\n")
    assert [line.split()[1] for line in shown] == verbs
    quick = {
        name: check for name, check in checks.CHECKS.items() if name != "samples"
    }  # test_tutorial.py runs them all
    monkeypatch.setattr(checks, "CHECKS", quick)
    for line in shown[:-2]:
        assert main(shlex.split(line)[1:]) == DONE, line
    (code,) = (block for kind, block in BLOCKS if kind == "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert re.search(r"AR .* 32 +exact\n.*MDLM .* 32 +certified", done.stdout), done.stdout
    out = capsys.readouterr().out
    assert "<= " in out
    assert "= " in out
    monkeypatch.setattr("bench.tune.tuner.run", Fake())  # takes minutes; one that is run: tests/reports/test_tuning.py
    assert main(shlex.split(shown[-2])[1:]) == DONE
    assert "winners: suites/tuning-quick.lock" in capsys.readouterr().out


def test_the_tuning_that_the_readme_shows_is_one(tmp_path, monkeypatch):
    """On a tiny suite, with trials that are not run."""
    (block,) = (block for block in WORDS if block.startswith("tune:"))
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY + block)
    monkeypatch.setattr("bench.tune.tuner.run", Fake())
    for verb in ("tune", "plan"):
        assert main([verb, str(path), "--runs", str(tmp_path / "runs")]) == DONE, verb


@pytest.mark.parametrize("block", WORDS, ids=lambda block: block.partition(":")[0])
def test_the_words_of_suites_can_be_planned(block, tmp_path, capsys):
    word = block.partition(":")[0]
    others = re.sub(rf"^{word}:.*\n(?:  .*\n)*", "", TINY, flags=re.MULTILINE)
    path = tmp_path / "suite.yaml"
    path.write_text(others + block)
    for index, name in enumerate(re.findall(r"[\w/]+\.txt", block)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{index} is the number of this text. " * 9)
    suites = read_all(path)
    assert all(suite.spec.evaluation.bound for suite in suites)
    assert len(suites) == max(1, block.count("source:"))
    if word != "tune":  # that waits for its winners
        assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == DONE
        assert "FLOPs" in capsys.readouterr().out


def test_the_documented_exit_codes_are_those_of_the_command():
    codes = {int(code) for code in re.findall(r"^\| (\d+) \|", COMMANDS, re.MULTILINE)}
    assert codes == {DONE, USAGE_ERROR, FAILED, INCOMPLETE, STORAGE_FULL, NOT_TRACKED, BROKEN_PIPE, INTERRUPTED}


def test_the_readme_fits_on_a_few_screens():
    assert len(README.splitlines()) <= 120


def test_links_of_the_documentation_lead_somewhere():
    folders = ("bench", "docs", "methods", "reports", "suites", "tests")
    for path in [*ROOT.glob("*.md"), *(path for folder in folders for path in (ROOT / folder).rglob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_every_suite_is_in_the_readme():
    for path in (ROOT / "suites").rglob("*.yaml"):
        own = path.relative_to(ROOT)
        named = [own] if own.parent.name == "suites" else [own, own.parent]  # by itself, or by its folder
        assert any(f"({each.as_posix()})" in README for each in named), own


@pytest.mark.parametrize("name", METHODS)
def test_every_method_and_option_has_its_row(name):
    (row,) = (
        line for line in (ROOT / "methods" / "README.md").read_text().splitlines() if line.startswith(f"| `{name}` |")
    )
    for option in parameters(METHODS[name]):
        assert f"`{option}`" in row
    assert METHODS[name].paper.split(", ")[-1] in row


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_and_setting_has_its_row(name):
    lines = (ROOT / "bench" / "engine" / "sample" / "policies" / "README.md").read_text().splitlines()
    (row,) = (line for line in lines if line.startswith(f"| `{name}` |"))
    for setting in POLICIES[name].model_fields.keys() - {"name"}:
        assert f"`{setting}`" in row
    assert ("changed" in row) == (POLICIES[name].fidelity == "changed")
    assert ("exact" in row) == (POLICIES[name].fidelity == "exact")


QUALITY = (ROOT / "bench" / "engine" / "quality" / "README.md").read_text()


def test_every_metric_scorer_and_control_of_quality_is_explained():
    rows = [line for line in QUALITY.splitlines() if line.startswith("|")]
    for metric in JUDGED:
        name = re.sub(r"_[1-4]$", "_1", metric)
        (row,) = (row for row in rows if row.startswith(f"| `{name}`"))
        assert row.endswith({"lower": "| lower |", "higher": "| higher |", "nearer": "| as data |"}[JUDGED[metric]])
    for kind, scorer in SCORERS.items():
        (row,) = (row for row in rows if row.startswith(f"| `{kind}` |"))
        assert all(f"`{setting}`" in row for setting in scorer.model_fields.keys() - {"kind"})
    assert all(f"**{control}**" in QUALITY for control in CONTROLS)
    (block,) = re.findall(r"```yaml\n(.*?)```", QUALITY, re.DOTALL)
    assert all(f"{setting}:" in block for setting in QualitySpec.model_fields.keys() - {"seed"})


def test_the_suite_block_of_quality_can_be_planned(tmp_path, capsys):
    (block,) = re.findall(r"```yaml\n(.*?)```", QUALITY, re.DOTALL)
    suite = (ROOT / "suites" / "smoke.yaml").read_text()
    kept = [line for line in suite.split("evaluation:")[0].splitlines() if not line.startswith("data:")]
    path = tmp_path / "suite.yaml"
    path.write_text("\n".join([*kept, block]))
    assert main(["plan", str(path), "--runs", str(tmp_path / "runs")]) == DONE
    assert "scorer" in capsys.readouterr().out


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_and_setting_has_its_row(name):
    (row,) = (
        line for line in (ROOT / "methods" / "README.md").read_text().splitlines() if line.startswith(f"| `{name}` |")
    )
    for option in parameters(SCHEDULES[name]):
        assert f"`{option}`" in row


def test_the_project_holds_no_absolute_path():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        path = Path(ROOT / name)
        if (
            path.suffix in {".py", ".md", ".yaml", ".toml", ".txt", ".j2", ".json", ".lock", ".csv", ""}
            and path.exists()
        ):
            assert not re.search(r"(?<![\w.])/(home|root|tmp|work)/\w", path.read_text(errors="ignore")), name


def test_the_readme_names_every_registered_method():
    assert all(f"`{name}`" in README for name in METHODS)
