"""Messages about single fields of a suite: unknown keys (did you mean), and ill-typed values."""

import re
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

from bench.suite.label_rules import QUOTE, describe_type, show
from bench.suite.suite_file import LISTS, TAGGED
from bench.suite.yaml_document import Fault, KeyPath, Map, Seq, has_key, with_suggestion

INTERNALS = re.compile(r" or instance of \w+| after validation, not \d+")  # names of ours and of pydantic
SHOWN = 200  # characters of a value in a message


def unknown_keys(node: Any, model: type[BaseModel], place: KeyPath, intended: set[KeyPath]) -> list[Fault]:
    """A fault for each key that `model` does not know.

    The keys that were probably meant are added to `intended`, so that validation does not report them as missing.
    """
    if not isinstance(node, Map):
        return []
    faults: list[Fault] = []
    fields = model.model_fields
    for key, value in node.items():
        if key not in fields:
            intended.update((*place, name) for name in get_close_matches(str(key), fields, n=1))
            faults.append(((*place, key), with_suggestion(f"unknown key {show(str(key))}", key, fields)))
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


def describe(content: Map, place: KeyPath, detail: Any) -> str:
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
    if detail["type"] == "string_type" and not isinstance(detail["input"], dict | list):
        message = f"{message}; YAML reads this as {describe_type(detail['input'])}: {QUOTE}"
    return f"{name}: {message}" if detail["type"] == "value_error" else f"{name} is {_show(detail['input'])}: {message}"


def _show(value: Any) -> str:
    """A value as it stands in a message, cut if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
