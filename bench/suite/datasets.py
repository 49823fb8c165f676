"""Suites whose `data` is a list: one suite for each data set.

    data:
      - {source: text8, length: 256}
      - {source: markov, label: order-2, order: 2, length: 256}

Every data set has its own facts, plan, record and page, so that its numbers never stand in a column with others. Labels
are the names of the sources where none are given; they are a part of the names of records, and of no id. A list of one
is as that block alone.
"""

import re
from collections import Counter
from pathlib import Path

from bench.engine.data.settings import LABEL
from bench.suite.document import Document, Fault, Map, Seq, Spot, SuiteError, has, load, nearest, suite_name

Parts = list[tuple[str, Document]]  # the label of each data set, and the suite with it alone


def split(document: Document) -> tuple[Parts, list[Fault]]:
    """The suite with each of its data sets, and what is wrong with their labels; "" labels one that is in no list."""
    blocks = document.content.get("data")
    if not isinstance(blocks, Seq):
        return [("", document)], []
    parts = [(_label(block), _part(document, blocks, index)) for index, block in enumerate(blocks)]
    if not blocks:
        return parts, [(("data",), "data lists no data set; give one block, or a list of them")]
    return parts, _faults(document, blocks, [label for label, _ in parts])


def _label(block: object) -> str:
    """The label of a data set, which by default is its source."""
    return str(block.get("label", block.get("source", ""))) if isinstance(block, Map) else ""


def _part(document: Document, blocks: Seq, index: int) -> Document:
    """The suite with one block of a list as its data."""
    block, label = blocks[index], _label(blocks[index]) if len(blocks) > 1 else ""
    if isinstance(block, Map):
        block = Map({key: value for key, value in block.items() if key != "label"}, block.spots)
    content = document.content.copy()
    content.put("data", block, blocks.spots[index])
    return Document(document.path, content, document.files, document.source, document.scale, label)


def _faults(document: Document, blocks: Seq, labels: list[str]) -> list[Fault]:
    """Labels that cannot be a part of a file's name, or that stand twice."""
    faults: list[Fault] = []
    for index, block in enumerate(blocks):
        given, place = block.get("label") if isinstance(block, Map) else None, ("data", index, "label")
        if has(block, "label") and not (isinstance(given, str) and re.fullmatch(LABEL, given)):
            why = "records and folders are named by it: letters and digits, and behind the first one also _ . + -"
            faults.append((place, f"label {given!r} will not do: {why}"))
        first = labels.index(labels[index])
        if labels[index] and first < index:
            line = document.spot(("data", first)).line
            told = f'two data sets are called "{labels[index]}"; the first is in line {line}'
            faults.append((place, f"{told}; give each a label of its own"))
    return faults


def clashes(document: Document) -> list[tuple[Spot, str]]:
    """Labels by which two records of a suite and its scales would be called alike, with their spots."""
    scales = [None, *document.scales]
    taken = {suite_name(document.path, scale): scale for scale in scales}
    told = []
    for scale in scales:
        whole = document.at(scale)
        parts, _ = split(whole)
        for index, (label, part) in enumerate(parts):
            if part.label and taken.setdefault(part.name, scale) != scale:
                words = f'scale "{taken[part.name]}"' if taken[part.name] else "the suite as it is written"
                why = f'with label "{label}" the record is called {part.name}, and so is one of {words}'
                told.append((whole.spot(("data", index, "label")), f"{why}; give it another label"))
    return told


def choose(document: Document, parts: Parts, label: str | None) -> Parts:
    """The data sets with the label; all of them where it is None. Raises SuiteError where there is none."""
    found = [part for part in parts if label in (None, part[0])]
    if found or label is None:
        return found
    known = [name for name, _ in parts if name]
    why = nearest(f'there is no data set "{label}"', label, known) if known else "its one data set has no label"
    raise SuiteError(f"{document.spot(('data',))}: {why}; without --data all are meant")


def tell_all(checked: list[tuple[Document, list[Fault]]]) -> list[tuple[Spot, str]]:
    """The faults of all data sets, each once; those that only some have, though they stand elsewhere, name these."""
    every = Counter(told for document, faults in checked for told in set(document.tell(faults)))
    told = []
    for document, faults in checked:
        for place, message in faults:
            fault = (document.spot(place), message)
            is_everyones = place[:1] == ("data",) or every[fault] == len(checked)
            told.append(fault if is_everyones else (fault[0], f'{message} (data set "{document.label}")'))
    return told


def names(path: Path, scale: str | None, label: str | None) -> dict[str, str]:
    """What the records of a suite, whose file may be gone, are called, by the labels of its data; one alone is "".

    Raises SuiteError where there is no such scale or data set.
    """
    if not path.is_file():
        return {"": suite_name(path, scale, label)}
    document = load(path).at(scale)
    parts = choose(document, split(document)[0], label)
    return {"" if len(parts) == 1 else name: part.name for name, part in parts}
