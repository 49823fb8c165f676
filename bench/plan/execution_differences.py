"""Finished results that were made in another way than the suite asks for now: in another precision, on another device.

Such results stay, since the settings of execution are no part of a cell's id; commands say how they differ.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.engine.environment import Execution
from bench.engine.records import Stage, StoredSuite
from bench.results.execution_settings import (
    OF_STAGE,
    SettingsMade,
    describe_asked,
    describe_made,
    find_varying,
    list_asked,
    list_explicit,
    merge_made,
    read_made,
)
from bench.results.recorded_cell import RecordedCell, recorded_cells

REST = "what is left to run is made as the suite asks; reports mark the rows that were made in different ways"


class MadeStage(NamedTuple):
    """A stage, and the settings that its result was made with; None without a result."""

    name: str
    settings: SettingsMade | None


@dataclass(frozen=True)
class ExecutedCell:
    """A cell with its stages, and how a run would execute it."""

    arm: str
    execution: Execution
    names_precision: bool  # in its arm, so that the precision is a part of its id
    stages: Sequence[MadeStage]


@dataclass(frozen=True)
class ExecutionDifference:
    """Cells whose results were made in one way that the suite does not ask for."""

    recorded_settings: SettingsMade  # those that differ
    requested_settings: SettingsMade
    is_explicit: bool  # whether the suite itself gives all of these settings
    is_finished: bool  # whether all stages of these cells have a result
    cells: int
    arms: tuple[str, ...]
    advice: str

    def describe(self) -> str:
        """The difference with both values, and how to run what is asked for, as one sentence each."""
        state = "finished" if self.is_finished else "partly finished"
        cells, them = ("cell was", "it") if self.cells == 1 else ("cells were", "them")
        asks = "this suite asks for" if self.is_explicit else "here this suite runs with"
        record, request = describe_made(self.recorded_settings), describe_made(self.requested_settings)
        difference = f"{self.cells} {state} {cells} made {record}, {asks} {describe_asked(self.requested_settings)}"
        return f"{difference}; nothing is substituted. To run {them} {request}: {self.advice}"

    def as_json(self) -> dict[str, Any]:
        """The difference in plain values, with its sentence."""
        return {
            "made": self.recorded_settings,
            "asked": self.requested_settings,
            "cells": self.cells,
            "arms": self.arms,
            "finished": self.is_finished,
            "message": self.describe(),
        }


def find_differences(cells: Iterable[ExecutedCell]) -> list[ExecutionDifference]:
    """Each distinct difference once, with the number of its cells."""
    groups: dict[tuple[Any, ...], list[ExecutedCell]] = {}
    for cell in cells:
        record, request = _compare(cell)
        if record:
            is_finished = all(stage.settings is not None for stage in cell.stages)
            is_explicit = record.keys() <= list_explicit(cell.execution)
            advice = _advise(request, cell)
            key = (tuple(record.items()), tuple(request.items()), is_explicit, is_finished, advice)
            groups.setdefault(key, []).append(cell)

    return [
        ExecutionDifference(
            recorded_settings=dict(record),
            requested_settings=dict(request),
            is_explicit=is_explicit,
            is_finished=is_finished,
            cells=len(members),
            arms=tuple(dict.fromkeys(cell.arm for cell in members)),
            advice=advice,
        )
        for (record, request, is_explicit, is_finished, advice), members in groups.items()
    ]


def find_recorded(runs: Path, suite: StoredSuite, execution: Execution) -> list[ExecutionDifference]:
    """As `find_differences`, of the cells of a record, whose suite asks for `execution` now."""
    cells: dict[str, ExecutedCell] = {}
    for cell in recorded_cells(runs, suite):
        precision = cell.stored.science.get("precision")
        update = {"precision": precision} if precision else {}
        stages = [MadeStage(stage.name, _read_stage(cell, stage)) for stage in cell.stages]
        before = cells.get(cell.id)
        cells[cell.id] = ExecutedCell(
            arm=before.arm if before else cell.arm,
            execution=execution.model_copy(update=update),
            names_precision=bool(precision),
            stages=[*(before.stages if before else ()), *stages],
        )
    return find_differences(cells.values())


def _read_stage(cell: RecordedCell, stage: Stage) -> SettingsMade | None:
    result = cell.result(stage)
    return None if result is None else read_made(stage.name, result.environment)


def describe_differences(differences: Sequence[ExecutionDifference], is_anything_left: bool) -> list[str]:
    """A line for each difference, and one for what a run would add beside such results."""
    lines = [difference.describe() for difference in differences]
    return [*lines, REST] if lines and is_anything_left else lines


def _compare(cell: ExecutedCell) -> tuple[SettingsMade, SettingsMade]:
    """The settings in which some result of a cell differs from what is asked for, as made and as asked."""
    request, parts = list_asked(cell.execution), list[SettingsMade]()
    for stage in cell.stages:
        if stage.settings:
            varying = find_varying([stage.settings, {name: request[name] for name in OF_STAGE[stage.name]}])
            parts.append({name: stage.settings[name] for name in varying})

    record = merge_made(parts)
    return record, {name: request[name] for name in record}


def _advise(request: SettingsMade, cell: ExecutedCell) -> str:
    """How to run what is asked for."""
    advice = "another folder of results (--runs)"
    if "precision" not in request or cell.names_precision:
        return advice
    return f"{advice}, or `precision: {request['precision']}` in the arms"
