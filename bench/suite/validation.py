"""What is wrong with a suite, in words and with its place: unknown keys, and whatever a block's types refuse."""

from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench.suite.document import Fault, Map, Place, Seq, has, nearest, plain
from bench.suite.suite_file import LISTS, TAGGED

Model = TypeVar("Model", bound=BaseModel)


def unknown_keys(node: Any, model: type[BaseModel], place: Place, meant: set[Place]) -> list[Fault]:
    """A fault for each key that `model` does not know; `meant` collects the keys that they probably stand for."""
    if not isinstance(node, Map):
        return []
    faults: list[Fault] = []
    fields = model.model_fields
    for key, value in node.items():
        if key not in fields:
            meant.update((*place, name) for name in get_close_matches(str(key), fields, n=1))
            faults.append(((*place, key), nearest(f'unknown key "{key}"', key, fields)))
            continue
        for where, part, inner in _inner_blocks(key, value, fields[key].annotation):
            faults += unknown_keys(part, inner, (*place, *where), meant)
    return faults


def _inner_blocks(key: str, value: Any, annotation: Any) -> list[tuple[Place, Any, type[BaseModel]]]:
    """The blocks inside a field: itself, the items of a list, or the source that a data block names."""
    if key in TAGGED:
        tag, known = TAGGED[key]
        parts: list[tuple[Place, Any]] = [((key,), value)]
        if key in LISTS and isinstance(value, Seq):
            known, parts = LISTS[key], [((key, index), item) for index, item in enumerate(value)]
        named = [(place, part, known.get(str(part.get(tag)))) for place, part in parts if isinstance(part, Map)]
        return [(place, part, kind) for place, part, kind in named if kind]
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    blocks = [kind for kind in kinds if issubclass(kind, BaseModel)]
    if not blocks:
        return []
    if isinstance(value, Seq):
        return [((key, index), item, blocks[0]) for index, item in enumerate(value)]
    return [((key,), value, blocks[0])]


def validate(model: type[Model], content: Map, place: Place, faults: list[Fault], meant: set[Place]) -> Model | None:
    """The block at `place` of a suite as `model`, or None with the reasons added to `faults`."""
    node: Any = content
    for step in place:
        node = node[step]
    try:
        return model.model_validate(plain(node))
    except ValidationError as error:
        for detail in error.errors():
            where = (*place, *detail["loc"])
            misspelt = detail["type"] == "missing" and where in meant
            if detail["type"] != "extra_forbidden" and not misspelt:  # both were told with the nearest key
                faults.append((where, _told(content, where, detail)))
        return None


def _told(content: Map, place: Place, detail: Any) -> str:
    """One fault in words: the field, its value, and what it should be."""
    node: Any = content
    names: list[str] = []
    for step in place:
        if has(node, step):
            node, names = node[step], [*names, str(step)]
        elif detail["type"] == "missing":
            names.append(str(step))
    if names[:1] == ["arms"] and len(names) > 3 and names[2] in ("training", "budget", "network"):
        names = names[2:]  # an arm's own block inherits the suite's: what is wrong with that is told in one way
    name = ".".join(names) or "the suite"
    if detail["type"] == "missing":
        return f"{name} is missing"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tag, known = TAGGED[names[-1]]
        said = node.get(tag) if isinstance(node, Map) else node
        return nearest(f"{name}.{tag} is {said!r}", said, known)
    message = detail["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if detail["type"] == "value_error" else f"{name} is {detail['input']!r}: {message}"
