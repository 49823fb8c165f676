"""The lock of a folder: one holder, no heir, nothing written by who asks, and no link followed."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli.main import main
from bench.engine import lock
from bench.engine.lock import UnsafeLock, at_work, is_busy
from bench.launch.exit_codes import USAGE_ERROR


@pytest.fixture
def cell(tmp_path: Path) -> Path:
    """A folder with a lock that nobody holds."""
    with at_work(tmp_path / "cell"):
        pass
    return tmp_path / "cell"


def test_who_is_refused_learns_who_holds_the_folder(cell):
    name = rf"process {os.getpid()} on {socket.gethostname()} since \d{{4}}-\d\d-\d\dT"
    with at_work(cell), pytest.raises(lock.Busy, match=name), at_work(cell, patience=0):
        pass


@pytest.mark.parametrize("content", [b"", b"words", b"[1]", b'{"pid": 1}', b"\xff"])
def test_the_content_of_a_lock_decides_nothing(content, cell):
    with at_work(cell):
        (cell / "lock").write_bytes(content)
        with pytest.raises(lock.Busy, match=r"at work in \S+; wait"), at_work(cell, patience=0):
            pass
    assert not is_busy(cell)


def test_who_asks_writes_nothing(cell):
    before = (cell / "lock").stat()
    assert not is_busy(cell)
    assert not is_busy(cell.with_name("nothing"))
    after = (cell / "lock").stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert sorted(path.name for path in cell.parent.iterdir()) == ["cell"]


def test_two_who_ask_at_once_do_not_take_each_other_for_a_holder(cell):
    asking = os.open(cell / "lock", os.O_RDONLY)
    lock._lock(asking, lock.fcntl.LOCK_SH)  # as is_busy does
    assert not is_busy(cell)
    os.close(asking)


def test_a_folder_that_may_not_be_written_can_be_asked(cell, monkeypatch):
    flags: list[int] = []
    opened = os.open
    monkeypatch.setattr(lock.os, "open", lambda path, flag, *mode: flags.append(flag) or opened(path, flag, *mode))
    assert not is_busy(cell)
    assert [flag & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC) for flag in flags] == [0]


def test_a_forked_child_does_not_hold_the_lock(cell):
    reader, writer = os.pipe()
    with at_work(cell):
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)  # until the parent has asked
            os._exit(0)
        assert is_busy(cell)
    os.close(reader)
    try:
        assert not is_busy(cell)
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def test_a_forked_child_that_leaves_the_block_does_not_end_the_lock(cell):
    code = """if True:
        import os, sys
        from pathlib import Path
        from bench.engine.lock import at_work, is_busy
        cell = Path(sys.argv[1])
        with at_work(cell):
            child = os.fork()
            if child:
                os.waitpid(child, 0)
                print(is_busy(cell))
    """
    done = subprocess.run([sys.executable, "-c", code, str(cell)], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_program_that_a_holder_starts_does_not_hold_the_lock(cell):
    with at_work(cell):
        program = subprocess.Popen(["sleep", "100"], close_fds=False)
    try:
        assert not is_busy(cell)
    finally:
        program.kill()
        program.wait()


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def dangle(path: Path, target: Path) -> None:
    path.symlink_to(target.with_name("elsewhere"))


@pytest.mark.parametrize(
    "make", [link, dangle, lambda path, target: path.mkdir(), lambda path, target: os.mkfifo(path)],
    ids=["link", "dangling link", "folder", "pipe"],
)  # fmt: skip
def test_what_is_no_plain_file_is_refused_and_left_alone(make, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    folder = tmp_path / "cell"
    folder.mkdir()
    make(folder / "lock", precious)
    before = (folder / "lock").lstat()

    with pytest.raises(UnsafeLock, match=r"cell/lock is .*; remove it and run again"):
        is_busy(folder)
    with pytest.raises(UnsafeLock), at_work(folder):
        pass
    assert precious.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()
    assert stat.S_IFMT((folder / "lock").lstat().st_mode) == stat.S_IFMT(before.st_mode)


def test_a_lock_with_a_second_name_is_held_and_not_written(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (tmp_path / "cell").mkdir()
    (tmp_path / "cell" / "lock").hardlink_to(precious)
    with at_work(tmp_path / "cell"):
        assert is_busy(tmp_path / "cell")
    assert precious.read_text() == "precious"


def test_a_run_in_a_folder_whose_lock_is_a_link_ends_with_a_sentence(tiny, tmp_path, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "runs" / "lock").symlink_to(tmp_path / "precious")
    assert main(["run", str(tiny), "--runs", str(tmp_path / "runs")]) == USAGE_ERROR
    assert "lock is a symbolic link, so it cannot be the lock of its folder" in capsys.readouterr().err
    assert (tmp_path / "precious").read_text() == "precious"
    assert not (tmp_path / "runs" / "cells").exists()
