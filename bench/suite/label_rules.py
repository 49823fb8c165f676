"""What the label of an arm may be. It is text that people tell apart by eye; nothing is identified by it alone.

Labels are in Unicode's normal form C, wherever a suite writes one: in `arms`, as a `base`, and in lists of arms.
"""

import unicodedata
from dataclasses import replace
from datetime import date
from itertools import zip_longest
from typing import Any

from bench.suite.yaml_document import Document, Fault, KeyPath, Map, Seq

EMOJI_JOINERS = "\u200d\ufe0e\ufe0f"  # inside emoji they are part of the picture
BLANKS = frozenset(  # invisible characters that Unicode counts as letters, marks or symbols
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0"
) | {chr(code) for codes in (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0)) for code in codes}
INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs")  # Unicode's categories; of the last, a space is allowed
EMOJI = ("So", "Sk")  # categories of emoji and of their skin tones

LOOKALIKES = str.maketrans(  # letters of other scripts, and hyphens, that look like those of a keyboard
    "АВЕКМНОРСТУХЅІЈаеорсухѕіјΑΒΕΖΗΙΚΜΝΟΡΤΥΧο‐‑‒–−’",
    "ABEKMHOPCTYXSIJaeopcyxsijABEZHIKMNOPTYXo-----'",
)
QUOTE = "put it in quotes"
LABELS = (  # where a suite writes labels of arms, without indices of lists; * is any key
    ("arms", "label"),
    ("arms", "base"),
    ("ablate", "base"),
    ("ablate", "labels"),
    ("ablate", "*", "*", "label"),
    ("evaluation", "*", "arms"),
)
KEYED_BY_LABEL = ("tune", "arms")


def normalize(label: str) -> str:
    """The label in normal form C."""
    return unicodedata.normalize("NFC", label)


def is_invisible(text: str, index: int) -> bool:
    """Whether a character of the text cannot be seen; joiners inside emoji can."""
    character = text[index]
    if character in EMOJI_JOINERS and index:
        before = text[index - 1]
        return before not in EMOJI_JOINERS and unicodedata.category(before) not in EMOJI
    return character in BLANKS or (character != " " and unicodedata.category(character) in INVISIBLE)


def show(text: str) -> str:
    """The text in quotes, with escapes in place of what is invisible."""
    characters = (
        character.encode("unicode_escape").decode() if is_invisible(text, index) else character
        for index, character in enumerate(text)
    )
    return f'"{"".join(characters)}"'


def refusal(label: Any) -> str | None:
    """Why something is no label that people can read, or None."""
    if not isinstance(label, str):
        return f"label is {label!r}, which YAML reads as {describe_type(label)}: {QUOTE}"
    if not label:
        return f"label {show(label)} is empty; give a name that people can read"
    hidden = dict.fromkeys(label[index] for index in range(len(label)) if is_invisible(label, index))
    if hidden:
        names = ", ".join(describe_character(character) for character in hidden)
        return f"label {show(label)} has what nobody can see: {names}; leave it out"
    if not label.strip():
        return f"label {show(label)} is blank; give a name that people can read"
    if label != label.strip():
        return f"label {show(label)} begins or ends with a space; leave it out"
    if "  " in label:
        return f"label {show(label)} has two spaces in a row; write one"
    return None


def describe_type(value: Any) -> str:
    """What YAML reads an unquoted value as."""
    kinds = ((bool, "true or false"), (int | float, "a number"), (date, "a date"), (type(None), "nothing"))
    return next((words for kind, words in kinds if isinstance(value, kind)), "no text")


def describe_character(character: str) -> str:
    """A character by its number and name: U+200B zero width space."""
    name = unicodedata.name(character, "").lower() or {"\t": "tab", "\n": "end of line"}.get(character, "")
    return f"U+{ord(character):04X} {name}".strip()


def appearance(label: str) -> str:
    """A text that is equal for labels that people would take for each other."""
    visible = label.translate(dict.fromkeys(map(ord, EMOJI_JOINERS)))
    lookalike = unicodedata.normalize("NFKC", visible).translate(LOOKALIKES)
    return unicodedata.normalize("NFKC", lookalike.casefold())


def describe_difference(label: str, twin: str) -> str:
    """In what two labels of equal appearance differ."""
    if label.lower() == twin.lower():
        return "upper and lower case"
    pairs = zip_longest(label, twin, fillvalue="")
    first = next(pair for pair in pairs if pair[0].lower() != pair[1].lower())
    return " and ".join(describe_character(character) for character in first if character)


def find_label_faults(document: Document) -> list[Fault]:
    """Labels of arms that people cannot read or tell apart; the arms are written out."""
    blocks = document.content.get("arms")
    arms = [(index, arm) for index, arm in enumerate(blocks if isinstance(blocks, Seq) else ()) if isinstance(arm, Map)]
    faults: list[Fault] = []
    unreadable: set[str] = set()
    first: dict[str, tuple[str, KeyPath]] = {}
    for index, arm in arms:
        place: KeyPath = ("arms", index, "label")
        label, base = arm.get("label"), arm.get("base")
        if not isinstance(label, str) or not label:
            continue  # reported by the validation of the suite
        reason = refusal(label)
        if reason is not None:
            unreadable.add(label)
            if base not in unreadable or not label.startswith(str(base)):  # else it is the base's fault
                faults.append((place, reason))
            continue

        twin, twin_place = first.setdefault(appearance(label), (label, place))
        if twin_place != place:
            faults.append((place, _describe_clash(document, label, twin, twin_place)))
    return faults


def _describe_clash(document: Document, label: str, twin: str, place: KeyPath) -> str:
    line = document.location(place).line
    if label == twin:
        return f"label {show(label)} occurs twice; the first is in line {line}"
    difference = describe_difference(label, twin)
    return (
        f"label {show(label)} cannot be told apart from {show(twin)} in line {line}: they differ in {difference}; "
        "give one of them another name"
    )


def with_normal_labels(document: Document) -> Document:
    """The suite with all labels of arms in normal form, so that equal labels are equal strings."""
    return replace(document, content=_normalize_labels(document.content, ()))


def _normalize_labels(node: Any, keys: tuple[Any, ...]) -> Any:
    """A node of a suite with its labels in normal form; `keys` lead to it, without indices of lists."""
    if isinstance(node, Seq):
        return Seq([_normalize_labels(item, keys) for item in node], node.locations)
    if isinstance(node, Map):
        content = {key: _normalize_labels(value, (*keys, key)) for key, value in node.items()}
        names = {key: _normalize_text(key) if keys == KEYED_BY_LABEL else key for key in content}
        if len(set(names.values())) < len(names):
            names = {key: key for key in content}  # two forms of one label: then one of them is no arm's
        locations = {names.get(key, key): location for key, location in node.locations.items()}
        return Map({names[key]: value for key, value in content.items()}, locations)
    return _normalize_text(node) if any(_leads_to(keys, pattern) for pattern in LABELS) else node


def _normalize_text(node: Any) -> Any:
    return normalize(node) if isinstance(node, str) else node


def _leads_to(keys: tuple[Any, ...], pattern: tuple[str, ...]) -> bool:
    return len(keys) == len(pattern) and all(word in ("*", key) for key, word in zip(keys, pattern, strict=True))
