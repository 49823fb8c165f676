"""Whether a result is stale: made by other code than the code that would make it now."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.engine import storage
from bench.engine.code_hash import certificate_roots, is_fresh, method_roots, stage_code
from bench.engine.data import SOURCES
from bench.engine.records import Stage, StoredCell
from methods import METHODS


@dataclass(frozen=True)
class CodeOrigin:
    """What the code of a cell's stages depends on besides the stage."""

    method: str
    roots: tuple[str, ...]  # definitions that the method's code starts from
    source: str  # of the data

    def code(self, stage: str) -> str:
        """The code that would perform a stage now."""
        return stage_code(stage, self.roots, SOURCES.get(self.source))


def code_origin(method: str, source: str) -> CodeOrigin:
    """The origin of a registered method, or of no method."""
    return CodeOrigin(method, method_roots(method), source)


def recorded_origin(cell: StoredCell, source: str) -> CodeOrigin:
    """The origin of a recorded cell."""
    return CodeOrigin(cell.method, recorded_roots(cell, "stages"), source)


def recorded_roots(cell: StoredCell, use: str) -> tuple[str, ...]:
    """The definitions that a cell's method starts from, for its "stages" or its "certificate".

    If the method is of a plug-in that is not loaded, they are those that were recorded.
    """
    if cell.method not in METHODS:
        return cell.roots.get(use, ())
    return roots_to_record(cell.method)[use]


def roots_to_record(method: str) -> dict[str, tuple[str, ...]]:
    """What the record of a suite stores of where a method's code starts."""
    if not method:
        return {}
    return {"stages": method_roots(method), "certificate": certificate_roots(method)}


def is_stale(cell: Path, stage: Stage, origin: CodeOrigin) -> bool:
    """Whether other code made the result of a stage in the folder `cell`, or of a stage that it stands on.

    A result that names no code counts as fresh.
    """
    for name, folder in _foundations(stage):
        result = storage.read_result(cell, folder)
        code = result.environment.get("code") if result is not None else None
        if code is not None and not is_fresh(code, origin.code(name), name, origin.method):
            return True
    return False


def _foundations(stage: Stage) -> Iterator[tuple[str, str]]:
    """A stage and those that it stands on, by name and folder."""
    yield stage.name, stage.folder
    if stage.name == "quality":
        yield "samples", stage.settings["samples"]
    if stage.name not in ("train", "controls"):
        yield "train", "train"
