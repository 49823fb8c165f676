"""Find the cell that a name on the command line refers to."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bench.engine import storage
from bench.engine.records import StoredSuite
from bench.results.record_names import resolve, unambiguous_names
from bench.results.suite_record import NoRecord
from methods.suggestions import suggest


class CellNames(NamedTuple):
    """The ids of cells by the names that suites give them."""

    by_seed: dict[str, str]  # by SUITE/ARM/SEED
    by_any: dict[str, str]  # by SUITE/ARM, which is the first seed, as well


def find(runs: Path, run: str) -> Path:
    """The folder of the cell that `run` names: SUITE/ARM, SUITE/ARM/SEED, an id or its beginning, or the folder.

    Raises NoRecord with all cells that exist, AmbiguousName if several suite files share the name.
    """
    if (Path(run) / "job.json").is_file():
        return Path(run).resolve()

    run = resolve(runs, run)
    ids = [path.parent.name for path in sorted((runs / "cells").glob("*/job.json"))]
    if not ids:
        raise NoRecord(f'no suite was run under "{runs}"; run one with: bench run suites/quickstart.yaml')

    names = _read_names(runs)
    matches = [names.by_any[run]] if run in names.by_any else [id for id in ids if id.startswith(run)]
    if len(matches) == 1:
        return (runs / "cells" / matches[0]).resolve()

    shown = _read_names(runs, unambiguous_names(runs))
    reason = f'{len(matches)} cells begin with "{run}".' if matches else _no_such_cell(runs, run, shown.by_any)
    cells = [f"  {name}  {id}" for name, id in shown.by_seed.items()]
    cells += [f"  {id}" for id in ids if id not in shown.by_seed.values()]
    raise NoRecord("\n".join([f"{reason} The cells are (a name without a seed means the first seed):", *cells]))


def _no_such_cell(runs: Path, run: str, names: Iterable[str]) -> str:
    """That a cell does not exist, with similar names."""
    variants = " or ".join(f'"{name}"' for name in _variants(run, names))
    suggestion = f"did you mean {variants}?" if variants else suggest(run, names)
    hint = f"; {suggestion}" if suggestion else "."
    return f'there is no cell "{run}" under "{runs}"{hint}'


def _variants(run: str, names: Iterable[str]) -> list[str]:
    """The names that differ from SUITE/ARM or SUITE/ARM/SEED by a scale or the label of a data set: SUITE-LABEL/ARM."""
    suite, _, arm = run.partition("/")
    return [name for name in sorted(names) if arm and name.startswith(f"{suite}-") and name.partition("/")[2] == arm]


def read_suites(runs: Path) -> list[StoredSuite]:
    """The records of all suites under `runs`, in the order of their names. Raises BrokenRecord."""
    names = sorted(path.stem for path in (runs / "suites").glob("*.json"))
    suites = (storage.read_suite(runs, name) for name in names)
    return [suite for suite in suites if suite is not None]


def _read_names(runs: Path, records: Mapping[str, str] = MappingProxyType({})) -> CellNames:
    """The names of all cells with a method; `records` renames the records of suites."""
    suites = [(records.get(suite.suite, suite.suite), suite) for suite in read_suites(runs)]
    cells = [(f"{name}/{cell.arm}", cell) for name, suite in suites for cell in suite.cells if cell.method]
    by_seed = {f"{name}/{cell.seed}": cell.id for name, cell in cells}
    first_seeds = {name: cell.id for name, cell in reversed(cells)}
    return CellNames(by_seed, by_seed | first_seeds)
