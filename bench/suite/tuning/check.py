"""What is wrong with the tuning that a suite asks for, all of it at once and each fault with its place."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from bench.engine.likelihood.settings import BoundSpec
from bench.engine.model.method_instances import method_instance, option_departures
from bench.suite.document import Document, Fault, Map, Place, Seq, has, nearest, plain
from bench.suite.equivalence import OVERRIDES, with_inherited
from bench.suite.tuning.apply import put as laid
from bench.suite.tuning.settings import Range, Tune
from bench.suite.tuning.space import checked, spelt
from bench.suite.validation import unknown_keys, validate
from bench.suite.variations import why_not as why_not_varied
from methods import METHODS, OptionError, parameters


def check(document: Document, vocab_size: int, meant: set[Place]) -> tuple[Tune | None, list[Fault]]:
    """The tuning of a suite whose arms are written out, None where there is none or where it is broken."""
    content, faults = document.content, list[Fault]()
    if content.get("tune") is None:
        return None, []
    faults += list(_strange(content["tune"], meant))
    tune = validate(Tune, content, ("tune",), faults, meant)
    if tune is None or faults:
        return None, faults
    arms = content.get("arms")
    listed = [(index, arm) for index, arm in enumerate(arms if isinstance(arms, Seq) else []) if isinstance(arm, Map)]
    faults += [*_of_science(tune, content), *_of_labels(tune, [arm for _, arm in listed]), *_of_lists(tune, content)]
    for index, arm in listed:
        faults += list(Checked(tune, content, ("arms", index), arm, vocab_size).faults())
    return tune, list(dict.fromkeys(faults))


def _strange(block: Any, meant: set[Place]) -> Iterator[Fault]:
    """Unknown keys of ranges; those of the block itself are told by the look at all keys of the file."""
    for place, space in _spaces(block):
        yield from unknown_keys(space, Range, ("tune", *place), meant)


def _spaces(block: Any) -> Iterator[tuple[Place, Any]]:
    """What is searched, as it is written, with its place in the block."""
    if not isinstance(block, Map):
        return
    groups: list[tuple[Place, Any]] = [(("search",), block.get("search"))]
    arms = block.get("arms")
    groups += [(("arms", label), search) for label, search in arms.items()] if isinstance(arms, Map) else []
    for place, search in groups:
        for key, space in search.items() if isinstance(search, Map) else ():
            yield (*place, key), space


def _of_science(tune: Tune, content: Map) -> Iterator[Fault]:
    """Seeds and a split that are reported too."""
    seeds = content.get("seeds")
    shared = (
        sorted(set(tune.seeds) & {seed for seed in seeds if isinstance(seed, int)}) if isinstance(seeds, Seq) else []
    )
    if shared:
        why = f"tuning seed {', '.join(map(str, shared))} is one of the suite's, whose numbers are reported"
        yield ("tune", "seeds"), f"{why}; give it seeds of its own"
    bound: Any = content
    for step in ("evaluation", "bound"):
        bound = bound[step] if has(bound, step) else None
    blocks = bound if isinstance(bound, Seq) else [bound]
    if tune.split in [block["split"] if has(block, "split") else BoundSpec().split for block in blocks]:
        why = f"tuning on {tune.split}, the split that is reported, would choose what is reported"
        yield ("tune", "split"), f"{why}; give tune.split or evaluation.bound.split another one"


def _of_labels(tune: Tune, arms: list[Map]) -> Iterator[Fault]:
    """Searches of arms that do not exist, or that are not tuned."""
    labels = [str(arm.get("label")) for arm in arms]
    if arms and all(arm.get("untuned") is not None for arm in arms):
        yield ("tune",), "every arm is untuned, so that nothing is tuned; take tune out, or untuned out of an arm"
    for label in tune.arms:
        if label not in labels:
            yield ("tune", "arms", label), nearest(f'there is no arm "{label}"', label, labels)
    for label in (str(arm.get("label")) for arm in arms if arm.get("untuned") is not None):
        if label in tune.arms:
            yield ("tune", "arms", label), f'arm "{label}" is untuned and has a search; take one of them out'


def _of_lists(tune: Tune, content: Map) -> Iterator[Fault]:
    """Values that stand twice, and trials of unequal budgets."""
    budget = tune.budget.model_dump() if tune.budget else content.get("budget")
    in_steps = isinstance(budget, dict) and budget.get("steps") is not None
    for place, space in _spaces(content["tune"]):
        key, words = place[-1], spelt(plain(space)) if isinstance(space, Seq) else []
        if twice := sorted({word for word in words if words.count(word) > 1}):
            yield ("tune", *place), f"{key}: {', '.join(twice)} stands twice"
        if key == "training.batch_size" and in_steps:
            why = "trials of equal steps and other batches have other tokens"
            yield ("tune", *place), f"{key}: {why}; give tune.budget in tokens"


class Checked:
    """One arm with what is searched for it."""

    def __init__(self, tune: Tune, suite: Map, place: Place, arm: Map, vocab_size: int):
        self.tune, self.suite, self.place, self.arm, self.vocab_size = tune, suite, place, arm, vocab_size
        self.label, self.search = str(arm.get("label")), tune.of(str(arm.get("label")))

    def faults(self) -> Iterator[Fault]:
        """What cannot be searched for it, or that nothing is."""
        if self.arm.get("untuned") is not None:
            return
        if not self.search:
            way = "give tune.search or tune.arms something for it, or say on the arm why not: `untuned: REASON`"
            yield self.place, f'arm "{self.label}" is not tuned and stands beside arms that are; {way}'
        for key in self.search:
            told = self._why_not(key) or next(self._refused(key), None)
            if told is not None:
                yield self._where(key), told
            elif self._says(key):
                way = "take it out of the arm, or out of the search"
                yield (*self.place, *key.split(".")), f'arm "{self.label}" says {key}, which is searched; {way}'

    def _where(self, key: str) -> Place:
        own = key in self.tune.arms.get(self.label, {})
        return ("tune", "arms", self.label, key) if own else ("tune", "search", key)

    def _why_not(self, key: str) -> str | None:
        """Why something is not searched for this arm, whatever the values."""
        first, *rest = key.split(".")
        if key == "method" or first == "budget":
            return f"{key} is not searched: every trial is one of the arm's method, under the same budget"
        told = why_not_varied(key, self.arm)
        method = self.arm.get("method")
        if told is None and first == "options" and isinstance(method, str) and method in METHODS:
            known = parameters(METHODS[method])
            if rest[0] not in known:
                strange = nearest(f'unknown option "{rest[0]}" for method "{method}"', rest[0], known)
                told = f"{strange}; what is searched for single arms stands in tune.arms"
        whole = next((other for other in self.search if key.startswith(f"{other}.")), None)
        return told if told or whole is None else f"{key} is a part of {whole}, which is searched as well"

    def _says(self, key: str) -> bool:
        """Whether the arm itself gives a value to what is searched, or to a part of it."""
        node: Any = self.arm
        for step in key.split("."):
            if not has(node, step):
                return False
            node = node[step]
        return True

    def _refused(self, key: str) -> Iterator[str]:
        """What the method or a block says of values, with everything else as it is."""
        block, path = key.split(".")[0], key.split(".")
        inherited = with_inherited(self.arm, self.suite).get(block) or self.suite.get(block)
        for value in checked(self.search[key]):
            content = laid({block: plain(inherited) or {}}, path, value)[block]
            told = self._told_by_method(content) if block == "options" else self._told_by_block(content, path)
            if told is not None:
                yield f"{key} {value!r}: {told}"

    def _told_by_method(self, options: Any) -> str | None:
        name = self.arm.get("method")
        if not isinstance(name, str) or name not in METHODS:
            return None  # told when the arms are checked
        try:
            option_departures(name, options)
            method_instance(name, self.vocab_size, options)
        except OptionError as error:
            return str(error)
        return None

    def _told_by_block(self, content: Any, path: list[str]) -> str | None:
        try:
            OVERRIDES[path[0]].model_validate(content)
        except ValidationError as error:
            mine = [each for each in error.errors() if not each["loc"] or each["loc"][0] == path[1]]
            return mine[0]["msg"].removeprefix("Value error, ") if mine else None  # others are told with the block
        return None
