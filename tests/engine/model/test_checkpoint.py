"""Checkpoints: damage anywhere is noticed, the one before is kept, and a kill at any moment leaves a whole one."""

import errno
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.engine import record_files
from bench.engine.model import checkpoint
from bench.engine.record_files import StorageFull
from bench.engine.records import TrainResult
from bench.engine.storage import succeed


def state(step: int) -> dict[str, Any]:
    """A small state after this many steps."""
    return {"model": {"w": torch.full((64,), float(step))}, "ema": {}, "progress": {"step": step}}


def step_of(loaded: dict[str, Any] | None) -> int:
    """The step of a loaded state, whose weights belong to it."""
    assert loaded is not None
    step: int = loaded["progress"]["step"]
    assert torch.equal(loaded["model"]["w"], state(step)["model"]["w"])
    return step


def flip(path: Path, position: int) -> None:
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(bytes(content))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A folder with two generations: steps 2 and 1."""
    checkpoint.save(state(1), tmp_path)
    checkpoint.save(state(2), tmp_path)
    return tmp_path


def test_a_flipped_bit_anywhere_is_noticed(saved: Path) -> None:
    path = saved / checkpoint.NAME
    size = path.stat().st_size
    for position in range(0, size, max(1, size // 200)):
        flip(path, position)
        with pytest.raises(ValueError, match=r"checkpoint\.pt is not a whole checkpoint \(it was changed after it"):
            checkpoint.load(saved)
        flip(path, position)
    assert step_of(checkpoint.load(saved)) == 2


def test_a_flipped_bit_in_the_weights_of_an_earlier_version_is_noticed(saved: Path) -> None:
    (saved / checkpoint.DIGESTS).unlink()
    path = saved / checkpoint.NAME
    assert step_of(checkpoint.load(saved)) == 2
    entry = max(zipfile.ZipFile(path).infolist(), key=lambda entry: entry.file_size)
    flip(path, path.read_bytes().index(zipfile.ZipFile(path).read(entry)) + 5)
    with pytest.raises(ValueError, match="is not a whole checkpoint"):
        checkpoint.load(saved)
    assert step_of(checkpoint.load_whole(saved)[0]) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "folder", "link"])
def test_a_damaged_checkpoint_leads_to_the_one_before_and_says_so(damage: str, saved: Path, tmp_path: Path) -> None:
    path = saved / checkpoint.NAME
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_bytes({"flip": content[:-9] + b"X" + content[-8:], "truncate": content[:99], "empty": b""}[damage])
    loaded, warning = checkpoint.load_whole(saved)
    assert step_of(loaded) == 1
    assert str(path) in warning


def test_two_damaged_checkpoints_are_an_error_with_both_names(saved: Path) -> None:
    for name in (checkpoint.NAME, checkpoint.PREVIOUS):
        flip(saved / name, 100)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is not .*checkpoint\.previous\.pt is not"):
        checkpoint.load_whole(saved)


def test_of_a_finished_training_only_the_checkpoint_of_its_result_counts(saved: Path) -> None:
    """The one before is whole, but its weights are not those of the result."""
    succeed(saved, TrainResult(files={checkpoint.NAME: checkpoint.known_digests(saved)[0]}))
    assert step_of(checkpoint.load(saved)) == 2
    (saved / checkpoint.PREVIOUS).replace(saved / checkpoint.NAME)
    with pytest.raises(ValueError, match="its digest differs"):
        checkpoint.load(saved)


class Killed(BaseException):
    """Stands for a kill: nothing of the process runs after it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, moment: int) -> list[str]:
    """Stop at the n-th step that reaches the disk; returns the steps so far."""
    steps: list[str] = []

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if len(steps) == moment:
                raise Killed
            steps.append(name)
            return function(*arguments, **options)

        return call

    monkeypatch.setattr(os, "fsync", counted("fsync", os.fsync))
    monkeypatch.setattr(Path, "replace", counted("replace", Path.replace))
    monkeypatch.setattr(Path, "unlink", lambda *arguments, **options: None)  # a killed process does not tidy up
    return steps


@pytest.mark.parametrize("saves", [0, 1, 2])
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(saves: int, tmp_path: Path) -> None:
    moment = 0
    while True:
        folder = tmp_path / str(moment)
        folder.mkdir()
        for step in range(saves):
            checkpoint.save(state(step + 1), folder)
        with pytest.MonkeyPatch.context() as patch:
            steps = kill_at(patch, moment)
            try:
                checkpoint.save(state(saves + 1), folder)
                break
            except Killed:
                pass
        loaded, warning = checkpoint.load_whole(folder)
        assert warning == ""
        assert (0 if loaded is None else step_of(loaded)) in (saves, saves + 1)

        record_files.remove_partials(folder)
        assert not list(folder.glob("*.partial"))
        checkpoint.save(state(9), folder)
        assert step_of(checkpoint.load(folder)) == 9
        moment += 1
    assert len(steps) == moment > 6


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("where", ["write", "fsync"])
def test_without_room_the_old_checkpoints_stay_and_nothing_half_written_is_left(
    number: int, where: str, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    if where == "fsync":
        monkeypatch.setattr(os, "fsync", refuse)
    else:
        write = checkpoint.HashedFile.write

        def fail(hashed: checkpoint.HashedFile, content: Any) -> int:
            hashed.error = OSError(number, os.strerror(number))
            return write(hashed, content)

        monkeypatch.setattr(checkpoint.HashedFile, "write", fail)
    with pytest.raises(StorageFull, match=f"no room to write {saved / checkpoint.NAME}"):
        checkpoint.save(state(3), saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
