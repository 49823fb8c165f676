"""What a name on the command line may mean: a suite, an arm with all its seeds, one of its seeds, or a cell by its id.

Labels of arms may hold slashes, and may equal the name of a suite or the beginning of an id. So a name can have several
meanings, and is then refused with a name for each of them that has no other meaning.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench.engine.records import Role, StoredSuite
from bench.engine.storage import suite_file
from bench.results.record_names import AmbiguousName

PATH_BEGINNINGS = ("/", "./", "../", "~")  # of what can only be a path


class NamedCell(NamedTuple):
    """A cell with the names that its suite gives it."""

    suite: str
    arm: str
    seed: int
    id: str
    role: Role = "arm"


@dataclass(frozen=True)
class Meaning:
    """One thing that a name may stand for, with its cells."""

    words: str  # such as: arm "MDLM" of suite quickstart
    name: str  # in full: SUITE, SUITE/ARM or SUITE/ARM/SEED; "" for a cell by its id
    cells: tuple[NamedCell, ...]
    is_short: bool = False  # named without its suite

    @property
    def ids(self) -> frozenset[str]:
        """The ids of its cells."""
        return frozenset(cell.id for cell in self.cells)


def name_cells(suite: StoredSuite, name: str | None = None) -> list[NamedCell]:
    """The cells of a suite that are trained, under the name of its record or another one."""
    name = name or suite.suite
    return [NamedCell(name, cell.arm, cell.seed, cell.id, cell.role) for cell in suite.cells if cell.method]


def find_meanings(cells: Iterable[NamedCell], name: str) -> list[Meaning]:
    """What a name may mean among these cells, besides ids; labels are compared in Unicode's normal form C."""
    name = normalize(name)
    groups: dict[tuple[str, str, bool], list[NamedCell]] = {}
    for cell in cells:
        for words, steps in _list_names(cell):
            full, short = ("/".join(map(str, steps[start:])) for start in (0, 1))
            for text, is_short in ((full, False), (short, True)):
                if text and normalize(text) == name:
                    groups.setdefault((words, full, is_short), []).append(cell)
    return [Meaning(words, full, tuple(group), is_short) for (words, full, is_short), group in groups.items()]


def _list_names(cell: NamedCell) -> list[tuple[str, tuple[str | int, ...]]]:
    """What names of a cell stand for, and their parts: of its suite, its arm, and its seed."""
    suite, arm = f"suite {cell.suite}", f'arm "{cell.arm}"' if cell.role == "arm" else f"the {cell.role}"
    named = [(f"{arm} of {suite}", (cell.suite, cell.arm)), (f"{arm}, seed {cell.seed}, of {suite}", (*cell[:3],))]
    return [(suite, (cell.suite,)), *named] if cell.role == "arm" else list(named)


def find_by_id(cells: Sequence[NamedCell], name: str) -> list[Meaning]:
    """The cells whose ids begin with a name, together, if there are any."""
    named = tuple({cell.id: cell for cell in cells if cell.id.startswith(name)}.values())
    words = f"cell {named[0].id}" if len(named) == 1 else f"{len(named)} cells whose ids begin with it"
    return [Meaning(words, "", named)] if named else []


def refuse_ambiguous(
    cells: Sequence[NamedCell],
    name: str,
    meanings: Sequence[Meaning],
    runs: Path | None = None,
    path: str = "",
    prefix: str = "",
) -> None:
    """Raise AmbiguousName if the meanings, or a path of that name, stand for different cells.

    `runs` is the folder of results that the cells are in, or None if they are rows of a file; `prefix` stands in front
    of their names.
    """
    if len({meaning.ids for meaning in meanings}) + bool(path) < 2:
        return
    ways = [f'  the path "{path}": ./{path}'] if path else []
    ways += [f"  {meaning.words}: {', '.join(list_ways(cells, meaning, runs, prefix))}" for meaning in meanings]
    raise AmbiguousName("\n".join([f'"{name}" is ambiguous; give another name for what you mean:', *ways]))


def list_ways(cells: Sequence[NamedCell], meaning: Meaning, runs: Path | None, prefix: str) -> list[str]:
    """The full name of a meaning if it has no other one, else the file of all its cells, or their ids."""
    if meaning.name and is_unambiguous(cells, meaning.name):
        return [prefix + meaning.name]
    if runs is not None and "/" not in meaning.name and meaning.name:
        return [str(suite_file(runs, meaning.name))]
    if len(meaning.ids) == len({cell.id for cell in cells}):
        return [prefix.rstrip("/")]
    return [prefix + cell.id for cell in meaning.cells]


def is_unambiguous(cells: Sequence[NamedCell], name: str) -> bool:
    """Whether a name has one meaning among these cells."""
    meanings = [*find_meanings(cells, name), *find_by_id(cells, name)]
    return len({meaning.ids for meaning in meanings}) == 1


def is_explicit_path(name: str) -> bool:
    """Whether a name can only be a path."""
    return name.startswith(PATH_BEGINNINGS)


def normalize(name: str) -> str:
    """The name in normal form C."""
    return unicodedata.normalize("NFC", name)
