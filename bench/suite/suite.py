"""Suite files: strict YAML 1.2 whose every fault is reported at once, with file:line:column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.engine.data import DataError, DataSpec, Facts, facts, foresee
from bench.engine.data.settings import LABEL
from bench.engine.likelihood.estimators import refusal
from bench.engine.model.method_instances import method_instance, option_departures
from bench.engine.quality.scorers import ScorerError, Trained
from bench.engine.sample.sampler import cached_refusal
from bench.engine.sample.settings import SamplesSpec
from bench.suite.ablate import expand
from bench.suite.datasets import choose, clashes, split, tell_all
from bench.suite.document import Document, Fault, Map, Place, Seq, Spot, SuiteError, load, nearest, plain
from bench.suite.equivalence import with_inherited
from bench.suite.settings import SuiteSpec
from bench.suite.suite_file import SuiteFile
from bench.suite.tuning.check import check as check_tuning
from bench.suite.tuning.lock_file import Lock
from bench.suite.tuning.settings import Tune
from bench.suite.validation import unknown_keys, validate
from bench.suite.variations import Refused
from methods import OptionError

__all__ = ["Suite", "SuiteError", "read", "read_all", "with_all_data", "with_data"]


@dataclass(frozen=True)
class Suite:
    """A suite that was checked against the registry and against its data."""

    name: str  # the file's name without its ending, its scale, and the label of its data where there are several
    spec: SuiteSpec
    facts: Facts  # some are open while a text is still to be fetched; no id depends on those
    file: Path  # absolute; a symbolic link is not followed
    base: Path  # the suite's folder, from which its data paths start
    source: str  # the text of the file, and of those that it extends
    refused: tuple[Refused, ...] = ()  # what its ablations exclude
    label: str = ""  # of its data, where the file has several data sets; not hashed
    asked: str = ""  # the words that name it on the command line
    tune: Tune | None = None  # how its arms are tuned
    winners: Lock | None = None  # what tuning found, where it is laid on the arms: see bench.tune.tuned_suite


def read(path: Path, scale: str | None = None, data: str | None = None) -> Suite:
    """The one suite in `path`, at one of its scales, of several data sets with the one that is labelled `data`.

    Nothing is fetched. Raises SuiteError with all its faults, and where several data sets are left to choose from.
    """
    suites = read_all(path, scale, data)
    if len(suites) > 1:
        spot, labels = load(path).at(scale).spot(("data",)), ", ".join(suite.label for suite in suites)
        raise SuiteError(f"{spot}: there are {len(suites)} data sets: {labels}; one is wanted: name it with --data")
    return suites[0]


def read_all(path: Path, scale: str | None = None, data: str | None = None) -> tuple[Suite, ...]:
    """A suite for each data set in `path`, or for the one that is labelled `data`, checked without fetching anything.

    Raises SuiteError with the faults of all of them, each told once.
    """
    document = load(path)
    meant: set[Place] = set()
    told = [*_strange(document, meant), *clashes(document)]
    chosen = document.at(scale)
    expanded, refused, found = expand(chosen)
    whole = replace(expanded, content=_whole_arms(expanded.content))
    whole.content.pop("tune", None)
    parts, of_labels = split(whole)
    told += chosen.tell([*found, *of_labels])
    checked = [(part, *_check(part, meant)) for _, part in choose(chosen, parts, data)]
    told += tell_all([(part, faults) for part, _, _, faults in checked])
    tuned = [check_tuning(expanded, known.vocab_size if known else 2, meant) for _, _, known, _ in checked]
    told += dict.fromkeys(fault for _, untunable in tuned for fault in expanded.tell(untunable))
    chosen.raise_for(told)
    suites = []
    for (part, spec, known, _), (tune, _) in zip(checked, tuned, strict=True):
        assert spec is not None
        assert known is not None
        suites.append(
            Suite(
                name=part.name,
                spec=spec,
                facts=known,
                file=path.absolute(),
                base=path.parent.resolve(),
                source=document.source,
                refused=refused,
                label=part.label,
                asked=say_asked(path, scale, part.label),
                tune=tune,
            )
        )
    return tuple(suites)


def say_asked(path: Path, scale: str | None, label: str) -> str:
    """The words that name a suite on the command line, from here where its file lies below."""
    whole = path.resolve()
    file = whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else Path(path.name)
    return " ".join([str(file), *([f"--scale {scale}"] if scale else []), *([f"--data {label}"] if label else [])])


def _check(written: Document, meant: set[Place]) -> tuple[SuiteSpec | None, Facts | None, list[Fault]]:
    """What a suite with one data set says, the facts of its data, and its faults."""
    faults: list[Fault] = []
    base = written.path.parent
    spec = validate(SuiteSpec, written.content, (), faults, meant)
    known = _data_facts(written.content, base, faults)
    _check_arms(written, known.vocab_size if known else 2, faults)
    if spec and known and not faults:
        _check_bounds(spec, known.vocab_size, faults)
        for field in ("samples", "trajectories"):
            _check_samples(spec, field, known.vocab_size, faults)
        _check_quality(spec, known, base.resolve(), faults)
    return spec, known, faults


def _strange(document: Document, meant: set[Place]) -> list[tuple[Spot, str]]:
    """Unknown keys, also those of scales that are not asked for, scales that are no mappings, and their ill names."""
    scales = document.content.get("scales")
    blocks = scales if isinstance(scales, Map) else {}
    faults: list[Fault] = (
        [] if scales is None or isinstance(scales, Map) else [(("scales",), "scales: give named blocks")]
    )
    for name, block in blocks.items():
        if not (isinstance(name, str) and re.fullmatch(LABEL, name)):
            why = "records are named by it: letters and digits, and behind the first one also _ . + -"
            faults.append((("scales", name), f"scale {name!r} will not do: {why}"))
        if not isinstance(block, Map | None):
            faults.append((("scales", name), f"scales.{name}: give a mapping of what differs at this scale"))
        for key in {"extends", "scales"} & set(block if isinstance(block, Map) else ()):
            faults.append((("scales", name, key), f"{key} stands at the top of a suite, not in a scale"))
    told = document.tell([*faults, *unknown_keys(document.content, SuiteFile, (), meant)])
    for scaled in (document.at(name) for name in document.scales if isinstance(blocks[name], Map)):
        told += scaled.tell(unknown_keys(scaled.content, SuiteFile, (), meant))
    return told


def _whole_arms(content: Map) -> Map:
    """The suite with its arms' own blocks laid on those of the suite."""
    arms, whole = content.get("arms"), content.copy()
    if isinstance(arms, Seq):
        made = [with_inherited(arm, content) if isinstance(arm, Map) else arm for arm in arms]
        whole.put("arms", Seq(made, arms.spots), content.spots.get("arms"))
    return whole


def with_data(suite: Suite) -> Suite:
    """The suite with its data read, fetched where they are not here yet; raises DataError."""
    return suite if suite.facts.are_read else replace(suite, facts=facts(suite.spec.data, suite.base))


def with_all_data(suites: Sequence[Suite]) -> tuple[list[Suite], dict[str, str]]:
    """The suites with their data, and by label why that of others cannot be had; raises DataError where none can."""
    there: list[Suite] = []
    lost: dict[str, str] = {}
    for suite in suites:
        try:
            there.append(with_data(suite))
        except DataError as error:
            lost[suite.label] = f"{suite.name} is NOT run, its data cannot be had: {error}"
            if len(lost) == len(suites):
                raise
    return there, lost


def _data_facts(content: Map, base: Path, faults: list[Fault]) -> Facts | None:
    try:
        return foresee(TypeAdapter(DataSpec).validate_python(plain(content.get("data"))), base)
    except ValidationError:
        return None  # told by the validation of the whole
    except DataError as error:
        faults.append((("data", error.field), str(error)))
        return None


def _check_arms(document: Document, vocab_size: int, faults: list[Fault]) -> None:
    """Unknown methods and options, labels that stand twice, and bases that are no arms."""
    listed = document.content.get("arms")
    arms = [(("arms", index), arm) for index, arm in enumerate(listed if isinstance(listed, Seq) else [])]
    arms = [(place, arm) for place, arm in arms if isinstance(arm, Map)]
    first: dict[str, Place] = {}
    for place, arm in arms:
        label = arm.get("label")
        if isinstance(label, str) and first.setdefault(label, place) != place:
            spot = document.spot((*first[label], "label"))
            faults.append(((*place, "label"), f'label "{label}" stands twice; the first is in line {spot.line}'))
        faults += [((*place, *where), message) for where, message in _arm_faults(arm, vocab_size)]
    for place, arm in arms:
        base = arm.get("base")
        if isinstance(base, str) and first.get(base, place) == place:
            others = [label for label in first if label != arm.get("label")]
            faults.append(((*place, "base"), nearest(f'there is no other arm "{base}"', base, others)))


def _arm_faults(arm: Map, vocab_size: int) -> list[Fault]:
    name, options = arm.get("method"), arm.get("options", Map())
    if not isinstance(name, str) or not isinstance(options, Map):
        return []  # told by the validation of the whole
    try:
        option_departures(name, plain(options))
        method_instance(name, vocab_size, plain(options))
    except OptionError as error:
        return [(("options", *error.path) if error.path else ("method",), str(error))]
    return []


def _check_bounds(spec: SuiteSpec, vocab_size: int, faults: list[Fault]) -> None:
    """Estimators that an arm's method cannot follow, arms that do not exist, and arms that no block is for."""
    for number, bound in enumerate(spec.evaluation.bound):
        here: Place = ("evaluation", "bound", number)
        faults += _absent_arms(spec, bound.arms, here)
        for arm in [arm for arm in spec.arms if bound.is_for(arm.label)]:
            reason = refusal(method_instance(arm.method, vocab_size, arm.options), bound.estimator)
            if reason is not None:
                told = f'estimator "{bound.estimator}": method "{arm.method}" {reason}'
                told = f"arm {arm.label}: {told}; `arms: [...]` names those that it is for"
                faults.append(((*here, "estimator"), told))
    for arm in spec.arms:
        if not any(bound.is_for(arm.label) for bound in spec.evaluation.bound):
            why = f"arm {arm.label} is in the `arms` of no block, so that nothing is measured of it"
            faults.append((("evaluation", "bound"), f"{why}; add one, or leave `arms` out of the first"))


def _absent_arms(spec: SuiteSpec, asked: list[str] | None, here: Place) -> list[Fault]:
    """The labels that a block gives which are those of no arm."""
    labels, faults = [arm.label for arm in spec.arms], list[Fault]()
    for label in sorted(set(asked or ()) - set(labels)):
        near = get_close_matches(label, labels, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ";"
        faults.append(((*here, "arms"), f'there is no arm "{label}"{hint} the arms are {", ".join(labels)}'))
    return faults


def _check_samples(spec: SuiteSpec, field: str, vocab_size: int, faults: list[Fault]) -> None:
    """Ways of sampling that an arm's method cannot follow, and arms that do not exist."""
    known = dict[tuple[str, str], SamplesSpec]()
    for number, samples in enumerate(getattr(spec.evaluation, field)):
        here: Place = ("evaluation", field, number)
        faults += _absent_arms(spec, samples.arms, here)
        length = samples.length or spec.data.length
        why = f"texts of {length} tokens, of which training has {spec.data.length}"
        if samples.stride and (length <= spec.data.length or samples.stride >= spec.data.length):
            faults.append(((*here, "stride"), f"stride {samples.stride} does not fit {why}; it is for longer texts"))
        if field == "trajectories" and length > spec.data.length:
            faults.append(((*here, "length"), f"{why}, cannot be kept call by call: they are drawn window by window"))
        for arm in [arm for arm in spec.arms if samples.is_for(arm.label)]:
            method = method_instance(arm.method, vocab_size, arm.options)
            reason = cached_refusal(method, samples.sampler_settings(), min(length, spec.data.length))
            if reason is not None:
                told = f'{samples.label()}: method "{arm.method}" {reason}; `arms: [...]` names those that it is for'
                faults.append(((*here, "policy"), f"arm {arm.label}: {told}"))
            way = samples.for_causal() if method.needs.causal else samples
            name = way.label(method.needs.causal)
            if known.setdefault((arm.label, name), way).science() != way.science():
                why = f"arm {arm.label} is drawn twice by {name}, once {way.count} texts"
                faults.append(((*here, "count"), f"{why}; ways of an arm have to differ in more than their number"))


def _check_quality(spec: SuiteSpec, facts: Facts, base: Path, faults: list[Fault]) -> None:
    """Texts that cannot be measured so, and a scorer that cannot be had or would be an arm."""
    quality = spec.evaluation.quality
    if quality is None:
        return
    here: Place = ("evaluation", "quality")
    shapes = [(samples.count, samples.length or facts.length) for samples in spec.evaluation.samples]
    reasons = (quality.refusal(*shape, facts.vocab_size, facts.tokens) for shape in shapes)
    faults += [(here, reason) for reason in dict.fromkeys(reasons) if reason is not None]
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
