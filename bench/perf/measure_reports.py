"""`bench perf report SUITE`: the time to read a record and write all of its reports, to a temporary folder."""

import io
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.results.dataset_records import read_all
from bench.results.suite_record import SuiteRecord

ROUNDS = 3


def speed(runs: Path, names: Mapping[str, str]) -> None:
    """Print the processor seconds for reading a record and writing its reports: median, minimum and maximum.

    Imports are not counted. Raises NoRecord if there is no record.
    """
    records = read_all(runs, names).values()
    cells = sum(record.table["cell"].nunique() for record in records if isinstance(record, SuiteRecord))
    reporters = [entry_point.load() for entry_point in entry_points(group="bench.reporters")]
    low, middle, high = sorted(_seconds(runs, names, reporters) for _ in range(ROUNDS))
    print(f"a report of {cells:,} cells: {middle:.1f} s ({low:.1f} to {high:.1f})")


def _seconds(runs: Path, names: Mapping[str, str], reporters: Sequence[Callable[..., None]]) -> float:
    """The processor time of `bench report`, in seconds."""
    with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
        start = time.process_time()
        records = read_all(runs, names)
        for reporter in reporters:
            reporter(records, Path(folder) / "report")
        return time.process_time() - start
