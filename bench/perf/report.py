"""How long a report takes: `bench perf report SUITE` reads a record and has all of its reports written, nowhere."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.results.dataset_records import read_all
from bench.results.suite_record import Record

ROUNDS = 3


def speed(runs: Path, names: Mapping[str, str]) -> None:
    """Prints the seconds of a processor that reading a record and writing its reports take, without imports: the median
    of three rounds, the least and the most. Raises NoRecord."""
    records = read_all(runs, names).values()
    cells = sum(record.table["cell"].nunique() for record in records if isinstance(record, Record))
    reporters = [found.load() for found in entry_points(group="bench.reporters")]
    low, middle, high = sorted(_seconds(runs, names, reporters) for _ in range(ROUNDS))
    print(f"a report of {cells:,} cells: {middle:.1f} s ({low:.1f} to {high:.1f})")


def _seconds(runs: Path, names: Mapping[str, str], reporters: Sequence[Callable[..., None]]) -> float:
    """What `bench report` takes, on one core."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        began = time.process_time()
        records = read_all(runs, names)
        for reporter in reporters:
            reporter(records, Path(folder) / "report")
        return time.process_time() - began
