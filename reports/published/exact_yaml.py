"""Read YAML exactly: numbers with a point become decimals, and every node knows its line and column."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from bench.engine.settings import Settings
from bench.suite.yaml_document import Document, Map, SuiteError, plain
from bench.suite.yaml_limits import compose as compose_nodes
from bench.suite.yaml_limits import read_text
from bench.suite.yaml_nodes import NodeReader
from bench.suite.yaml_nodes import to_scalar as to_builtin_scalar

Kind = TypeVar("Kind", bound=Settings)


def compose(path: Path) -> Document:
    """Read a file with the locations of its nodes. Raises SuiteError if it is not valid YAML."""
    text = read_text(path)
    node, faults = compose_nodes(path, text)
    reader = NodeReader(path, to_scalar, has_text_keys=False)
    content = None if node is None else reader.read(node)
    if not isinstance(content, Map):
        raise SuiteError(f"{path}:1:1: the file must be a mapping")
    document = Document(path, content, (path,), text, faults=(*faults, *reader.faults))
    document.raise_for([])
    return document


def to_scalar(kind: str, text: str) -> Any:
    """Convert a scalar by its YAML type; floats become decimals. Raises ValueError."""
    if kind != "float":
        return to_builtin_scalar(kind, text)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"is {text}, which is not a finite number") from None
    return number


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
