"""The data of the page's player: the sampling trajectories of each arm."""

from itertools import chain
from typing import Any

from bench.results.suite_record import RecordedTrajectories, SuiteRecord

MASK = "░"


def label_trajectory(trajectory: RecordedTrajectories) -> str:
    """The arm and its sampling setting."""
    return f"{trajectory.arm}: {trajectory.way}" if trajectory.way else trajectory.arm


def choose_symbols(trajectory: RecordedTrajectories) -> dict[int, str]:
    """The symbols of the ids that occur, since a vocabulary may have many more."""
    ids = [(text["start"][::2], *(change[1::2] for change in text["changes"])) for text in trajectory.texts]
    distinct = set(chain.from_iterable(chain.from_iterable(ids)))
    symbols = [*trajectory.symbols, MASK]
    return {token: symbols[token] for token in sorted(distinct)}


def list_players(record: SuiteRecord) -> list[dict[str, Any]]:
    """Each trajectory as the script on the page reads it; the mask is the id after the last symbol."""
    return [
        {
            "name": label_trajectory(trajectory),
            "mask": len(trajectory.symbols),
            "symbols": choose_symbols(trajectory),
            "texts": trajectory.texts,
        }
        for trajectory in record.trajectories
    ]


def list_finals(record: SuiteRecord) -> list[tuple[str, list[str]]]:
    """The label and the finished texts of each trajectory, for browsers without scripts."""
    return [(label_trajectory(trajectory), trajectory.finals) for trajectory in record.trajectories]
