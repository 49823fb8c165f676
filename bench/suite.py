"""Suite files: strict YAML 1.2 whose every fault is reported at once, with file:line:column."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from bench.data import SOURCES, DataError, DataSpec, Facts, facts, foresee
from bench.policies import POLICIES
from bench.sample import why_not
from bench.scorers import SCORERS, ScorerError, Trained
from bench.spec import SuiteSpec
from methods import OptionError, build, check

TAGGED: dict[str, tuple[str, Mapping[str, type[BaseModel]]]] = {  # blocks of several kinds, and what tells them apart
    "data": ("source", SOURCES),
    "policy": ("name", POLICIES),
    "scorer": ("kind", SCORERS),
}

Place = tuple[str | int, ...]  # keys and indices that lead to a node of the file


class SuiteError(ValueError):
    """A suite that cannot be run; the message has one line for each fault."""


@dataclass(frozen=True)
class Suite:
    """A suite that was checked against the registry and against its data."""

    name: str  # the file's name without its ending
    spec: SuiteSpec
    facts: Facts  # some are open while a text is still to be fetched; no id depends on those
    base: Path  # the suite's folder, from which its data paths start
    source: str  # the text of the file


def read(path: Path) -> Suite:
    """The suite in `path`, checked without fetching anything; raises SuiteError with all its faults."""
    text = _text(path)
    document = _parse(path, text)
    meant: set[Place] = set()
    faults = _unknown_keys(document, SuiteSpec, (), meant)
    spec = _validate(document, faults, meant)
    described = _data_facts(document, path.parent, faults)
    _check_arms(document, described.vocab_size if described else 2, faults)
    if spec and described and not faults:
        for field in ("samples", "trajectories"):
            _check_samples(spec, field, described.vocab_size, faults)
        _check_quality(spec, path.parent.resolve(), faults)
    if faults or spec is None or described is None:
        lines = sorted({(*_position(document, place), message) for place, message in faults})
        raise SuiteError("\n".join(f"{path}:{line}:{column}: {message}" for line, column, message in lines))
    return Suite(path.stem, spec, described, path.parent.resolve(), text)


def with_data(suite: Suite) -> Suite:
    """The suite with its data read, fetched where they are not here yet; raises DataError."""
    return suite if suite.facts.are_read else replace(suite, facts=facts(suite.spec.data, suite.base))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SuiteError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SuiteError(f"{path}: not a text file (byte {error.start} is not UTF-8)") from None


def _parse(path: Path, text: str) -> CommentedMap:
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context or error).split())
        raise SuiteError(f"{path}{where}: not valid YAML: {problem}") from None
    except YAMLError as error:
        raise SuiteError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, CommentedMap):
        raise SuiteError(f"{path}:1:1: a suite is a mapping with the keys {', '.join(SuiteSpec.model_fields)}")
    return document


def _position(node: Any, place: Place) -> tuple[int, int]:
    """Line and column, from 1, of the deepest node on the way to `place`: of the key where it is one of a mapping."""
    line, column = 0, 0
    for step in place:
        if not _has(node, step):
            continue  # a step that only the validator knows, such as the tag of a union
        with suppress(KeyError):  # a key that came by a merge (<<) has no place of its own: that of its mapping stands
            line, column = node.lc.key(step) if isinstance(node, CommentedMap) else node.lc.item(step)
        node = node[step]
    return line + 1, column + 1


def _has(node: Any, step: str | int) -> bool:
    if isinstance(node, CommentedSeq):
        return isinstance(step, int) and step < len(node)
    return isinstance(node, CommentedMap) and step in node


def _unknown_keys(node: Any, model: type[BaseModel], place: Place, meant: set[Place]) -> list[tuple[Place, str]]:
    """A fault for each key that `model` does not know; `meant` collects the keys that they probably stand for."""
    if not isinstance(node, CommentedMap):
        return []
    faults: list[tuple[Place, str]] = []
    fields = model.model_fields
    for key, value in node.items():
        if key not in fields:
            near = get_close_matches(str(key), fields, n=1)
            meant.update((*place, name) for name in near)
            hint = f'; did you mean "{near[0]}"?' if near else ";"
            faults.append(((*place, key), f'unknown key "{key}"{hint} known: {", ".join(fields)}'))
            continue
        for where, part, inner in _inner_blocks(key, value, fields[key].annotation):
            faults += _unknown_keys(part, inner, (*place, *where), meant)
    return faults


def _inner_blocks(key: str, value: Any, annotation: Any) -> list[tuple[Place, Any, type[BaseModel]]]:
    """The blocks inside a field: itself, the items of a list, or the source that a data block names."""
    if key in TAGGED:
        tag, known = TAGGED[key]
        kind = known.get(value.get(tag)) if isinstance(value, CommentedMap) else None
        return [((key,), value, kind)] if kind else []
    kinds = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
    blocks = [kind for kind in kinds if issubclass(kind, BaseModel)]
    if not blocks:
        return []
    if isinstance(value, CommentedSeq):
        return [((key, index), item, blocks[0]) for index, item in enumerate(value)]
    return [((key,), value, blocks[0])]


def _validate(document: CommentedMap, faults: list[tuple[Place, str]], meant: set[Place]) -> SuiteSpec | None:
    try:
        return SuiteSpec.model_validate(_plain(document))
    except ValidationError as error:
        for detail in error.errors():
            misspelt = detail["type"] == "missing" and detail["loc"] in meant
            if detail["type"] != "extra_forbidden" and not misspelt:  # both were told with the nearest key
                faults.append((detail["loc"], _told(document, detail)))
        return None


def _told(document: CommentedMap, detail: Any) -> str:
    """One fault in words: the field, its value, and what it should be."""
    node: Any = document
    names: list[str] = []
    for step in detail["loc"]:
        if _has(node, step):
            node, names = node[step], [*names, str(step)]
        elif detail["type"] == "missing":
            names.append(str(step))
    name = ".".join(names) or "the suite"
    if detail["type"] == "missing":
        return f"{name} is missing"
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tag, known = TAGGED[names[-1]]
        said = node.get(tag) if isinstance(node, CommentedMap) else node
        near = get_close_matches(str(said), known, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ";"
        return f"{name}.{tag} is {said!r}{hint} known: {', '.join(known)}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if detail["type"] == "value_error" else f"{name} is {detail['input']!r}: {message}"


def _data_facts(document: CommentedMap, base: Path, faults: list[tuple[Place, str]]) -> Facts | None:
    try:
        return foresee(TypeAdapter(DataSpec).validate_python(_plain(document.get("data"))), base)
    except ValidationError:
        return None  # told by the validation of the whole
    except DataError as error:
        faults.append((("data", error.field), str(error)))
        return None


def _check_arms(document: CommentedMap, vocab_size: int, faults: list[tuple[Place, str]]) -> None:
    """Unknown methods and options, and labels that stand twice."""
    arms = document.get("arms")
    first: dict[Any, int] = {}
    for index, arm in enumerate(arms if isinstance(arms, CommentedSeq) else []):
        if not isinstance(arm, CommentedMap):
            continue
        label = arm.get("label")
        if isinstance(label, str) and first.setdefault(label, index) != index:
            line = _position(document, ("arms", first[label], "label"))[0]
            faults.append((("arms", index, "label"), f'label "{label}" stands twice; the first is in line {line}'))
        faults += [(("arms", index, *place), message) for place, message in _arm_faults(arm, vocab_size)]


def _arm_faults(arm: CommentedMap, vocab_size: int) -> list[tuple[Place, str]]:
    name, options = arm.get("method"), arm.get("options", {})
    if not isinstance(name, str) or not isinstance(options, CommentedMap | dict):
        return []  # told by the validation of the whole
    try:
        build(name, vocab_size, **check(name, _plain(options)))
    except OptionError as error:
        return [(("options", *error.path) if error.path else ("method",), str(error))]
    return []


def _check_samples(spec: SuiteSpec, field: str, vocab_size: int, faults: list[tuple[Place, str]]) -> None:
    """Ways of sampling that an arm's method cannot follow, and arms that do not exist."""
    labels = [arm.label for arm in spec.arms]
    for number, samples in enumerate(getattr(spec.evaluation, field)):
        here: Place = ("evaluation", field, number)
        for label in set(samples.arms or ()) - set(labels):
            near = get_close_matches(label, labels, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ";"
            faults.append(((*here, "arms"), f'there is no arm "{label}"{hint} the arms are {", ".join(labels)}'))
        length = samples.length or spec.data.length
        why = f"texts of {length} tokens, of which training has {spec.data.length}"
        if samples.stride and (length <= spec.data.length or samples.stride >= spec.data.length):
            faults.append(((*here, "stride"), f"stride {samples.stride} does not fit {why}; it is for longer texts"))
        if field == "trajectories" and length > spec.data.length:
            faults.append(((*here, "length"), f"{why}, cannot be kept call by call: they are drawn window by window"))
        for arm in [arm for arm in spec.arms if samples.is_for(arm.label)]:
            method = build(arm.method, vocab_size, **arm.options)
            reason = why_not(method, samples.how(), min(length, spec.data.length))
            if reason is not None:
                told = f'{samples.label()}: method "{arm.method}" {reason}; `arms: [...]` names those that it is for'
                faults.append(((*here, "policy"), f"arm {arm.label}: {told}"))


def _check_quality(spec: SuiteSpec, base: Path, faults: list[tuple[Place, str]]) -> None:
    """Texts that are too short to be measured so, and a scorer that cannot be had or would be an arm."""
    quality = spec.evaluation.quality
    if quality is None:
        return
    here: Place = ("evaluation", "quality")
    lengths = {samples.length or spec.data.length for samples in spec.evaluation.samples} | {spec.data.length}
    reason = quality.why_not(min(lengths))
    if reason is not None:
        faults.append((here, reason))
    scorer = quality.scorer
    if isinstance(scorer, Trained) and not spec.data.reserve:
        why = "a scorer that the suite trains needs data that no arm sees"
        faults.append(((*here, "scorer", "kind"), f"{why}; give data.reserve, such as 0.2"))
    if isinstance(scorer, Trained) and scorer.seed in spec.seeds:
        why = f"the scorer's seed {scorer.seed} is one of the arms', which it has to differ from"
        faults.append(((*here, "scorer", "seed"), f"{why}; give it another one"))
    try:
        if scorer is not None:
            scorer.identity(base)
    except ScorerError as error:
        faults.append(((*here, "scorer", error.field), str(error)))


def _plain(node: Any) -> Any:
    """Python's own lists and mappings instead of those that remember their lines."""
    if isinstance(node, CommentedMap | dict):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq | list):
        return [_plain(value) for value in node]
    for kind in (bool, int, float, str):  # scalars of the round-trip loader are subclasses
        if isinstance(node, kind):
            return kind(node)
    return node
