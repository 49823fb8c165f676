"""What MLflow's store lacks of a record, and why: a file of its own for each record, until the store is up to date.

RUNS/tracking/NAME.json
"""

import os
from pathlib import Path

from bench.engine.record_files import BrokenRecord, broken, remove
from bench.engine.records import Record
from bench.engine.storage import read_record, write_record


class TrackingGap(Record):
    """Results that are in their folders, but not in the store."""

    problem: str  # what is wrong with the store, without its address


def gap_file(runs: Path, name: str) -> Path:
    """The file of a record's gap. Raises BrokenRecord if its folder is a symbolic link."""
    folder = runs / "tracking"
    if folder.is_symlink():
        raise broken(folder, "is a symbolic link; links are not followed inside a folder of results", "remove it")
    return folder / f"{name}.json"


def read_gap(runs: Path, name: str) -> str:
    """Why the store lacks results of a record; "" if it lacks none. A broken note counts as one."""
    try:
        gap = read_record(gap_file(runs, name), TrackingGap)
    except BrokenRecord:
        return f"may lack results, since the note on it is broken (tracking/{name}.json)"
    return gap.problem if gap else ""


def write_gap(runs: Path, name: str, problem: str) -> None:
    """Note that the store lacks results of a record; an equal note is left as it is. Raises BrokenRecord."""
    if read_gap(runs, name) != problem:
        write_record(gap_file(runs, name), TrackingGap(problem=problem))


def close_gap(runs: Path, name: str) -> bool:
    """Note that the store is up to date; returns whether it was not. Raises BrokenRecord behind a link."""
    path = gap_file(runs, name)
    is_open = os.path.lexists(path)
    remove(path)
    return is_open
