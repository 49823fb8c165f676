"""Whether a result is stale: made by other code than the code that would make it now."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.engine import storage
from bench.engine.code_hash import certificate_roots, is_fresh, method_roots, stage_code
from bench.engine.data import SOURCES
from bench.engine.records import Stage, StoredCell, StoredSuite
from methods import METHODS
from methods.plugin_files import read_plugin


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


def list_changed_plugins(runs: Path, suite: StoredSuite) -> list[str]:
    """A sentence for each plug-in file that is not as it was when the suite was run; nothing of it is executed."""
    arms: dict[tuple[str, str], dict[str, None]] = {}
    for cell in suite.cells:
        code = cell.science.get("plugin")
        plugin = _plugin_of(storage.cell_folder(runs, cell.id)) if code else None
        if code and plugin:
            arms.setdefault((plugin, code), {})[cell.arm] = None
    return [
        sentence for (file, code), labels in arms.items() if (sentence := _compare_plugin(Path(file), code, labels))
    ]


def _plugin_of(cell: Path) -> str | None:
    """The plug-in file that a cell's job names; None if its job is missing or broken, which the next run mends."""
    try:
        job = storage.read_job(cell)
    except storage.BrokenRecord:
        return None
    return job.plugin if job else None


def _compare_plugin(file: Path, code: str, arms: Iterable[str]) -> str:
    """How a plug-in file differs from the code in the record of these arms; "" if it does not."""
    if not file.is_file():
        return f"plug-in {file} is gone; the results of {', '.join(arms)} were made by it, as {code}"
    current = read_plugin(file).code
    if current == code:
        return ""
    change = (
        f"plug-in {file} has changed: the results of {', '.join(arms)} were made by {code}, and it is {current} now"
    )
    return f"{change}; bench run with --plugin makes results of what it is now"


def is_stale(cell: Path, stage: Stage, origin: CodeOrigin) -> bool:
    """Whether other code made the result of a stage in the folder `cell`, or of a stage that it stands on.

    A result that names no code counts as fresh.
    """
    for name, folder in list_foundations(stage):
        result = storage.whole_result(cell, folder)
        code = result.environment.get("code") if result is not None else None
        if code is not None and not is_fresh(code, origin.code(name), name, origin.method):
            return True
    return False


def list_foundations(stage: Stage) -> Iterator[tuple[str, str]]:
    """A stage and those that it stands on, by name and folder, the last one first."""
    yield stage.name, stage.folder
    if stage.name == "quality":
        yield "samples", stage.settings["samples"]
    if stage.name not in ("train", "controls"):
        yield "train", "train"
