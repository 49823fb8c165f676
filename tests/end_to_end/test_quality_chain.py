"""Quality from a suite to its table: scorers of every kind, controls, trajectories, and what a failure costs."""

import re
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench import load
from bench.cli.main import main
from bench.engine import storage as record
from bench.engine.quality import JUDGED
from bench.engine.quality.controls import CONTROLS
from bench.engine.sample.trajectory import decode
from bench.engine.train.trainer import Interrupted
from bench.launch.exit_codes import DONE, USAGE_ERROR
from bench.launch.local_launcher import RunSettings, run
from bench.launch.worker import FAILED as WORKER_FAILED
from bench.launch.worker import INTERRUPTED as WORKER_INTERRUPTED
from bench.launch.worker import Worker
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.results.suite_record import read
from bench.suite.suite import read as read_suite
from bench.suite.suite import with_data
from tests.support.changed_records import rewrite

SUITE = """\
question: Are the texts any good?
data: {source: pydoc, length: 32, reserve: 0.2}
network: {preset: micro, layers: 1, width: 16, heads: 2}
budget: {steps: 4}
training: {batch_size: 8, validations: 1, validation_sequences: 4, validation_draws: 2}
arms:
  - {label: AR, method: ar}
  - {label: MDLM, method: mdlm}
seeds: [0]
evaluation:
  bound: {draws: 2, replicates: 2, sequences: 8}
  samples:
    - {count: 12, calls: 4}
    - {count: 6, calls: 8, temperature: 0.5, arms: [MDLM]}
  quality: {scorer: SCORER}
  trajectories: {count: 2, calls: 4}
execution: {device: cpu}
"""
TRAINED = "{kind: trained, steps: 3}"


ALONE = ("  - {label: AR, method: ar}\n", "")  # MDLM is the only arm


def written(folder: Path, scorer: str = TRAINED, **changes: str) -> Path:
    """The suite with another scorer, and with lines replaced."""
    text = SUITE.replace("SCORER", scorer)
    for old, new in changes.values() if changes else ():
        assert old in text
        text = text.replace(old, new)
    path = folder / "texts.yaml"
    path.write_text(text)
    return path


def carry_out(suite: Path, runs: Path) -> None:
    """`bench run` without what it prints, tracks and reports."""
    run(runs, plan(with_data(read_suite(suite))), RunSettings(), finished=lambda cell: None)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """The folder of runs of the suite with a scorer of its own."""
    folder = tmp_path_factory.mktemp("quality")
    assert main(["run", str(written(folder)), "--runs", str(folder / "runs")]) == DONE
    return folder / "runs"


def test_every_way_and_every_control_has_every_metric_with_its_error_and_protocol(ran):
    table = load(ran)
    rows = table[table["stage"] == "quality"]
    assert set(rows["status"]) == {"done"}
    expected = set(JUDGED) - {"mauve", "sample_nats_per_token"}
    ways = {"AR": {"left to right"}, "MDLM": {"ancestral, 4 calls", "ancestral, 8 calls, temperature 0.5"}}
    for arm, of_arm in ways.items():
        mine = rows[rows["arm"] == arm]
        assert set(mine["way"]) == of_arm
        for way in of_arm:
            there = mine[mine["way"] == way]
            assert set(there["metric"]) == expected
            assert set(there["n"]) == {6 if "8 calls" in way else 12}
            assert there["standard_error"].notna().all()
    assert set(rows.loc[rows["role"] == "control", "arm"]) == set(CONTROLS)
    for name in CONTROLS:
        there = rows[rows["arm"] == name]
        assert (set(there["metric"]), set(there["way"]), set(there["role"])) == (expected, {""}, {"control"})
        assert set(zip(there["texts"], there["n"], strict=True)) == {("12 x 32", 12), ("6 x 32", 6)}
    scored = rows.loc[rows["metric"] == "gen_ppl", "protocol"]
    assert scored.str.contains("perplexity under AR of this suite (3 steps, seed 1000003)", regex=False).all()
    warm = rows[rows["way"] == "ancestral, 8 calls, temperature 0.5"].iloc[0]
    assert (warm["policy"], warm["temperature"], warm["role"]) == ("ancestral", 0.5, "arm")
    copied = rows[(rows["arm"] == "copied text") & (rows["metric"] == "copied")]
    assert copied["value"].tolist() == [1.0, 1.0]


def test_the_scorer_is_trained_on_what_no_arm_sees_and_is_no_arm(ran):
    planned = plan(read_suite(ran.parent / "texts.yaml"))
    scorer, *controls = planned.quality_cells
    arms = [cell for cell in planned.cells if cell.method == "ar"]
    assert (scorer.role, scorer.steps) == ("scorer", 3)
    assert [(cell.role, cell.stages[0].settings["count"], cell.stages[0].settings["length"]) for cell in controls] == [
        ("control", 12, 32),
        ("control", 6, 32),
    ]
    assert scorer.id not in {cell.id for cell in planned.cells}
    assert record.read_json(folder_of(ran, scorer) / "job.json")["part"] == "reserve"
    seen = [record.read_json(folder_of(ran, cell) / "train" / "result.json")["epochs"] for cell in (scorer, *arms)]
    assert seen[0] * 4 / 3 == pytest.approx(4 * seen[1], rel=1e-3)  # 0.2 of the text beside 0.8 of it, 3 steps beside 4
    for report in ("table.md", "table.tex", "table.csv"):
        assert "scorer" not in (ran / "reports" / "texts" / report).read_text()


def test_trajectories_lead_from_the_first_call_to_the_text(ran):
    trajectories = read(ran, "texts").trajectories
    assert [(recorded.arm, recorded.network_calls) for recorded in trajectories] == [("AR", 32), ("MDLM", 4)]
    for recorded in trajectories:
        assert len(recorded.texts) == 2
        frames = torch.stack([decode(text) for text in recorded.texts])
        assert frames.shape == (2, recorded.network_calls + 1, 32)
        assert (frames[:, 0] == 27).all()
        assert (frames[:, -1] < 27).all()
        assert len(recorded.symbols) == 27
    assert (frames[:, 1:] == frames[:, :-1]).logical_or(frames[:, :-1] == 27).all()


def test_the_same_suite_does_nothing_again_and_other_quality_neither_trains_nor_draws(ran, capsys):
    path = ran.parent / "texts.yaml"
    before = {file: file.stat().st_mtime_ns for file in ran.glob("cells/*/*/result.json")}
    other = ran.parent / "other"
    other.mkdir(exist_ok=True)
    suite = written(other, TRAINED.replace("}", "}, copied: 8"))
    carry_out(suite, ran)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    new = {file.parent.name.split("-")[0] for file in ran.glob("cells/*/*/result.json") if file not in before}
    assert new == {"quality", "controls"}
    after = {file: file.stat().st_mtime_ns for file in ran.glob("cells/*/*/result.json")}
    carry_out(path, ran)
    assert {file: file.stat().st_mtime_ns for file in ran.glob("cells/*/*/result.json")} == after


@pytest.mark.parametrize(
    ("scorer", "changes", "place", "words"),
    [
        (
            "{kind: huggingface, model: nowhere}",
            {},
            "15:",
            r"nowhere: there is no such file or folder; .*; for a model of the Hugging",
        ),
        (
            "{kind: cell, path: nowhere}",
            {},
            "15:",
            r"nowhere: there is no such file or folder; .*name a folder RUNS/cells/<id>",
        ),
        ("{kind: trained}", {"a": (", reserve: 0.2", "")}, "15:", "needs data that no arm sees; give data.reserve"),
        (
            "{kind: trained, seed: 0}",
            {},
            "15:",
            "the scorer's seed 0 is also a seed of the arms; give the scorer another one",
        ),
        ("{kind: trainde}", {}, "15:", "evaluation.quality.scorer.kind is 'trainde'; did you mean \"trained\"?"),
        ("{kind: trained, step: 3}", {}, "15:", 'unknown key "step"; did you mean "steps"?'),
        ("null, mauve: true", {}, "15:", "mauve compares features of a scorer, and there is none"),
        (
            TRAINED,
            {"a": ("{count: 6, calls: 8, temperature: 0.5, arms: [MDLM]}", "{count: 6, calls: 4, arms: [MDLM]}")},
            "14:",
            "arm MDLM is sampled twice by ancestral, 4 calls, once for 6 texts; the settings must differ in more than",
        ),
        (
            "{kind: trained}, mauve: true",
            {"a": ("    - {count: 6, calls: 8, temperature: 0.5, arms: [MDLM]}\n", "")},
            "14:",
            "12 texts of 32 tokens beside 482 that are held out are too few for mauve, which needs 100 of each",
        ),
        ("{kind: trained}, ngram: 40", {}, "15:", "ngram 40 over 27 tokens does not fit in 63 bits; lower ngram"),
        (TRAINED, {"a": ("length: 32", "length: 12")}, "15:", "hold no 16 in a row that could be copied; lower"),
        (TRAINED, {"a": ("{count: 2, calls: 4}", "{count: 2, calls: 4, length: 64}")}, "16:", "drawn window by window"),
        (TRAINED, {"a": ("{count: 2, calls: 4}", "{count: 2, calls: 4, arms: [MDLN]}")}, "16:", 'did you mean "MDLM"'),
    ],
)
def test_what_cannot_be_measured_is_told_at_planning_with_its_place(scorer, changes, place, words, tmp_path, capsys):
    suite = written(tmp_path, scorer, **changes)
    assert main(["plan", str(suite), "--runs", str(tmp_path / "runs")]) == USAGE_ERROR
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1, told
    assert told[0].startswith(f"{suite}:{place}")
    assert re.search(words, told[0]), told[0]
    assert not (tmp_path / "runs").exists()


def test_quality_needs_samples(tmp_path, capsys):
    suite = written(tmp_path)
    lines = suite.read_text().splitlines(keepends=True)
    suite.write_text(
        "".join(line for line in lines if "samples:" not in line and "count: 12" not in line and "0.5" not in line)
    )
    assert main(["plan", str(suite)]) == USAGE_ERROR
    problem = "evaluation: quality is measured on samples, and there are none; give evaluation.samples"
    assert problem in capsys.readouterr().err


def test_a_synthetic_source_says_how_likely_texts_and_controls_are(tmp_path):
    suite = written(
        tmp_path,
        "null, copied: 6",
        arms=ALONE,
        data=("{source: pydoc, length: 32, reserve: 0.2}", "{source: markov, length: 12, train: 400, reserve: 0.2}"),
    )
    carry_out(suite, tmp_path / "runs")
    table = load(tmp_path / "runs")
    rows = table[(table["metric"] == "sample_nats_per_token") & (table["stage"] == "quality")]
    nats = rows[rows["texts"] == "12 x 12"].set_index("arm")["value"]
    assert set(nats.index) == {"MDLM", *CONTROLS}
    assert nats["data"] < nats["shuffled text"]


def test_texts_are_compared_with_controls_of_their_number_and_length_alone(ran):
    page = (ran / "reports" / "texts" / "quality.md").read_text()
    assert re.findall(r"sample quality, (\d+) texts of (\d+) tokens", page) == [("12", "32"), ("6", "32")]
    first, second = page.split("sample quality, 6 texts")
    assert "8 calls" in second
    assert "8 calls" not in first
    assert all(f"| {name} " in part for part in (first, second) for name in CONTROLS)
    numbers = pd.read_csv(ran / "reports" / "texts" / "quality.csv")
    assert numbers["table"].nunique() == 2


def test_an_arm_is_not_its_own_scorer(ran, capsys):
    planned = plan(read_suite(ran.parent / "texts.yaml"))
    id = planned.cells[0].id
    suite = ran.parent / "own.yaml"
    suite.write_text(SUITE.replace("SCORER", f"{{kind: cell, path: runs/cells/{id}}}"))
    assert main(["plan", str(suite), "--runs", str(ran)]) == USAGE_ERROR
    problem = f"evaluation.quality.scorer: cell {id} is arm AR with seed 0 of this suite; name a scorer that is no arm"
    assert capsys.readouterr().err == f"own: {problem}\n"


def test_two_arms_of_one_science_have_all_that_either_asks_for(tmp_path):
    suite = written(
        tmp_path,
        "null",
        arms=("  - {label: AR, method: ar}\n", "  - {label: Twin, method: mdlm}\n"),
        ways=("arms: [MDLM]", "arms: [Twin]"),
    )
    carry_out(suite, tmp_path / "runs")
    table = load(tmp_path / "runs")
    assert set(table["status"]) == {"done"}
    ways = table[table["stage"] == "quality"].groupby("arm")["way"].agg(set).to_dict()
    assert ways["Twin"] - ways["MDLM"] == {"ancestral, 8 calls, temperature 0.5"}


def test_a_stage_that_fails_stops_only_what_needs_it(ran, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(ran, runs)
    planned = plan(read_suite(ran.parent / "texts.yaml"))
    folder = folder_of(runs, planned.cells[1])
    job = record.read_json(folder / "job.json")
    broken, *others = [stage["folder"] for stage in job["stages"] if stage["name"] == "quality"]
    for stage in job["stages"]:
        if stage["name"] == "quality":
            (folder / stage["folder"] / "result.json").unlink()
        if stage["folder"] == broken:
            stage["settings"]["quality"]["copied"] = 99
    rewrite(folder / "job.json", job)
    worker = Worker(folder)
    assert worker.run() == WORKER_FAILED
    assert record.status(folder, broken)[0] == "failed"
    assert [record.status(folder, other)[0] for other in others] == ["done"]


def test_a_worker_that_is_asked_to_stop_starts_no_other_stage(ran, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(ran, runs)
    planned = plan(read_suite(ran.parent / "texts.yaml"))
    folder = folder_of(runs, planned.cells[1])
    later = [stage.folder for stage in planned.cells[1].stages if stage.name in ("samples", "quality")]
    for name in later:
        (folder / name / "result.json").unlink()
    worker = Worker(folder)
    seen = []
    worker._run_stage = lambda stage, pulse: seen.append((stage, pulse)) or worker._stop(signal.SIGTERM)  # type: ignore[method-assign]
    assert worker.run() == WORKER_INTERRUPTED
    assert len(seen) == 1
    with pytest.raises(Interrupted):
        Worker._run_stage(worker, *seen[0])
    assert not (folder / later[0] / "result.json").exists()


def test_a_cell_of_another_suite_may_score(ran, tmp_path):
    planned = plan(read_suite(ran.parent / "texts.yaml"))
    shutil.copytree(folder_of(ran, planned.quality_cells[0]), tmp_path / "scorer")
    suite = written(tmp_path, "{kind: cell, path: scorer}", arms=ALONE)
    carry_out(suite, tmp_path / "runs")
    table = load(tmp_path / "runs")
    assert table.loc[table["metric"] == "gen_ppl", "protocol"].str.contains("cell scorer").all()
