"""Check the tuning of a suite: all faults at once, each with its place."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from bench.engine.likelihood.settings import BoundSpec
from bench.engine.model.method_instances import method_instance, option_departures
from bench.suite.ablation_block import refusal as variation_refusal
from bench.suite.arm_equivalence import OVERRIDES, with_inherited
from bench.suite.tuning.apply_values import with_value
from bench.suite.tuning.search_space import encode_values, probe_values
from bench.suite.tuning.settings import Range, Tune
from bench.suite.unknown_keys_and_types import unknown_keys
from bench.suite.validation import validate
from bench.suite.yaml_document import Document, Fault, KeyPath, Map, Seq, has_key, plain, with_suggestion
from methods import METHODS, OptionError, parameters

PLACEHOLDERS = {"trials": 1, "seeds": [2**62]}  # of what is missing, so that the rest can be checked


def check(
    document: Document, vocab_size: int, intended: set[KeyPath], has_all_arms: bool = True
) -> tuple[Tune | None, list[Fault]]:
    """The tuning of a suite whose arms are written out, or None if there is none or it is invalid, and its faults.

    `has_all_arms` is False if ablations with faults have not added theirs.
    """
    content, faults = document.content, list[Fault]()
    if content.get("tune") is None:
        return None, []
    faults += list(_unknown_keys(content["tune"], intended))
    validation = validate(Tune, content, ("tune",), faults, intended, PLACEHOLDERS)
    tune = validation.valid_part
    if tune is None:
        return None, faults
    has_all_searches = not (validation.removed_in(("search",)) or validation.removed_in(("arms",)))

    blocks = content.get("arms")
    items = enumerate(blocks if isinstance(blocks, Seq) else [])
    arms = [(index, arm) for index, arm in items if isinstance(arm, Map)]
    faults += _leaks(tune, content)
    if has_all_arms:
        faults += _label_faults(tune, [arm for _, arm in arms])
    faults += _space_faults(tune, content)
    for index, arm in arms:
        if tune.of(str(arm.get("label"))) or has_all_searches:
            faults += ArmCheck(tune, content, ("arms", index), arm, vocab_size).faults()
    return validation.value, list(dict.fromkeys(faults))


def _unknown_keys(block: Any, intended: set[KeyPath]) -> Iterator[Fault]:
    """Unknown keys of ranges; those of the block itself are reported with all keys of the file."""
    for place, space in _spaces(block):
        yield from unknown_keys(space, Range, ("tune", *place), intended)


def _spaces(block: Any) -> Iterator[tuple[KeyPath, Any]]:
    """The spaces of a block as written, with their places in it."""
    if not isinstance(block, Map):
        return
    arms = block.get("arms")
    searches: list[tuple[KeyPath, Any]] = [(("search",), block.get("search"))]
    if isinstance(arms, Map):
        searches += [(("arms", label), search) for label, search in arms.items()]
    for place, search in searches:
        for key, space in search.items() if isinstance(search, Map) else ():
            yield (*place, key), space


def _leaks(tune: Tune, content: Map) -> Iterator[Fault]:
    """Seeds and a split that tuning shares with the reported results."""
    seeds = content.get("seeds")
    reported = {seed for seed in seeds if isinstance(seed, int)} if isinstance(seeds, Seq) else set()
    shared = sorted(set(tune.seeds) & reported)
    if shared:
        message = f"tuning seed {', '.join(map(str, shared))} is one of the suite's, whose numbers are reported"
        yield ("tune", "seeds"), f"{message}; give tuning its own seeds"

    bound: Any = content
    for step in ("evaluation", "bound"):
        bound = bound[step] if has_key(bound, step) else None
    blocks = bound if isinstance(bound, Seq) else [bound]
    splits = [block["split"] if has_key(block, "split") else BoundSpec().split for block in blocks]
    if tune.split in splits:
        message = f"tuning on {tune.split}, the reported split, would select what is reported"
        yield ("tune", "split"), f"{message}; give tune.split or evaluation.bound.split another one"


def _label_faults(tune: Tune, arms: list[Map]) -> Iterator[Fault]:
    """Searches of arms that do not exist or are not tuned."""
    labels = [str(arm.get("label")) for arm in arms]
    untuned = [str(arm.get("label")) for arm in arms if arm.get("untuned") is not None]
    if arms and len(untuned) == len(arms):
        yield ("tune",), "every arm is untuned, so nothing is tuned; remove tune, or remove untuned from an arm"
    for label in tune.arms:
        if label not in labels:
            yield ("tune", "arms", label), with_suggestion(f'there is no arm "{label}"', label, labels)
    for label in untuned:
        if label in tune.arms:
            yield ("tune", "arms", label), f'arm "{label}" is untuned but has a search; remove one of them'


def _space_faults(tune: Tune, content: Map) -> Iterator[Fault]:
    """Duplicate values, and batch sizes that give trials of equal steps unequal tokens."""
    budget = tune.budget.model_dump() if tune.budget else content.get("budget")
    is_in_steps = isinstance(budget, dict) and budget.get("steps") is not None
    for place, space in _spaces(content["tune"]):
        key, values = place[-1], encode_values(plain(space)) if isinstance(space, Seq) else []
        if duplicates := sorted({value for value in values if values.count(value) > 1}):
            yield ("tune", *place), f"{key}: {', '.join(duplicates)} occurs twice"
        if key == "training.batch_size" and is_in_steps:
            message = "trials of equal steps and different batches see different numbers of tokens"
            yield ("tune", *place), f"{key}: {message}; give tune.budget in tokens"


class ArmCheck:
    """Checks one arm against its search."""

    def __init__(self, tune: Tune, suite: Map, place: KeyPath, arm: Map, vocab_size: int):
        self.tune, self.suite, self.place, self.arm, self.vocab_size = tune, suite, place, arm, vocab_size
        self.label = str(arm.get("label"))
        self.search = tune.of(self.label)

    def faults(self) -> Iterator[Fault]:
        """Settings that cannot be searched or that the arm fixes, and an arm without a search."""
        if self.arm.get("untuned") is not None:
            return
        if not self.search:
            advice = "give it a search in tune.search or tune.arms, or give the arm a reason: `untuned: REASON`"
            yield self.place, f'arm "{self.label}" is not tuned but stands beside arms that are; {advice}'
        for key in self.search:
            reason = self._refusal(key) or next(self._value_refusals(key), None)
            if reason is not None:
                yield self._place(key), reason
            elif self._fixes(key):
                advice = "remove it from the arm, or from the search"
                yield (*self.place, *key.split(".")), f'arm "{self.label}" gives {key}, which is searched; {advice}'

    def _place(self, key: str) -> KeyPath:
        """The place of a searched setting: under the arm, or in the search of all arms."""
        is_of_arm = key in self.tune.arms.get(self.label, {})
        return ("tune", "arms", self.label, key) if is_of_arm else ("tune", "search", key)

    def _refusal(self, key: str) -> str | None:
        """The reason why a setting cannot be searched for this arm at any value, or None."""
        first, *rest = key.split(".")
        if key in ("method", "precision") or first == "budget":
            return f"{key} cannot be searched: all trials have the arm's method and precision, and the same budget"
        if reason := variation_refusal(key, self.arm):
            return reason

        method = self.arm.get("method")
        if first == "options" and isinstance(method, str) and method in METHODS:
            options = parameters(METHODS[method])
            if rest[0] not in options:
                message = with_suggestion(f'unknown option "{rest[0]}" for method "{method}"', rest[0], options)
                return f"{message}; put what is searched for single arms under tune.arms"
        outer = next((setting for setting in self.search if key.startswith(f"{setting}.")), None)
        return None if outer is None else f"{key} is part of {outer}, which is searched as well"

    def _fixes(self, key: str) -> bool:
        """Whether the arm itself gives a value to a searched setting or to part of it."""
        node: Any = self.arm
        for step in key.split("."):
            if not has_key(node, step):
                return False
            node = node[step]
        return True

    def _value_refusals(self, key: str) -> Iterator[str]:
        """Values that the method or a block refuses, with all else as in the arm."""
        path = key.split(".")
        block = path[0]
        inherited = with_inherited(self.arm, self.suite).get(block) or self.suite.get(block)
        if not isinstance(inherited, Map | None):
            return  # reported by the validation of the suite
        for value in probe_values(self.search[key]):
            content = with_value({block: plain(inherited) or {}}, path, value)[block]
            reason = self._method_refusal(content) if block == "options" else self._block_refusal(content, path)
            if reason is not None:
                yield f"{key} {value!r}: {reason}"

    def _method_refusal(self, options: Any) -> str | None:
        name = self.arm.get("method")
        if not isinstance(name, str) or name not in METHODS:
            return None  # reported when the arms are checked
        try:
            option_departures(name, options)
            method_instance(name, self.vocab_size, options)
        except OptionError as error:
            return str(error)
        return None

    def _block_refusal(self, content: Any, path: list[str]) -> str | None:
        try:
            OVERRIDES[path[0]].model_validate(content)
        except ValidationError as error:
            errors = [detail for detail in error.errors() if not detail["loc"] or detail["loc"][0] == path[1]]
            return errors[0]["msg"].removeprefix("Value error, ") if errors else None  # others: with the block
        return None
