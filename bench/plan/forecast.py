"""How fast stages went on this device, and how long others will take.

`RUNS/speeds.jsonl` holds a line for each stage that was measured, so that a plan need not open thousands of folders;
the driver adds those of a cell when it is done. The folders are the truth: where the file is missing it is made from
them.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.engine import storage as record
from bench.engine.environment import Execution, hardware, settle
from bench.plan.cost import Work

NAME = "speeds.jsonl"


@dataclass(frozen=True)
class Measured:
    """Work of one kind that was done, without the start of its process and the reading of its data."""

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
        """FLOPs a second."""
        return self.flops / self.seconds


@dataclass(frozen=True)
class Speed:
    """FLOPs a second of one kind of work, as it was measured: the mean over all time, and the extremes."""

    kind: str
    method: str  # "" where it is that of any method on the network
    network: str
    mean: float
    least: float
    most: float
    measured: int


@dataclass(frozen=True)
class Forecast:
    """How many seconds work will take, and by which speeds; what has none is named in `unknown`."""

    seconds: float
    least: float  # if all of it goes as fast as the fastest that was measured
    most: float
    speeds: tuple[Speed, ...]
    unknown: tuple[str, ...]


class Speeds:
    """What was measured on one device."""

    def __init__(self, measured: Iterable[Measured], device: dict[str, str]):
        self.device = device
        self.measured = [each for each in measured if each.device == device]

    @cached_property
    def known(self) -> dict[tuple[str, str, str], Speed]:
        """By kind, method and network; the method "" stands for any."""
        groups: dict[tuple[str, str, str], list[Measured]] = {}
        for each in self.measured:
            for method in (each.method, ""):
                groups.setdefault((each.kind, method, each.network), []).append(each)
        return {key: _speed(*key, group) for key, group in groups.items()}

    def forecast(self, todo: Iterable[tuple[Work, str, str]]) -> Forecast:
        """How long work takes, each piece with its method and its network: by the speed of its method there, or else
        by that of any method."""
        sums: dict[tuple[str, str, str], float] = {}
        for work, method, network in todo:
            key = (work.kind, method, network)
            sums[key] = sums.get(key, 0.0) + work.flops
        used: dict[tuple[str, str, str], Speed] = {}
        seconds, least, most = 0.0, 0.0, 0.0
        unknown: list[str] = []
        for (kind, method, network), flops in sums.items():
            found = self.known.get((kind, method, network)) or self.known.get((kind, "", network))
            if found is None and flops:
                unknown.append(kind)
            elif found is not None:
                used[found.kind, found.method, found.network] = found
                seconds += flops / found.mean
                least += flops / found.most
                most += flops / found.least
        return Forecast(seconds, least, most, tuple(used.values()), tuple(dict.fromkeys(unknown)))


def _speed(kind: str, method: str, network: str, group: Sequence[Measured]) -> Speed:
    speeds = [each.speed for each in group]
    mean = sum(each.flops for each in group) / sum(each.seconds for each in group)
    return Speed(kind, method, network, mean, min(speeds), max(speeds), len(group))


def device_of(environment: dict[str, str]) -> dict[str, str]:
    """Of where something ran, what decides how fast it goes."""
    names = ("platform", "device", "threads", "precision", "attention", "compile")
    kept = {name: environment.get(name, "") for name in names}
    return kept if kept["device"] == "cpu" else kept | {"threads": ""}  # a GPU does not wait for threads


def speeds(runs: Path, execution: Execution) -> Speeds:
    """What was measured on the device that the suite asks for; raises RuntimeError or ImportError where it is not here.

    Nothing is written.
    """
    device, precision = settle(execution)
    return Speeds(_read(runs) or _all(runs), device_of(hardware(device, precision, execution)))


def note(runs: Path, folder: Path) -> None:
    """Adds what was measured in the folder of a cell; the last line on a stage counts."""
    with (runs / NAME).open("a", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(asdict(each))}\n" for each in _of_cell(folder))


def renew(runs: Path) -> None:
    """Makes the file from the folders where it is missing, or not whole."""
    if _read(runs) is None:
        partial = runs / f"{NAME}.partial"
        partial.write_text("".join(f"{json.dumps(asdict(each))}\n" for each in _all(runs)), encoding="utf-8")
        partial.replace(runs / NAME)


def _read(runs: Path) -> list[Measured] | None:
    """What the file holds; None where there is none, or one that was not written to its end."""
    try:
        lines = (runs / NAME).read_text(encoding="utf-8").splitlines()
        found = [Measured(**json.loads(line)) for line in lines]
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return list({(each.cell, each.stage): each for each in found}.values())


def _all(runs: Path) -> list[Measured]:
    """What the folders of all cells hold."""
    return [each for job in sorted((runs / "cells").glob("*/job.json")) for each in _of_cell(job.parent)]


def _of_cell(folder: Path) -> Iterator[Measured]:
    """The stages of a cell that are done and whose cost can be told."""
    job: Any = record.read_json(folder / "job.json")
    for stage in job["stages"]:
        work, result = stage.get("work"), record.read_json(folder / stage["folder"] / "result.json")
        if not work or result is None or not result.get("seconds"):
            continue
        network, device = name_of(job["science"]["network"]), device_of(result["environment"])
        flops = result.get("flops", work[0]["flops"])  # of training those that were counted
        said = (folder.name, stage["folder"], work[0]["kind"], job["method"], network, device)
        yield Measured(*said, flops, result["seconds"])


def name_of(network: dict[str, Any]) -> str:
    """The same for networks of the same sizes, as they are hashed."""
    return json.dumps(network, sort_keys=True)
