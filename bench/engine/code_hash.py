"""Which code made a number: a hash of the definitions that a stage and a method lead to, not of files.

Files and definitions may be moved, renamed, split and reformatted; whatever is reached and means something else changes
the hash. Changes that are meant and proven to be equal are told by the table equal_code.json.
"""

import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import methods
from bench.engine.code_units.modules import Project
from bench.engine.code_units.units import digest, hashes, references
from methods import METHODS, PLUGINS

ROOT = Path(methods.__file__).resolve().parent.parent
PACKAGES = ("bench", "methods")
TABLE = Path(__file__).with_name("equal_code.json")
KEPT = 24  # states of the project whose hashes stay in the cache

_SCORER = "methods.autoregressive:Autoregressive"  # the method of every suite's own scorer, named only in its record
STAGES: dict[str, tuple[str, ...]] = {  # the definitions that perform a stage
    "train": ("bench.engine.stages.train_model:run",),
    "bound": ("bench.engine.stages.evaluate_bound:run",),
    "estimate": ("bench.engine.stages.evaluate_bound:run",),
    "samples": ("bench.engine.stages.draw_samples:run",),
    "trajectories": ("bench.engine.stages.record_trajectories:run",),
    "quality": ("bench.engine.stages.measure_quality:run", _SCORER),
    "controls": ("bench.engine.stages.measure_controls:run", _SCORER),
}
CERTIFICATE = ("bench.certify.checks:certify",)
OPAQUE = {  # not followed: this hash itself, and registries, of which whatever was chosen is a root of its own
    "bench.engine.code_hash:stage_code": "code hash",
    "bench.engine.code_hash:method_roots": "code hash",
    "bench.engine.code_hash:ROOT": "code hash",
    "methods:METHODS": "methods",
    "bench.engine.data.settings:DataSpec": "settings of sources",
    "bench.engine.data.settings:SOURCES": "sources",
    "bench.engine.data.settings:LABELLED": "labelled sources",
    "bench.engine.data.settings:LabelledSpec": "settings of labelled sources",
}


@cache
def stage_code(stage: str, roots: tuple[str, ...], source: type | None = None) -> str:
    """The code of a stage: 12 hexadecimal digits over it and its method's roots, 12 more over its source of data."""
    code = _hash_roots(STAGES[stage], roots)
    return code if source is None else f"{code}-{_hash_roots((place(source),))}"


@cache
def certificate_code(roots: tuple[str, ...]) -> str:
    """The code that a certificate depends on: `roots` are those of its method and of its neighbours."""
    return _hash_roots(CERTIFICATE, roots)


def method_roots(method: str) -> tuple[str, ...]:
    """The definitions that a registered method starts from: its class.

    Of a method from outside the project those that its source names; its own code is part of the ids of its results.
    """
    if not method:
        return ()
    factory = METHODS[method]
    return (place(factory),) if place(factory) in definitions() else _outside(method, factory)


def certificate_roots(method: str) -> tuple[str, ...]:
    """The roots of a method, and of its neighbours, which are asked beside it."""
    neighbours = (neighbour.name for neighbour in METHODS[method].neighbours)
    roots = [*method_roots(method), *(root for name in neighbours if name in METHODS for root in method_roots(name))]
    return tuple(dict.fromkeys(roots))


def place(definition: type) -> str:
    """Where a class is defined, as the keys of `definitions` say it."""
    return f"{definition.__module__}:{definition.__qualname__}"


def is_fresh(recorded: str, current: str, stage: str, method: str) -> bool:
    """Whether what was recorded under one code is what the other one gives: the same code, or equal by the table.

    A training that was resumed under other code has a record of several.
    """
    return all(_is_equal(code, current, stage, method) for code in recorded.split(", then "))


def _is_equal(recorded: str, current: str, stage: str, method: str) -> bool:
    code, _, data = recorded.partition("-")
    code_here, _, data_here = current.partition("-")
    is_same_data = not data or data_here in _equals(data, "data", "")  # records of old name no code of their data
    return is_same_data and code_here in _equals(code, stage, method)


@cache
def _equals(code: str, stage: str, method: str) -> frozenset[str]:
    """All codes that the table links with one, through any number of rows."""
    rows = [row for row in _table() if (row["stage"], row["method"]) == (stage, method)]
    linked, before = {code}, set[str]()
    while linked != before:
        before = set(linked)
        pairs = ({row["old"], row["new"]} for row in rows)
        linked |= {other for pair in pairs if pair & before for other in pair}
    return frozenset(linked)


@cache
def _table() -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return rows


def equal_rows(recorded: Mapping[str, Mapping[str, str]], why: str) -> list[dict[str, str]]:
    """Rows of the table that link recorded codes, by stage or "certificate" and method, with the code that is here."""
    return [
        {"old": old, "new": new, "stage": stage, "method": method, "why": why}
        for stage, codes in recorded.items()
        for method, old in codes.items()
        if (new := current_code(stage, method)) != old
    ]


def current_code(stage: str, method: str) -> str:
    """The code of a stage or of the certificate of a registered method, without that of any data."""
    if stage == "certificate":
        return certificate_code(certificate_roots(method))
    return stage_code(stage, method_roots(method))


def write_table(rows: Sequence[Mapping[str, str]], path: Path = TABLE) -> None:
    """Writes the table of equal code, a line for each row."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _hash_roots(roots: Sequence[str], recorded: Sequence[str] = ()) -> str:
    """Raises KeyError where one of the roots is no definition; one of a record may be gone, and equals nothing then."""
    known = definitions()
    return digest(sorted({known[root] for root in roots} | {known.get(root, "missing") for root in recorded}))[:12]


@cache
def definitions() -> dict[str, str]:
    """The hash of every definition of the project, by its place "module:name"; kept in the user's cache."""
    key = _state()
    known = _recall(key)
    if not isinstance(known, dict):
        known = hashes(project())
        _keep(key, known)
    return known


@cache
def project() -> Project:
    """The parsed project."""
    return Project(modules_below(ROOT, PACKAGES), OPAQUE)


def modules_below(root: Path, packages: Iterable[str]) -> dict[str, Path]:
    """The files of packages by the names of their modules."""
    paths = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def _outside(method: str, factory: type) -> tuple[str, ...]:
    """The definitions of the project that the source of a foreign class names; none where it has no source."""
    try:
        files = _foreign_files(method, factory)
    except (OSError, TypeError):
        return ()
    contents = (part for name, path in files.items() for part in (name.encode(), path.read_bytes()))
    key = f"{_state()}-{_digest_bytes(contents)}"
    named = _recall(key)
    if not isinstance(named, list):
        named = references(project(), [project().add(name, path) for name, path in files.items()])
        _keep(key, named)
    return tuple(named)


def _foreign_files(method: str, factory: type) -> dict[str, Path]:
    """The file that a class is defined in; of an installed package all of its files."""
    file, top = Path(inspect.getfile(factory)), factory.__module__.partition(".")[0]
    above = file.parents[factory.__module__.count(".")] if "." in factory.__module__ else file.parent
    is_installed = method in PLUGINS and PLUGINS[method].path is None and (above / top).is_dir()
    return modules_below(above, [top]) if is_installed else {factory.__module__: file}


@cache
def _state() -> str:
    files = modules_below(ROOT, PACKAGES)
    return _digest_bytes(part for name, path in files.items() for part in (name.encode(), path.read_bytes()))


def _digest_bytes(parts: Iterable[bytes]) -> str:
    joined = hashlib.sha256()
    for part in parts:
        joined.update(hashlib.sha256(part).digest())
    return joined.hexdigest()[:32]


def _folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffusion-bench" / "code"


def _recall(key: str) -> Any:
    """What the cache holds; None where that is nothing, or cannot be read."""
    try:
        return json.loads((_folder() / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return None


def _keep(key: str, content: Any) -> None:
    """Writes to the cache at once or not at all; what cannot be kept is computed again."""
    with suppress(OSError, RuntimeError):
        folder = _folder()
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{key}.{uuid4().hex}"
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(folder / f"{key}.json")
        for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            path.unlink(missing_ok=True)
