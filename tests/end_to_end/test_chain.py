"""The whole chain, from a suite file to tables, in real processes."""

import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import bench
from bench.cli.main import main
from bench.engine import storage as record
from bench.engine.records import TrainResult
from bench.launch.exit_codes import DONE, FAILED, NOT_TRACKED, USAGE_ERROR
from bench.launch.local_launcher import is_due
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.results.suite_record import NoRecord, read
from bench.suite.suite import read as read_suite
from tests.conftest import ROOT, TINY


def run(*arguments: str | Path) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> Path:
    """A folder with the tiny suite and its finished runs."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "tiny.yaml").write_text(TINY)
    assert run("run", folder / "tiny.yaml", "--runs", folder / "runs") == DONE
    return folder


def test_every_stage_of_every_cell_is_in_the_tidy_table(done):
    table = bench.load(done / "runs")
    assert set(table["status"]) == {"done"}
    assert set(table.groupby(["arm", "stage"]).groups) == {
        (arm, stage) for arm in ("AR", "MDLM") for stage in ("train", "bound", "samples")
    }
    bits = table[(table["metric"] == "bits_per_char")].set_index("arm")
    assert list(bits["kind"]) == ["exact", "certified"]
    assert (bits["n"] == 16).all()
    assert (bits["value"] < 8).all()
    assert (bits["standard_error"] > 0).all()
    assert bits.loc["AR", "monte_carlo_error"] == 0 < bits.loc["MDLM", "monte_carlo_error"]
    drawn = table[table["stage"] == "samples"]
    calls = drawn[drawn["metric"] == "network_calls"].set_index("arm")["value"]
    assert calls["AR"] == 12
    assert calls["MDLM"] <= 4


def test_the_units_agree_with_each_other(done):
    table = bench.load(done / "runs")
    found = table[(table["stage"] == "bound") & (table["arm"] == "MDLM")].set_index("metric")["value"]
    assert found["bits_per_char"] == pytest.approx(found["nats_per_token"] / math.log(2))
    assert found["bits_per_byte"] == pytest.approx(found["bits_per_char"])  # letters are one byte each
    assert found["perplexity"] == pytest.approx(math.exp(found["nats_per_token"]))
    parts = found["prior_gap"] + found["integral"] + found["last_guess"]
    assert parts == pytest.approx(found["nats_per_token"])


def test_the_nats_of_each_sequence_are_kept_and_add_up(done):
    table = bench.load(done / "runs")
    cell = table.loc[table["arm"] == "MDLM", "cell"].iloc[0]
    (path,) = (done / "runs" / "cells" / cell).glob("bound-*/sequences.npz")
    parts = np.load(path)
    total = sum(parts[name] for name in parts.files)
    assert total.shape == (16, 2)
    value = table[(table["arm"] == "MDLM") & (table["metric"] == "nats_per_token") & (table["split"] == "test")]
    assert float(value["value"].iloc[0]) == pytest.approx(total.mean() / 12)


def test_a_second_run_does_nothing_and_says_the_same(done, capsys):
    before = {path: path.stat().st_mtime_ns for path in (done / "runs" / "cells").rglob("result.json")}
    assert run("run", done / "tiny.yaml", "--runs", done / "runs") == DONE
    assert {path: path.stat().st_mtime_ns for path in (done / "runs" / "cells").rglob("result.json")} == before
    assert run("status", done / "tiny.yaml", "--runs", done / "runs") == DONE
    assert run("plan", done / "tiny.yaml", "--runs", done / "runs") == DONE
    out = capsys.readouterr().out
    assert "cached" in out
    assert "to run" not in out.replace("nothing is left to run", "")


def test_a_report_is_made_from_what_is_recorded_alone(done):
    folder = done / "runs" / "reports" / "tiny"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (done / "tiny.yaml").rename(done / "away.yaml")
    try:
        assert run("report", "tiny", "--runs", done / "runs") == DONE
    finally:
        (done / "away.yaml").rename(done / "tiny.yaml")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert {"table.md", "table.tex", "table.csv", "curves.svg", "index.html"} <= set(before)


def test_mlflow_holds_every_cell_once_with_its_numbers(done):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{done / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.bench.cell LIKE '%'")
    assert sorted(found.data.params["arm"] for found in runs) == ["AR", "MDLM"]
    table = bench.load(done / "runs")
    for found in runs:
        rows = table[(table["arm"] == found.data.params["arm"]) & (table["metric"] == "bits_per_char")]
        assert found.data.metrics["test/bits_per_char"] == pytest.approx(float(rows["value"].iloc[0]))
        assert found.info.status == "FINISHED"
        history = client.get_metric_history(found.info.run_id, "valid/nats_per_token")
        assert [point.step for point in history] == [288, 576]


def test_one_more_stage_trains_nothing_again(done, tmp_path):
    suite = done / "tiny.yaml"
    old = {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("checkpoint.pt")}
    suite.write_text(TINY.replace("draws: 2, ", "draws: 4, "))
    try:
        assert run("run", suite, "--runs", done / "runs") == DONE
    finally:
        suite.write_text(TINY)
    assert {path: path.stat().st_mtime_ns for path in (done / "runs").rglob("checkpoint.pt")} == old
    assert len(list((done / "runs" / "cells").rglob("bound-*/result.json"))) == 4


def test_a_failed_cell_is_a_row_with_its_reason_and_the_others_go_on(tmp_path, capsys):
    suite = tmp_path / "failing.yaml"
    suite.write_text(TINY.replace("batch_size: 8,", "batch_size: 8, learning_rate: 1.0e+30, clip: null,"))
    assert run("run", suite, "--runs", tmp_path / "runs") == FAILED
    table = bench.load(tmp_path / "runs")
    assert set(table["status"]) == {"failed"}
    assert set(table["arm"]) == {"AR", "MDLM"}
    assert table["reason"].str.contains("non-finite loss").all()
    assert "non-finite loss" in capsys.readouterr().out
    planned = plan(read_suite(suite))
    folder = folder_of(tmp_path / "runs", planned.cells[0])
    assert not is_due(folder, planned.cells[0], retry_failed=False)
    assert is_due(folder, planned.cells[0], retry_failed=True)


def test_a_worker_that_dies_without_a_word_is_a_failure(tmp_path, monkeypatch):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(TINY)
    monkeypatch.setattr("bench.launch.worker_process.sys.executable", "/bin/false")
    assert run("run", suite, "--runs", tmp_path / "runs") == FAILED
    reasons = set(read(tmp_path / "runs", "tiny").table["reason"])
    assert any("the worker ended with exit code 1 without a result" in reason for reason in reasons)


def test_what_was_never_run_is_told_by_name(tmp_path, capsys):
    assert run("report", "nothing", "--runs", tmp_path) == USAGE_ERROR
    assert 'suite "nothing" was never run' in capsys.readouterr().err
    with pytest.raises(NoRecord, match="no suite was run"):
        bench.load(tmp_path)


def test_results_of_other_code_are_stale_and_say_so(done, monkeypatch, capsys):
    monkeypatch.setattr("bench.results.staleness.is_fresh", lambda *codes: False)
    table = bench.load(done / "runs")
    assert set(table["status"]) == {"stale"}
    assert table["reason"].str.contains("made by other code; remove").all()
    assert run("report", "tiny", "--runs", done / "runs") == DONE
    assert "made by other code" in capsys.readouterr().out
    monkeypatch.undo()
    assert run("report", "tiny", "--runs", done / "runs") == DONE


def test_two_labels_with_the_same_science_share_one_cell(tmp_path):
    suite = tmp_path / "twins.yaml"
    suite.write_text(TINY.replace("{label: AR, method: ar}", "{label: Twin, method: mdlm, options: {time: false}}"))
    assert run("run", suite, "--runs", tmp_path / "runs") == DONE
    assert len(list((tmp_path / "runs" / "cells").iterdir())) == 1
    bits = bench.load(tmp_path / "runs").query("metric == 'bits_per_char'").set_index("arm")["value"]
    assert bits["Twin"] == bits["MDLM"]


def test_a_tracking_server_of_ones_own_is_used(done, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mine.db'}")
    monkeypatch.chdir(tmp_path)
    assert run("run", done / "tiny.yaml", "--runs", done / "runs") == DONE
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'mine.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id], "tags.bench.cell LIKE '%'")) == 2


def test_a_store_that_cannot_be_written_costs_no_result(tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mlflow.store.db.utils.MAX_RETRY_COUNT", 1)  # ten retries with backoff would take 100 s
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mlflow.db").write_text("no database")
    assert run("run", tiny, "--runs", tmp_path / "runs") == NOT_TRACKED
    printed = capsys.readouterr()
    assert "NOT tracked" in printed.err
    assert "MDLM" in printed.out


def test_results_that_change_reach_mlflow(tiny, tmp_path):
    from mlflow import MlflowClient

    found = []
    for draws in (2, 16):
        tiny.write_text(TINY.replace("draws: 2, ", f"draws: {draws}, "))
        assert run("run", tiny, "--runs", tmp_path / "runs") == DONE
        client = MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("tiny")
        assert experiment is not None
        (one,) = client.search_runs([experiment.experiment_id], "params.arm = 'MDLM'")
        bits = bench.load(tmp_path / "runs").query("arm == 'MDLM' and metric == 'bits_per_char'")["value"].iloc[0]
        assert one.data.metrics["test/bits_per_char"] == pytest.approx(float(bits))
        found.append(float(bits))
    assert found[0] != found[1]


@pytest.mark.parametrize(("command", "code"), [("run", FAILED), ("status", FAILED), ("report", FAILED), ("plan", DONE)])
def test_a_torn_record_is_a_failed_cell_with_the_way_out(command, code, done, tiny, tmp_path, capsys):
    shutil.copytree(done / "runs", tmp_path / "runs")
    torn = next((tmp_path / "runs" / "cells").glob("*/train/result.json"))
    torn.write_text("{")
    capsys.readouterr()
    assert run(command, tiny, "--runs", tmp_path / "runs") == code
    captured = capsys.readouterr()
    printed = " ".join((captured.out + captured.err).split())
    if command == "plan":
        assert f"failed: cells/{torn.parents[1].name}/train/result.json is not a whole record" in printed
    else:
        assert f"run again with: bench run {tiny} --runs {tmp_path / 'runs'} --retry-failed" in printed


def test_a_broken_checkpoint_is_a_failure_that_says_what_to_do(tmp_path):
    suite = tmp_path / "tiny.yaml"
    suite.write_text(TINY)
    folder = folder_of(tmp_path / "runs", plan(read_suite(suite)).cells[0])
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "checkpoint.pt").write_bytes(b"half a file")
    assert run("run", suite, "--runs", tmp_path / "runs") == FAILED
    reasons = bench.load(tmp_path / "runs")["reason"]
    assert reasons.str.contains("is not a whole checkpoint").any()
    assert reasons.str.contains("bench run --retry-failed trains again").any()


def test_labels_are_words_and_not_markup(tmp_path, capsys):
    suite = tmp_path / "odd.yaml"
    suite.write_text(TINY.replace("label: AR", "label: '[/x] [ar]'").replace("Does it hold?", "'[/] Really?'"))
    assert run("plan", suite, "--runs", tmp_path / "runs") == DONE
    assert "[/x] [ar]" in capsys.readouterr().out


def test_a_suite_that_changed_since_it_was_run_is_told(done, capsys):
    suite = done / "tiny.yaml"
    suite.write_text(TINY.replace("steps: 6", "steps: 99"))
    try:
        assert run("report", suite, "--runs", done / "runs") == DONE
    finally:
        suite.write_text(TINY)
    assert "changed since it was run" in capsys.readouterr().err


def test_a_number_that_is_not_finite_never_reaches_a_record(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        record.succeed(tmp_path, TrainResult(flops=math.nan))
    assert not (tmp_path / "result.json").exists()


def test_an_attention_that_is_not_installed_is_an_error_with_the_way_out(tmp_path, capsys):
    suite = tmp_path / "flash.yaml"
    suite.write_text(TINY.replace("{device: cpu}", "{device: cpu, attention: flash}"))
    assert run("run", suite, "--runs", tmp_path / "runs") == USAGE_ERROR
    assert "attention: sdpa" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error_and_not_a_cpu(tmp_path, capsys):
    suite = tmp_path / "gpu.yaml"
    suite.write_text(TINY.replace("{device: cpu}", "{device: cuda}"))
    assert run("run", suite, "--runs", tmp_path / "runs") == USAGE_ERROR
    assert "torch sees no GPU" in capsys.readouterr().err


def test_help_answers_without_the_heavy_packages():
    code = "import sys; from bench.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'mlflow', 'pandas', 'matplotlib') if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert out.strip().endswith("[]")
    assert "exit codes" in out
