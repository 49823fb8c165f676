"""Signals: the driver passes them on, workers save once, and nothing of either is left."""

import os
import signal
import time
from pathlib import Path

import pytest

from bench.launch import signals
from bench.launch.exit_codes import INTERRUPTED
from bench.launch.signals import STOP_SIGNALS, StopRequests, handled_by
from tests.support.drivers import is_alive, stand_in, state, wait_until

GROUP_CHILD, INDEPENDENT_CHILD = "leave_behind(session=False)", "leave_behind(session=True)"


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: signal.Signals(number).name)
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["driver alone", "whole group"])
def test_a_stop_signal_makes_the_worker_save_once_and_end(number, send, tmp_path):
    with stand_in(tmp_path, save="time.sleep(0.5)") as driver:
        worker = driver.worker
        assert os.getsid(worker) == worker  # the terminal's signals reach the driver alone
        send(driver.process.pid, number)
        assert driver.finish() == (INTERRUPTED, "interrupted\n")
        assert (tmp_path / "signal").read_text() == str(int(number))
        assert (tmp_path / "checkpoint").exists()
        assert not is_alive(worker)


def test_a_second_signal_ends_the_worker_at_once(tmp_path):
    with stand_in(tmp_path, save="time.sleep(100)") as driver:
        worker = driver.worker
        driver.process.send_signal(signal.SIGINT)
        driver.wait_for("signal")
        time.sleep(2 * signals.ECHO_SECONDS)
        driver.process.send_signal(signal.SIGINT)
        assert driver.finish() == (INTERRUPTED, "interrupted\n")
        assert not (tmp_path / "checkpoint").exists()
        assert not is_alive(worker)


@pytest.mark.parametrize(
    ("numbers", "at_once"),
    [
        ([(0, signal.SIGINT)], [False]),
        ([(0, signal.SIGINT), (0.001, signal.SIGINT)], [False, False]),  # as `timeout` sends it
        ([(0, signal.SIGINT), (1, signal.SIGTERM)], [False, True]),
        ([(0, signal.SIGUSR1), (60, signal.SIGTERM)], [False, False]),  # as Slurm sends them
        ([(0, signal.SIGTERM), (1, signal.SIGHUP)], [False, False]),
        ([(0, signal.SIGHUP), (1, signal.SIGHUP)], [False, False]),
    ],
)
def test_only_a_repeated_int_or_term_means_at_once(numbers, at_once, monkeypatch):
    requests, answers = StopRequests(), []
    for seconds, number in numbers:
        monkeypatch.setattr(signals.time, "monotonic", lambda seconds=seconds: 100.0 + seconds)
        answers.append(requests.add(number))
    assert answers == at_once
    assert requests.first == numbers[0][1]


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT], ids=["nohup", "in the background of a shell"])
def test_a_signal_that_was_ignored_at_the_start_stays_ignored(ignored, tmp_path):
    with stand_in(tmp_path, ignored=(ignored,)) as driver:
        worker = driver.worker
        os.killpg(driver.process.pid, ignored)
        os.kill(worker, ignored)
        driver.process.send_signal(signal.SIGTERM)
        assert driver.finish()[0] == INTERRUPTED
        assert (tmp_path / "signal").read_text() == str(int(signal.SIGTERM))


def test_a_block_leaves_the_handlers_as_they_were():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the `&` of a shell has the tests ignore it
    before = [signal.getsignal(number) for number in STOP_SIGNALS]
    heard: list[int] = []
    with handled_by(heard.append):
        for number in STOP_SIGNALS:
            os.kill(os.getpid(), number)
    assert sorted(heard) == sorted(STOP_SIGNALS)
    assert [signal.getsignal(number) for number in STOP_SIGNALS] == before


@pytest.mark.parametrize("is_stopped", [False, True], ids=["trains", "is stopped"])
def test_a_worker_whose_driver_was_killed_saves_and_ends_with_its_children(is_stopped, tmp_path):
    with stand_in(tmp_path, start=GROUP_CHILD) as driver:
        worker = driver.worker
        driver.wait_for("child-*")
        if is_stopped:
            os.kill(worker, signal.SIGSTOP)
        driver.process.kill()
        wait_until(lambda: not any(map(is_alive, [worker, *driver.children])))
        assert (tmp_path / "checkpoint").exists()


def test_a_worker_whose_driver_was_killed_before_its_first_instruction_ends(tmp_path):
    with stand_in(tmp_path) as driver:
        children = Path(f"/proc/{driver.process.pid}/task/{driver.process.pid}/children")
        wait_until(lambda: bool(children.read_text()))
        worker = int(children.read_text())
        driver.process.kill()
        wait_until(lambda: not is_alive(worker))


@pytest.mark.parametrize("left", [GROUP_CHILD, INDEPENDENT_CHILD], ids=["in the group", "daemonised"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["the worker ends", "the worker is killed"])
def test_children_of_a_worker_end_with_it(left, number, tmp_path):
    with stand_in(tmp_path, start=left) as driver:
        worker = driver.worker
        driver.wait_for("child-*")
        os.kill(worker, number)
        assert driver.finish()[0] == (INTERRUPTED if number == signal.SIGTERM else 256 - signal.SIGKILL)
        assert driver.children
        assert not any(map(is_alive, driver.children))


def test_ctrl_z_stops_the_worker_with_its_driver_and_fg_continues_both(tmp_path):
    with stand_in(tmp_path) as driver:
        worker, pid = driver.worker, driver.process.pid
        os.killpg(pid, signal.SIGTSTP)
        wait_until(lambda: state(pid) == state(worker) == "T")
        os.killpg(pid, signal.SIGCONT)
        wait_until(lambda: state(worker) != "T")
        driver.process.send_signal(signal.SIGTERM)
        assert driver.finish()[0] == INTERRUPTED
        assert (tmp_path / "checkpoint").exists()


def test_a_worker_that_is_silent_too_long_is_killed(tmp_path):
    with stand_in(tmp_path, hang_timeout=1.5, start=GROUP_CHILD) as driver:
        os.kill(driver.worker, signal.SIGSTOP)
        code, output = driver.finish()
        assert code == 1
        assert "no sign of life for" in output
        assert "ended by --hang-timeout 1.5" in output
        assert not any(map(is_alive, [driver.worker, *driver.children]))
