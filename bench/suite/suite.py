"""Suites: strict YAML 1.2, whose faults are all reported at once, with file:line:column."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bench.engine.data import DataError, DataSpec, DataSummary, preview
from bench.engine.data import summarize as describe_data
from bench.engine.data.source_registry import LABEL
from bench.engine.environment import Execution
from bench.suite.ablation_block import RefusedArm
from bench.suite.ablations import expand
from bench.suite.arm_checks import check_arms, check_evaluation
from bench.suite.arm_equivalence import with_inherited
from bench.suite.datasets import locate_all, name_clashes, select, split
from bench.suite.label_rules import QUOTE, describe_type, with_normal_labels
from bench.suite.settings import SuiteSpec
from bench.suite.suite_file import SuiteFile
from bench.suite.tuning.lock_file import Lock
from bench.suite.tuning.settings import Tune
from bench.suite.tuning.tuning_checks import check as check_tuning
from bench.suite.unknown_keys_and_types import unknown_keys
from bench.suite.validation import Validation, validate, without
from bench.suite.yaml_document import Document, Fault, KeyPath, Location, Map, Seq, SuiteError
from bench.suite.yaml_file import load, load_with_faults

__all__ = ["Suite", "SuiteError", "read", "read_all", "with_all_data", "with_data"]

PLACEHOLDERS = {  # of what is missing, so that the rest of a suite can be checked
    "question": "?",
    "data": {"source": "markov"},
    "network": {"preset": "micro"},
    "budget": {"steps": 1},
    "seeds": [2**62],
}
NAME_RULE = "it names records: letters and digits, and after the first one also _ . + -"


@dataclass(frozen=True)
class Suite:
    """A suite that was checked against the registry and its data."""

    name: str  # NAME, NAME-SCALE, ...: see bench.suite.yaml_document.suite_name
    spec: SuiteSpec
    facts: DataSummary  # partly unknown until the data are fetched; no id depends on what is unknown
    file: Path  # absolute; a symbolic link is not followed
    base: Path  # the suite's folder: paths of data are relative to it
    source: str  # the text of the file and of those that it extends
    refused: tuple[RefusedArm, ...] = ()  # arms that its ablations exclude
    label: str = ""  # of its data, if the file has several data sets; not hashed
    arguments: str = ""  # the arguments that select it on the command line
    tune: Tune | None = None  # how its arms are tuned
    winners: Lock | None = None  # what tuning found, once it is applied: see bench.tune.tuned_suite


def read(path: Path, scale: str | None = None, data: str | None = None) -> Suite:
    """Read a suite with one data set, or the one that `data` names, at a scale; nothing is fetched.

    Raises SuiteError with all its faults, or if several data sets are left.
    """
    suites = read_all(path, scale, data)
    if len(suites) > 1:
        location = load(path).at(scale).location(("data",))
        labels = ", ".join(suite.label for suite in suites)
        raise SuiteError(f"{location}: there are {len(suites)} data sets: {labels}; name one with --data")
    return suites[0]


def read_all(path: Path, scale: str | None = None, data: str | None = None) -> tuple[Suite, ...]:
    """Read a suite for each data set in a file, or for the one that `data` names, without fetching anything.

    Raises SuiteError with the faults of all of them, each reported once.
    """
    document = load_with_faults(path)
    intended: set[KeyPath] = set()
    located = [*_unknown_and_misplaced(document, intended), *name_clashes(document)]

    scaled = with_normal_labels(document.at(scale))
    expanded, refused, ablation_faults = expand(scaled)
    inherited = replace(expanded, content=_with_inherited_blocks(expanded.content))
    inherited.content.pop("tune", None)
    parts, label_faults = split(inherited)
    located += scaled.locate([*ablation_faults, *label_faults])

    has_all_arms = not ablation_faults
    checked = [(part, *_check(part, intended, has_all_arms)) for _, part in select(scaled, parts, data)]
    located += locate_all([(part, faults) for part, _, _, faults in checked])
    sizes = [facts.vocab_size if facts else 2 for _, _, facts, _ in checked]
    tuned = [check_tuning(expanded, size, intended, has_all_arms) for size in sizes]
    located += dict.fromkeys(fault for _, faults in tuned for fault in expanded.locate(faults))
    scaled.raise_for(located)

    suites = []
    for (part, spec, facts, _), (tune, _) in zip(checked, tuned, strict=True):
        assert spec is not None
        assert facts is not None
        suites.append(
            Suite(
                name=part.name,
                spec=spec,
                facts=facts,
                file=path.absolute(),
                base=path.parent.resolve(),
                source=document.source,
                refused=refused,
                label=part.label,
                arguments=command_arguments(path, scale, part.label),
                tune=tune,
            )
        )
    return tuple(suites)


def read_execution(path: Path, scale: str | None = None) -> Execution:
    """Read how a suite is run, and nothing else: no method is looked up. Raises SuiteError."""
    document, faults = load(path).at(scale), list[Fault]()
    if "execution" not in document.content:
        return Execution()
    execution = validate(Execution, document.content, ("execution",), faults, set()).value
    document.raise_for(document.locate(faults))
    assert execution is not None
    return execution


def command_arguments(path: Path, scale: str | None, label: str) -> str:
    """The arguments that select a suite; the path is relative to the working directory if the file lies below."""
    resolved = path.resolve()
    file = resolved.relative_to(Path.cwd()) if resolved.is_relative_to(Path.cwd()) else Path(path.name)
    arguments = [str(file)]
    if scale:
        arguments.append(f"--scale {scale}")
    if label:
        arguments.append(f"--data {label}")
    return " ".join(arguments)


def with_data(suite: Suite) -> Suite:
    """The suite with its data read, after fetching them if necessary. Raises DataError."""
    return suite if suite.facts.is_read else replace(suite, facts=describe_data(suite.spec.data, suite.base))


def with_all_data(suites: Sequence[Suite]) -> tuple[list[Suite], dict[str, str]]:
    """The suites whose data are available, and by label the reasons why others are not run.

    Raises DataError if no data are available.
    """
    available: list[Suite] = []
    reasons: dict[str, str] = {}
    for suite in suites:
        try:
            available.append(with_data(suite))
        except DataError as error:
            reasons[suite.label] = f"{suite.name} is NOT run, its data are not available: {error}"
            if len(reasons) == len(suites):
                raise
    return available, reasons


def _check(
    document: Document, intended: set[KeyPath], has_all_arms: bool
) -> tuple[SuiteSpec | None, DataSummary | None, list[Fault]]:
    """Check a suite with one data set: its settings, the facts of its data, and its faults.

    `has_all_arms` is False if ablations with faults have not added theirs.
    """
    faults: list[Fault] = []
    base = document.path.parent
    suite = validate(SuiteSpec, document.content, (), faults, intended, PLACEHOLDERS)
    facts = _data_facts(suite, base, faults)
    check_arms(document, facts.vocab_size if facts else 2, has_all_arms, faults)
    faults += check_evaluation(suite, facts, base.resolve(), has_all_arms)
    return suite.value, facts, faults


def _unknown_and_misplaced(document: Document, intended: set[KeyPath]) -> list[tuple[Location, str]]:
    """Unknown keys, also in scales that are not selected, and scales that are not mappings or have invalid names."""
    scales = document.content.get("scales")
    blocks = scales if isinstance(scales, Map) else {}
    faults: list[Fault] = []
    if scales is not None and not isinstance(scales, Map):
        faults.append((("scales",), "scales: give named blocks"))
    for name, block in blocks.items():
        if not (isinstance(name, str) and re.fullmatch(LABEL, name)):
            hint = "" if isinstance(name, str) else f"; YAML reads this as {describe_type(name)}: {QUOTE}"
            faults.append((("scales", name), f"scale {name!r} is not allowed; {NAME_RULE}{hint}"))
        if not isinstance(block, Map | None):
            faults.append((("scales", name), f"scales.{name}: give a mapping of what differs at this scale"))
        for key in {"extends", "scales"} & set(block if isinstance(block, Map) else ()):
            faults.append((("scales", name, key), f"{key} belongs at the top of a suite, not in a scale"))

    located = document.locate([*faults, *unknown_keys(document.content, SuiteFile, (), intended)])
    for scaled in (document.at(name) for name in document.scales if isinstance(blocks[name], Map)):
        located += scaled.locate(unknown_keys(scaled.content, SuiteFile, (), intended))
    return located


def _with_inherited_blocks(content: Map) -> Map:
    """The suite with each arm's own blocks completed by those of the suite."""
    arms, completed = content.get("arms"), content.copy()
    if isinstance(arms, Seq):
        inherited = [with_inherited(arm, content) if isinstance(arm, Map) else arm for arm in arms]
        completed.put("arms", Seq(inherited, arms.locations), content.locations.get("arms"))
    return completed


def _data_facts(suite: Validation[SuiteSpec], base: Path, faults: list[Fault]) -> DataSummary | None:
    """The facts of the data, or None if they cannot be read or a part of their settings is faulty."""
    try:
        settings = TypeAdapter(DataSpec).validate_python(without(suite.block.get("data"), suite.removed, ("data",)))
        facts = preview(settings, base)
    except ValidationError:
        return None  # reported by the validation of the suite
    except DataError as error:
        written = suite.block["data"].get(error.field)
        if not suite.removed_in(("data",)) or isinstance(written, str):  # sizes depend on what was taken out
            faults.append((("data", error.field), str(error)))
        return None
    except (MemoryError, OverflowError) as error:
        faults.append((("data",), f"the data do not fit into memory ({error or 'out of memory'}); ask for fewer"))
        return None
    return None if suite.removed_in(("data",)) else facts
