"""What `--retry-failed` does first: it moves broken records away, so that they are made again."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from bench.engine import storage
from bench.engine.model import checkpoint
from bench.engine.record_files import BrokenRecord, check_parents, open_file, remove, set_aside
from bench.engine.records import TrainResult


def clear_failures(cell: Path, stages: Iterable[str]) -> None:
    """Forget the failures of the stages with these folders, and move what is broken to NAME.broken.

    The result of a training whose checkpoint was damaged is moved away as well, so that the training is resumed from
    the last whole checkpoint or, if there is none, begins anew. Nothing is done behind a link, which only people mend.
    """
    _move_if_no_folder(cell)
    with suppress(BrokenRecord):
        check_parents(cell / "job.json")
        _clear(cell, stages)


def _clear(cell: Path, stages: Iterable[str]) -> None:
    """Do so in the folder of a cell, or where it will be."""
    for stage in stages:
        folder = cell / stage
        _move_if_no_folder(folder)
        _move_broken_result(cell, stage)
        remove(folder / "failure.json")
    if os.path.lexists(cell / "train"):
        _move_damaged_checkpoints(cell / "train")


def _move_if_no_folder(path: Path) -> None:
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir()):
        set_aside(path)


def _move_broken_result(cell: Path, stage: str) -> None:
    try:
        storage.read_result(cell, stage)
    except BrokenRecord:
        for path in (cell / stage / "result.json", cell / stage / "sequences.npz"):
            if os.path.lexists(path):
                set_aside(path)


def _move_damaged_checkpoints(folder: Path) -> None:
    """Move away the result of a damaged checkpoint, and the checkpoints if none of them is whole."""
    result: TrainResult | None = storage.whole_result(folder.parent, folder.name)
    newest = folder / checkpoint.NAME
    if result is not None:
        expected = result.files.get(checkpoint.NAME)
        if expected is None or not os.path.lexists(newest) or _is_whole(newest, (expected,)):
            return  # without weights the numbers still count
        set_aside(folder / "result.json")

    paths = [path for path in (newest, folder / checkpoint.PREVIOUS) if os.path.lexists(path)]
    if not any(_is_whole(path, checkpoint.known_digests(folder)) for path in paths):
        for path in paths:
            set_aside(path)


def _is_whole(path: Path, digests: tuple[str, ...]) -> bool:
    try:
        with open_file(path) as file:
            return not checkpoint.find_damage(file, digests)
    except BrokenRecord:
        return False
