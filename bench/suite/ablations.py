"""Ablations: arms written as a base and what varies.

    ablate:
      base: MDLM
      grid: {options.steps: [10, 100, 1000], options.schedule: [linear, cosine]}
      exclude: [{where: {options.steps: 10, options.schedule: cosine}, reason: too coarse for its ends}]

`grid` makes all combinations, `zip` combines the first values, the second values, and so on, and `one_at_a_time`
changes one setting of the base at a time. The method, its options, the precision, and the training, budget and network
may vary. A combination that is equivalent to the base adds no arm. Blocks are expanded in order, so the base of a block
may be an arm of an earlier one.
"""

from dataclasses import replace
from typing import Any

from bench.suite.ablation_block import RefusedArm, Variations
from bench.suite.label_rules import appearance, show
from bench.suite.suite_file import Ablation
from bench.suite.unknown_keys_and_types import unknown_keys
from bench.suite.validation import validate
from bench.suite.yaml_document import Document, Fault, KeyPath, Location, Map, Seq, with_suggestion

Arms = list[tuple[Any, Location]]  # as written, which may not be mappings


def expand(document: Document) -> tuple[Document, tuple[RefusedArm, ...], list[Fault]]:
    """Write out the arms of a suite's ablations, each behind its base; also returns excluded arms and faults.

    A block with faults adds no arms. The places of the faults are those of `document`.
    """
    content = document.content.copy()
    blocks, written = content.pop("ablate", None), content.get("arms")
    if blocks is None or not isinstance(written, Seq):
        return replace(document, content=content), (), []  # reported by the validation of the suite

    arms: Arms = list(zip(written, written.locations, strict=True))
    refused: list[RefusedArm] = []
    faults: list[Fault] = []
    for place, block in _enumerate_blocks(blocks):
        spec, is_whole = _validate(document, place, block, faults)
        index = _find_arm(spec.base, arms, (*place, "base"), faults) if spec else None
        if spec and index is not None:
            variations = Variations(spec, document, place, arms[index][0], content, is_whole)
            refused += _insert_arms(variations, arms, index, faults)

    expanded = Seq([arm for arm, _ in arms], [location for _, location in arms])
    content.put("arms", expanded, content.locations.get("arms"))
    return replace(document, content=content), tuple(refused), faults


def _enumerate_blocks(blocks: Any) -> list[tuple[KeyPath, Any]]:
    """One block, or those of a list, with their places."""
    if isinstance(blocks, Seq):
        return [(("ablate", index), block) for index, block in enumerate(blocks)]
    return [(("ablate",), blocks)]


def _validate(document: Document, place: KeyPath, block: Any, faults: list[Fault]) -> tuple[Ablation | None, bool]:
    """The valid part of a block, if there is one, and whether it is the whole of it."""
    if not isinstance(block, Map):
        faults.append((place, "ablate: give one block, or a list of blocks"))
        return None, False
    intended: set[KeyPath] = set()
    unknown_keys(block, Ablation, place, intended)  # reported with all keys of the file
    validation = validate(Ablation, document.content, place, faults, intended)
    return validation.valid_part, validation.value is not None


def _find_arm(label: str, arms: Arms, place: KeyPath, faults: list[Fault]) -> int | None:
    """The index of the arm with a label."""
    labels = [_label(arm) for arm, _ in arms]
    if label in labels:
        return labels.index(label)
    faults.append((place, with_suggestion(f'there is no arm "{label}"', label, labels)))
    return None


def _label(arm: Any, key: str = "label") -> str:
    """The label of an arm, or of its base; "" if the arm is not a mapping, which the validation reports."""
    return str(arm.get(key)) if isinstance(arm, Map) else ""


def _insert_arms(variations: Variations, arms: Arms, index: int, faults: list[Fault]) -> list[RefusedArm]:
    """Insert the arms of a block behind their base; returns the excluded arms."""
    own_faults = variations.faults()
    faults += own_faults
    if own_faults or not variations.is_whole:
        return []

    end, family = index + 1, {variations.spec.base}  # skip the arms that are derived from the base already
    while end < len(arms) and _label(arms[end][0], "base") in family:
        family.add(_label(arms[end][0]))
        end += 1

    taken = {appearance(_label(arm)): location for arm, location in arms}
    for arm, choice in variations.arms():
        label = appearance(arm["label"])
        if label in taken:
            advice = "give a value its own label: {value: ..., label: ...}"
            clash = f"two arms are called {show(arm['label'])}, the other one at {taken[label]}"
            faults.append((choice.place, f"{clash}; {advice}"))
            continue
        taken[label] = choice.location
        arms.insert(end, (arm, choice.location))
        end += 1
    return variations.excluded()
