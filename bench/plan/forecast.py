"""How fast stages ran on this device, and how long others will take.

`RUNS/speeds.jsonl` holds a line for each stage that was measured, so that a plan need not open thousands of folders;
the driver adds the lines of each finished cell. The folders are the truth: a missing file is made from them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.engine import storage
from bench.engine.environment import Execution, describe_hardware, resolve_device
from bench.engine.records import Work

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
    seconds: float

    @property
    def speed(self) -> float:
        """FLOPs per second."""
        return self.flops / self.seconds


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

    def forecast(self, work: Iterable[tuple[Work, str, str]]) -> Forecast:
        """How long work takes, each piece with its method and its network.

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
    with (runs / NAME).open("a", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(asdict(stage))}\n" for stage in _read_cell(folder))


def restore_speeds(runs: Path) -> None:
    """Make the file from the folders if it is missing or was cut short."""
    if _read_file(runs) is None:
        partial = runs / f"{NAME}.partial"
        lines = "".join(f"{json.dumps(asdict(stage))}\n" for stage in _read_folders(runs))
        partial.write_text(lines, encoding="utf-8")
        partial.replace(runs / NAME)


def _read_file(runs: Path) -> list[Measured] | None:
    """What the file holds; None if there is none, or one that was cut short."""
    try:
        lines = (runs / NAME).read_text(encoding="utf-8").splitlines()
        measured = [Measured(**json.loads(line)) for line in lines]
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return list({(stage.cell, stage.stage): stage for stage in measured}.values())


def _read_folders(runs: Path) -> list[Measured]:
    """What the folders of all cells hold."""
    return [stage for job in sorted((runs / "cells").glob("*/job.json")) for stage in _read_cell(job.parent)]


def _read_cell(folder: Path) -> Iterator[Measured]:
    """The finished stages of a cell whose cost is known."""
    job = storage.read_job(folder)
    assert job is not None, folder
    for stage in job.stages:
        result = storage.read_result(folder, stage.folder) if stage.work else None
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
