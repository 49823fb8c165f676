"""What the two sides of a comparison stand for: cells of arms on disk, or rows of a results file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine import storage
from bench.engine.records import DataFacts, StoredCell, StoredSuite
from bench.results import suite_record as results
from bench.results.find import find as find_cell
from bench.results.find import read_suites
from bench.results.record_names import resolve
from bench.results.recorded_cell import RecordedCell

NUMBERS = ("value", "standard_error", "monte_carlo_error", "temperature")
NEEDED = ("arm", "seed", "stage", "status", "metric", "value", "standard_error", "n", "protocol", "data", "split")


class CompareError(ValueError):
    """Two things that cannot be compared, or a name that stands for none."""


@dataclass(frozen=True)
class ComparedCell(RecordedCell):
    """A cell of one side of a comparison."""

    tuning: str = "none"  # "best of N trials", or "none"


@dataclass(frozen=True)
class Side:
    """One side of a comparison."""

    name: str
    cells: tuple[ComparedCell, ...]
    table: pd.DataFrame  # the rows of these cells in the tidy table
    facts: DataFacts | None  # of the data; None for a results file
    is_whole: bool  # a whole suite or a whole file, of which arms are found by their labels

    @property
    def is_file(self) -> bool:
        """Whether there are no values of single sequences, only results."""
        return self.facts is None

    @property
    def arms(self) -> list[str]:
        """The labels of the arms, in the order of the suite."""
        return list(dict.fromkeys(str(arm) for arm in self.table["arm"]))

    def of_rows(self, arm: str, stage: str | None = None) -> pd.DataFrame:
        """The rows of an arm; of one stage those with a result."""
        rows = self.table[self.table["arm"] == arm]
        return rows if stage is None else rows[(rows["stage"] == stage) & rows["status"].isin(["done", "stale"])]

    def of_arm(self, arm: str) -> list[ComparedCell]:
        """The cells of an arm, a seed each."""
        return [cell for cell in self.cells if cell.arm == arm]


def find_side(runs: Path, name: str) -> Side:
    """What a name stands for: SUITE, SUITE/ARM, SUITE/ARM/SEED, ARM or ARM/SEED where one suite alone has that arm, a
    cell's id or its beginning, each under `runs` or behind the path of another folder of results; the path of a cell's
    folder; that of a suite's record (runs/suites/NAME.json) or of a results file (tidy.csv), alone or with /ARM behind.

    Raises CompareError and NoRecord with what there is, AmbiguousName if several suite files share the name.
    """
    place, rest = _split(name)
    if place is None:
        return _in_runs(runs, name, rest)
    if place.suffix == ".csv":
        return _in_file(place, name, rest)
    if place.suffix == ".json":
        suite = storage.read_record(place, StoredSuite)
        assert suite is not None, place
        return _in_plans(place.parent.parent, name, rest, [suite])
    if (place / "job.json").is_file() and not rest:
        return _of_cell(place, name)
    return _in_runs(place, name, rest)


def _split(name: str) -> tuple[Path | None, str]:
    """The longest beginning of the name that is the path of something recorded, and what is behind it."""
    parts = Path(name).parts
    for count in range(len(parts), 0, -1):
        place = Path(*parts[:count])
        is_file = place.is_file() and (
            place.suffix == ".csv" or (place.suffix, place.parent.name) == (".json", "suites")
        )
        if is_file or (place / "job.json").is_file() or (place / "suites").is_dir():
            return place, "/".join(parts[count:])
    return None, name


def _in_runs(runs: Path, name: str, rest: str) -> Side:
    """A suite, arm or cell of a folder of results."""
    rest = resolve(runs, rest)
    paths = sorted((runs / "suites").glob("*.json"))
    if not paths:
        raise results.NoRecord(f'no suite was run under "{runs}"; run one first, with bench run')
    if not rest and len(paths) > 1:
        raise CompareError(f'"{runs}" holds {len(paths)} suites; name one: {", ".join(path.stem for path in paths)}')
    plans = read_suites(runs)
    for plan in plans:
        if rest in ("", plan.suite):
            return _side(runs, name, plan, plan.cells, is_whole=True)
        if rest.startswith(f"{plan.suite}/") and (cells := _choose(plan, rest.removeprefix(f"{plan.suite}/"))):
            return _side(runs, name, plan, cells)
    if any(_choose(plan, rest) for plan in plans):
        return _in_plans(runs, name, rest, plans)
    return _of_cell(find_cell(runs, rest), name)


def _in_plans(runs: Path, name: str, rest: str, plans: Sequence[StoredSuite]) -> Side:
    """An arm that one of these suites alone has; the whole suite where no arm is named."""
    if not rest:
        return _side(runs, name, plans[0], plans[0].cells, is_whole=True)
    found = [(plan, cells) for plan in plans if (cells := _choose(plan, rest))]
    if len(found) > 1:
        those = ", ".join(f"{plan.suite}/{rest}" for plan, _ in found)
        raise CompareError(f'"{name}" is an arm of {len(found)} suites; say which: {those}')
    if not found:
        arms = list(dict.fromkeys(cell.arm for cell in plans[0].cells))
        raise CompareError(f'suite "{plans[0].suite}" has no arm "{rest}"; it has {", ".join(arms)}')
    return _side(runs, name, *found[0])


def _choose(plan: StoredSuite, rest: str) -> list[StoredCell]:
    """The cells of a suite that ARM or ARM/SEED stands for."""
    arms = [cell for cell in plan.cells if cell.role == "arm"]
    return [cell for cell in arms if rest in (cell.arm, f"{cell.arm}/{cell.seed}")]


def _of_cell(folder: Path, name: str) -> Side:
    """One cell, as the first suite has it that asks for it."""
    runs = folder.resolve().parent.parent
    for plan in read_suites(runs):
        if cells := [cell for cell in plan.cells if cell.id == folder.name]:
            return _side(runs, name, plan, cells[:1])
    raise CompareError(f'no suite under "{runs}" asks for cell {folder.name}; compare one of a suite')


def _side(runs: Path, name: str, plan: StoredSuite, cells: Sequence[StoredCell], is_whole: bool = False) -> Side:
    arms = [cell for cell in cells if cell.role == "arm"]
    whole = pd.concat([results.read(runs, plan.suite, only=id).table for id in dict.fromkeys(c.id for c in arms)])
    chosen = pd.Series(list(zip(whole["arm"], whole["seed"], strict=True)), whole.index)
    table = whole[chosen.isin([(cell.arm, cell.seed) for cell in arms])].reset_index(drop=True)
    tuned = (plan.tuning or {}).get("arms", {})
    compared = tuple(
        ComparedCell(cell, storage.cell_folder(runs, cell.id).resolve(), _describe_tuning(tuned, cell)) for cell in arms
    )
    return Side(name, compared, table, plan.facts, is_whole)


def _describe_tuning(tuned: dict[str, Any], cell: StoredCell) -> str:
    """How the arm of a cell was tuned."""
    return f"best of {tuned[cell.arm]['trials']} trials" if cell.arm in tuned else "none"


def _in_file(path: Path, name: str, rest: str) -> Side:
    """The arms of a results file, or one of them."""
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=dict.fromkeys(NUMBERS, ""))
    except (ValueError, UnicodeDecodeError) as error:
        raise CompareError(
            f"{path} cannot be read as a results file ({error}); give a tidy.csv of bench report"
        ) from None
    if missing := [column for column in NEEDED if column not in table]:
        raise CompareError(f"{path} has no column {', '.join(missing)}; give the tidy.csv that bench report writes")
    if "role" in table:
        table = table[table["role"] == "arm"]
    table = table.assign(arm=table["arm"].astype(str))
    chosen = table[table["arm"] == rest] if rest else table
    if chosen.empty:
        raise CompareError(f'{path} has no arm "{rest}"; it has {", ".join(map(str, table["arm"].unique()))}')
    return Side(name, (), chosen.reset_index(drop=True), None, not rest)
