"""Suites on several data sets: if `data` is a list, each data set gets a suite.

    data:
      - {source: text8, length: 256}
      - {source: markov, label: order-2, order: 2, length: 256}

Each data set has its own plan, record and page, so that numbers of different data never share a column. A label is the
name of the source unless given; labels are part of records' names and of no id. A list of one is the same as its block.
"""

import re
from collections import Counter
from pathlib import Path

from bench.engine.data.source_registry import LABEL
from bench.suite.yaml_document import (
    Document,
    Fault,
    Location,
    Map,
    Seq,
    SuiteError,
    has_key,
    load,
    suite_name,
    with_suggestion,
)

Parts = list[tuple[str, Document]]  # the label of each data set, and the suite restricted to it


def split(document: Document) -> tuple[Parts, list[Fault]]:
    """Split a suite by data sets, and check their labels; a single block of data has the label ""."""
    blocks = document.content.get("data")
    if not isinstance(blocks, Seq):
        return [("", document)], []
    parts = [(_label(block), _restrict(document, blocks, index)) for index, block in enumerate(blocks)]
    if not blocks:
        return parts, [(("data",), "data lists no data set; give one block, or a list of them")]
    return parts, _label_faults(document, blocks, [label for label, _ in parts])


def _label(block: object) -> str:
    """The label of a data set; by default, its source."""
    return str(block.get("label", block.get("source", ""))) if isinstance(block, Map) else ""


def _restrict(document: Document, blocks: Seq, index: int) -> Document:
    """The suite with one block of a list as its data."""
    block = blocks[index]
    label = _label(block) if len(blocks) > 1 else ""
    if isinstance(block, Map):
        block = Map({key: value for key, value in block.items() if key != "label"}, block.locations)
    content = document.content.copy()
    content.put("data", block, blocks.locations[index])
    return Document(document.path, content, document.files, document.source, document.scale, label)


def _label_faults(document: Document, blocks: Seq, labels: list[str]) -> list[Fault]:
    """Labels that cannot be part of a file's name, or that occur twice."""
    faults: list[Fault] = []
    for index, block in enumerate(blocks):
        place = ("data", index, "label")
        label = block.get("label") if isinstance(block, Map) else None
        if has_key(block, "label") and not (isinstance(label, str) and re.fullmatch(LABEL, label)):
            rule = "it names records and folders: letters and digits, and after the first one also _ . + -"
            faults.append((place, f"label {label!r} is not allowed; {rule}"))

        first = labels.index(labels[index])
        if labels[index] and first < index:
            line = document.location(("data", first)).line
            clash = f'two data sets are called "{labels[index]}"; the first is in line {line}'
            faults.append((place, f"{clash}; give each its own label"))
    return faults


def name_clashes(document: Document) -> list[tuple[Location, str]]:
    """Labels that give two records of a suite and its scales the same name."""
    scales = [None, *document.scales]
    owners = {suite_name(document.path, scale): scale for scale in scales}
    faults = []
    for scale in scales:
        scaled = document.at(scale)
        parts, _ = split(scaled)
        for index, (label, part) in enumerate(parts):
            if part.label and owners.setdefault(part.name, scale) != scale:
                owner = f'scale "{owners[part.name]}"' if owners[part.name] else "the suite as written"
                clash = f'with label "{label}", the record is called {part.name}, like one of {owner}'
                faults.append((scaled.location(("data", index, "label")), f"{clash}; give it another label"))
    return faults


def select(document: Document, parts: Parts, label: str | None) -> Parts:
    """The data set with a label, or all of them if `label` is None. Raises SuiteError if it does not exist."""
    matches = [part for part in parts if label in (None, part[0])]
    if matches or label is None:
        return matches
    labels = [name for name, _ in parts if name]
    reason = "its one data set has no label"
    if labels:
        reason = with_suggestion(f'there is no data set "{label}"', label, labels)
    raise SuiteError(f"{document.location(('data',))}: {reason}; without --data, all data sets are used")


def locate_all(checked: list[tuple[Document, list[Fault]]]) -> list[tuple[Location, str]]:
    """The located faults of all data sets, without repetition.

    Faults outside the data that only some of the data sets have name these.
    """
    counts = Counter(fault for document, faults in checked for fault in set(document.locate(faults)))
    located = []
    for document, faults in checked:
        for place, message in faults:
            fault = (document.location(place), message)
            is_shared = place[:1] == ("data",) or counts[fault] == len(checked)
            located.append(fault if is_shared else (fault[0], f'{message} (data set "{document.label}")'))
    return located


def suite_names(path: Path, scale: str | None, label: str | None) -> dict[str, str]:
    """The names of the suites in a file, by the labels of their data sets; a single suite has the label "".

    The file may be gone; then its suite is taken to have one data set. Raises SuiteError if the scale or data set does
    not exist.
    """
    if not path.is_file():
        return {"": suite_name(path, scale, label)}
    document = load(path).at(scale)
    parts = select(document, split(document)[0], label)
    return {"" if len(parts) == 1 else name: part.name for name, part in parts}
