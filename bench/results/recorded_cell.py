"""A cell as its suite's record lists it, with the folder that its results are in."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import storage
from bench.engine.likelihood.protocol import normalize_protocol
from bench.engine.records import BoundResult, Role, Stage, StoredCell, StoredSuite


@dataclass(frozen=True)
class RecordedCell:
    """A recorded cell; results are parsed when they are asked for."""

    stored: StoredCell
    folder: Path

    @property
    def id(self) -> str:
        """The cell's id."""
        return self.stored.id

    @property
    def arm(self) -> str:
        """The label of the arm."""
        return self.stored.arm

    @property
    def method(self) -> str:
        """The name of the method; "" for control texts."""
        return self.stored.method

    @property
    def seed(self) -> int:
        """The training seed."""
        return self.stored.seed

    @property
    def role(self) -> Role:
        """Whether the cell is an arm, or what samples are judged by."""
        return self.stored.role

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, in the order in which they run."""
        return self.stored.stages

    def result(self, stage: Stage) -> Any:
        """The result of a stage, as its class of `bench.engine.records.RESULTS`; None if it has none or a broken one.

        Protocols of earlier versions are in today's words, so that equal protocols are equal strings.
        """
        result = storage.whole_result(self.folder, stage.folder)
        if not isinstance(result, BoundResult):
            return result
        words = {name: normalize_protocol(getattr(result, name)) for name in ("protocol", "estimator")}
        return result.model_copy(update=words)

    def status(self, stage: Stage) -> tuple[storage.Status, str]:
        """The state of a stage, with the reason of a failure."""
        return storage.status(self.folder, stage.folder)

    def is_verified(self, stage: Stage) -> bool:
        """Whether the result of a stage was checked by its digest; earlier versions wrote none."""
        return storage.has_digest(self.folder, stage.folder)

    def results(self, name: str) -> Iterator[Any]:
        """The results of all stages of that name that have one."""
        results = (self.result(stage) for stage in self.stages if stage.name == name)
        return (result for result in results if result is not None)


def recorded_cells(runs: Path, suite: StoredSuite) -> list[RecordedCell]:
    """The cells of a suite's record."""
    return [RecordedCell(cell, storage.cell_folder(runs, cell.id)) for cell in suite.cells]
