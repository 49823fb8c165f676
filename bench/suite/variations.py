"""One block of an ablation: what is varied, the combinations that it makes, and what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from bench.suite.document import Document, Fault, Map, Place, Spot, nearest, plain
from bench.suite.equivalence import OVERRIDES, sense
from bench.suite.labels import Choice, fields, filled, label, named
from bench.suite.suite_file import Ablation, Exclusion
from methods import METHODS, parameters

Combination = tuple[Choice, ...]


@dataclass(frozen=True)
class Refused:
    """A combination that the suite excludes."""

    label: str
    base: str
    method: str
    reason: str


class Variations:
    """What an ablation makes of its base; `suite` holds the blocks on which those of its arms are laid."""

    def __init__(self, spec: Ablation, document: Document, place: Place, base: Map, suite: Map):
        self.spec, self.document, self.place, self.base, self.suite = spec, document, place, base, suite
        block: Any = document.content
        for step in (*place, spec.form):
            block = block[step]
        self.choices = {str(key): self._choices(key, values) for key, values in block.items()}

    def _choices(self, key: str, values: list[Any]) -> list[Choice]:
        choices = []
        for index, value in enumerate(values):
            place = (*self.place, self.spec.form, key, index)
            worded = isinstance(value, Map) and "value" in value and set(value) <= {"value", "label"}
            said = value.get("label") if worded else None
            kept = value["value"] if worded else value
            choices.append(Choice(key, kept, None if said is None else str(said), place, self.document.spot(place)))
        return choices

    @cached_property
    def combinations(self) -> list[Combination]:
        """All of them, the excluded ones as well."""
        if self.spec.form == "grid":
            return list(product(*self.choices.values()))
        if self.spec.form == "zip":
            return list(zip(*self.choices.values(), strict=True))
        return [(choice,) for choices in self.choices.values() for choice in choices]

    @cached_property
    def labels(self) -> list[str]:
        """Of all combinations."""
        base, told = self.spec.base, self.spec.labels
        if told is None:
            return [label(base, each) for each in self.combinations]
        templates = told if isinstance(told, list) else [told] * len(self.combinations)
        return [filled(template, base, each) for template, each in zip(templates, self.combinations, strict=True)]

    def arms(self) -> Iterator[tuple[Map, Choice]]:
        """The arms that are made, each with its last choice; not what is excluded, and not the base itself."""
        same = sense(self.base, self.suite)
        for combination, name in zip(self.combinations, self.labels, strict=True):
            arm = self._arm(combination)
            if self._exclusion(combination) is None and sense(arm, self.suite) != same:
                arm.put("label", name, combination[-1].spot)
                arm.put("base", self.spec.base, combination[-1].spot)
                yield arm, combination[-1]

    def excluded(self) -> list[Refused]:
        """What the suite excludes."""
        pairs = [(self._exclusion(each), each, name) for each, name in zip(self.combinations, self.labels, strict=True)]
        return [Refused(name, self.spec.base, str(self._method(each)), why.reason) for why, each, name in pairs if why]

    def faults(self) -> list[Fault]:
        """What is wrong: what cannot be varied, what varies nothing, what excludes nothing, ill labels."""
        found = [fault for key in self.choices for fault in self._of_key(key)] + self._of_lengths()
        return found or [*self._of_options(), *self._of_exclusions(), *self._of_labels()]

    def _of_key(self, key: str) -> list[Fault]:
        here: Place = (*self.place, self.spec.form, key)
        told = why_not(key, self.base)
        if told is not None:
            return [(here, told)]
        same = sense(self.base, self.suite)
        if any(sense(self._arm((choice,)), self.suite) != same for choice in self.choices[key]):
            return []
        told = f'{key} varies nothing: the base "{self.spec.base}" is so already; give it other values or take it out'
        return [(here, told)]

    def _of_lengths(self) -> list[Fault]:
        """The lists of a zip, and its labels, are of one length."""
        if self.spec.form != "zip":
            return []
        first = next(iter(self.choices))
        length, here = len(self.choices[first]), (*self.place, "zip")
        uneven = {key: len(values) for key, values in self.choices.items() if len(values) != length}
        found: list[Fault] = [
            ((*here, key), f"{key} lists {count} values and {first} {length}; a zip takes as many of each")
            for key, count in uneven.items()
        ]
        labels = self.spec.labels
        if isinstance(labels, list) and len(labels) != length:
            found.append(((*self.place, "labels"), f"{len(labels)} labels are given for {length} arms"))
        return found

    def _of_options(self) -> list[Fault]:
        """Options that the method of a combination lacks."""
        wanted = {
            (choice.key, method): choice
            for each in self.combinations
            for choice in each
            if choice.path[0] == "options" and isinstance(method := self._method(each), str) and method in METHODS
        }
        found: list[Fault] = []
        for (key, method), choice in wanted.items():
            known = parameters(METHODS[method])
            if choice.path[1] not in known:
                told = nearest(f'unknown option "{choice.path[1]}" for method "{method}"', choice.path[1], known)
                found.append(((*self.place, self.spec.form, key), told))
        return found

    def _of_exclusions(self) -> list[Fault]:
        found: list[Fault] = []
        for index, each in enumerate(self.spec.exclude):
            here: Place = (*self.place, "exclude", index)
            strange = [key for key in each.where if key not in self.choices]
            for key in strange:
                found.append(((*here, "where", key), nearest(f"{key} is not varied here", key, self.choices)))
            if not strange and not any(matches(each.where, combination) for combination in self.combinations):
                found.append((here, "this excludes nothing: no combination has these values"))
        return found

    def _of_labels(self) -> list[Fault]:
        """Fields of a template that are not varied; every combination varies the same, but for one at a time."""
        templates = self.spec.labels if isinstance(self.spec.labels, list) else [self.spec.labels or ""]
        known = {field for each in self.combinations[:1] for field in fields(self.spec.base, each)}
        for each in self.combinations[1:]:
            known &= set(fields(self.spec.base, each))
        strange = [name for template in templates for name in named(template) if name not in known]
        return [((*self.place, "labels"), nearest(f'"{{{name}}}" tells nothing', name, known)) for name in strange]

    def _exclusion(self, combination: Combination) -> Exclusion | None:
        return next((each for each in self.spec.exclude if matches(each.where, combination)), None)

    def _method(self, combination: Combination) -> Any:
        return next((choice.value for choice in combination if choice.key == "method"), self.base.get("method"))

    def _arm(self, combination: Combination) -> Map:
        """The base with the choices in the place of what it says."""
        arm = self.base.copy()
        for choice in combination:
            arm = put(arm, choice.path, choice.value, choice.spot)
        return arm


def why_not(key: str, base: Map) -> str | None:
    """Why something cannot be varied of a base, in words; None where it can."""
    first, *rest = key.split(".")
    if key != "method" and (key not in _variable(base) and (first != "options" or not rest or not all(rest))):
        return nearest(f'"{key}" is nothing of an arm', key, _variable(base))
    node: Any = base
    for depth, step in enumerate((first, *rest)[:-1]):
        node = node.get(step, Map())
        if not isinstance(node, Map):
            said = ".".join((first, *rest)[: depth + 1])
            return f"{said} of the base is {plain(node)!r}, which has no parts; write it as a mapping to vary {key}"
    return None


def _variable(base: Map) -> list[str]:
    """What may be varied of an arm."""
    method = base.get("method")
    options = parameters(METHODS[method]) if isinstance(method, str) and method in METHODS else ()
    blocks = [f"{block}.{name}" for block, kind in OVERRIDES.items() for name in kind.model_fields]
    return ["method", *(f"options.{name}" for name in options), *blocks]


def put(node: Map, path: tuple[str, ...], value: Any, spot: Spot) -> Map:
    """A copy of the mapping with a value at the end of a path; a budget is replaced whole."""
    changed = node.copy()
    if len(path) == 1:
        changed.put(path[0], value, spot)
    else:
        inner = Map() if path[0] == "budget" else node.get(path[0], Map())
        changed.put(path[0], put(inner, path[1:], value, spot), node.spots.get(path[0], spot))
    return changed


def matches(where: dict[str, Any], combination: Combination) -> bool:
    """Whether a combination has all these values; a list means any of them."""
    has = {choice.key: plain(choice.value) for choice in combination}
    return all(key in has and any(equal(has[key], one) for one in _several(value)) for key, value in where.items())


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def equal(one: Any, other: Any) -> bool:
    """Equality that tells true from 1."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
