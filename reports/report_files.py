"""The files of a report, written to a folder all together or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.engine.record_files import PARTIAL, BrokenRecord, is_full, set_aside, writing


class NotWritten(OSError):
    """A report that could not be written."""

    def __str__(self) -> str:
        return f"the report was not written to {self.filename} ({self.strerror}); the results are as they were"


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """A new folder whose files take their places in `folder` when all of them are written; nothing is left of it.

    Raises NotWritten, StorageFull, or BrokenRecord if the folder, or the one that it is in, is a symbolic link.
    """
    for part in (folder.parent, folder):
        if part.is_symlink() and part.name in ("reports", folder.name):
            raise BrokenRecord(f"{part} is a symbolic link; links are not followed inside a folder of results")
    new = folder.with_name(f"{folder.name}.{os.getpid()}{PARTIAL}")
    try:
        with writing(folder):
            new.mkdir(parents=True)
            yield new
            _move_files(new, folder)
    except OSError as error:
        if is_full(error):
            raise
        raise NotWritten(error.errno, error.strerror or str(error), str(folder)) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _move_files(new: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in sorted(new.iterdir()):
        target = folder / path.name
        if target.is_dir() and not target.is_symlink():
            set_aside(target)
        path.replace(target)
