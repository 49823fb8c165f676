"""What the player of the page shows: the sampling trajectories of each arm."""

from itertools import chain
from typing import Any

from bench.results.suite_record import Record

MASK = "░"


def name(trajectory: dict[str, Any]) -> str:
    """The arm and the way of drawing."""
    return f"{trajectory['arm']}: {trajectory['way']}" if trajectory["way"] else str(trajectory["arm"])


def choose_symbols(trajectory: dict[str, Any]) -> dict[int, str]:
    """The symbols of the ids that occur: a vocabulary may have many more."""
    ids = [(text["start"][::2], *(change[1::2] for change in text["changes"])) for text in trajectory["texts"]]
    used = set(chain.from_iterable(chain.from_iterable(ids)))
    symbols = [*trajectory["symbols"], MASK]
    return {token: symbols[token] for token in sorted(used)}


def list_players(record: Record) -> list[dict[str, Any]]:
    """What the script on the page needs of each trajectory; the mask is the id after the last symbol."""
    return [
        {
            "name": name(trajectory),
            "mask": len(trajectory["symbols"]),
            "symbols": choose_symbols(trajectory),
            "texts": trajectory["texts"],
        }
        for trajectory in record.trajectories
    ]


def list_finals(record: Record) -> list[tuple[str, list[str]]]:
    """The name and the finished texts of each trajectory, for readers whose browser runs no script."""
    return [(name(trajectory), trajectory["finals"]) for trajectory in record.trajectories]
