"""Read YAML exactly: numbers with a point become decimals, and every node knows its line and column."""

from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from bench.engine.settings import Settings
from bench.suite.yaml_document import Document, Location, Map, Seq, SuiteError, plain

Kind = TypeVar("Kind", bound=Settings)


def compose(path: Path) -> Document:
    """Read a file with the locations of its nodes. Raises SuiteError if it is not valid YAML."""
    text = path.read_text(encoding="utf-8")
    try:
        node = YAML().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SuiteError(f"{path}{where}: not valid YAML: {' '.join(str(error.problem).split())}") from None
    content = to_value(path, node)
    if not isinstance(content, Map):
        raise SuiteError(f"{path}:1:1: the file must be a mapping")
    return Document(path, content, (path,), text)


def to_value(path: Path, node: Node) -> Any:
    """Convert a node to a mapping or list with locations, or to a scalar."""
    if isinstance(node, MappingNode):
        locations = {key.value: location_of(path, key) for key, _ in node.value}
        return Map({key.value: to_value(path, value) for key, value in node.value}, locations)
    if isinstance(node, SequenceNode):
        return Seq([to_value(path, item) for item in node.value], [location_of(path, item) for item in node.value])
    assert isinstance(node, ScalarNode), f"a YAML node of kind {type(node).__name__}"
    return to_scalar(node)


def location_of(path: Path, node: Node) -> Location:
    """The line and column of a node, from 1."""
    return Location(path, node.start_mark.line + 1, node.start_mark.column + 1)


def to_scalar(node: ScalarNode) -> Any:
    """Convert a scalar by its YAML type; floats become decimals."""
    kind = str(node.tag).rpartition(":")[2]
    text = str(node.value)
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    return {"int": int, "float": Decimal}.get(kind, str)(text)


def validate(kind: type[Kind], document: Document) -> Kind:
    """Validate a file's content as `kind`. Raises SuiteError with a line for every fault."""
    try:
        return kind.model_validate(plain(document.content))
    except ValidationError as error:
        faults = [(tuple(detail["loc"]), describe_fault(detail)) for detail in error.errors()]
        document.raise_for(document.locate(faults))
        raise


def describe_fault(detail: Any) -> str:
    """Describe a validation error of pydantic."""
    if detail["type"] == "extra_forbidden":
        return f'unknown key "{detail["loc"][-1]}"'
    if detail["type"] == "missing":
        return f"{detail['loc'][-1]} is missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    steps = [str(step) for step in detail["loc"]]
    name = f"{steps[-2]}[{steps[-1]}]" if steps[-1].isdigit() else steps[-1]
    return message if detail["type"] == "value_error" else f"{name} is {detail['input']!r}: {message}"
