"""Content hashes of units, which are the top-level statements of the project.

The hash of a unit is over its words (see `words`), in which every reference to another unit is replaced by that unit's
hash. Units that refer to one another in a circle are hashed together. Only Python's standard library is used, so that
every interpreter computes the same hashes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bench.engine.code_units.cycles import circles
from bench.engine.code_units.modules import Module, Project, Unit
from bench.engine.code_units.normalized_syntax import words


def hashes(project: Project) -> dict[str, str]:
    """The hash of every name that a module binds, by its place "module:name"."""
    statements = [unit for module in project.modules.values() for unit in (*module.units, *module.loose)]
    hash_of = unit_hashes(project, statements)
    return {
        f"{module.name}:{name}": digest(f"{hash_of[unit]} {unit.names.index(name)}" for unit in units)
        for module in project.modules.values()
        for name, units in module.bound.items()
    }


def reached(project: Project, places: Iterable[str]) -> set[Unit]:
    """All units that the names at these places lead to. Raises KeyError if a place binds no name."""
    visited: set[Unit] = set()
    pending = [unit for place in places for unit in project.find(place)]
    while pending:
        unit = pending.pop()
        if unit not in visited:
            visited.add(unit)
            pending += _references(words(project, unit))
    return visited


def references(project: Project, modules: Sequence[Module]) -> list[str]:
    """The places of all definitions outside these modules that their statements refer to."""
    names = {module.name for module in modules}
    statements = [unit for module in modules for unit in (*module.units, *module.loose)]
    units = {reference for unit in statements for reference in _references(words(project, unit))}
    return sorted(f"{unit.module}:{name}" for unit in units if unit.module not in names for name in unit.names)


def digest(text: Iterable[str]) -> str:
    """SHA-256 of a sequence of words, in hexadecimal digits."""
    return hashlib.sha256("\0".join(text).encode("utf-8", "surrogatepass")).hexdigest()


def _references(text: Iterable[str | Unit]) -> list[Unit]:
    return [part for part in text if isinstance(part, Unit)]


def unit_hashes(project: Project, units: Iterable[Unit]) -> dict[Unit, str]:
    """The hashes of units; every unit that they refer to must be among them."""
    texts = {unit: words(project, unit) for unit in units}
    hash_of: dict[Unit, str] = {}
    for circle in circles({unit: _references(text) for unit, text in texts.items()}):
        hash_of |= _hash_circle(circle, texts, hash_of)
    return hash_of


def _hash_circle(
    circle: Sequence[Unit], texts: Mapping[Unit, list[str | Unit]], hash_of: Mapping[Unit, str]
) -> dict[Unit, str]:
    """The hashes of units that refer to one another, by colour refinement.

    Units are first distinguished by their own words, then by those of the units that they refer to, and so on until no
    more units are distinguished. Names and the order of files do not matter.
    """
    group = set(circle)
    neighbours = {unit: [part for part in _references(texts[unit]) if part in group] for unit in circle}
    colours = {unit: digest(_hashable_words(texts[unit], group, hash_of)) for unit in circle}

    count = 0
    while len(set(colours.values())) > count:
        count = len(set(colours.values()))
        colours = {unit: digest([colours[unit], *(colours[part] for part in neighbours[unit])]) for unit in circle}

    all_colours = sorted(colours.values())
    return {unit: digest([colours[unit], *all_colours]) for unit in circle}


def _hashable_words(text: Iterable[str | Unit], group: set[Unit], hash_of: Mapping[Unit, str]) -> Iterator[str]:
    """The words of a unit, with units outside its circle replaced by their hashes."""
    for part in text:
        if isinstance(part, str):
            yield part
        else:
            yield "circle" if part in group else f"unit {hash_of[part]}"
