"""Suite files as written: mappings and lists that keep the location of each key, how they merge, and scales.

    scales: {quick: {...}}       # named overrides, applied by --scale

The overrides win: mappings merge key by key; all other values, lists included, are replaced. A budget, data of another
source, and a policy or scorer of another kind are replaced as a whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.suite.suite_file import TAGGED
from methods.suggestions import suggest

KeyPath = tuple[str | int, ...]  # keys and indices from the root to a node
Fault = tuple[KeyPath, str]  # a message, and the node that it is about


class SuiteError(ValueError):
    """A suite that cannot be run; the message has a line per fault."""


@dataclass(frozen=True)
class Location:
    """A position in a file; lines and columns count from 1."""

    path: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class Map(dict[Any, Any]):
    """A mapping that knows the locations of its keys; a key from a YAML merge (<<) has none."""

    locations: dict[Any, Location]

    def __init__(self, content: dict[Any, Any] | None = None, locations: dict[Any, Location] | None = None):
        super().__init__(content or {})
        self.locations = dict(locations or {})

    def put(self, key: Any, value: Any, location: Location | None) -> None:
        """Set a key and its location; None removes the location."""
        self[key] = value
        self.locations.pop(key, None)
        if location:
            self.locations[key] = location

    def copy(self) -> "Map":
        return Map(self, self.locations)


class Seq(list[Any]):
    """A list that knows the locations of its items."""

    locations: list[Location]

    def __init__(self, content: list[Any] | None = None, locations: list[Location] | None = None):
        super().__init__(content or [])
        self.locations = list(locations or [])


@dataclass(frozen=True)
class Document:
    """A suite as written, merged with the files that it extends."""

    path: Path
    content: Map
    files: tuple[Path, ...]  # the file, its parent, ...
    source: str  # the text of all files
    scale: str | None = None  # the scale that was applied
    label: str = ""  # of its data set, if the suite has several
    faults: tuple[tuple[Location, str], ...] = ()  # of the YAML itself, such as tags

    def location(self, place: KeyPath) -> Location:
        """The location of the deepest node on the path; of its key, if it is a value of a mapping."""
        location, node = Location(self.path), self.content
        for step in place:
            if not has_key(node, step):
                continue  # the validator adds steps of its own, such as the tag of a union
            location, node = location_in(node, step, location), node[step]
        return location

    def locate(self, faults: list[Fault]) -> list[tuple[Location, str]]:
        """Replace the key path of each fault by its location."""
        return [(self.location(place), message) for place, message in faults]

    def raise_for(self, faults: list[tuple[Location, str]]) -> None:
        """Raise SuiteError with these faults and those of the YAML, in the order of the files, if there are any.

        A fault of the YAML hides others at its place, which follow from it.
        """
        places = {spot for spot, _ in self.faults}
        faults = [*self.faults, *(fault for fault in faults if fault[0] not in places)]
        if not faults:
            return
        lines = sorted(
            {(self.files.index(spot.path), spot.line, spot.column, f"{spot}: {text}") for spot, text in faults}
        )
        raise SuiteError("\n".join(line[-1] for line in lines))

    @property
    def name(self) -> str:
        """The file's name, scale and label: see `suite_name`."""
        return suite_name(self.path, self.scale, self.label)

    @property
    def scales(self) -> dict[str, Map]:
        """The overrides of each scale."""
        blocks = self.content.get("scales")
        items = blocks.items() if isinstance(blocks, Map) else ()
        return {name: block or Map() for name, block in items if isinstance(name, str)}

    def at(self, scale: str | None) -> "Document":
        """The suite at a scale, or as written if `scale` is None. Raises SuiteError if the scale does not exist."""
        content, scales = Map(self.content, self.content.locations), self.scales
        if scale is not None and scale not in scales:
            message = (
                with_suggestion(f'there is no scale "{scale}"', scale, scales)
                + "; without --scale, the suite runs as written"
            )
            raise SuiteError(f"{self.location(('scales',))}: {message}")
        for key in ("extends", "scales"):
            content.pop(key, None)
        if scale is not None and isinstance(scales[scale], Map):
            content = merge(content, scales[scale])
        return replace(self, content=content, scale=scale)


def suite_name(path: Path, scale: str | None, label: str | None = None) -> str:
    """NAME, NAME-SCALE, NAME-LABEL or NAME-SCALE-LABEL; LABEL is that of one of several data sets."""
    return "-".join(filter(None, (path.stem, scale, label)))


def merge(base: Map, overrides: Map) -> Map:
    """Override `base` by `overrides`: see the top of this file."""
    merged = base.copy()
    for key, value in overrides.items():
        inherited = merged.get(key)
        if isinstance(inherited, Map) and isinstance(value, Map) and not _is_alternative(key, inherited, value):
            value = merge(inherited, value)
        merged.put(key, value, overrides.locations.get(key))
    return merged


def _is_alternative(key: Any, inherited: Map, value: Map) -> bool:
    """Whether a block replaces the inherited one instead of adding to it."""
    tag = TAGGED[key][0] if key in TAGGED else None
    return key == "budget" or (tag is not None and value.get(tag, inherited.get(tag)) != inherited.get(tag))


def plain(node: Any) -> Any:
    """Convert Map and Seq to built-in dictionaries and lists."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    return [plain(value) for value in node] if isinstance(node, list) else node


def has_key(node: Any, step: str | int) -> bool:
    """Whether the node has this key or index."""
    if isinstance(node, Seq):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, Map) and step in node


def location_in(node: Any, step: str | int, default: Location) -> Location:
    """The location of a key or item of the node."""
    if isinstance(node, Map):
        return node.locations.get(step, default)
    return node.locations[step] if isinstance(step, int) and step < len(node.locations) else default


def with_suggestion(message: str, name: Any, candidates: Iterable[str]) -> str:
    """The message about an unknown name, with the most similar known name and the list of all."""
    names = list(candidates)
    suggestion = suggest(str(name), names)
    return f"{message}; {suggestion + ' ' if suggestion else ''}known: {', '.join(names) or 'none'}"
