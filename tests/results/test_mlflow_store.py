"""A store of MLflow that cannot be used costs a sentence and some seconds, never a result; sync mends what it lacks."""

import shutil
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from bench.cli.main import main
from bench.launch.exit_codes import DONE, FAILED, NOT_TRACKED, USAGE_ERROR
from bench.results import mlflow_tracking as tracking
from bench.results import mlflow_ui
from bench.results.mlflow_store import StoreClient
from bench.results.suite_record import read
from tests.conftest import TINY
from tests.support.stores import BROKEN_FILES, WRONG_ADDRESSES, WRONG_ANSWERS, answering, silent

COMMANDS = ("sync", "report", "ui")


def bench(*words: object) -> int:
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite, its results in runs/, and a store that holds them."""
    folder = tmp_path_factory.mktemp("store")
    (folder / "tiny.yaml").write_text(TINY)
    assert bench("run", folder / "tiny.yaml", "--runs", folder / "runs") == DONE
    return folder


@pytest.fixture
def suite(ran: Path, tmp_path: Path) -> Path:
    """A copy of that folder without a store."""
    shutil.copytree(ran, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    return tmp_path / "copy" / "tiny.yaml"


@pytest.fixture(autouse=True)
def few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for one second where users wait for ten."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    for name in ("MLFLOW_TRACKING_URI", "DATABRICKS_HOST", "DATABRICKS_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def complaint(ran: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command on a store, assert that it ends with 2 and without a traceback; returns what it says."""

    def complain(command: str, uri: str) -> str:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        words = {"sync": ["sync", "tiny"], "report": ["report", "tiny", "--from-mlflow", uri], "ui": ["ui"]}[command]
        assert bench(*words, "--runs", ran / "runs") == USAGE_ERROR
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        assert len(output.err.splitlines()) == 1
        return output.err

    return complain


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("uri", WRONG_ADDRESSES, ids=lambda uri: uri.partition(":")[0])
def test_a_wrong_address_is_a_sentence(uri: str, command: str, complaint: Callable[..., str]) -> None:
    if uri.startswith("sqlite") and command == "report":
        assert "does not exist; check the path" in complaint(command, uri)
    else:
        assert WRONG_ADDRESSES[uri] in complaint(command, uri)


@pytest.mark.parametrize("command", ["sync", "report"])
@pytest.mark.parametrize("answer", WRONG_ANSWERS)
def test_a_wrong_answer_is_a_sentence(answer: tuple[int, bytes], command: str, complaint: Callable[..., str]) -> None:
    with answering(*answer) as uri:
        assert WRONG_ANSWERS[answer] in complaint(command, uri)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_never_answers_is_a_sentence(command: str, complaint: Callable[..., str]) -> None:
    with silent() as uri:
        assert "does not answer; see whether the server works, or wait longer" in complaint(command, uri)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", BROKEN_FILES)
def test_a_broken_file_is_a_sentence(
    fault: str, command: str, ran: Path, tmp_path: Path, complaint: Callable[..., str]
) -> None:
    shutil.copy(ran / "runs" / "mlflow.db", tmp_path)
    damage, sentence = BROKEN_FILES[fault]
    damage(tmp_path / "mlflow.db")
    assert sentence in complaint(command, f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_a_locked_file_is_a_sentence(ran: Path, tmp_path: Path, complaint: Callable[..., str]) -> None:
    shutil.copy(ran / "runs" / "mlflow.db", tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        sentence = "is locked by another process; wait until that process ends"
        assert sentence in complaint("sync", f"sqlite:///{tmp_path / 'mlflow.db'}")
    other.close()


def test_a_file_that_does_not_exist_is_not_created_by_reading(tmp_path: Path, complaint: Callable[..., str]) -> None:
    assert "does not exist" in complaint("report", f"sqlite:///{tmp_path / 'nothing' / 'mlflow.db'}")
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_a_sentence(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert bench("ui", "--runs", ran / "runs", "--port", server.getsockname()[1]) == USAGE_ERROR
    assert "choose another port: bench ui --port N" in capsys.readouterr().err


def test_a_call_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch, ran: Path) -> None:
    client = StoreClient(f"sqlite:///{ran / 'runs' / 'mlflow.db'}")
    monkeypatch.setattr("bench.results.mlflow_store.waiting_time", lambda: 0.1)
    monkeypatch.setattr(MlflowClient, "search_experiments", lambda self: time.sleep(60))
    with pytest.raises(ValueError, match="does not answer"):
        client.search_experiments()


@pytest.mark.parametrize("fault", ["silent", "noise"])
def test_an_untracked_run_says_so_everywhere_and_sync_mends_it(
    fault: str, suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, connections = suite.parent / "runs", list[socket.socket]()
    reports = runs / "reports" / "tiny"
    before = {path.name: path.read_bytes() for path in reports.iterdir()}
    with silent(connections) as address:
        if fault == "silent":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        else:
            (runs / "mlflow.db").write_bytes(b"noise" * 1000)
        assert bench("run", suite, "--runs", runs) == NOT_TRACKED
    assert len(connections) in ({2} if fault == "silent" else {0}), "asked once, and once again"

    output = capsys.readouterr().err
    assert "NOT tracked: MLflow's store" in output
    assert f"with: bench sync tiny --runs {runs}" in output
    for name in ("table.md", "table.tex", "index.html"):
        assert "Not tracked in MLflow, whose store" in (reports / name).read_text()
        assert "mend it with: bench sync tiny" in (reports / name).read_text()

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (runs / "mlflow.db").unlink(missing_ok=True)
    assert bench("sync", suite, "--runs", runs) == DONE
    assert "written: 3 runs" in capsys.readouterr().out
    assert bench("report", suite, "--runs", runs) == DONE
    assert {path.name: path.read_bytes() for path in reports.iterdir()} == before
    assert bench("run", suite, "--runs", runs) == DONE


def test_failed_cells_come_before_what_is_not_tracked(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite.write_text(
        suite.read_text().replace("method: mdlm", "method: mdlm, training: {learning_rate: 1e30, clip: null}")
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", next(iter(WRONG_ADDRESSES)))
    assert bench("run", suite, "--runs", suite.parent / "runs") == FAILED


def test_a_deleted_experiment_is_a_sentence_and_can_be_restored(
    suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, uri = suite.parent / "runs", f"sqlite:///{suite.parent / 'runs' / 'mlflow.db'}"
    assert bench("sync", suite, "--runs", runs) == DONE
    client = MlflowClient(uri)
    id = client.get_experiment_by_name("tiny").experiment_id
    client.delete_experiment(id)
    advice = f'has deleted experiment "tiny"; restore it with: mlflow experiments restore --experiment-id {id}'
    for words in (["sync", suite, "--runs", runs], ["report", "tiny", "--from-mlflow", uri, "--runs", tmp_path]):
        assert bench(*words) == USAGE_ERROR
        assert advice in capsys.readouterr().err
    assert bench("run", suite, "--runs", runs) == NOT_TRACKED
    assert advice in capsys.readouterr().err

    client.restore_experiment(id)
    assert bench("run", suite, "--runs", runs) == DONE


class Killed(BaseException):
    """Stands for the death of a process."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the process die before or after its call of this number."""
    run = StoreClient._run

    def plan(number: int) -> None:
        calls = iter(range(10_000))

        def count(client: StoreClient, *args: object) -> object:
            if next(calls) >= number:
                raise Killed
            return run(client, *args)  # type: ignore[arg-type]

        monkeypatch.setattr(StoreClient, "_run", count)

    return plan


@pytest.mark.parametrize("number", [4, 7, 11, 17, 24])
def test_sync_ends_what_a_killed_process_began(
    number: int, suite: Path, ran: Path, killed_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = suite.parent / "runs"
    with monkeypatch.context():
        killed_at(number)
        with pytest.raises(Killed):
            bench("sync", suite, "--runs", runs)
    monkeypatch.undo()
    assert bench("sync", suite, "--runs", runs) == DONE
    assert list_runs(runs) == list_runs(ran / "runs")


def list_runs(runs: Path) -> list[object]:
    """What MLflow shows of each run, without its times and ids."""
    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    tracked = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    return sorted(
        (run.data.tags.get("bench.arm", ""), run.info.status, run.data.params, run.data.metrics, run.data.tags)
        for run in tracked
    )


def test_sync_writes_files_again_that_the_store_lost_or_changed(
    suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = suite.parent / "runs"
    assert bench("sync", suite, "--runs", runs) == DONE
    kept = {path: path.read_bytes() for path in (runs / "mlartifacts").rglob("*.*") if path.is_file()}
    lost, *changed = sorted(kept)
    lost.unlink()
    changed[-1].write_bytes(b"x")
    capsys.readouterr()
    assert bench("sync", suite, "--runs", runs) == DONE
    assert "written: 2 files" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in kept} == kept
    assert bench("sync", suite, "--runs", runs) == DONE
    assert "nothing was missing" in capsys.readouterr().out


def test_of_runs_that_stand_there_twice_one_stays(suite: Path, ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = suite.parent / "runs"
    assert bench("sync", suite, "--runs", runs) == DONE
    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    for run in client.search_runs([experiment]):
        tags = {
            name: run.data.tags[name] for name in ("bench.role", "bench.cell", "bench.arm") if name in run.data.tags
        }
        client.create_run(experiment, tags=tags)
    assert bench("sync", suite, "--runs", runs) == DONE
    assert "3 that stood there twice moved to MLflow's trash" in capsys.readouterr().out
    assert len(list_runs(runs)) == 3


def test_a_changed_result_is_shown_even_if_the_clock_was_set_back(suite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = suite.parent / "runs"
    assert bench("sync", suite, "--runs", runs) == DONE
    table = read(runs, "tiny").table
    lower = table.assign(value=table["value"] - 0.25)
    monkeypatch.setattr(tracking, "_results_digest", lambda folders: "changed")
    monkeypatch.setattr(tracking.time, "time", lambda: 1e9)
    tracking.track(runs, "tiny", lower)

    client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
    shown = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    metrics = {run.data.tags.get("bench.arm"): run.data.metrics for run in shown}
    rows = lower[(lower["metric"] == "bits_per_char") & (lower["split"] == "test") & (lower["stage"] == "bound")]
    assert {row.arm: row.value for row in rows.itertuples()} == {
        arm: metrics[arm]["test/bits_per_char"] for arm in rows["arm"]
    }


CANARY = "SEKRET-7f3a"


@pytest.mark.parametrize("answer", [None, (401, f"no user with password {CANARY}".encode())])
def test_no_command_shows_or_writes_a_secret(
    answer: tuple[int, bytes] | None,
    suite: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    runs = suite.parent / "runs"
    with answering(*(answer or (404, b""))) as address:
        uri = address.replace("//", f"//me:{CANARY}@") if answer else f"http://me:{CANARY}@127.0.0.1:9"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", CANARY)
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", f"{CANARY}-token")
        suite.write_text(suite.read_text().replace("steps: 6", "steps: 4"))
        for words in (
            ["plan", suite],
            ["run", suite],
            ["status", suite],
            ["sync", suite],
            ["report", suite],
            ["report", "tiny", "--from-mlflow", f"{uri}/x?token={CANARY}"],
            ["ui"],
            ["compare", "tiny/AR", "tiny/MDLM"],
        ):
            bench(*words, "--runs", runs)
    output = capfd.readouterr()
    assert "http://***@127.0.0.1" in output.err
    assert CANARY not in output.out + output.err
    files = [path for path in runs.rglob("*") if path.is_file()]
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert "Not tracked" in (runs / "reports" / "tiny" / "table.md").read_text()


def test_mlflow_itself_prints_no_address(capfd: pytest.CaptureFixture[str]) -> None:
    run = b'{"info": {"run_id": "1", "experiment_id": "1", "status": "FINISHED", "artifact_uri": "x"}}'
    with answering(200, b'{"run": %s, "run_info": {"run_id": "1"}}' % run, "application/json") as address:
        client = StoreClient(address.replace("//", f"//me:{CANARY}@"))
        client.set_terminated("1", "FINISHED")
    output = capfd.readouterr()
    assert output.out + output.err == ""


def test_the_command_of_the_page_holds_no_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls = []
    uri = f"postgresql://me:{CANARY}@host/db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(mlflow_ui.subprocess, "call", lambda command, env: calls.append((command, env)) or DONE)
    assert mlflow_ui.serve(tmp_path, 5000) == DONE
    ((command, environment),) = calls
    assert CANARY not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == uri
