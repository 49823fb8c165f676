"""Interruptions: killed, stopped and doubled runs lose nothing and say so."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from bench.engine import lock
from bench.launch.exit_codes import DONE, INCOMPLETE, INTERRUPTED
from bench.launch.job_files import submit
from bench.launch.signals import STOP_SIGNALS
from bench.plan.cells import folder_of
from bench.plan.plan import plan
from bench.suite.suite import read as read_suite
from tests.conftest import ROOT, TINY
from tests.end_to_end.test_chain import run
from tests.support.workers import ForkedWorker

pytestmark = pytest.mark.long


def prepare(folder: Path) -> Path:
    """Plan a suite of many steps and return the folder of its MDLM cell, whose worker has not started."""
    (folder / "long.yaml").write_text(LONG)
    planned = plan(read_suite(folder / "long.yaml"))
    submit(folder / "runs", planned)
    return folder_of(folder / "runs", planned.cells[1])


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    """The same cell, run to its end without an interruption."""
    cell = prepare(tmp_path_factory.mktemp("uninterrupted"))
    assert ForkedWorker(str(cell)).wait() == 0
    return cell


def wait_for(condition, worker: subprocess.Popen[bytes] | ForkedWorker) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert worker.poll() is None, "the worker ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.002)


EVERY_STEP = ", checkpoint_seconds: 0"  # not part of a cell's id: a run may continue without it, and faster
LONG = TINY.replace("steps: 6", "steps: 60").replace("{device: cpu}", f"{{device: cpu{EVERY_STEP}}}")


@pytest.mark.parametrize("number", [signal.SIGKILL, *STOP_SIGNALS], ids=lambda number: signal.Signals(number).name)
def test_a_killed_cell_goes_on_where_it_was_and_ends_bit_for_bit_the_same(number, uninterrupted, tmp_path, capsys):
    folder = prepare(tmp_path)
    worker = ForkedWorker(str(folder))
    wait_for((folder / "train" / "checkpoint.pt").exists, worker)
    os.kill(worker.pid, number)
    assert worker.wait() == (-number if number == signal.SIGKILL else INTERRUPTED)
    state = torch.load(folder / "train" / "checkpoint.pt", weights_only=True)
    assert 0 < state["progress"]["step"] < 60

    assert run("status", "long", "--runs", tmp_path / "runs") == INCOMPLETE
    step = r"\d+" if number == signal.SIGKILL else str(state["progress"]["step"])
    assert re.search(rf"train +interrupted at step {step} of 60", capsys.readouterr().out)

    (folder / "train" / "checkpoint.pt.partial").write_bytes(b"half")
    assert ForkedWorker(str(folder)).wait() == 0
    assert {path.name for path in folder.rglob("*")} == {path.name for path in uninterrupted.rglob("*")}
    assert _numbers(folder) == _numbers(uninterrupted)
    ends = [torch.load(path / "train" / "checkpoint.pt", weights_only=True) for path in (uninterrupted, folder)]
    for key in ("model", "ema"):
        assert all(torch.equal(ends[0][key][part], ends[1][key][part]) for part in ends[0][key])


def _numbers(folder: Path) -> list[object]:
    """What a cell found, without the clock."""
    results = [json.loads(path.read_text()) for path in sorted(folder.rglob("result.json"))]
    points = results[2]["curve"]["train"] + results[2]["curve"]["valid"]
    return [results[0]["measures"], results[1]["texts"], [(point["tokens"], point["value"]) for point in points]]


def heed_interrupts() -> None:
    """Undo that a shell starts what follows its & with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_an_interrupted_run_says_so_and_goes_on(tmp_path):
    suite = tmp_path / "long.yaml"
    suite.write_text(LONG.replace("steps: 60", "steps: 300"))
    command = [sys.executable, "-m", "bench", "run", str(suite), "--runs", str(tmp_path / "runs")]
    driver = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stderr=subprocess.PIPE, preexec_fn=heed_interrupts
    )
    first = folder_of(tmp_path / "runs", plan(read_suite(suite)).cells[0])
    wait_for((first / "train" / "checkpoint.pt").exists, driver)
    os.killpg(driver.pid, signal.SIGINT)  # as Ctrl-C does: to the driver and its worker
    _, told = driver.communicate()
    assert driver.returncode == 130
    assert b"run the same command again" in told
    assert b"Traceback" not in told
    suite.write_text(suite.read_text().replace(EVERY_STEP, ""))
    assert run("run", suite, "--runs", tmp_path / "runs") == DONE


def test_a_worker_dies_with_its_driver_and_the_next_run_goes_on(tmp_path):
    suite = tmp_path / "long.yaml"
    suite.write_text(LONG.replace("steps: 60", "steps: 400"))
    command = [sys.executable, "-m", "bench", "run", str(suite), "--runs", str(tmp_path / "runs")]
    driver = subprocess.Popen(command, cwd=ROOT)
    planned = plan(read_suite(suite))
    first = folder_of(tmp_path / "runs", planned.cells[0])
    wait_for((first / "train" / "checkpoint.pt").exists, driver)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    deadline = time.monotonic() + 30
    while lock.is_busy(first) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lock.is_busy(first)
    assert not (first / "train" / "result.json").exists()
    suite.write_text(suite.read_text().replace(EVERY_STEP, ""))
    assert run("run", suite, "--runs", tmp_path / "runs") == DONE


def test_a_second_run_in_the_same_folder_waits_its_turn(tiny, tmp_path, capsys):
    with lock.at_work(tmp_path / "runs"):
        assert run("run", tiny, "--runs", tmp_path / "runs") == INCOMPLETE
    assert "another process is at work" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "cells").exists()


def test_a_cell_is_worked_on_by_one_process_at_a_time(tmp_path):
    (tmp_path / "cell").mkdir()
    with lock.at_work(tmp_path / "cell"):
        assert lock.is_busy(tmp_path / "cell")
        with pytest.raises(lock.Busy, match="another process is at work"), lock.at_work(tmp_path / "cell"):
            pass
    assert not lock.is_busy(tmp_path / "cell")


THREADS = """
import sys
from pathlib import Path
import torch
from bench.launch.worker import Worker

worker = Worker(Path(sys.argv[1]))
worker._do_stages = lambda: 0
assert worker.run() == 0
torch.set_num_threads(4)
rows, weights = torch.randn(28, 128, requires_grad=True), torch.randn(16, 128, 128)
places = torch.randint(28, (16, 128))
found = {torch.autograd.grad((rows[places] * weights).sum(), rows)[0].numpy().tobytes() for _ in range(50)}
print(len(found))
"""


def test_several_threads_of_a_worker_find_the_same_gradient_each_time(tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    planned = plan(read_suite(tmp_path / "tiny.yaml"))
    submit(tmp_path, planned)
    command = [sys.executable, "-c", THREADS, str(folder_of(tmp_path, planned.cells[0]))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]
