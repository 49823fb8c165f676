"""Columns whose numbers were made in different ways: in several precisions, on several devices or the like."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from bench.results.execution_settings import AND, THEN, describe_mix, parse_made
from reports.tables.arms import join_names

COUNTED = {"tokens", "steps", "epochs", "flops", "network_calls"}  # by the harness, the same in every execution
COUNTED |= {"parameters", "parameters_non_embedding", "parameters_method"}


class Mix(NamedTuple):
    """How the numbers of a column were made, as a footnote, and which of them were not made as most were."""

    note: str  # "" if all were made in one way
    is_marked: list[bool]


def find_mix(labels: Sequence[str], executions: Sequence[str]) -> Mix:
    """The mix of a column, by the labels of its rows and how each number was made, as the tidy table tells it."""
    ways = describe_mix([parse_made(execution) for execution in executions])
    by_way: dict[str, list[str]] = {}
    for label, way in zip(labels, ways, strict=True):
        if way:
            by_way.setdefault(way, []).append(label)

    usual = _find_usual(ways)
    groups = [f"{way}: {join_names(names)}" for way, names in by_way.items()]
    note = f"made {'; '.join(groups)}" if groups else ""
    return Mix(note, [bool(way) and way != usual for way in ways])


def _find_usual(ways: Sequence[str]) -> str:
    """The way in which most numbers of a column were made, each by itself in one way."""
    counts = Counter(way for way in ways if way and AND not in way and THEN not in way)
    return counts.most_common(1)[0][0] if counts else ""
