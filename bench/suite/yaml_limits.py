"""YAML and JSON files read within limits: of size, depth, and nodes after aliases and merges are written out.

A file that exceeds a limit is refused while it is read, before anything is expanded, with its line and column. Tags,
recursive anchors, other versions of YAML and more than one document are refused too.
"""

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, ScalarEvent
from ruamel.yaml.nodes import Node

from bench.suite.yaml_document import Location, SuiteError

UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PLACEHOLDER = re.compile(r"\$\{[^}]*\}?|\{\{.*?(\}\}|$)")
TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True)
class Limits:
    """What a file may hold; each is far above what people write."""

    size: int = 1_000_000  # bytes, together with the files that it extends
    depth: int = 32  # mappings and lists within one another
    nodes: int = 30_000  # keys and values, with aliases and merges written out
    parents: int = 16  # files of a chain of `extends`


LIMITS = Limits()
LIMITS_OF_RECORDS = Limits(size=20_000_000, nodes=1_000_000)  # files that the project writes itself


class Refusal(Exception):
    """What is refused, and its mark in the file."""

    def __init__(self, mark: Any, message: str):
        super().__init__(message)
        self.mark, self.message = mark, message


class LimitedComposer(Composer):
    """Composes nodes within limits; an alias is its anchor's node, and counts as often as it is written."""

    def __init__(self, loader: Any = None):
        super().__init__(loader)
        self.limits = LIMITS
        self.nodes = 0  # so far, with aliases written out
        self.level = 0  # of the current node
        self.deepest = 0  # level within the current node, with aliases written out
        self.sizes: dict[str, tuple[int, int]] = {}  # nodes and height by anchor
        self.open: set[str] = set()  # anchors of the nodes around the current one
        self.tags: list[tuple[Any, str]] = []  # explicit tags with their marks

    def compose_document(self) -> Any:
        """Compose the one document of a file."""
        start = self.parser.peek_event()
        if start.version not in (None, (1, 2)):
            raise Refusal(
                start.start_mark, f"YAML {'.'.join(map(str, start.version))} is not read; remove the line %YAML"
            )
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node and all within it."""
        event = self.parser.peek_event()
        anchor = event.anchor
        if isinstance(event, AliasEvent):
            self._count_alias(event)
            return super().compose_node(parent, index)

        self._note_tag(event)
        self._count(event, 1, 0 if isinstance(event, ScalarEvent) else 1)
        nodes, deepest = self.nodes - 1, self.deepest
        self.level, self.deepest = self.level + 1, self.level + 1
        self.open.add(anchor)
        node = super().compose_node(parent, index)

        self.open.discard(anchor)
        self.level -= 1
        if anchor is not None:
            self.sizes[anchor] = (self.nodes - nodes, self.deepest - self.level)
        self.deepest = max(deepest, self.deepest)
        return node

    def _count_alias(self, event: Any) -> None:
        if event.anchor in self.open:
            raise Refusal(
                event.start_mark, f"*{event.anchor} stands inside &{event.anchor}: nothing can contain itself"
            )
        if event.anchor in self.sizes:  # an unknown one is an error of YAML
            self._count(event, *self.sizes[event.anchor])

    def _count(self, event: Any, nodes: int, height: int) -> None:
        """Add nodes that reach `height` levels below the current one. Raises Refusal beyond a limit."""
        self.nodes += nodes
        self.deepest = max(self.deepest, self.level + height)
        if self.level + height > self.limits.depth:
            depth = f"nested {self.level + height} deep, where {self.limits.depth} is the limit"
            raise Refusal(event.start_mark, f"mappings and lists are {depth}; nest less, or use fewer aliases")
        if self.nodes > self.limits.nodes:
            count = f"{self.nodes:,} keys and values, where {self.limits.nodes:,} is the limit"
            advice = "remove aliases or values" if isinstance(event, AliasEvent) else "remove some"
            raise Refusal(event.start_mark, f"up to here the file holds {count}, aliases written out; {advice}")

    def _note_tag(self, event: Any) -> None:
        """Note an explicit tag; !!str before a scalar is the one that is taken."""
        tag = event.ctag
        if tag is None or (str(tag) == TEXT and isinstance(event, ScalarEvent)):
            return
        self.tags.append((event.start_mark, f"{tag.handle or ''}{tag.suffix or ''}" or str(tag)))


def read_text(path: Path, size: int = LIMITS.size) -> str:
    """Read a regular file of UTF-8 text of at most `size` bytes. Raises SuiteError."""
    try:
        status = os.stat(path)
        content = _read_bytes(path, status, size)
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from None
    return _decode(path, content)


def _read_bytes(path: Path, status: os.stat_result, size: int) -> bytes:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise SuiteError(f"{path}: is {kind}; name a file")
    if status.st_size > size:
        message = f"the file has {status.st_size:,} bytes, where {size:,} is the limit"
        raise SuiteError(f"{Location(path)}: {message}; split it, or write it shorter")
    return path.read_bytes()


def _decode(path: Path, content: bytes) -> str:
    """Decode UTF-8 with any line ends. Raises SuiteError at the first byte or character that is no text."""
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise SuiteError(f"{Location(path)}: the encoding is UTF-32; save the file as UTF-8")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SuiteError(f"{Location(path)}: the encoding is UTF-16; save the file as UTF-8")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        spot = _locate(path, content[: error.start].decode("utf-8", "replace"))
        raise SuiteError(f"{spot}: not a text file (byte {error.start} is not UTF-8)") from None
    if strange := UNPRINTABLE.search(text):
        name = "NUL" if strange[0] == "\0" else f"the control character U+{ord(strange[0]):04X}"
        raise SuiteError(f"{_locate(path, text[: strange.start()])}: {name} is not text; remove it")
    return text


def _locate(path: Path, before: str) -> Location:
    """The location that follows this text."""
    return Location(path, before.count("\n") + 1, len(before) - before.rfind("\n"))


def compose(path: Path, text: str, limits: Limits = LIMITS) -> tuple[Node | None, list[tuple[Location, str]]]:
    """The root of a file's one document, None if it is empty, and the faults that do not keep it from being read.

    Raises SuiteError where the file is not YAML or exceeds a limit.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = LimitedComposer
    composer: Any = yaml.composer
    composer.limits = limits
    composer.warn_double_anchors = False
    try:
        node = yaml.compose(text)
    except Refusal as refusal:
        raise SuiteError(f"{mark_location(path, refusal.mark)}: {refusal.message}") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = mark_location(path, mark) if mark else Location(path)
        raise SuiteError(f"{spot}: not valid YAML: {_explain(error, text, spot.line)}") from None
    except YAMLError as error:
        raise SuiteError(f"{Location(path)}: not valid YAML: {' '.join(str(error).split())}") from None
    faults = [(mark_location(path, mark), f"tags are not taken: {tag}; remove it") for mark, tag in composer.tags]
    return node, faults


def mark_location(path: Path, mark: Any) -> Location:
    """The location of a mark of the parser."""
    return Location(path, mark.line + 1, mark.column + 1)


def _explain(error: MarkedYAMLError, text: str, line: int) -> str:
    """What is wrong with the syntax, and the usual reason."""
    problem = " ".join(str(error.problem or error.context or error).split())
    lines = text.splitlines()
    written = lines[line - 1] if line <= len(lines) else ""
    if placeholder := PLACEHOLDER.search(written):
        return f"{problem}; {placeholder[0]} is not filled in: write the value out, or quote it"
    if "another document" in problem:
        return "a second document starts here; a file holds one, so remove the line ---"
    if "\\t" in problem or "\t" in written[: len(written) - len(written.lstrip())]:
        return f"{problem}; indent with spaces, not with tabs"
    if "cannot start any token" in problem:
        return f"{problem}; quote the value"
    return problem
