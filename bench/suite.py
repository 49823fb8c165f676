"""Suite files: strict YAML 1.2 whose every fault is reported at once, with file:line:column."""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.built import built, described, undrawn
from bench.data import DataError, DataSpec, Facts, facts, foresee
from bench.document import Document, Fault, Map, Place, Seq, Spot, SuiteError, load, nearest, plain
from bench.expand import expand
from bench.faults import unknown_keys, validate
from bench.language import SuiteFile
from bench.scorers import ScorerError, Trained
from bench.sense import with_inherited
from bench.spec import SamplesSpec, SuiteSpec
from bench.tuning.check import check as check_tuning
from bench.tuning.spec import Tune
from bench.tuning.winners import Lock
from bench.variations import Refused
from methods import OptionError

__all__ = ["Suite", "SuiteError", "read", "with_data"]


@dataclass(frozen=True)
class Suite:
    """A suite that was checked against the registry and against its data."""

    name: str  # the file's name without its ending, and its scale
    spec: SuiteSpec
    facts: Facts  # some are open while a text is still to be fetched; no id depends on those
    base: Path  # the suite's folder, from which its data paths start
    source: str  # the text of the file, and of those that it extends
    refused: tuple[Refused, ...] = ()  # what its ablations exclude
    tune: Tune | None = None  # how its arms are tuned
    winners: Lock | None = None  # what tuning found, where it is laid on the arms: see bench.tuning.lock


def read(path: Path, scale: str | None = None) -> Suite:
    """The suite in `path`, at one of its scales, checked without fetching anything.

    Raises SuiteError with all its faults.
    """
    document = load(path)
    meant: set[Place] = set()
    told = _strange(document, meant)
    chosen = document.at(scale)
    expanded, refused, found = expand(chosen)
    told += chosen.tell(found)
    written = replace(expanded, content=_whole_arms(expanded.content))
    written.content.pop("tune", None)
    faults: list[Fault] = []
    spec = validate(SuiteSpec, written.content, (), faults, meant)
    known = _data_facts(written.content, path.parent, faults)
    vocab_size = known.vocab_size if known else 2
    _check_arms(written, vocab_size, faults)
    tune, untunable = check_tuning(expanded, vocab_size, meant)
    told += expanded.tell(untunable)
    if spec and known and not faults:
        for field in ("samples", "trajectories"):
            _check_samples(spec, field, known.vocab_size, faults)
        _check_quality(spec, known, path.parent.resolve(), faults)
    written.raise_for(told + written.tell(faults))
    assert spec is not None
    assert known is not None
    return Suite(chosen.name, spec, known, path.parent.resolve(), document.source, refused, tune)


def _strange(document: Document, meant: set[Place]) -> list[tuple[Spot, str]]:
    """Unknown keys, also those of scales that are not asked for, and scales that are no mappings."""
    scales = document.content.get("scales")
    blocks = scales if isinstance(scales, Map) else {}
    faults: list[Fault] = (
        [] if scales is None or isinstance(scales, Map) else [(("scales",), "scales: give named blocks")]
    )
    for name, block in blocks.items():
        if not isinstance(block, Map | None):
            faults.append((("scales", name), f"scales.{name}: give a mapping of what differs at this scale"))
        for key in {"extends", "scales"} & set(block if isinstance(block, Map) else ()):
            faults.append((("scales", name, key), f"{key} stands at the top of a suite, not in a scale"))
    told = document.tell([*faults, *unknown_keys(document.content, SuiteFile, (), meant)])
    for scaled in (document.at(name) for name, block in blocks.items() if isinstance(block, Map)):
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
        described(name, plain(options))
        built(name, vocab_size, plain(options))
    except OptionError as error:
        return [(("options", *error.path) if error.path else ("method",), str(error))]
    return []


def _check_samples(spec: SuiteSpec, field: str, vocab_size: int, faults: list[Fault]) -> None:
    """Ways of sampling that an arm's method cannot follow, and arms that do not exist."""
    labels, known = [arm.label for arm in spec.arms], dict[tuple[str, str], SamplesSpec]()
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
            method = built(arm.method, vocab_size, arm.options)
            reason = undrawn(method, samples.how(), min(length, spec.data.length))
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
    reasons = (quality.why_not(*shape, facts.vocab_size, facts.tokens) for shape in shapes)
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
