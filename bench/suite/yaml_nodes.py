"""Nodes of YAML become mappings and lists with locations; a node with several aliases is converted once and shared."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bench.suite.yaml_document import Location, Map, Seq
from bench.suite.yaml_limits import mark_location

TYPES = "tag:yaml.org,2002:"
LARGEST = 2**63 - 1  # of whole numbers
LONGEST = 100  # characters of a whole number that is converted at all
SHOWN = 30  # characters of a value in a message
KINDS = {"int": "a number", "float": "a number", "bool": "true or false", "null": "nothing", "timestamp": "a date"}

Scalar = Callable[[str, str], Any]  # the value of a type ("int", "float", ...) and a text; ValueError for a fault


class NodeReader:
    """Converts the nodes of one file and collects their faults, each at the key or the item that it is about."""

    def __init__(self, path: Path, scalar: Scalar, has_text_keys: bool = True):
        self.path, self.scalar, self.has_text_keys = path, scalar, has_text_keys
        self.faults: list[tuple[Location, str]] = []
        self.values: dict[int, Any] = {}  # by the identity of a node

    def read(self, node: Node, name: str = "this", spot: Location | None = None) -> Any:
        """The value of a node, which `name` stands before in messages."""
        if id(node) not in self.values:
            self.values[id(node)] = self._convert(node, name, spot or self._location(node))
        return self.values[id(node)]

    def _convert(self, node: Node, name: str, spot: Location) -> Any:
        if isinstance(node, MappingNode):
            return self._mapping(node)
        if isinstance(node, SequenceNode):
            spots = [self._location(item) for item in node.value]
            items = zip(node.value, spots, strict=True)
            return Seq([self.read(item, f"{name}[{i}]", spot) for i, (item, spot) in enumerate(items)], spots)
        assert isinstance(node, ScalarNode), f"a YAML node of kind {type(node).__name__}"
        try:
            return self.scalar(type_of(node), str(node.value))
        except ValueError as error:
            self.faults.append((spot, f"{name} {error}"))
            return 0

    def _mapping(self, node: MappingNode) -> Map:
        """A mapping; merged keys follow its own ones and have no locations."""
        content = Map()
        merges: list[tuple[Node, Location]] = []
        for key_node, value_node in node.value:
            spot = self._location(key_node)
            if isinstance(key_node, ScalarNode) and type_of(key_node) == "merge":
                merges.append((value_node, spot))
                if len(merges) > 1:
                    self.faults.append((spot, "<< occurs twice; give it a list of aliases"))
                continue
            key = self._key(key_node, spot)
            if key is None:
                continue
            if key in content:
                line = content.locations[key].line
                self.faults.append((spot, f'key "{key}" occurs twice; the first is in line {line}'))
                continue
            content.put(key, self.read(value_node, key, spot), spot)

        for value_node, spot in merges:
            self._merge(content, value_node, spot)
        return content

    def _key(self, node: Node, spot: Location) -> str | None:
        """The text of a key, or None if it is a mapping or a list."""
        if not isinstance(node, ScalarNode):
            kind = "a mapping" if isinstance(node, MappingNode) else "a list"
            advice = "; {{...}} is not filled in, so write the value out or quote it" if kind == "a mapping" else ""
            self.faults.append((spot, f"a key is text, not {kind}{advice}"))
            return None
        text, kind = str(node.value), type_of(node)
        if self.has_text_keys and kind in KINDS:
            self.faults.append((spot, f"key {shorten(text) or 'without a name'} is {KINDS[kind]}, not text; quote it"))
        return text

    def _merge(self, content: Map, node: Node, spot: Location) -> None:
        """Add the keys of one or several mappings that the mapping does not have; earlier ones win."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        for source in sources:
            if not isinstance(source, MappingNode):
                self.faults.append((spot, "<< merges mappings: give an alias of one, or a list of aliases"))
                continue
            for key, value in self.read(source).items():
                if key not in content:
                    content.put(key, value, None)

    def _location(self, node: Node) -> Location:
        return mark_location(self.path, node.start_mark)


def type_of(node: ScalarNode) -> str:
    """The type of a scalar by the core schema: "str", "int", "float", "bool", "null", or "merge"."""
    return str(node.tag).removeprefix(TYPES)


def shorten(text: str) -> str:
    """A text that fits into a message."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


def to_scalar(kind: str, text: str) -> Any:
    """The value of a scalar of a suite; a date is text. Raises ValueError for a number that is not usable."""
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return _to_integer(text)
    if kind == "float":
        return _to_float(text)
    return text


def _to_integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits.lstrip("+-")[:2], 10)
    if len(digits) > LONGEST:
        raise ValueError(f"is {shorten(text)}: whole numbers go up to {LARGEST:,}")
    try:
        number = int(digits, base)
    except ValueError:
        raise ValueError(f"is {shorten(text)}, which is not a number; quote it if it is text") from None
    if abs(number) > LARGEST:
        raise ValueError(f"is {shorten(text)}: whole numbers go up to {LARGEST:,}; larger ones are written as 1.0e20")
    return number


def _to_float(text: str) -> float:
    digits = text.replace("_", "").lower()
    if digits.lstrip("+-") in (".inf", ".nan"):
        raise ValueError(f"is {text}: Input should be a finite number")
    try:
        number = float(digits)
    except ValueError:
        raise ValueError(f"is {shorten(text)}, which is not a number; quote it if it is text") from None
    if not math.isfinite(number):
        raise ValueError(f"is {shorten(text)}: Input should be a finite number")
    return number
