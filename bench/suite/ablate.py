"""Ablations: arms that are written as a base and what is varied of it.

    ablate:
      base: MDLM
      grid: {options.steps: [10, 100, 1000], options.schedule: [linear, cosine]}
      exclude: [{where: {options.steps: 10, options.schedule: cosine}, reason: too coarse for its ends}]

`grid` makes every combination, `zip` takes the first values together, then the second ones, and `one_at_a_time` changes
one thing of the base at a time. What may be varied is the method, its options, and the training, the budget and the
network. A combination that says what the base says is the base itself, and no arm of its own. Blocks are carried out in
their order, so that the base of one may be an arm of another before it.
"""

from dataclasses import replace
from typing import Any

from bench.suite.document import Document, Fault, Map, Place, Seq, Spot, nearest
from bench.suite.suite_file import Ablation
from bench.suite.validation import unknown_keys, validate
from bench.suite.variations import Refused, Variations

Arms = list[tuple[Map, Spot]]


def expand(document: Document) -> tuple[Document, tuple[Refused, ...], list[Fault]]:
    """The suite with the arms of its ablations written out, what is excluded, and what is wrong with the ablations.

    An arm that is made stands behind its base. The faults have places in `document`; a block with one makes no arms.
    """
    content = document.content.copy()
    blocks, written = content.pop("ablate", None), content.get("arms")
    if blocks is None or not isinstance(written, Seq) or not all(isinstance(arm, Map) for arm in written):
        return replace(document, content=content), (), []  # what is wrong is told by the validation of the whole
    arms: Arms = list(zip(written, written.spots, strict=True))
    refused: list[Refused] = []
    faults: list[Fault] = []
    for place, block in _listed(blocks):
        spec = _valid(document, place, block, faults)
        index = _find(spec.base, arms, (*place, "base"), faults) if spec else None
        if spec and index is not None:
            varied = Variations(spec, document, place, arms[index][0], content)
            refused += _vary(varied, arms, index, faults)
    content.put("arms", Seq([arm for arm, _ in arms], [spot for _, spot in arms]), content.spots.get("arms"))
    return replace(document, content=content), tuple(refused), faults


def _listed(blocks: Any) -> list[tuple[Place, Any]]:
    """One block, or those of a list, with their places."""
    if isinstance(blocks, Seq):
        return [(("ablate", index), block) for index, block in enumerate(blocks)]
    return [(("ablate",), blocks)]


def _valid(document: Document, place: Place, block: Any, faults: list[Fault]) -> Ablation | None:
    if not isinstance(block, Map):
        faults.append((place, "ablate: give one block, or a list of blocks"))
        return None
    meant: set[Place] = set()
    misspelt = unknown_keys(block, Ablation, place, meant)  # told by the look at all keys of the file
    spec = validate(Ablation, document.content, place, faults, meant)
    return None if misspelt else spec


def _find(label: str, arms: Arms, place: Place, faults: list[Fault]) -> int | None:
    """Where the arm with a label stands."""
    labels = [str(arm.get("label")) for arm, _ in arms]
    if label in labels:
        return labels.index(label)
    faults.append((place, nearest(f'there is no arm "{label}"', label, labels)))
    return None


def _vary(varied: Variations, arms: Arms, index: int, faults: list[Fault]) -> list[Refused]:
    """Puts the arms of one block behind their base; returns what it excludes."""
    found = varied.faults()
    faults += found
    if found:
        return []
    taken = {str(arm.get("label")): spot for arm, spot in arms}
    end, family = index + 1, {varied.spec.base}  # behind the base stand its arms, and those of these
    while end < len(arms) and arms[end][0].get("base") in family:
        family.add(str(arms[end][0].get("label")))
        end += 1
    for arm, last in varied.arms():
        label = arm["label"]
        if label in taken:
            way = "give a value words of its own: {value: ..., label: ...}"
            faults.append((last.place, f'two arms come out as "{label}", the other one at {taken[label]}; {way}'))
            continue
        taken[label] = last.spot
        arms.insert(end, (arm, last.spot))
        end += 1
    return varied.excluded()
