"""Validation that reports all faults of a block at once.

A type that is wrong keeps pydantic from checking what fields mean together. So the faulty parts are taken out and what
remains is validated again, until it is valid; it can then be checked against other parts of the suite. Faults that
follow from what was taken out are not reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from bench.suite.unknown_keys_and_types import describe
from bench.suite.yaml_document import Fault, KeyPath, Map, has_key

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Validation(Generic[Model]):
    """A block that was validated."""

    value: Model | None  # None if it is invalid
    valid_part: Model | None  # without its faulty parts; None if nothing valid remains
    removed: frozenset[KeyPath] = frozenset()  # places of the faulty parts, from the block
    block: Any = None  # as written

    def removed_in(self, place: KeyPath) -> bool:
        """Whether a part at this place, or inside it, is faulty; one block may stand for a list of it."""
        node, steps = self.block, list[str | int]()
        for step in place:
            if has_key(node, step):
                node = node[step]
            elif isinstance(step, int):
                continue
            steps.append(step)
        return any(part[: len(steps)] == tuple(steps) for part in self.removed)

    def written_place(self, place: KeyPath) -> KeyPath:
        """The place in the block as written of a place in its valid part, where items of lists may be missing."""
        return written_place(self.block, self.removed, place)


def validate(
    model: type[Model],
    content: Map,
    place: KeyPath,
    faults: list[Fault],
    intended: set[KeyPath],
    placeholders: Mapping[str, Any] = MappingProxyType({}),
) -> Validation[Model]:
    """Validate the block at `place` of a suite and add the reasons to `faults` if it is invalid.

    In the valid part, a key of the block that is missing or invalid has its placeholder.
    """
    block: Any = content
    for step in place:
        block = block[step]
    removed: set[KeyPath] = set()
    fillers: Mapping[str, Any] = {}

    while True:
        try:
            valid = model.model_validate(_fill(without(block, removed), fillers))
        except ValidationError as error:
            details = error.errors()
        else:
            return Validation(None if removed or fillers else valid, valid, frozenset(removed), block)

        places = [written_place(block, removed, detail["loc"]) for detail in details]
        for detail, inner in zip(details, places, strict=True):
            if not _is_known(detail, inner, (*place, *inner), removed, intended):
                faults.append(((*place, *inner), describe(content, (*place, *inner), detail)))

        parts = {_existing_part(block, inner) for inner in places if not _is_filled(block, inner, placeholders)}
        if () in parts or (parts <= removed and (fillers or not placeholders)):
            return Validation(None, None, frozenset(removed), block)
        removed |= parts
        fillers = placeholders


def _fill(content: Any, fillers: Mapping[str, Any]) -> Any:
    return {**fillers, **content} if isinstance(content, dict) and fillers else content


def _is_filled(block: Any, place: KeyPath, placeholders: Mapping[str, Any]) -> bool:
    """Whether what is missing is a key of the block that has a placeholder."""
    return bool(place) and place[0] in placeholders and not has_key(block, place[0])


def _is_known(detail: Any, steps: KeyPath, place: KeyPath, removed: set[KeyPath], intended: set[KeyPath]) -> bool:
    """Whether a fault is reported as an unknown key, or follows from parts that were removed."""
    if detail["type"] == "extra_forbidden" or (detail["type"] == "missing" and place in intended):
        return True
    fields = {tuple(step for step in part if not isinstance(step, int)) for part in removed}
    outer = tuple(step for step in steps if not isinstance(step, int))
    return steps in removed or any(field[: len(outer)] == outer and len(field) <= len(outer) + 1 for field in fields)


def _existing_part(block: Any, steps: KeyPath) -> KeyPath:
    """The place of the deepest part that exists on the way to a fault; of a block, if a key of it is missing."""
    node, part = block, list[str | int]()
    for step in steps:
        if has_key(node, step):
            node = node[step]
            part.append(step)
    return tuple(part)


def without(node: Any, removed: set[KeyPath] | frozenset[KeyPath], place: KeyPath = ()) -> Any:
    """The node at `place` in built-in dictionaries and lists, without what is removed."""
    if isinstance(node, dict):
        parts = {key: (*place, key) for key in node}
        return {key: without(node[key], removed, part) for key, part in parts.items() if part not in removed}
    if isinstance(node, list):
        items = [(item, (*place, index)) for index, item in enumerate(node)]
        return [without(item, removed, part) for item, part in items if part not in removed]
    return node


def written_place(block: Any, removed: set[KeyPath] | frozenset[KeyPath], place: KeyPath) -> KeyPath:
    """The place in the block of a place in what remains of it; steps that do not exist stay as they are."""
    node, written = block, list[str | int]()
    real: list[str | int] = []
    for step in place:
        if isinstance(node, list) and isinstance(step, int):
            indices = [index for index in range(len(node)) if (*real, index) not in removed]
            step = indices[step] if step < len(indices) else step
        written.append(step)
        if has_key(node, step):
            node = node[step]
            real.append(step)
    return tuple(written)
