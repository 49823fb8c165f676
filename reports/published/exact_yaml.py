"""YAML read to the digit: numbers with a point are decimals, and every node knows where it stands in its file."""

from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bench.engine.settings import Settings
from bench.suite.document import Document, Location, Map, Seq, SuiteError, plain

Kind = TypeVar("Kind", bound=Settings)


def compose(path: Path) -> Document:
    """The file with its places; numbers with a point as decimals, digit by digit. Raises SuiteError."""
    text = path.read_text(encoding="utf-8")
    try:
        node = YAML().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SuiteError(f"{path}{where}: not valid YAML: {' '.join(str(error.problem).split())}") from None
    content = own(path, node)
    if not isinstance(content, Map):
        raise SuiteError(f"{path}:1:1: this is no mapping")
    return Document(path, content, (path,), text)


def own(path: Path, node: Node) -> Any:
    """A node as a mapping or list that knows its places, or as a value."""
    if isinstance(node, MappingNode):
        locations = {key.value: spot_of(path, key) for key, _ in node.value}
        return Map({key.value: own(path, value) for key, value in node.value}, locations)
    if isinstance(node, SequenceNode):
        return Seq([own(path, item) for item in node.value], [spot_of(path, item) for item in node.value])
    assert isinstance(node, ScalarNode), f"a YAML node of kind {type(node).__name__}"
    return value_of(node)


def spot_of(path: Path, node: Node) -> Location:
    """Line and column of a node, from 1."""
    return Location(path, node.start_mark.line + 1, node.start_mark.column + 1)


def value_of(node: ScalarNode) -> Any:
    """The value of a scalar by the type that YAML gives it."""
    kind = str(node.tag).rpartition(":")[2]
    text = str(node.value)
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    return {"int": int, "float": Decimal}.get(kind, str)(text)


def validate(kind: type[Kind], document: Document) -> Kind:
    """The content as `kind`; raises SuiteError with a line for every fault."""
    try:
        return kind.model_validate(plain(document.content))
    except ValidationError as error:
        faults = [(tuple(detail["loc"]), say(detail)) for detail in error.errors()]
        document.raise_for(document.locate(faults))
        raise


def say(detail: Any) -> str:
    """A fault in words."""
    if detail["type"] == "extra_forbidden":
        return f'unknown key "{detail["loc"][-1]}"'
    if detail["type"] == "missing":
        return f"{detail['loc'][-1]} is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    steps = [str(step) for step in detail["loc"]]
    name = f"{steps[-2]}[{steps[-1]}]" if steps[-1].isdigit() else steps[-1]
    return message if detail["type"] == "value_error" else f"{name} is {detail['input']!r}: {message}"
