"""Checks of arms and evaluations against the registry of methods and the data."""

from pathlib import Path
from typing import Any

from bench.engine.data import DataSummary
from bench.engine.likelihood.estimators import refusal
from bench.engine.model.method_instances import method_instance, option_departures
from bench.engine.quality.scorers import ScorerError, Trained
from bench.engine.sample.sampler import cached_refusal
from bench.engine.sample.settings import SamplesSpec
from bench.suite.label_rules import find_label_faults
from bench.suite.settings import ArmSpec, SuiteSpec
from bench.suite.validation import Validation
from bench.suite.yaml_document import Document, Fault, KeyPath, Map, Seq, plain, with_suggestion
from methods import OptionError
from methods.suggestions import suggest

MAX_CALLS = 1_000_000  # network calls for a text


def check_arms(document: Document, vocab_size: int, has_all_arms: bool, faults: list[Fault]) -> None:
    """Unknown methods and options, labels that cannot be told apart, and bases that are not arms if all are known."""
    blocks = document.content.get("arms")
    items = enumerate(blocks if isinstance(blocks, Seq) else [])
    arms = [(("arms", index), arm) for index, arm in items if isinstance(arm, Map)]

    faults += find_label_faults(document)
    for place, arm in arms:
        faults += [((*place, *path), message) for path, message in _option_faults(arm, vocab_size)]

    labels = list(dict.fromkeys(arm["label"] for _, arm in arms if isinstance(arm.get("label"), str)))
    for place, arm in arms if has_all_arms else ():
        base, others = arm.get("base"), [label for label in labels if label != arm.get("label")]
        if isinstance(base, str) and base not in others:
            faults.append(((*place, "base"), with_suggestion(f'there is no other arm "{base}"', base, others)))


def _option_faults(arm: Map, vocab_size: int) -> list[Fault]:
    name, options = arm.get("method"), arm.get("options", Map())
    if not isinstance(name, str) or not isinstance(options, Map):
        return []  # reported by the validation of the suite
    error = _option_error(name, plain(options), vocab_size)
    return [] if error is None else [(("options", *error.path) if error.path else ("method",), str(error))]


def _option_error(name: str, options: dict[Any, Any], vocab_size: int) -> OptionError | None:
    """Why there is no such method with these options, or None."""
    try:
        option_departures(name, options)
        method_instance(name, vocab_size, options)
    except OptionError as error:
        return error
    return None


def check_evaluation(
    suite: Validation[SuiteSpec], facts: DataSummary | None, base: Path, has_all_arms: bool
) -> list[Fault]:
    """Check estimators, samples, trajectories and quality against the arms; `base` is the suite's folder.

    Faulty parts of a suite are left out, together with what follows from them. Without facts of the data, nothing is
    checked against lengths.
    """
    valid = suite.valid_part
    if valid is None:
        return []
    vocab_size, faults = facts.vocab_size if facts else 2, list[Fault]()
    arms = [arm for arm in valid.arms if _option_error(arm.method, arm.options, vocab_size) is None]
    spec = valid.model_copy(update={"arms": arms})
    _check_bounds(spec, vocab_size, faults)
    for field in ("samples", "trajectories"):
        _check_samples(spec, field, vocab_size, faults)
    if facts:
        _check_quality(spec, facts, base, faults)

    labels = [str(arm.get("label")) for arm in suite.block["arms"] if isinstance(arm, Map)]
    for field in ("bound", "samples", "trajectories"):
        for number, block in enumerate(getattr(valid.evaluation, field)):
            if has_all_arms:
                faults += _unknown_arms(labels, block.arms, ("evaluation", field, number))
    located = [(suite.written_place(place), message) for place, message in faults]
    return [fault for fault in located if not _follows(fault[0], suite)]


def _follows(place: KeyPath, suite: Validation[SuiteSpec]) -> bool:
    """Whether a fault of the evaluation may follow from a faulty part of the same block."""
    block = place[:2] if place[1] == "quality" else place[:3]
    independent = {"arms": ("arms",), "estimator": ("arms", "estimator")}  # faults and the keys that they depend on
    keys = independent.get(str(place[-1]))
    if keys is None:
        return suite.removed_in(block)
    return any(suite.removed_in((*block, key)) for key in keys)


def _check_bounds(spec: SuiteSpec, vocab_size: int, faults: list[Fault]) -> None:
    """Estimators that a method does not support, unknown arms, and arms without an estimator."""
    for number, bound in enumerate(spec.evaluation.bound):
        place: KeyPath = ("evaluation", "bound", number)
        for arm in [arm for arm in spec.arms if bound.is_for(arm.label)]:
            reason = refusal(method_instance(arm.method, vocab_size, arm.options), bound.estimator)
            if reason is not None:
                message = f'arm {arm.label}: estimator "{bound.estimator}": method "{arm.method}" {reason}'
                faults.append(((*place, "estimator"), f"{message}; list the arms that it suits in `arms: [...]`"))

    for arm in spec.arms:
        if not any(bound.is_for(arm.label) for bound in spec.evaluation.bound):
            message = f"no block lists arm {arm.label} in its `arms`, so nothing is measured on it"
            faults.append((("evaluation", "bound"), f"{message}; add one, or remove `arms` from the first"))


def _unknown_arms(known_labels: list[str], labels: list[str] | None, place: KeyPath) -> list[Fault]:
    """Labels in the `arms` of a block that no arm has."""
    faults: list[Fault] = []
    for label in sorted(set(labels or ()) - set(known_labels)):
        suggestion = suggest(label, known_labels)
        hint = f"{suggestion} " if suggestion else ""
        faults.append(((*place, "arms"), f'there is no arm "{label}"; {hint}the arms are {", ".join(known_labels)}'))
    return faults


def _check_samples(spec: SuiteSpec, field: str, vocab_size: int, faults: list[Fault]) -> None:
    """Sampler settings that a method does not support or an arm has twice, invalid lengths, and unknown arms."""
    settings_of_arms: dict[tuple[str, str], SamplesSpec] = {}
    for number, samples in enumerate(getattr(spec.evaluation, field)):
        place: KeyPath = ("evaluation", field, number)
        faults += _length_faults(samples, place, spec.data.length, field)
        if samples.calls > MAX_CALLS:
            faults.append(((*place, "calls"), f"{samples.calls:,} calls, where {MAX_CALLS:,} is the limit"))
            continue
        for arm in [arm for arm in spec.arms if samples.is_for(arm.label)]:
            reason = _sampler_refusal(samples, arm, vocab_size, spec.data.length)
            if reason is not None:
                advice = "list the arms that it suits in `arms: [...]`"
                faults.append(((*place, "policy"), f"arm {arm.label}: {samples.label()}: {reason}; {advice}"))

            is_causal = method_instance(arm.method, vocab_size, arm.options).needs.causal
            settings = samples.for_causal() if is_causal else samples
            name = settings.label(is_causal)
            if settings_of_arms.setdefault((arm.label, name), settings).science() != settings.science():
                message = f"arm {arm.label} is sampled twice by {name}, once for {settings.count} texts"
                faults.append(((*place, "count"), f"{message}; the settings must differ in more than the count"))


def _length_faults(samples: SamplesSpec, place: KeyPath, window: int, field: str) -> list[Fault]:
    """A stride without longer texts than those of training, and trajectories of longer texts."""
    faults: list[Fault] = []
    length = samples.length or window
    texts = f"texts of {length} tokens, where training has {window}"
    if samples.stride and (length <= window or samples.stride >= window):
        message = f"stride {samples.stride} does not fit {texts}; it is for longer texts, and below {window}"
        faults.append(((*place, "stride"), message))
    if field == "trajectories" and length > window:
        message = f"{texts}, have no trajectories: they are drawn window by window"
        faults.append(((*place, "length"), message))
    return faults


def _sampler_refusal(samples: SamplesSpec, arm: ArmSpec, vocab_size: int, window: int) -> str | None:
    """The reason why an arm's method cannot be sampled with these settings, or None."""
    method = method_instance(arm.method, vocab_size, arm.options)
    reason = cached_refusal(method, samples.sampler_settings(), min(samples.length or window, window))
    return None if reason is None else f'method "{arm.method}" {reason}'


def _check_quality(spec: SuiteSpec, facts: DataSummary, base: Path, faults: list[Fault]) -> None:
    """Texts that are unfit for a metric, and a scorer that is not available or is an arm."""
    quality = spec.evaluation.quality
    if quality is None:
        return
    place: KeyPath = ("evaluation", "quality")
    shapes = [(samples.count, samples.length or facts.length) for samples in spec.evaluation.samples]
    reasons = (quality.refusal(*shape, facts.vocab_size, facts.tokens) for shape in shapes)
    faults += [(place, reason) for reason in dict.fromkeys(reasons) if reason is not None]

    scorer = quality.scorer
    if isinstance(scorer, Trained) and not spec.data.reserve:
        message = "a scorer that the suite trains needs data that no arm sees; give data.reserve, such as 0.2"
        faults.append(((*place, "scorer", "kind"), message))
    if isinstance(scorer, Trained) and scorer.seed in spec.seeds:
        message = f"the scorer's seed {scorer.seed} is also a seed of the arms; give the scorer another one"
        faults.append(((*place, "scorer", "seed"), message))
    try:
        if scorer is not None:
            scorer.identity(base)
    except ScorerError as error:
        faults.append(((*place, "scorer", error.field), str(error)))
