"""The code hash: which code made a number, as a hash of the definitions that a stage and a method reach.

Definitions are hashed by content, not by file. Moving, renaming, splitting or reformatting them changes no hash; a
change of meaning in any definition that is reached changes it. The table equal_code.json lists intended changes that
were shown to leave all numbers equal.
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
from bench.engine.code_units.definitions import digest, hashes, references
from bench.engine.code_units.modules import Project
from methods import METHODS, PLUGINS

ROOT = Path(methods.__file__).resolve().parent.parent
PACKAGES = ("bench", "methods")
TABLE = Path(__file__).with_name("equal_code.json")
MAX_CACHED = 24  # versions of the project whose hashes stay in the cache

_SCORER = "methods.autoregressive:Autoregressive"  # the method of trained scorers; no stage names it in its code
STAGES: dict[str, tuple[str, ...]] = {  # root definitions of each stage
    "train": ("bench.engine.stages.train_model:run",),
    "bound": ("bench.engine.stages.evaluate_bound:run",),
    "estimate": ("bench.engine.stages.evaluate_bound:run",),
    "samples": ("bench.engine.stages.draw_samples:run",),
    "trajectories": ("bench.engine.stages.record_trajectories:run",),
    "quality": ("bench.engine.stages.measure_quality:run", _SCORER),
    "controls": ("bench.engine.stages.measure_controls:run", _SCORER),
}
CERTIFICATE = ("bench.certify.checks:certify",)
OPAQUE = {  # not followed: the code hash, registries, whose chosen entry is a root instead, and what can only refuse
    "bench.engine.code_hash:stage_code": "code hash",
    "bench.engine.code_hash:method_roots": "code hash",
    "bench.engine.code_hash:ROOT": "code hash",
    "methods:METHODS": "methods",
    "methods.harness:take_snapshot": "the harness",
    "methods.harness:find_changes": "the harness",
    "methods.harness:changes_since_baseline": "the harness",
    "bench.engine.data.source_registry:DataSpec": "settings of sources",
    "bench.engine.data.source_registry:SOURCES": "sources",
    "bench.engine.data.source_registry:LABELLED": "labelled sources",
    "bench.engine.data.source_registry:LabelledSpec": "settings of labelled sources",
}


@cache
def stage_code(stage: str, roots: tuple[str, ...], source: type | None = None) -> str:
    """The code of a stage: 12 hexadecimal digits for it and its method's roots, then 12 for its data source."""
    code = _hash_roots(STAGES[stage], roots)
    return code if source is None else f"{code}-{_hash_roots((place(source),))}"


@cache
def certificate_code(roots: tuple[str, ...]) -> str:
    """The code that a certificate depends on; `roots` are those of its method and the method's neighbours."""
    return _hash_roots(CERTIFICATE, roots)


def method_roots(method: str) -> tuple[str, ...]:
    """The root definitions of a registered method: its class.

    For a plug-in, they are the definitions of the project that its source names. The plug-in's own code is part of the
    ids of its results.
    """
    if not method:
        return ()
    factory = METHODS[method]
    return (place(factory),) if place(factory) in definitions() else _plugin_roots(method, factory)


def certificate_roots(method: str) -> tuple[str, ...]:
    """The roots of a method and of its neighbours, which its certificate checks as well."""
    neighbours = (neighbour.name for neighbour in METHODS[method].neighbours)
    roots = [root for name in (method, *neighbours) if name in METHODS for root in method_roots(name)]
    return tuple(dict.fromkeys(roots))


def place(definition: type) -> str:
    """The place of a class, "module:name", as in the keys of `definitions`."""
    return f"{definition.__module__}:{definition.__qualname__}"


def is_fresh(recorded: str, current: str, stage: str, method: str) -> bool:
    """Whether recorded code and current code are the same, or equal by the table.

    A training run that was resumed under other code has recorded several codes; each must be equal.
    """
    return all(_is_equal(code, current, stage, method) for code in recorded.split(", then "))


def _is_equal(recorded: str, current: str, stage: str, method: str) -> bool:
    code, _, data_code = recorded.partition("-")
    current_stage_code, _, current_data_code = current.partition("-")
    if data_code and current_data_code not in _equal_codes(data_code, "data", ""):  # old records have no data code
        return False
    return current_stage_code in _equal_codes(code, stage, method)


@cache
def _equal_codes(code: str, stage: str, method: str) -> frozenset[str]:
    """All codes that the table links with a code, through any number of rows."""
    pairs = [{row["old"], row["new"]} for row in _read_table() if (row["stage"], row["method"]) == (stage, method)]
    linked, previous = {code}, set[str]()
    while linked != previous:
        previous = set(linked)
        linked = linked.union(*(pair for pair in pairs if pair & previous))
    return frozenset(linked)


@cache
def _read_table() -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return rows


def equal_rows(recorded: Mapping[str, Mapping[str, str]], why: str) -> list[dict[str, str]]:
    """Rows of the table that link recorded codes, by stage (or "certificate") and method, with the current code."""
    return [
        {"old": old, "new": new, "stage": stage, "method": method, "why": why}
        for stage, codes in recorded.items()
        for method, old in codes.items()
        if (new := current_code(stage, method)) != old
    ]


def current_code(stage: str, method: str) -> str:
    """The code of a stage, or of a certificate, with a registered method and without a data source."""
    if stage == "certificate":
        return certificate_code(certificate_roots(method))
    return stage_code(stage, method_roots(method))


def write_table(rows: Sequence[Mapping[str, str]], path: Path = TABLE) -> None:
    """Write the table of equal code, one row per line."""
    lines = ",\n".join(json.dumps(row) for row in rows)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _hash_roots(roots: Sequence[str], recorded: Sequence[str] = ()) -> str:
    """The first 12 hexadecimal digits of a hash over roots.

    Raises KeyError if one of `roots` is not defined. A root of a record may be gone; its hash then equals no other.
    """
    hash_of = definitions()
    codes = {hash_of[root] for root in roots} | {hash_of.get(root, "missing") for root in recorded}
    return digest(sorted(codes))[:12]


@cache
def definitions() -> dict[str, str]:
    """The hash of every definition of the project, by its place "module:name"; cached in the user's cache folder."""
    key = _project_digest()
    cached = _read_cache(key)
    if isinstance(cached, dict):
        return cached

    computed = hashes(project())
    _write_cache(key, computed)
    return computed


@cache
def project() -> Project:
    """The parsed project."""
    return Project(modules_below(ROOT, PACKAGES), OPAQUE)


def modules_below(root: Path, packages: Iterable[str]) -> dict[str, Path]:
    """The files of packages by the names of their modules."""
    paths = [path for package in packages for path in sorted((root / package).rglob("*.py"))]
    return {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


def _plugin_roots(method: str, factory: type) -> tuple[str, ...]:
    """The definitions of the project that the source of a plug-in names; none if it has no source."""
    try:
        files = _plugin_files(method, factory)
    except (OSError, TypeError):
        return ()

    key = f"{_project_digest()}-{_digest_files(files)}"
    cached = _read_cache(key)
    if isinstance(cached, list):
        return tuple(cached)

    names = references(project(), [project().add(name, path) for name, path in files.items()])
    _write_cache(key, names)
    return tuple(names)


def _plugin_files(method: str, factory: type) -> dict[str, Path]:
    """The files of the plug-in that a method comes from, helpers included; otherwise the one that defines its class."""
    if method in PLUGINS:
        return dict(PLUGINS[method].modules)
    return {factory.__module__: Path(inspect.getfile(factory))}


@cache
def _project_digest() -> str:
    return _digest_files(modules_below(ROOT, PACKAGES))


def _digest_files(files: Mapping[str, Path]) -> str:
    """A hash over the names and the bytes of modules, in 32 hexadecimal digits."""
    total = hashlib.sha256()
    for name, path in files.items():
        for part in (name.encode(), path.read_bytes()):
            total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:32]


def _cache_folder() -> Path:
    """The folder of the cache. Raises RuntimeError if the user has no home directory."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "diffusion-bench" / "code"


def _read_cache(key: str) -> Any:
    """The cached content; None if there is none, or it cannot be read."""
    try:
        return json.loads((_cache_folder() / f"{key}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):
        return None


def _write_cache(key: str, content: Any) -> None:
    """Write to the cache atomically, and drop the oldest entries; does nothing if the folder cannot be written."""
    with suppress(OSError, RuntimeError):
        folder = _cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{key}.{uuid4().hex}"
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(folder / f"{key}.json")
        for path in sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)[:-MAX_CACHED]:
            path.unlink(missing_ok=True)
