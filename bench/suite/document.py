"""Suite files as they are written: YAML that remembers where every key stands, and files laid over each other.

    extends: ../families.yaml    # one parent, relative to this file; it may have one of its own
    scales: {quick: {...}}       # named blocks that are laid over the suite by --scale

What lies on top wins: mappings are merged key by key, everything else replaces, lists too. Blocks of alternatives are
replaced whole where the alternative is another one: a budget, data of another source, a scorer of another kind. A path
that stands in a parent starts at the parent's folder, as it does where the parent is run by itself.
"""

import os
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bench.suite.suite_file import TAGGED, SuiteFile

Place = tuple[str | int, ...]  # keys and indices that lead to a node
Fault = tuple[Place, str]


class SuiteError(ValueError):
    """A suite that cannot be run; the message has one line for each fault."""


@dataclass(frozen=True)
class Spot:
    """A place in a file, line and column from 1."""

    path: Path
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class Map(dict[Any, Any]):
    """A mapping that knows where its keys stand; a key that came by a merge (<<) has no spot of its own."""

    spots: dict[Any, Spot]

    def __init__(self, content: dict[Any, Any] | None = None, spots: dict[Any, Spot] | None = None):
        super().__init__(content or {})
        self.spots = dict(spots or {})

    def put(self, key: Any, value: Any, spot: Spot | None) -> None:
        """Sets a key that stands at `spot`; None leaves it without one."""
        self[key] = value
        self.spots.pop(key, None)
        if spot:
            self.spots[key] = spot

    def copy(self) -> "Map":
        return Map(self, self.spots)


class Seq(list[Any]):
    """A list that knows where its items stand."""

    spots: list[Spot]

    def __init__(self, content: list[Any] | None = None, spots: list[Spot] | None = None):
        super().__init__(content or [])
        self.spots = list(spots or [])


@dataclass(frozen=True)
class Document:
    """A suite as it is written, its parents laid under it."""

    path: Path
    content: Map
    files: tuple[Path, ...]  # the file itself, its parent, and so on
    source: str  # their texts
    scale: str | None = None  # the one that was laid over it
    label: str = ""  # of its data, where the suite has several data sets

    def spot(self, place: Place) -> Spot:
        """Where the deepest node on the way to `place` stands: its key where it is one of a mapping."""
        spot, node = Spot(self.path), self.content
        for step in place:
            if not has(node, step):
                continue  # a step that only the validator knows, such as the tag of a union
            spot, node = spot_in(node, step, spot), node[step]
        return spot

    def tell(self, faults: list[Fault]) -> list[tuple[Spot, str]]:
        """Faults with their spots."""
        return [(self.spot(place), message) for place, message in faults]

    def raise_for(self, told: list[tuple[Spot, str]]) -> None:
        """Raises SuiteError with all faults in the order of the files, where there are any."""
        if told:
            lines = sorted({(self.files.index(s.path), s.line, s.column, f"{s}: {words}") for s, words in told})
            raise SuiteError("\n".join(line[-1] for line in lines))

    @property
    def name(self) -> str:
        """What its record is called."""
        return suite_name(self.path, self.scale, self.label)

    @property
    def scales(self) -> dict[str, Map]:
        """The named blocks that may be laid over it."""
        blocks = self.content.get("scales")
        named = blocks.items() if isinstance(blocks, Map) else ()
        return {name: block or Map() for name, block in named if isinstance(name, str)}

    def at(self, scale: str | None) -> "Document":
        """The suite at one of its scales, or as it is written; raises SuiteError where there is no such scale."""
        content, scales = Map(self.content, self.content.spots), self.scales
        if scale is not None and scale not in scales:
            message = nearest(f'there is no scale "{scale}"', scale, scales) + "; without --scale it is run as written"
            raise SuiteError(f"{self.spot(('scales',))}: {message}")
        for key in ("extends", "scales"):
            content.pop(key, None)
        if scale is not None and isinstance(scales[scale], Map):
            content = merge(content, scales[scale])
        return Document(self.path, content, self.files, self.source, scale)


def suite_name(path: Path, scale: str | None, label: str | None = None) -> str:
    """The file's name without its ending, the scale, and the label of the data where there are several data sets."""
    return "-".join(filter(None, (path.stem, scale, label)))


def load(path: Path, below: tuple[Path, ...] = ()) -> Document:
    """The file with its parents under it; `below` are the files that led to it. Raises SuiteError."""
    text = _text(path)
    content = _parse(path, text)
    document = Document(path, content, (path,), text)
    named = content.get("extends")
    if named is None:
        return document
    spot = document.spot(("extends",))
    if not isinstance(named, str):
        raise SuiteError(f"{spot}: extends is {plain(named)!r}: it names one suite file, relative to this one")
    parent = Path(os.path.normpath(path.parent / named))
    line = (*below, path)
    if parent.resolve() in [each.resolve() for each in line]:
        raise SuiteError(
            f"{spot}: a suite cannot extend itself: {' extends '.join(str(each) for each in (*line, parent))}"
        )
    if not parent.is_file():
        raise SuiteError(f'{spot}: there is no file "{parent}" to extend; the path starts at {path.parent}/')
    under = load(parent, line)
    moved = _moved(under.content, parent.parent, path.parent)
    source = f"{text.rstrip()}\n\n# {named}, which it extends\n{under.source}"
    return Document(path, merge(moved, content), (path, *under.files), source)


def merge(under: Map, over: Map) -> Map:
    """`over` laid on `under`: see the head of this file."""
    merged = under.copy()
    for key, value in over.items():
        before = merged.get(key)
        if isinstance(before, Map) and isinstance(value, Map) and not _alternative(key, before, value):
            value = merge(before, value)
        merged.put(key, value, over.spots.get(key))
    return merged


def _alternative(key: Any, before: Map, value: Map) -> bool:
    """Whether a block excludes what stood there, instead of adding to it."""
    tag = TAGGED[key][0] if key in TAGGED else None
    return key == "budget" or (tag is not None and value.get(tag, before.get(tag)) != before.get(tag))


def _moved(node: Any, old: Path, new: Path, key: Any = None) -> Any:
    """The same with its paths, which start at folder `old`, told from folder `new`."""
    if isinstance(node, Seq):
        return Seq([_moved(item, old, new, key) for item in node], node.spots)
    if not isinstance(node, Map):
        return node
    moved = Map({name: _moved(value, old, new, name) for name, value in node.items()}, node.spots)
    local = key == "scorer" and node.get("revision") is None
    for name in {"data": ("path",), "scorer": ("path", "model") if local else ("path",)}.get(key, ()):
        value = moved.get(name)
        if isinstance(value, str) and not value.startswith("~") and not Path(value).is_absolute():
            moved[name] = os.path.relpath(old / value, new)
    return moved


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from None


def _parse(path: Path, text: str) -> Map:
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context or error).split())
        raise SuiteError(f"{path}{where}: not valid YAML: {problem}") from None
    except YAMLError as error:
        raise SuiteError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, CommentedMap):
        raise SuiteError(f"{path}:1:1: a suite is a mapping with the keys {', '.join(SuiteFile.model_fields)}")
    content: Map = _own(path, document)
    return content


def _own(path: Path, node: Any) -> Any:
    """The loader's nodes as Map, Seq and Python's own scalars."""
    if isinstance(node, CommentedMap):
        places = node.lc.data or {}
        spots = {key: Spot(path, at[0] + 1, at[1] + 1) for key, at in places.items() if key in node}
        return Map({_scalar(key): _own(path, value) for key, value in node.items()}, spots)
    if isinstance(node, CommentedSeq):
        at = [node.lc.item(index) for index in range(len(node))]
        return Seq([_own(path, item) for item in node], [Spot(path, line + 1, column + 1) for line, column in at])
    return _scalar(node)


def _scalar(node: Any) -> Any:
    """Scalars of the round-trip loader are subclasses of Python's own."""
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def plain(node: Any) -> Any:
    """Python's own lists and mappings instead of those that remember their places."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items()}
    return [plain(value) for value in node] if isinstance(node, list) else node


def has(node: Any, step: str | int) -> bool:
    """Whether a step leads on from a node."""
    if isinstance(node, Seq):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, Map) and step in node


def spot_in(node: Any, step: str | int, otherwise: Spot) -> Spot:
    """Where a step of a node stands."""
    if isinstance(node, Map):
        return node.spots.get(step, otherwise)
    return node.spots[step] if isinstance(step, int) and step < len(node.spots) else otherwise


def nearest(message: str, said: Any, known: Any) -> str:
    """The message with the nearest of the known names, and all of them."""
    near = get_close_matches(str(said), known, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ";"
    return f"{message}{hint} known: {', '.join(known) or 'none'}"
