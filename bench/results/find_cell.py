"""Find the cell that a name on the command line refers to."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bench.engine import storage
from bench.engine.records import StoredSuite
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
from bench.results.suite_record import NoRecord
from methods.suggestions import suggest

log = logging.getLogger(__name__)


def find(runs: Path, run: str) -> Path:
    """The folder of the cell that `run` names: SUITE/ARM, SUITE/ARM/SEED, an id or its beginning, or the folder.

    Raises NoRecord with all cells that exist, AmbiguousName if several cells or suite files share the name, and
    BrokenRecord if the record of the suite is broken.
    """
    is_folder = (Path(run) / "job.json").is_file()
    if is_folder and is_explicit_path(run):
        return Path(run).resolve()

    ids = [path.parent.name for path in sorted((runs / "cells").glob("*/job.json"))]
    if not ids and not is_folder:
        raise NoRecord(f"{_describe_lack(runs, run)}; run one with: bench run suites/quickstart.yaml")

    cells = _read_cells(runs)
    reference = run if is_folder else resolve(runs, run)
    if not is_folder:
        storage.read_suite(runs, reference.partition("/")[0])  # a broken one is an error here
    meanings = _find_single_cells(cells, reference)
    by_id = [] if is_folder else find_by_id([*cells, *_list_orphans(cells, ids)], reference)
    refuse_ambiguous(cells, reference, [*meanings, *by_id], runs, run if is_folder else "")
    if is_folder:
        return Path(run).resolve()
    if meanings or (by_id and len(by_id[0].cells) == 1):
        return storage.cell_folder(runs.resolve(), (meanings or by_id)[0].cells[0].id)
    raise NoRecord(_describe_cells(runs, reference, ids, len(by_id[0].cells) if by_id else 0))


def _find_single_cells(cells: Sequence[NamedCell], name: str) -> list[Meaning]:
    """The meanings of SUITE/ARM, which is its first seed, and of SUITE/ARM/SEED.

    Arms and cells without their suite are meanings only beside these, so that a name does not depend on other suites.
    """
    meanings = [meaning for meaning in find_meanings(cells, name) if "/" in meaning.name]
    first_seeds = [replace(meaning, cells=meaning.cells[:1]) for meaning in meanings]
    return first_seeds if any(not meaning.is_short for meaning in meanings) else []


def _list_orphans(cells: Sequence[NamedCell], ids: Sequence[str]) -> list[NamedCell]:
    """Cells that no suite asks for any more, which have an id and no name."""
    named = {cell.id for cell in cells}
    return [NamedCell("", "", 0, id) for id in ids if id not in named]


def _describe_cells(runs: Path, run: str, ids: Sequence[str], count: int) -> str:
    """That a name is that of no cell, or the beginning of `count` ids, with all cells by a name and their ids."""
    cells = _read_cells(runs, unambiguous_names(runs))
    names = [f"{cell.suite}/{cell.arm}" for cell in cells]
    by_seed = {f"{cell.suite}/{cell.arm}/{cell.seed}": cell.id for cell in cells}
    reason = f'{count} cells begin with "{run}".' if count else _no_such_cell(runs, run, [*by_seed, *names])
    lines = [f"  {name}  {id}" for name, id in by_seed.items()]
    lines += [f"  {id}" for id in ids if id not in by_seed.values()]
    return "\n".join([f"{reason} The cells are (a name without a seed means the first seed):", *lines])


def _describe_lack(runs: Path, run: str) -> str:
    """That nothing was run, and that a path does not exist if the name may be one."""
    lack = f'no suite was run under "{runs}"'
    reason = describe_missing_path(run) or (f'there is no file or folder "{run}"' if "/" in run else "")
    return f"{reason}, and {lack}" if reason else lack


def _no_such_cell(runs: Path, run: str, names: Sequence[str]) -> str:
    """That a cell does not exist, with similar names."""
    variants = " or ".join(f'"{name}"' for name in _list_variants(run, names))
    suggestion = f"did you mean {variants}?" if variants else suggest(run, names)
    hint = f"; {suggestion}" if suggestion else "."
    missing = f"{reason}, and " if (reason := describe_missing_path(run)) else ""
    return f'{missing}there is no cell "{run}" under "{runs}"{hint}'


def _list_variants(run: str, names: Sequence[str]) -> list[str]:
    """The names that differ from SUITE/ARM or SUITE/ARM/SEED by a scale or the label of a data set: SUITE-LABEL/ARM."""
    suite, _, arm = run.partition("/")
    return [name for name in sorted(names) if arm and name.startswith(f"{suite}-") and name.partition("/")[2] == arm]


def read_suites(runs: Path) -> list[StoredSuite]:
    """The records of all suites under `runs`, in the order of their names; a warning is logged for a broken one."""
    suites = []
    for path in sorted((runs / "suites").glob("*.json")):
        try:
            suite = storage.read_suite(runs, path.stem)
        except storage.BrokenRecord as error:
            log.warning("%s", error)
            continue
        if suite is not None:
            suites.append(suite)
    return suites


def _read_cells(runs: Path, records: Mapping[str, str] = MappingProxyType({})) -> list[NamedCell]:
    """All cells with a method; `records` renames the records of suites."""
    return [cell for suite in read_suites(runs) for cell in name_cells(suite, records.get(suite.suite))]
