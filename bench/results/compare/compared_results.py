"""The two sides of a comparison: cells on disk, or rows of a results file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine import storage
from bench.engine.records import DataFacts, StoredCell, StoredSuite
from bench.results import suite_record as results
from bench.results.find_cell import find as find_cell
from bench.results.find_cell import read_suites
from bench.results.record_names import resolve, unambiguous_names
from bench.results.recorded_cell import RecordedCell

NUMBERS = ("value", "standard_error", "monte_carlo_error", "temperature")
NEEDED = ("arm", "seed", "stage", "status", "metric", "value", "standard_error", "n", "protocol", "data", "split")


class CompareError(ValueError):
    """Two results that cannot be compared, or a name that does not refer to one."""


@dataclass(frozen=True)
class ComparedCell(RecordedCell):
    """A recorded cell, with how its arm was tuned."""

    tuning: str = "none"  # "best of N trials", or "none"


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    name: str
    cells: tuple[ComparedCell, ...]
    table: pd.DataFrame  # the rows of these cells in the tidy table
    facts: DataFacts | None  # None for a results file
    is_whole: bool  # a whole suite or file, whose arms are matched by label

    @property
    def is_file(self) -> bool:
        """Whether this is a results file, without values of single sequences."""
        return self.facts is None

    @property
    def arms(self) -> list[str]:
        """The labels of the arms, in the order of the suite."""
        return list(dict.fromkeys(str(arm) for arm in self.table["arm"]))

    def rows(self, arm: str, stage: str | None = None) -> pd.DataFrame:
        """The rows of an arm, or those of one stage that have a result."""
        rows = self.table[self.table["arm"] == arm]
        if stage is None:
            return rows
        return rows[(rows["stage"] == stage) & rows["status"].isin(["done", "stale"])]

    def cells_of(self, arm: str) -> list[ComparedCell]:
        """The cells of an arm, one per seed."""
        return [cell for cell in self.cells if cell.arm == arm]


def find_side(runs: Path, name: str) -> Side:
    """Find the results that a name refers to.

    A name is SUITE, SUITE/ARM or SUITE/ARM/SEED; ARM or ARM/SEED if only one suite has that arm; or a cell's id or the
    beginning of it. All of these are looked up under `runs`, or under another folder of results whose path comes
    first. A name can also be the path of a cell's folder, or that of a suite's record (runs/suites/NAME.json) or of a
    results file (tidy.csv), optionally followed by /ARM.

    Raises CompareError or NoRecord, with the names that exist; AmbiguousName if several suite files share the name.
    """
    path, rest = _split(name)
    if path is None:
        return _in_runs(runs, name, rest)
    if path.suffix == ".csv":
        return _in_file(path, name, rest)
    if path.suffix == ".json":
        suite = storage.read_record(path, StoredSuite)
        assert suite is not None, path
        return _in_suites(path.parent.parent, name, rest, [suite])
    if (path / "job.json").is_file() and not rest:
        return _from_cell(path, name)
    return _in_runs(path, name, rest)


def _split(name: str) -> tuple[Path | None, str]:
    """Split a name into the longest leading path that holds results, if there is one, and the rest."""
    parts = Path(name).parts
    for count in range(len(parts), 0, -1):
        path = Path(*parts[:count])
        if _holds_results(path):
            return path, "/".join(parts[count:])
    return None, name


def _holds_results(path: Path) -> bool:
    """Whether a path is a results file, a suite's record, a cell's folder or a folder of results."""
    if path.is_file():
        return path.suffix == ".csv" or (path.suffix == ".json" and path.parent.name == "suites")
    return (path / "job.json").is_file() or (path / "suites").is_dir()


def _in_runs(runs: Path, name: str, rest: str) -> Side:
    """Find a suite, an arm or a cell in a folder of results."""
    rest = resolve(runs, rest)
    paths = sorted((runs / "suites").glob("*.json"))
    if not paths:
        raise results.NoRecord(f'no suite was run under "{runs}"; run one first, with bench run')
    if not rest and len(paths) > 1:
        names = ", ".join(unambiguous_names(runs).values())
        raise CompareError(f'"{runs}" holds {len(paths)} suites; name one: {names}')

    suites = read_suites(runs)
    for suite in suites:
        if rest in ("", suite.suite):
            return _side(runs, name, suite, suite.cells, is_whole=True)
        cells = _choose(suite, rest.removeprefix(f"{suite.suite}/")) if rest.startswith(f"{suite.suite}/") else []
        if cells:
            return _side(runs, name, suite, cells)

    if any(_choose(suite, rest) for suite in suites):
        return _in_suites(runs, name, rest, suites)
    return _from_cell(find_cell(runs, rest), name)


def _in_suites(runs: Path, name: str, rest: str, suites: Sequence[StoredSuite]) -> Side:
    """Find the only suite with an arm; take the first suite as a whole if no arm is named."""
    if not rest:
        return _side(runs, name, suites[0], suites[0].cells, is_whole=True)

    matches = [(suite, cells) for suite in suites if (cells := _choose(suite, rest))]
    if len(matches) > 1:
        choices = ", ".join(f"{suite.suite}/{rest}" for suite, _ in matches)
        raise CompareError(f'"{name}" is an arm of {len(matches)} suites; say which: {choices}')
    if not matches:
        arms = list(dict.fromkeys(cell.arm for cell in suites[0].cells))
        raise CompareError(f'suite "{suites[0].suite}" has no arm "{rest}"; it has {", ".join(arms)}')
    suite, cells = matches[0]
    return _side(runs, name, suite, cells)


def _choose(suite: StoredSuite, rest: str) -> list[StoredCell]:
    """The cells of a suite that ARM or ARM/SEED refers to."""
    arms = [cell for cell in suite.cells if cell.role == "arm"]
    return [cell for cell in arms if rest in (cell.arm, f"{cell.arm}/{cell.seed}")]


def _from_cell(folder: Path, name: str) -> Side:
    """A single cell, under the label that the first suite with it gives it."""
    runs = folder.resolve().parent.parent
    for suite in read_suites(runs):
        cells = [cell for cell in suite.cells if cell.id == folder.name]
        if cells:
            return _side(runs, name, suite, cells[:1])
    raise CompareError(f'no suite under "{runs}" asks for cell {folder.name}; compare one of a suite')


def _side(runs: Path, name: str, suite: StoredSuite, cells: Sequence[StoredCell], is_whole: bool = False) -> Side:
    arms = [cell for cell in cells if cell.role == "arm"]
    ids = dict.fromkeys(cell.id for cell in arms)
    rows = pd.concat([results.read(runs, suite.suite, only=id).table for id in ids])
    labels = pd.Series(list(zip(rows["arm"], rows["seed"], strict=True)), rows.index)
    table = rows[labels.isin([(cell.arm, cell.seed) for cell in arms])].reset_index(drop=True)

    tuned = (suite.tuning or {}).get("arms", {})
    compared = tuple(
        ComparedCell(cell, storage.cell_folder(runs, cell.id).resolve(), _describe_tuning(tuned, cell)) for cell in arms
    )
    return Side(name, compared, table, suite.facts, is_whole)


def _describe_tuning(tuned: dict[str, Any], cell: StoredCell) -> str:
    """How a cell's arm was tuned."""
    return f"best of {tuned[cell.arm]['trials']} trials" if cell.arm in tuned else "none"


def _in_file(path: Path, name: str, arm: str) -> Side:
    """The arms of a results file, or one of them."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=dict.fromkeys(NUMBERS, ""))
    except (ValueError, UnicodeDecodeError) as error:
        raise CompareError(
            f"{path} cannot be read as a results file ({error}); give a tidy.csv of bench report"
        ) from None
    missing = [column for column in NEEDED if column not in table]
    if missing:
        raise CompareError(f"{path} has no column {', '.join(missing)}; give the tidy.csv that bench report writes")

    if "role" in table:
        table = table[table["role"] == "arm"]
    table = table.assign(arm=table["arm"].astype(str))
    rows = table[table["arm"] == arm] if arm else table
    if rows.empty:
        raise CompareError(f'{path} has no arm "{arm}"; it has {", ".join(map(str, table["arm"].unique()))}')
    return Side(name=name, cells=(), table=rows.reset_index(drop=True), facts=None, is_whole=not arm)
