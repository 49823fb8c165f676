"""Suites on several data sets: if `data` is a list, each data set gets a suite.

    data:
      - {source: text8, length: 256}
      - {source: markov, label: order-2, order: 2, length: 256}

Each data set has its own plan, record and page, so that numbers of different data never share a column. A label is the
name of the source unless given; labels are part of records' names and of no id. A list of one is the same as its block.
"""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from bench.engine.data.source_registry import LABEL
from bench.suite.label_rules import QUOTE, describe_type
from bench.suite.yaml_document import (
    Document,
    Fault,
    Location,
    Map,
    Seq,
    SuiteError,
    has_key,
    suite_name,
    with_suggestion,
)
from bench.suite.yaml_file import load

LONGEST_NAME = 160  # bytes of a record's name: files and folders add endings to it, and file systems take 255 in all
TRIALS = "-trials"  # behind the name of a suite, in that of the record of its trials of tuning
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
    return replace(document, content=content, label=label)


def _label_faults(document: Document, blocks: Seq, labels: list[str]) -> list[Fault]:
    """Labels that cannot be part of a file's name, or that occur twice."""
    faults: list[Fault] = []
    folded = [label.casefold() for label in labels]
    for index, block in enumerate(blocks):
        place = ("data", index, "label")
        label = block.get("label") if isinstance(block, Map) else None
        if has_key(block, "label") and not (isinstance(label, str) and re.fullmatch(LABEL, label)):
            rule = "it names records and folders: letters and digits, and after the first one also _ . + -"
            hint = "" if isinstance(label, str) else f"; YAML reads this as {describe_type(label)}: {QUOTE}"
            faults.append((place, f"label {label!r} is not allowed; {rule}{hint}"))

        first = folded.index(labels[index].casefold())
        if labels[index] and first < index:
            line = document.location(("data", first)).line
            case = "" if labels[first] == labels[index] else f' or "{labels[first]}", which only the case tells apart'
            clash = f'two data sets are called "{labels[index]}"{case}; the first is in line {line}'
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
    return faults + _trial_clashes(document) + _long_names(document)


def _long_names(document: Document) -> list[tuple[Location, str]]:
    """Names of records that are too long for a file system."""
    faults = []
    for scale in (None, *document.scales):
        scaled = document.at(scale)
        for index, (_, part) in enumerate(split(scaled)[0]):
            size = len(part.name.encode())
            if size > LONGEST_NAME:
                place = (
                    scaled.location(("data", index, "label"))
                    if part.label
                    else document.location(("scales", scale or ""))
                )
                limit = f"has {size} bytes, where {LONGEST_NAME} is the limit"
                advice = "shorten the name of the file, the scale or the data set"
                faults.append((place, f"the name of the record, {part.name[:30]}..., {limit}; {advice}"))
    return faults


def _trial_clashes(document: Document) -> list[tuple[Location, str]]:
    """Names of scales and data sets that give a record the name of the trials of tuning."""
    places: dict[str, Location] = {}
    trials: set[str] = set()
    for scale in (None, *document.scales):
        scaled = document.at(scale)
        for index, (_, part) in enumerate(split(scaled)[0]):
            place = ("data", index, "label") if part.label else ("scales", scale or "")
            places.setdefault(part.name, document.location(place) if scale else scaled.location(place))
            if part.content.get("tune") is not None:
                trials.add(f"{part.name}{TRIALS}")
    clash = "is called like that of the trials of tuning; give the scale or data set another name"
    return [(place, f"the record {name} {clash}") for name, place in places.items() if name in trials]


def select(document: Document, parts: Parts, label: str | None) -> Parts:
    """The data set with a label, or all of them if `label` is None. Raises SuiteError if it does not exist."""
    if label is None:
        return parts
    if matches := [part for part in parts if label and label == part[0]]:
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
