"""Published numbers are those of the papers, digit by digit, and own ones stand beside them only where they may."""

import os
import re
import tomllib
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench.cli import main as cli
from bench.cli import result_commands as commands
from bench.engine import storage as record
from bench.engine.records import RESULTS
from bench.launch.job_files import submit
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.results.staleness import code_origin
from bench.suite.suite import read as read_suite
from reports.published import publish as publishing
from reports.published.match import list_arms
from reports.published.published_numbers import Claim, list_names, read
from reports.published.table import View, build_view
from tests.conftest import ROOT
from tests.support.latex import compile_latex

pytestmark = pytest.mark.usefixtures("nothing_fetched")

REFERENCE = ROOT.parent / "shared" / "design" / "methods.md"
COUNTS = {
    "bd3-clip": 20,
    "cifar10": 10,
    "generative": 10,
    "generative-bd3": 8,
    "gidd": 5,
    "gidd-ablation": 12,
    "gidd-accuracy": 3,
    "gidd-reruns": 6,
    "gidd-samples": 6,
    "imagenet64": 4,
    "imagenet64-fid": 16,
    "lm1b": 27,
    "lm1b-words": 4,
    "mdlm-ablation": 4,
    "mdlm-schedules": 8,
    "owt": 18,
    "owt-steps": 8,
    "remdm": 13,
    "sampling-minutes": 6,
    "semi-ar": 2,
    "text8": 27,
    "zero-shot": 85,
    "zero-shot-mdlm": 77,
    "zero-shot-steps": 20,
}
SETTINGS = Counter(
    ["0.45", "0.95", "0.3", "0.8", "0.9", "0.99"]
)  # ranges of mask rates and nuclei, which are no results
SETTINGS += Counter({"0.1": 3, "0.2": 3})  # shares of uniform noise
WHOLE = Counter(["214", "387", "904"])  # results without a point
ELSEWHERE = Counter(["1.32", "1.41"])  # results of the section on disagreements
REPEATED = Counter({"3.30": 3})  # one figure of four rows
SLASHED = ("zero-shot", "zero-shot-mdlm", "zero-shot-steps", "gidd-ablation", "imagenet64-fid", "sampling-minutes")

SUITE = """\
question: How close to the papers?
data: {{source: text8, length: {length}{reserve}}}
network: {{preset: {network}, dropout: 0.05}}
budget: {{tokens: {tokens}}}
training: {{batch_size: 512}}
arms:
  - {{label: masks, method: {method}, options: {options}}}
seeds: {seeds}
evaluation: {{bound: {{split: {split}, sequences: {sequences}}}}}
"""
MATCHING = {
    "length": 256,
    "reserve": "",
    "network": "small",
    "tokens": 131_072_000_000,
    "method": "md4",
    "options": "{}",
    "seeds": [0],
    "split": "test",
    "sequences": "null",
}


table_of = cache(read)  # files are read once


def all_claims() -> list[Claim]:
    return [claim for name in list_names() for claim in table_of(name).claims]


def view_of(name: str, runs: Path) -> View:
    return build_view(table_of(name), list_arms(runs))


def line_of(text: str, label: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"| {label} "))


def numbers_in(text: str) -> Counter[str]:
    """The decimals of a text as they are written, with a digit before the point."""
    found = re.findall(r"(?<![\w.])\d*\.\d+", text)
    return Counter(number if number[0] != "." else f"0{number}" for number in found)


@pytest.fixture(scope="module")
def section() -> str:
    if not REFERENCE.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{REFERENCE}, which the numbers are from, is not there")
    text = REFERENCE.read_text(encoding="utf-8")
    return text[text.index("\n## 8. Published numbers") : text.index("\n## 9. ")]


def test_every_number_of_the_reference_is_there_digit_by_digit_and_no_other(section: str) -> None:
    ours = Counter(str(claim.value) for claim in all_claims())
    ours += Counter(str(claim.spread) for claim in all_claims() if claim.spread)
    assert ours - WHOLE - ELSEWHERE - REPEATED == numbers_in(section) - SETTINGS
    assert all(re.search(rf"\b{number}\b", section) for number in WHOLE)


@pytest.mark.parametrize("name", SLASHED)
def test_the_numbers_of_a_row_stand_under_their_columns(section: str, name: str) -> None:
    rows: dict[tuple[int, int], list[str]] = {}
    for claim in table_of(name).claims:
        rows.setdefault(claim.place[:2], []).append(str(claim.value))
    assert all("/".join(row) in section for row in rows.values())


def test_no_number_is_lost_and_none_invented() -> None:
    assert {name: len(table_of(name).claims) for name in list_names()} == COUNTS


@pytest.mark.parametrize(
    ("name", "row", "told"),
    [
        ("text8", "SEDD absorb", ("1.39", None, "<=", "SEDD, Table 2", "as published", "paper")),
        ("text8", "SEDD absorb, first version", ("1.32", None, "<=", "SEDD, first version", "withdrawn", "paper")),
        ("text8", "SEDD absorb, as told elsewhere", ("1.41", None, "<=", "MD4 talk", "disputed", "paper")),
        ("text8", "D3PM absorb", ("1.45", "0.02", "<=", "D3PM", "as published", "summary")),
        ("text8", "UDLM", ("1.44", None, "<=", "UDLM", "as published", "recalled")),
        ("text8", "Discrete Flow", ("1.23", None, "=", "Discrete Flows", "as published", "summary")),
        ("owt", "AR", ("17.54", None, "=", "MDLM, Table 2", "as published", "paper")),
        ("owt", "MDLM, without", ("23.05", None, "<=", "MDLM, Table 12", "as published", "paper")),
        ("mdlm-ablation", "and without carry-over", ("28.56", "0.15", "<=", "MDLM, Table 8", "as published", "paper")),
        ("lm1b", "D3PM", ("76.90", None, "<=", "MDLM, Table 1", "disputed", "paper")),
        ("lm1b-words", "AR", ("43.6", None, "=", "D3PM", "as published", "summary")),
        ("gidd-samples", "before", ("214", None, "", "GIDD", "disputed", "summary")),
        ("imagenet64-fid", "linear", ("193.81", None, "", "MD4", "as published", "paper")),
        ("generative", "Duo", ("77.69", None, "", "Duo", "disputed", "summary")),
    ],
)
def test_a_number_has_its_sign_source_and_status(name: str, row: str, told: tuple[str | None, ...]) -> None:
    claim = next(claim for claim in table_of(name).claims if claim.row == row)
    spread = str(claim.spread) if claim.spread else None
    assert (str(claim.value), spread, claim.sign, claim.source, claim.status, claim.read) == told
    assert bool(claim.reason) == (claim.status != "as published")


def test_the_counterpart_of_an_ablation_has_the_options_of_its_row() -> None:
    options = [claim.here.options for claim in table_of("mdlm-ablation").claims]
    assert options == [
        None,
        {"steps": 1000},
        {"steps": 1000, "carry_over": False},
        {"steps": 1000, "carry_over": False, "zero_masking": False},
    ]
    assert all(type(claim.value) is Decimal for claim in all_claims())


@pytest.mark.parametrize("name", list_names())
def test_a_table_prints_every_number_and_heading_in_every_form(name: str, tmp_path: Path) -> None:
    published, view = table_of(name), view_of(name, tmp_path)
    texts = {path.suffix: path.read_text("utf-8") for path in publishing.write_view(view, tmp_path)}
    assert list(texts) == [".md", ".tex", ".csv", ".html"]
    for text in texts.values():
        assert all(str(claim.value) in text for claim in published.claims)
    frame = pd.read_csv(tmp_path / f"{name}.csv", dtype=str, keep_default_na=False)
    assert list(frame["value"]) == [str(claim.value) for claim in published.claims]
    for start, title in view.headings.items():
        first = view.table.rows[start].label
        lines = texts[".md"].splitlines()
        place = next(number for number, line in enumerate(lines) if line.startswith("| *" + title.replace("*", r"\*")))
        assert lines[place + 1].startswith(f"| {first} ")
        assert texts[".html"].count('<tr class="heading">') == len(view.headings)
        assert texts[".tex"].count(r"\addlinespace") == len(view.headings)


def test_the_best_of_a_group_is_bold_and_nothing_that_is_doubted(tmp_path: Path) -> None:
    text = publishing.format_markdown_view(view_of("text8", tmp_path))
    assert re.findall(r"\*\*(\d\.\d+)\*\*", text) == ["1.23", "1.40", "1.41", "1.34"]
    assert "1.32" in line_of(text, "SEDD absorb, first version")
    assert "‡" in line_of(text, "SEDD absorb, first version")
    assert re.search(r"^- . withdrawn: it stands in the first version alone", text, re.MULTILINE)
    assert "**" not in line_of(publishing.format_markdown_view(view_of("mdlm-schedules", tmp_path)), "cosine")
    assert "**0.656**" in publishing.format_markdown_view(view_of("remdm", tmp_path))


def write_run(runs: Path, *bits: float, name: str = "own", **changes: Any) -> Path:
    """A recorded suite of one arm on text8 whose seeds have these bits per character, without training it; no
    certificate holds for its precision."""
    said = MATCHING | {"seeds": list(range(len(bits)))} | changes
    path = runs / f"{name}.yaml"
    runs.mkdir(parents=True, exist_ok=True)
    path.write_text(SUITE.format(**said))
    planned = plan(read_suite(path))
    planned = replace(planned, suite=replace(planned.suite, facts=replace(planned.suite.facts, unigram_nats=2.8)))
    submit(runs, planned)
    for cell, value in zip(planned.cells, bits, strict=True):
        for stage in cell.stages:
            code = code_origin(cell.method, "text8").code(stage.name)
            found = {"value": value, "standard_error": 0.001, "monte_carlo_error": 0.0, "n": 19531}
            bound = {"measures": {"bits_per_char": found}, "kind": "bound", "split": said["split"], "protocol": "p"}
            result = {"environment": {"code": code, "precision": "any"}} | (bound if stage.name == "bound" else {})
            record.succeed(folder_of(runs, cell) / stage.folder, RESULTS[stage.name].model_validate(result))
    return runs


def test_the_document_is_what_the_command_writes(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "published.md").read_text("utf-8")
    blocks = dict(re.findall(r"<!-- bench report --published (\S+) -->\n\n(.*?)\n<!-- end -->", text, re.DOTALL))
    assert {"text8", "owt"} <= set(blocks)
    for name, block in blocks.items():
        assert block == publishing.format_markdown_view(view_of(name, tmp_path))
    listed = re.findall(r"^\| `(\S+)` \|", text, re.MULTILINE)
    assert listed == list_names()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry points as the project declares them, however old the installation is."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["bench.publishers"]

    class Found:
        def load(self) -> Any:
            module, _, name = declared["default"].partition(":")
            return getattr(import_module(module), name)

    monkeypatch.setattr(commands, "entry_points", lambda group: [Found()] * (group == "bench.publishers"))


@pytest.mark.usefixtures("installed")
def test_the_command_lists_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", "--published", "--runs", str(tmp_path)]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list_names()
    assert cli.main(["report", "--published", "mdlm-ablation", "--runs", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "27.04" in out
    assert str(tmp_path / "reports" / "published" / "mdlm-ablation.html") in out
    assert cli.main(["report", "--published", "all", "--runs", str(tmp_path)]) == 0
    folder = tmp_path / "reports" / "published"
    assert {path.stem for path in folder.glob("*.md")} == set(list_names())


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--published", "text9"], 'did you mean "text8"'),
        (["suites/smoke.yaml", "--published", "text8"], "give a suite"),
        ([], "give a suite"),
        (["--published", "text8", "--scale", "quick"], "give a suite"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_without_a_publisher_the_command_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(commands, "entry_points", lambda group: [])
    assert cli.main(["report", "--published", "text8"]) == 2
    assert "make setup" in capsys.readouterr().err


def test_latex_takes_the_tables(tmp_path: Path) -> None:
    names = ("text8", "zero-shot-mdlm", "gidd-samples")
    for name in names:
        publishing.write_view(view_of(name, write_run(tmp_path / "runs", 1.371)), tmp_path)
    compile_latex(tmp_path, *((tmp_path / f"{name}.tex").read_text(encoding="utf-8") for name in names))
