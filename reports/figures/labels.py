"""Labels in figures: drawn as they are, or numbered if no installed font has their characters."""

import re
from dataclasses import dataclass
from functools import cache
from itertools import count

import pandas as pd
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font

from bench.results.suite_record import SuiteRecord

DEFAULT = "sans-serif"
PLACEHOLDERS = "Last Resort"  # a font of boxes that matplotlib installs
NUMBERED = "No installed font can show the numbered labels; the report names them."


@dataclass(frozen=True)
class FigureLabels:
    """How the figures of a record write its labels."""

    families: tuple[str, ...]  # font families, in the order in which a character is looked up
    numbers: dict[str, str]  # label -> "(1)", for labels that no installed font can show

    def rewrite(self, text: str) -> str:
        """Replace labels that cannot be shown by their numbers."""
        if not self.numbers:
            return text

        longest_first = sorted(self.numbers, key=len, reverse=True)  # a label may contain another
        pattern = "|".join(map(re.escape, longest_first))
        return re.sub(pattern, lambda match: self.numbers[match[0]], text)

    def rewrite_table(self, table: pd.DataFrame) -> pd.DataFrame:
        """Rewrite every text in a table except names of tokens."""
        if not self.numbers:
            return table
        columns = {
            name: table[name].map(lambda value: self.rewrite(value) if isinstance(value, str) else value)
            for name in table.columns
            if name != "token"
        }
        return table.assign(**columns)

    def describe(self) -> str:
        """Name the numbered labels in one sentence; "" if there are none."""
        names = [f"{number} {' '.join(label.split())}" for label, number in self.numbers.items()]
        return f"Numbered labels in the figures: {'; '.join(names)}." if names else ""


def number_labels(record: SuiteRecord) -> FigureLabels:
    """Number the labels that no installed font can show, in the order of the suite."""
    ways = [trajectory.way for trajectory in record.trajectories]
    columns = (record.table["arm"], record.table["way"], record.table["policy"], ways, record.learned["metric"])
    labels = list(dict.fromkeys(str(label) for column in columns for label in column))

    families = find_families(frozenset("".join(labels)))
    characters = frozenset[str]().union(*(list_characters(family) for family in families))
    hidden = [label for label in labels if not characters.issuperset(label)]
    free_numbers = (f"({number})" for number in count(1) if f"({number})" not in labels)
    return FigureLabels(families, dict(zip(hidden, free_numbers, strict=False)))


def spell(token: str) -> str:
    """A token as it is, or as code points such as U+6A21 if no installed font can show it."""
    characters = frozenset[str]().union(*(list_characters(family) for family in find_families(frozenset(token))))
    return token if characters.issuperset(token) else " ".join(f"U+{ord(character):04X}" for character in token)


@cache
def find_families(characters: frozenset[str]) -> tuple[str, ...]:
    """The default font family, followed by installed families that have further characters of these."""
    families, missing = [DEFAULT], characters - list_characters(DEFAULT)
    if not missing:
        return (DEFAULT,)

    names = {font.name for font in fontManager.ttflist if is_regular(font) and not font.name.startswith(PLACEHOLDERS)}
    for name in sorted(names, key=lambda name: ("Sans" not in name, name)):
        if missing & list_characters(name):
            families.append(name)
            missing -= list_characters(name)
    return tuple(families)


def is_regular(font: FontEntry) -> bool:
    """Whether a font is neither bold, light, italic nor condensed."""
    return font.style == "normal" and font.weight in (400, "normal", "regular") and font.stretch == "normal"


@cache
def list_characters(family: str) -> frozenset[str]:
    """The characters of a font family in its regular style; none if it has no such style."""
    try:
        path = findfont(FontProperties(family=family), fallback_to_default=False)
    except ValueError:
        return frozenset()
    return frozenset(map(chr, get_font(path).get_charmap()))
