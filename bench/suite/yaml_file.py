"""Read suite files, with the files that they extend.

    extends: ../families.yaml    # one parent, relative to this file; the parent may extend another file

The child wins: see `bench.suite.yaml_document.merge`. A relative path in a parent is resolved against the parent's
folder.
"""

import os
from pathlib import Path
from typing import Any

from bench.engine.written_paths import ADDRESS, explain_missing, resolve_path
from bench.suite.suite_file import SuiteFile
from bench.suite.yaml_document import Document, Map, Seq, SuiteError, merge, plain
from bench.suite.yaml_limits import LIMITS, compose, read_text
from bench.suite.yaml_nodes import NodeReader, to_scalar

PATH_KEYS = {
    "data": ("path", "train", "valid", "test"),
    "scorer": ("path", "model"),
}  # keys of paths by the key of their block


def load(path: Path) -> Document:
    """Read a suite file and the files that it extends. Raises SuiteError."""
    document = load_with_faults(path)
    document.raise_for([])
    return document


def load_with_faults(path: Path, children: tuple[Path, ...] = (), size: int = LIMITS.size) -> Document:
    """Read a suite file and the files that it extends; `children` are the files that extend it.

    All files together have at most `size` bytes. Faults that hide no others stay in the document. Raises SuiteError.
    """
    text = read_text(path, size)
    document = _parse(path, text)
    if document.content.get("extends") is None:
        return document

    lineage = (*children, path)
    parent_path = _find_parent(document, lineage)
    parent = load_with_faults(parent_path, lineage, size - len(text.encode()))
    inherited = _rebase_paths(parent.content, parent_path.parent, path.parent)
    source = f"{text.rstrip()}\n\n# {document.content['extends']}, which it extends\n{parent.source}"
    faults = (*document.faults, *parent.faults)
    return Document(path, merge(inherited, document.content), (path, *parent.files), source, faults=faults)


def _parse(path: Path, text: str) -> Document:
    """One file as a document."""
    node, faults = compose(path, text)
    reader = NodeReader(path, to_scalar)
    content = None if node is None else reader.read(node)
    if not isinstance(content, Map):
        problem = "the file is empty; " if node is None else ""
        raise SuiteError(f"{path}:1:1: {problem}a suite is a mapping with the keys {', '.join(SuiteFile.model_fields)}")
    return Document(path, content, (path,), text, faults=(*faults, *reader.faults))


def _find_parent(document: Document, lineage: tuple[Path, ...]) -> Path:
    """The file that a suite extends; the last of `lineage` is the suite's own. Raises SuiteError."""
    location, extended = document.location(("extends",)), document.content["extends"]
    if not isinstance(extended, str) or not extended:
        raise SuiteError(f"{location}: extends is {plain(extended)!r}: it names one suite file, relative to this one")
    folder = document.path.parent
    parent_path = Path(os.path.normpath(resolve_path(extended, folder)))
    if not parent_path.is_file():
        reason = f"{parent_path} is not a file" if parent_path.exists() else explain_missing(extended, folder)
        raise SuiteError(f'{location}: there is no file "{extended}" to extend: {reason}')
    if parent_path.resolve() in [file.resolve() for file in lineage]:
        cycle = " extends ".join(str(file) for file in (*lineage, parent_path))
        raise SuiteError(f"{location}: a suite cannot extend itself: {cycle}")
    if len(lineage) > LIMITS.parents:
        raise SuiteError(
            f"{location}: this is file {len(lineage) + 1} of a chain, where {LIMITS.parents + 1} is the limit"
        )
    return parent_path


def _rebase_paths(node: Any, old: Path, new: Path, key: Any = None) -> Any:
    """Rewrite paths that are relative to folder `old` to be relative to folder `new`."""
    if isinstance(node, Seq):
        return Seq([_rebase_paths(item, old, new, key) for item in node], node.locations)
    if not isinstance(node, Map):
        return node

    rebased = Map({name: _rebase_paths(value, old, new, name) for name, value in node.items()}, node.locations)
    is_local = key == "scorer" and node.get("revision") is None  # a model with a revision is one of the hub
    for name in PATH_KEYS.get(key, ()):
        value = rebased.get(name)
        if name == "model" and not is_local:
            continue
        if isinstance(value, str) and not _is_absolute(value):
            rebased[name] = os.path.relpath(old / value, new)
    return rebased


def _is_absolute(written: str) -> bool:
    """Whether a path means the same in every folder."""
    return written.startswith("~") or Path(written).is_absolute() or ADDRESS.match(written) is not None
