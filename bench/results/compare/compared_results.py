"""The two sides of a comparison: cells on disk, or rows of a results file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine import storage
from bench.engine.records import DataFacts, StoredCell, StoredSuite
from bench.results import suite_record as results
from bench.results import tidy_csv, tidy_parquet
from bench.results.find_cell import find as find_cell
from bench.results.find_cell import read_suites
from bench.results.missing_paths import describe_missing_path
from bench.results.name_meanings import (
    Meaning,
    NamedCell,
    find_by_id,
    find_meanings,
    is_explicit_path,
    name_cells,
    refuse_ambiguous,
)
from bench.results.record_names import resolve, unambiguous_names
from bench.results.recorded_cell import RecordedCell

TABLES = (".csv", ".parquet")  # suffixes of results files
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
    results file (tidy.csv, tidy.parquet), optionally followed by /ARM.

    Raises CompareError or NoRecord, with the names that exist; AmbiguousName if the name has several meanings.
    """
    path, rest = _split(name)
    if path is None:
        return _in_runs(runs, name, rest)
    _refuse_namesake(runs, name)
    if path.is_file():
        return _in_file(path, name, rest) if path.suffix in TABLES else _in_record(path, name, rest)
    if (path / "job.json").is_file() and not rest:
        return _from_cell(path, name)
    return _in_runs(path, name, rest)


def _split(name: str) -> tuple[Path | None, str]:
    """Split a name into the longest leading path that holds results, if there is one, and the rest."""
    ends = [index for index, character in enumerate(name) if character == "/" and index]
    for end in (len(name), *reversed(ends)):
        path = Path(name[:end])
        is_cut_at_name = end == len(name) or path.name == name[:end].rpartition("/")[2]  # Path drops "." and "//"
        if is_cut_at_name and _holds_results(path):
            return path, name[end + 1 :]
    return None, name


def _holds_results(path: Path) -> bool:
    """Whether a path is a results file, a suite's record, a cell's folder or a folder of results."""
    if path.is_file():
        return path.suffix in TABLES or (path.suffix == ".json" and path.parent.name == "suites")
    return (path / "job.json").is_file() or (path / "suites").is_dir()


def _refuse_namesake(runs: Path, name: str) -> None:
    """Raise AmbiguousName if a path that holds results is also the name of something under `runs`."""
    if is_explicit_path(name):
        return
    cells = _list_cells(read_suites(runs))
    refuse_ambiguous(cells, name, [*find_meanings(cells, name), *find_by_id(cells, name)], runs, path=name)


def _list_cells(suites: Sequence[StoredSuite]) -> list[NamedCell]:
    return [cell for suite in suites for cell in name_cells(suite) if cell.role == "arm"]


def _in_runs(runs: Path, name: str, rest: str) -> Side:
    """Find a suite, an arm or a cell in a folder of results."""
    paths = sorted((runs / "suites").glob("*.json"))
    if not paths:
        lack = f'no suite was run under "{runs}"; run one first, with bench run'
        raise results.NoRecord(f"{reason}, and {lack}" if (reason := describe_missing_path(name)) else lack)
    if not rest and len(paths) > 1:
        names = ", ".join(unambiguous_names(runs).values())
        raise CompareError(f'"{runs}" holds {len(paths)} suites; name one: {names}')

    storage.read_suite(runs, rest.partition("/")[0])  # a broken one is an error here
    suites = read_suites(runs)
    if not suites:
        raise results.NoRecord(f'no record of a suite under "{runs}" can be read; bench run writes it again')
    rest = resolve(runs, rest)
    if not rest:
        return _side(runs, name, suites[0], suites[0].cells, is_whole=True)
    meaning = _choose_meaning(_list_cells(suites), name, rest, runs)
    if meaning is None or not meaning.name:
        return _from_cell(find_cell(runs, rest), name)
    return _in_suite(runs, name, suites, meaning)


def _choose_meaning(cells: Sequence[NamedCell], name: str, rest: str, runs: Path | None = None) -> Meaning | None:
    """What a name means among the cells, or None if it means nothing. Raises AmbiguousName and CompareError."""
    meanings = find_meanings(cells, rest)
    if len(meanings) > 1 and all(meaning.is_short for meaning in meanings):
        choices = ", ".join(dict.fromkeys(meaning.name for meaning in meanings))
        count = len({meaning.cells[0].suite for meaning in meanings})
        if count == len(meanings):
            raise CompareError(f'"{name}" is an arm of {count} suites; say which: {choices}')
    meanings += find_by_id(cells, rest)
    refuse_ambiguous(cells, name, meanings, runs, prefix=name.removesuffix(rest))
    return meanings[0] if meanings else None


def _in_suite(runs: Path, name: str, suites: Sequence[StoredSuite], meaning: Meaning) -> Side:
    """The side of the cells that a name means, which are of one suite."""
    suite = next(suite for suite in suites if suite.suite == meaning.cells[0].suite)
    meant = {(cell.arm, cell.seed) for cell in meaning.cells}
    cells = [cell for cell in suite.cells if cell.role == "arm" and (cell.arm, cell.seed) in meant]
    return _side(runs, name, suite, cells, is_whole="/" not in meaning.name)


def _in_record(path: Path, name: str, rest: str) -> Side:
    """The suite in the file of a record, or an arm or cell of it."""
    suite = storage.read_record(path, StoredSuite)
    assert suite is not None, path
    runs = path.parent.parent
    if not rest:
        return _side(runs, name, suite, suite.cells, is_whole=True)
    meaning = _choose_meaning(_list_cells([suite]), name, rest)
    if meaning is None:
        arms = list(dict.fromkeys(cell.arm for cell in suite.cells if cell.role == "arm"))
        raise CompareError(f'suite "{suite.suite}" has no arm "{rest}"; it has {", ".join(arms)}')
    return _in_suite(runs, name, [suite], meaning)


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
        ComparedCell(cell, storage.cell_folder(runs.resolve(), cell.id), _describe_tuning(tuned, cell)) for cell in arms
    )
    return Side(name, compared, table, suite.facts, is_whole)


def _describe_tuning(tuned: dict[str, Any], cell: StoredCell) -> str:
    """How a cell's arm was tuned."""
    return f"best of {tuned[cell.arm]['trials']} trials" if cell.arm in tuned else "none"


def _in_file(path: Path, name: str, rest: str) -> Side:
    """The arms of a results file, or one of them."""
    table = _read_table(path)
    cells = _cells_of_table(path, table)
    if rest:
        meaning = _choose_meaning(cells, name, rest)
        if meaning is None:
            arms = ", ".join(dict.fromkeys(cell.arm for cell in cells))
            raise CompareError(f'{path} has no arm "{rest}"; it has {arms}')
        chosen = set(meaning.cells)
        table = table[[cell in chosen for cell in _name_rows(table)]]
        is_whole = meaning.name == meaning.cells[0].suite
    else:
        _refuse_shared_labels(path, cells)
        is_whole = True
    return Side(name=name, cells=(), table=table.reset_index(drop=True), facts=None, is_whole=is_whole)


def _read_table(path: Path) -> pd.DataFrame:
    """The rows of the arms in a results file. Raises CompareError."""
    try:
        table = tidy_parquet.read(path) if path.suffix == ".parquet" else tidy_csv.read(path)
    except (tidy_csv.NotTidy, tidy_parquet.WrongSchema) as error:
        raise CompareError(str(error)) from None
    missing = [column for column in NEEDED if column not in table]
    if missing:
        raise CompareError(f"{path} has no column {', '.join(missing)}; give the tidy.csv that bench report writes")

    arms = table[table["role"] == "arm"] if "role" in table else table
    if arms.empty:
        raise CompareError(f"{path} has no row of an arm; give the tidy.csv of a suite that was run")
    return arms


def _name_rows(table: pd.DataFrame) -> list[NamedCell]:
    """The cell of each row; files of other programs may lack suites and ids."""
    blank = [""] * len(table)
    suites, ids = (table.get(column, blank) for column in ("suite", "cell"))
    return [NamedCell(*names) for names in zip(suites, table["arm"], table["seed"], ids, strict=True)]


def _cells_of_table(path: Path, table: pd.DataFrame) -> list[NamedCell]:
    """The distinct cells of a table. Raises CompareError if two of them have one name."""
    cells = list(dict.fromkeys(_name_rows(table)))
    named: dict[tuple[str, str, int], NamedCell] = {}
    for cell in cells:
        namesake = named.setdefault(cell[:3], cell)
        if namesake != cell:
            title = f'arm "{cell.arm}", seed {cell.seed}'
            raise CompareError(f"{path} has two cells of {title}: {namesake.id} and {cell.id}; keep the rows of one")
    return cells


def _refuse_shared_labels(path: Path, cells: Sequence[NamedCell]) -> None:
    """Raise CompareError if arms of several suites share a label."""
    owners: dict[str, str] = {}
    for cell in cells:
        if owners.setdefault(cell.arm, cell.suite) != cell.suite:
            names = ", ".join(f"{path}/{suite}" for suite in dict.fromkeys(cell.suite for cell in cells))
            raise CompareError(f'{path} holds several suites with an arm "{cell.arm}"; name one: {names}')
