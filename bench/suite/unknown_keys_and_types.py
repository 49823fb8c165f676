"""Errors of single fields of a suite, with their places: unknown keys (did you mean), and ill-typed values."""

import re
from difflib import get_close_matches
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from bench.suite.suite_file import LISTS, TAGGED
from bench.suite.yaml_document import Fault, KeyPath, Map, Seq, has_key, plain, with_suggestion

INTERNALS = re.compile(r" or instance of \w+| after validation, not \d+")  # names of ours and of pydantic

Model = TypeVar("Model", bound=BaseModel)


def unknown_keys(node: Any, model: type[BaseModel], place: KeyPath, intended: set[KeyPath]) -> list[Fault]:
    """A fault for each key that `model` does not know.

    The keys that were probably meant are added to `intended`, so that `validate` does not report them as missing.
    """
    if not isinstance(node, Map):
        return []
    faults: list[Fault] = []
    fields = model.model_fields
    for key, value in node.items():
        if key not in fields:
            intended.update((*place, name) for name in get_close_matches(str(key), fields, n=1))
            faults.append(((*place, key), with_suggestion(f'unknown key "{key}"', key, fields)))
            continue
        for steps, block, kind in _inner_blocks(key, value, fields[key].annotation):
            faults += unknown_keys(block, kind, (*place, *steps), intended)
    return faults


def _inner_blocks(key: str, value: Any, annotation: Any) -> list[tuple[KeyPath, Any, type[BaseModel]]]:
    """The blocks in a field, with their types: the value, the items of a list, or the kind that a tag selects."""
    if key in TAGGED:
        return _tagged_blocks(key, value)
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    models = [kind for kind in kinds if issubclass(kind, BaseModel)]
    if not models:
        return []
    if isinstance(value, Seq):
        return [((key, index), item, models[0]) for index, item in enumerate(value)]
    return [((key,), value, models[0])]


def _tagged_blocks(key: str, value: Any) -> list[tuple[KeyPath, Any, type[BaseModel]]]:
    """The blocks whose tag, such as the source of data, selects their type."""
    tag, kinds = TAGGED[key]
    blocks: list[tuple[KeyPath, Any]] = [((key,), value)]
    if key in LISTS and isinstance(value, Seq):
        kinds = LISTS[key]
        blocks = [((key, index), item) for index, item in enumerate(value)]
    typed = [(place, block, kinds.get(str(block.get(tag)))) for place, block in blocks if isinstance(block, Map)]
    return [(place, block, kind) for place, block, kind in typed if kind]


def validate(
    model: type[Model], content: Map, place: KeyPath, faults: list[Fault], intended: set[KeyPath]
) -> Model | None:
    """Validate the block at `place` of a suite; if it is invalid, add the reasons to `faults` and return None."""
    node: Any = content
    for step in place:
        node = node[step]
    try:
        return model.model_validate(plain(node))
    except ValidationError as error:
        for detail in error.errors():
            path = (*place, *detail["loc"])
            is_misspelt = detail["type"] == "missing" and path in intended
            if detail["type"] != "extra_forbidden" and not is_misspelt:  # `unknown_keys` reported both
                faults.append((path, _describe(content, path, detail)))
        return None


def _describe(content: Map, place: KeyPath, detail: Any) -> str:
    """One of pydantic's errors as text: the field, its value, and what it should be."""
    node: Any = content
    names: list[str] = []
    for step in place:
        if has_key(node, step):
            node, names = node[step], [*names, str(step)]
        elif detail["type"] == "missing":
            names.append(str(step))
    if names[:1] == ["arms"] and len(names) > 3 and names[2] in ("training", "budget", "network"):
        names = names[2:]  # arms inherit from the suite's block: report its faults once

    name = ".".join(names) or "the suite"
    if detail["type"] == "missing":
        return f"{name} is missing"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tag, kinds = TAGGED[names[-1]]
        value = node.get(tag) if isinstance(node, Map) else node
        return with_suggestion(f"{name}.{tag} is {value!r}", value, kinds)
    message = INTERNALS.sub("", detail["msg"].removeprefix("Value error, "))
    return f"{name}: {message}" if detail["type"] == "value_error" else f"{name} is {detail['input']!r}: {message}"
