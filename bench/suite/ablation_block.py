"""One block of an ablation: what it varies, the combinations, and their faults."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

from bench.suite.arm_equivalence import OVERRIDES, canonical_form
from bench.suite.arm_labels import Choice, arm_label, fill_template, template_fields, template_values
from bench.suite.label_rules import refusal as label_refusal
from bench.suite.suite_file import Ablation, Exclusion
from bench.suite.yaml_document import Document, Fault, KeyPath, Location, Map, plain, with_suggestion
from methods import METHODS, parameters

MAX_ARMS = 10_000  # of one block
Combination = tuple[Choice, ...]


@dataclass(frozen=True)
class RefusedArm:
    """A combination that the suite excludes."""

    label: str
    base: str
    method: str
    reason: str


class Variations:
    """The arms that an ablation derives from its base; `suite` holds the blocks that they inherit.

    If it is not whole, `spec` is the valid part of a block with faults, which adds no arm.
    """

    def __init__(
        self, spec: Ablation, document: Document, place: KeyPath, base: Map, suite: Map, is_whole: bool = True
    ):
        self.spec, self.document, self.place, self.base, self.suite = spec, document, place, base, suite
        self.is_whole = is_whole
        block: Any = document.content
        for step in (*place, spec.form):
            block = block[step]
        self.choices = {key: self._choices(key, block[key]) for key in getattr(spec, spec.form)}

    def _choices(self, key: str, values: list[Any]) -> list[Choice]:
        choices = []
        for index, value in enumerate(values):
            place = (*self.place, self.spec.form, key, index)
            label = None
            if isinstance(value, Map) and "value" in value and set(value) <= {"value", "label"}:
                label, value = value.get("label"), value["value"]
            location = self.document.location(place)
            choices.append(Choice(key, value, label, place, location))
        return choices

    @cached_property
    def combinations(self) -> list[Combination]:
        """All combinations, including the excluded ones."""
        if self.spec.form == "grid":
            return list(product(*self.choices.values()))
        if self.spec.form == "zip":
            return list(zip(*self.choices.values(), strict=False))  # unequal lengths are a fault
        return [(choice,) for choices in self.choices.values() for choice in choices]

    @cached_property
    def labels(self) -> list[str]:
        """The labels of all combinations."""
        base, labels = self.spec.base, self.spec.labels
        if labels is None:
            return [arm_label(base, combination) for combination in self.combinations]
        templates = labels if isinstance(labels, list) else [labels] * len(self.combinations)
        pairs = zip(templates, self.combinations, strict=True)
        return [fill_template(template, base, combination) for template, combination in pairs]

    def arms(self) -> Iterator[tuple[Map, Choice]]:
        """The arms, each with its last choice, without excluded combinations and those equivalent to the base."""
        base_form = canonical_form(self.base, self.suite)
        for combination, label in zip(self.combinations, self.labels, strict=True):
            arm = self._arm(combination)
            if self._exclusion(combination) is None and canonical_form(arm, self.suite) != base_form:
                arm.put("label", label, combination[-1].location)
                arm.put("base", self.spec.base, combination[-1].location)
                yield arm, combination[-1]

    def excluded(self) -> list[RefusedArm]:
        """The combinations that the suite excludes."""
        refused = []
        for combination, label in zip(self.combinations, self.labels, strict=True):
            if exclusion := self._exclusion(combination):
                method = str(self._method(combination))
                refused.append(RefusedArm(label, self.spec.base, method, exclusion.reason))
        return refused

    def faults(self) -> list[Fault]:
        """Settings that cannot vary or do not, exclusions without effect, and invalid labels."""
        if too_many := self._size_faults():
            return too_many
        by_key = {key: self._key_faults(key) for key in self.choices}
        faults = [fault for key in by_key for fault in by_key[key]] + self._length_faults()
        faults += self._choice_label_faults()
        varied = {key for key in by_key if not by_key[key]}
        if faults or not self.is_whole:
            return faults + self._option_faults(varied)
        return [*self._option_faults(varied), *self._exclusion_faults(), *self._label_faults()]

    def _size_faults(self) -> list[Fault]:
        """More combinations than a suite can have arms."""
        sizes = [len(values) for values in self.choices.values()]
        count = prod(sizes) if self.spec.form == "grid" else sum(sizes)
        if count <= MAX_ARMS:
            return []
        message = f"this {self.spec.form} makes {count:,} arms, where {MAX_ARMS:,} is the limit; list fewer values"
        return [((*self.place, self.spec.form), message)]

    def _key_faults(self, key: str) -> list[Fault]:
        place: KeyPath = (*self.place, self.spec.form, key)
        reason = refusal(key, self.base)
        if reason is not None:
            return [(place, reason)]
        base_form = canonical_form(self.base, self.suite)
        forms = (canonical_form(self._arm((choice,)), self.suite) for choice in self.choices[key])
        if any(form != base_form for form in forms):
            return []
        reason = f'{key} varies nothing: the base "{self.spec.base}" has this value; give other values, or remove it'
        return [(place, reason)]

    def _choice_label_faults(self) -> list[Fault]:
        """Labels of values that are no text, or that people cannot read."""
        faults: list[Fault] = []
        for choice in (choice for choices in self.choices.values() for choice in choices if choice.label is not None):
            reason = label_refusal(choice.label)
            if reason is not None:
                faults.append(((*choice.place, "label"), reason))
        return faults

    def _length_faults(self) -> list[Fault]:
        """Lists of a zip, and labels, of unequal lengths."""
        if self.spec.form != "zip":
            return []
        first, choices = next(iter(self.choices.items()))
        length = len(choices)
        faults: list[Fault] = []
        for key, values in self.choices.items():
            if len(values) != length:
                message = f"{key} lists {len(values)} values and {first} {length}; a zip takes as many of each"
                faults.append(((*self.place, "zip", key), message))
        labels = self.spec.labels
        if isinstance(labels, list) and len(labels) != length:
            faults.append(((*self.place, "labels"), f"{len(labels)} labels are given for {length} arms"))
        return faults

    def _option_faults(self, keys: set[str]) -> list[Fault]:
        """Options among `keys` that the method of a combination does not have."""
        options: dict[tuple[str, str], Choice] = {}
        for combination in self.combinations:
            method = self._method(combination)
            if isinstance(method, str) and method in METHODS:
                chosen = [choice for choice in combination if choice.path[0] == "options" and choice.key in keys]
                options |= {(choice.key, method): choice for choice in chosen}

        faults: list[Fault] = []
        for (key, method), choice in options.items():
            method_options, option = parameters(METHODS[method]), choice.path[1]
            if option not in method_options:
                message = with_suggestion(f'unknown option "{option}" for method "{method}"', option, method_options)
                faults.append(((*self.place, self.spec.form, key), message))
        return faults

    def _exclusion_faults(self) -> list[Fault]:
        """Exclusions of what is not varied, or that match no combination."""
        faults: list[Fault] = []
        for index, exclusion in enumerate(self.spec.exclude):
            place: KeyPath = (*self.place, "exclude", index)
            unknown = [key for key in exclusion.where if key not in self.choices]
            for key in unknown:
                message = with_suggestion(f"{key} is not varied here", key, self.choices)
                faults.append(((*place, "where", key), message))
            if not unknown and not any(matches(exclusion.where, combination) for combination in self.combinations):
                faults.append((place, "this excludes nothing: no combination has these values"))
        return faults

    def _label_faults(self) -> list[Fault]:
        """Template fields that stand for nothing; with one_at_a_time, only {base} is known in every arm."""
        labels = self.spec.labels
        templates = labels if isinstance(labels, list) else [labels or ""]
        fields = [set(template_values(self.spec.base, combination)) for combination in self.combinations]
        shared = set.intersection(*fields) if fields else set()
        unknown = [name for template in templates for name in template_fields(template) if name not in shared]
        place = (*self.place, "labels")
        if unknown:
            return [(place, with_suggestion(f'"{{{name}}}" is not a field', name, sorted(shared))) for name in unknown]
        return [] if label_refusal(self.spec.base) else self._generated_label_faults()

    def _generated_label_faults(self) -> list[Fault]:
        """Labels that people cannot read; the base's is readable."""
        faults: list[Fault] = []
        for combination, label in zip(self.combinations, self.labels, strict=True):
            reason = label_refusal(label)
            if reason is not None:
                faults.append(((*self.place, "labels") if self.spec.labels else combination[-1].place, reason))
        return faults

    def _exclusion(self, combination: Combination) -> Exclusion | None:
        return next((exclusion for exclusion in self.spec.exclude if matches(exclusion.where, combination)), None)

    def _method(self, combination: Combination) -> Any:
        return next((choice.value for choice in combination if choice.key == "method"), self.base.get("method"))

    def _arm(self, combination: Combination) -> Map:
        """The base with the chosen values."""
        arm = self.base.copy()
        for choice in combination:
            arm = with_value(arm, choice.path, choice.value, choice.location)
        return arm


def refusal(key: str, base: Map) -> str | None:
    """The reason why a setting of the base cannot vary, or None."""
    first, *rest = key.split(".")
    is_option = first == "options" and bool(rest) and all(rest)
    if not is_option and key not in _variable(base):
        return with_suggestion(f'"{key}" is not a setting of an arm', key, _variable(base))

    node: Any = base
    for depth, step in enumerate((first, *rest)[:-1]):
        node = node.get(step, Map())
        if not isinstance(node, Map):
            outer = ".".join((first, *rest)[: depth + 1])
            return f"{outer} of the base is {plain(node)!r}, which has no parts; write it as a mapping to vary {key}"
    return None


def _variable(base: Map) -> list[str]:
    """The settings of an arm that may vary."""
    method = base.get("method")
    options = parameters(METHODS[method]) if isinstance(method, str) and method in METHODS else ()
    blocks = [f"{block}.{name}" for block, kind in OVERRIDES.items() for name in kind.model_fields]
    return ["method", "precision", *(f"options.{name}" for name in options), *blocks]


def with_value(node: Map, path: tuple[str, ...], value: Any, location: Location) -> Map:
    """A copy of the mapping with the value at `path`; a budget is replaced as a whole."""
    changed = node.copy()
    if len(path) == 1:
        changed.put(path[0], value, location)
    else:
        inner = Map() if path[0] == "budget" else node.get(path[0], Map())
        changed.put(path[0], with_value(inner, path[1:], value, location), node.locations.get(path[0], location))
    return changed


def matches(where: dict[str, Any], combination: Combination) -> bool:
    """Whether a combination has all these values; a list stands for any of its items."""
    chosen = {choice.key: plain(choice.value) for choice in combination}
    for key, value in where.items():
        alternatives = value if isinstance(value, list) else [value]
        if key not in chosen or not any(equal(chosen[key], alternative) for alternative in alternatives):
            return False
    return True


def equal(left: Any, right: Any) -> bool:
    """Equality that distinguishes True from 1."""
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)
