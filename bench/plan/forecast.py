"""How fast stages ran on this device, and how long others will take.

`RUNS/speeds.jsonl` holds a line for each stage that was measured, so that a plan need not open thousands of folders;
the driver adds the lines of each finished cell. The folders are the truth: a missing file is made from them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt
from pydantic import TypeAdapter

from bench.engine import storage
from bench.engine.environment import Execution, describe_hardware, resolve_device
from bench.engine.record_files import BrokenRecord, append, read_bytes, write_bytes
from bench.engine.records import Work
from bench.results.execution_settings import AND

NAME = "speeds.jsonl"
SPEED_SETTINGS = ("platform", "device", "threads", "precision", "attention", "compile")  # what decides how fast it runs


@dataclass(frozen=True)
class Measured:
    """Computation of one kind that was timed, without starting its process and reading its data."""

    cell: str
    stage: str  # its folder in that of the cell
    kind: str
    method: str
    network: str
    device: dict[str, str]
    flops: float
    seconds: Annotated[float, Gt(0)]

    @property
    def speed(self) -> float:
        """FLOPs per second."""
        return self.flops / self.seconds


MEASURED = TypeAdapter(Measured)  # checks a line of the file


@dataclass(frozen=True)
class Speed:
    """Measured FLOPs per second of one kind of computation: total over total time, and the extremes."""

    kind: str
    method: str  # "" if the speed is that of any method on the network
    network: str
    mean: float
    least: float
    most: float
    measured: int


@dataclass(frozen=True)
class Forecast:
    """How many seconds computation will take, by which speeds; kinds without a speed are `unknown`."""

    seconds: float
    least: float  # at the fastest speed that was measured
    most: float
    speeds: tuple[Speed, ...]
    unknown: tuple[str, ...]


Piece = tuple[Work, str, str]  # work with its method and its network


class Speeds:
    """The speeds measured on one device."""

    def __init__(self, measured: Iterable[Measured], device: dict[str, str]):
        self.device = device
        self.measured = [stage for stage in measured if stage.device == device]

    @cached_property
    def known(self) -> dict[tuple[str, str, str], Speed]:
        """Speeds by kind, method and network; the method "" stands for any."""
        groups: dict[tuple[str, str, str], list[Measured]] = {}
        for stage in self.measured:
            for method in (stage.method, ""):
                groups.setdefault((stage.kind, method, stage.network), []).append(stage)
        return {key: _pool(key, stages) for key, stages in groups.items()}

    def forecast(self, work: Iterable[Piece]) -> Forecast:
        """How long work takes.

        The speed is that of the method on the network, or else that of any method on it.
        """
        flops: dict[tuple[str, str, str], float] = {}
        for piece, method, network in work:
            key = (piece.kind, method, network)
            flops[key] = flops.get(key, 0.0) + piece.flops

        speeds = {key: self.known.get(key) or self.known.get((key[0], "", key[2])) for key in flops}
        timed = [(flops[key], speed) for key, speed in speeds.items() if speed is not None]
        unknown = [key[0] for key, speed in speeds.items() if speed is None and flops[key]]
        return Forecast(
            seconds=sum((amount / speed.mean for amount, speed in timed), 0.0),
            least=sum((amount / speed.most for amount, speed in timed), 0.0),
            most=sum((amount / speed.least for amount, speed in timed), 0.0),
            speeds=tuple(dict.fromkeys(speed for _, speed in timed)),
            unknown=tuple(dict.fromkeys(unknown)),
        )


def forecast_work(
    runs: Path, work: Iterable[tuple[Execution, Piece]], usual: Execution
) -> tuple[dict[str, str], Forecast]:
    """How long work takes, each piece run as its cell asks for, and the device with what these cells run in.

    `usual` is how the suite runs cells; it names the device if there is no work. Raises RuntimeError or ImportError if
    a device is not available.
    """
    by_execution: dict[Execution, list[Piece]] = {}
    for execution, piece in work:
        by_execution.setdefault(execution, []).append(piece)

    speeds = {execution: read_speeds(runs, execution) for execution in by_execution or [usual]}
    devices = [of_execution.device for of_execution in speeds.values()]
    forecasts = [of_execution.forecast(by_execution.get(execution, ())) for execution, of_execution in speeds.items()]
    device = {name: AND.join(dict.fromkeys(device[name] for device in devices)) for name in devices[0]}
    return device, _join(forecasts)


def _join(forecasts: Sequence[Forecast]) -> Forecast:
    """One forecast for all of the work."""
    return Forecast(
        seconds=sum(forecast.seconds for forecast in forecasts),
        least=sum(forecast.least for forecast in forecasts),
        most=sum(forecast.most for forecast in forecasts),
        speeds=tuple(speed for forecast in forecasts for speed in forecast.speeds),
        unknown=tuple(dict.fromkeys(kind for forecast in forecasts for kind in forecast.unknown)),
    )


def _pool(key: tuple[str, str, str], stages: Sequence[Measured]) -> Speed:
    kind, method, network = key
    speeds = [stage.speed for stage in stages]
    return Speed(
        kind=kind,
        method=method,
        network=network,
        mean=sum(stage.flops for stage in stages) / sum(stage.seconds for stage in stages),
        least=min(speeds),
        most=max(speeds),
        measured=len(stages),
    )


def speed_settings(environment: dict[str, str]) -> dict[str, str]:
    """The part of an environment that decides how fast it runs."""
    settings = {name: environment.get(name, "") for name in SPEED_SETTINGS}
    return settings if settings["device"] == "cpu" else settings | {"threads": ""}  # a GPU does not wait for threads


def read_speeds(runs: Path, execution: Execution) -> Speeds:
    """The speeds measured on the device that the suite asks for; nothing is written.

    Raises RuntimeError or ImportError if that device is not available.
    """
    device, precision = resolve_device(execution)
    measured = _read_file(runs)
    if not measured:
        measured = _read_folders(runs)
    return Speeds(measured, speed_settings(describe_hardware(device, precision, execution)))


def add_speeds(runs: Path, folder: Path) -> None:
    """Add what was measured in the folder of a cell; the last line on a stage counts."""
    append(runs / NAME, "".join(f"{json.dumps(asdict(stage))}\n" for stage in _read_cell(folder)))


def restore_speeds(runs: Path) -> None:
    """Make the file from the folders if it is missing or broken."""
    if _read_file(runs) is None:
        lines = "".join(f"{json.dumps(asdict(stage))}\n" for stage in _read_folders(runs))
        write_bytes(runs / NAME, lines.encode())


def _read_file(runs: Path) -> list[Measured] | None:
    """What the file holds; None if there is none, or a broken one."""
    try:
        lines = read_bytes(runs / NAME).decode("utf-8").splitlines()
        measured = [MEASURED.validate_json(line) for line in lines]
    except ValueError:
        return None
    return list({(stage.cell, stage.stage): stage for stage in measured}.values())


def _read_folders(runs: Path) -> list[Measured]:
    """What the folders of all cells hold."""
    return [stage for job in sorted((runs / "cells").glob("*/job.json")) for stage in _read_cell(job.parent)]


def _read_cell(folder: Path) -> Iterator[Measured]:
    """The finished stages of a cell whose cost is known; none if its job is broken, which the next run mends."""
    try:
        job = storage.read_job(folder)
    except BrokenRecord:
        job = None
    if job is None:
        return

    for stage in job.stages:
        result = storage.whole_result(folder, stage.folder) if stage.work else None
        if result is None or not result.seconds:
            continue
        yield Measured(
            cell=folder.name,
            stage=stage.folder,
            kind=stage.work[0].kind,
            method=job.method,
            network=network_key(job.science["network"]),
            device=speed_settings(result.environment),
            flops=result.counted.get("flops", stage.work[0].flops),
            seconds=result.seconds,
        )


def network_key(network: dict[str, Any]) -> str:
    """The same text for networks of equal sizes."""
    return json.dumps(network, sort_keys=True)
