"""Definitions by content: what each top-level statement of the project means, wherever it stands and whatever its name.

The hash of a unit is over its words (bench/code_words.py), in which every name that leads to another unit stands for
that unit's hash. Units that name one another in a circle are hashed together. Only Python's standard library is used,
so that any interpreter can compute the same.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.engine.code_units.circles import circles
from bench.engine.code_units.modules import Module, Project, Unit
from bench.engine.code_units.words import words


def hashes(project: Project) -> dict[str, str]:
    """The hash of every name that a module binds, by its place "module:name"."""
    statements = [unit for module in project.modules.values() for unit in (*module.units, *module.loose)]
    known = unit_hashes(project, statements)
    return {
        f"{module.name}:{name}": digest(f"{known[unit]} {unit.names.index(name)}" for unit in units)
        for module in project.modules.values()
        for name, units in module.bound.items()
    }


def reached(project: Project, places: Iterable[str]) -> set[Unit]:
    """All units that the names at these places lead to; raises KeyError where nothing is bound."""
    done: set[Unit] = set()
    waiting = [unit for place in places for unit in project.find(place)]
    while waiting:
        unit = waiting.pop()
        if unit not in done:
            done.add(unit)
            waiting += _named(words(project, unit))
    return done


def references(project: Project, modules: Sequence[Module]) -> list[str]:
    """The places of all definitions outside of these modules that their statements name."""
    within = {module.name for module in modules}
    statements = [unit for module in modules for unit in (*module.units, *module.loose)]
    named = {part for unit in statements for part in _named(words(project, unit))}
    return sorted(f"{unit.module}:{name}" for unit in named if unit.module not in within for name in unit.names)


def digest(text: Iterable[str]) -> str:
    """SHA-256, in hex, of a sequence of words."""
    return hashlib.sha256("\0".join(text).encode("utf-8", "surrogatepass")).hexdigest()


def _named(text: Iterable[str | Unit]) -> list[Unit]:
    return [part for part in text if isinstance(part, Unit)]


def unit_hashes(project: Project, units: Iterable[Unit]) -> dict[Unit, str]:
    """The hashes of units, among which are all that they lead to."""
    texts = {unit: words(project, unit) for unit in units}
    known: dict[Unit, str] = {}
    for circle in circles({unit: _named(text) for unit, text in texts.items()}):
        known |= _hash_circle(circle, texts, known)
    return known


def _hash_circle(
    circle: Sequence[Unit], texts: Mapping[Unit, list[str | Unit]], known: Mapping[Unit, str]
) -> dict[Unit, str]:
    """The hashes of units that name one another.

    Each unit is told apart by what it says, then by what the units that it names say, and so on until that tells no
    more apart: names and the order of files have no part in it.
    """
    group = set(circle)
    neighbours = {unit: [part for part in _named(texts[unit]) if part in group] for unit in circle}
    colours = {unit: digest(_spelled(texts[unit], group, known)) for unit in circle}

    kinds = 0
    while len(set(colours.values())) > kinds:
        kinds = len(set(colours.values()))
        colours = {unit: digest([colours[unit], *(colours[part] for part in neighbours[unit])]) for unit in circle}

    everyone = sorted(colours.values())
    return {unit: digest([colours[unit], *everyone]) for unit in circle}


def _spelled(text: Iterable[str | Unit], group: set[Unit], known: Mapping[Unit, str]) -> Iterator[str]:
    for part in text:
        if isinstance(part, str):
            yield part
        else:
            yield "circle" if part in group else f"unit {known[part]}"
