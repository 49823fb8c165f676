"""Arms against their base, document by document: both met the same documents and the same noise, so that what these
have in common drops out of the difference (paired comparison of the estimates of single sequences).

A difference is the arm's bound minus the base's; below zero the arm is better.
"""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.engine import storage as record
from bench.engine.likelihood.bound import PARTS
from bench.engine.likelihood.metrics import mean_nats
from bench.engine.likelihood.standard_error import Estimate, clusters_of

NAN = float("nan")
COLUMNS = {  # of the pairs, a row for each arm, seed and metric, with the value of a row that says nothing about it
    "arm": "",
    "method": "",
    "base": "",
    "seed": 0,
    "metric": "",
    "value": NAN,  # the arm minus its base
    "standard_error": NAN,  # over documents, Monte Carlo noise included
    "monte_carlo_error": NAN,
    "n": 0,  # documents
    "clusters": 0,  # runs of neighbouring documents that the errors are clustered in; 0 where documents are independent
    "clustered_error": NAN,  # over documents, of the mean over all paired seeds of the arm, which share them
    "clustered_noise": NAN,  # the Monte Carlo error of that mean
    "unlike": "",  # how the two were estimated, where not alike: the noise is not shared then
    "is_same": False,  # arm and base are one cell under two labels
    "reason": "",  # why there is no difference
}


@dataclass(frozen=True)
class Measured:
    """The bound of one cell, document by document, and all that has to agree before another is taken from it."""

    cell: str  # its id
    nats: Tensor  # of each document [n, replicates], the sum of the parts
    length: int  # tokens of a document
    setting: dict[str, Any]
    estimator: str
    clusters: Tensor | None  # which of them may vary together


def pair(runs: Path, plan: Any) -> pd.DataFrame:
    """The paired differences of every arm that has a base, per seed that the suite planned for it, in the unit of the
    score and in nats per token; where two cannot be paired, a row with the reason. Raises BrokenRecord."""
    cells = {(cell["arm"], cell["seed"]): cell for cell in plan["cells"] if cell.get("role", "arm") == "arm"}
    arms: dict[str, list[Any]] = {}
    for cell in cells.values():
        if cell.get("base") not in (None, "", cell["arm"]):
            arms.setdefault(cell["arm"], []).append(cell)
    score = "bits_per_byte" if plan["facts"].get("level") == "byte" else "bits_per_char"
    rows = [row for own in arms.values() for row in _of_arm(runs, own, cells, score)]
    return pd.DataFrame([{**COLUMNS, **row} for row in rows], columns=list(COLUMNS))


def _of_arm(runs: Path, own: list[Any], cells: dict[tuple[str, int], Any], score: str) -> list[dict[str, Any]]:
    """The rows of one arm: a token is a character, or a byte where the score is in bytes, so one factor converts."""
    rows: list[dict[str, Any]] = []
    found: list[Tensor] = []
    length, clusters = 0, None
    for cell in own:
        said = {"arm": cell["arm"], "method": cell["method"], "base": cell["base"], "seed": cell["seed"]}
        base = cells.get((cell["base"], cell["seed"]))
        known = any(arm == cell["base"] for arm, _ in cells)
        one, other = _measured(runs, cell), _measured(runs, base) if base else _absent(cell, known)
        reason = _why_not(one, other, cell["base"])
        if isinstance(one, Measured) and isinstance(other, Measured) and not reason:
            differences, length = one.nats - other.nats, one.length
            found.append(differences)
            clusters = one.clusters
            unlike = f"{one.estimator}; of the base: {other.estimator}" * (one.estimator != other.estimator)
            same = {"unlike": unlike, "is_same": one.cell == other.cell}
            rows.append({**said, **average(differences, length, clusters), **same})
        else:
            rows.append({**said, "reason": f"not paired: {reason}"})
    if found:
        whole = average(torch.stack(found).mean(0), length, clusters)
        errors = {"clustered_error": whole["standard_error"], "clustered_noise": whole["monte_carlo_error"]}
        rows = [row if row.get("reason") else row | errors for row in rows]
    return [_scaled(row, *unit) for unit in ((score, 1 / math.log(2)), ("nats_per_token", 1.0)) for row in rows]


def average(differences: Tensor, length: int, clusters: Tensor | None) -> dict[str, Any]:
    """Mean and errors of differences [n, replicates] in nats per token; documents of a cluster may vary together."""
    return asdict(mean_nats({"difference": differences}, length, clusters))


def _scaled(row: dict[str, Any], metric: str, factor: float) -> dict[str, Any]:
    """A row of nats per token in another unit."""
    numbers = ("value", "standard_error", "monte_carlo_error", "clustered_error", "clustered_noise")
    return row | {name: row[name] * factor for name in numbers if name in row} | {"metric": metric}


def _absent(cell: Any, known: bool) -> str:
    return f'base "{cell["base"]}" has no seed {cell["seed"]}' if known else f'no arm is called "{cell["base"]}"'


def _measured(runs: Path, cell: Any) -> Measured | str:
    """The bound of a cell document by document; where it has none, why."""
    folder, title = runs / "cells" / cell["id"], f"{cell['arm']}, seed {cell['seed']}"
    states = [(stage, *record.status(folder, stage["folder"])) for stage in cell["stages"]]
    bounds = [place for place, (stage, *_) in enumerate(states) if stage["name"] == "bound"]
    if not bounds:
        return f"no bound is measured of {title}"
    stage, state, reason = states[bounds[0]]
    if state == "done":
        return _read(folder / stage["folder"], cell)
    for stage, state, reason in states[: bounds[0] + 1]:
        if state == "failed":
            return f"{stage['name']} of {title} failed: {reason}"
    return f"bound of {title} is {state}"


def _read(folder: Path, cell: Any) -> Measured:
    """What a stage `bound` left behind."""
    path, result = folder / "sequences.npz", record.read_json(folder / "result.json")
    try:
        with np.load(path, allow_pickle=False) as parts:
            nats = torch.from_numpy(sum(parts[name].astype(np.float64) for name in parts.files if name in PARTS))
    except (OSError, ValueError, TypeError, BadZipFile) as error:
        raise record.BrokenRecord(f"{path} cannot be read ({error}); remove {folder} and run the suite again") from None
    block, data = result["block"], cell["science"]["data"]
    setting = {
        "data": data["fingerprint"],
        "tokens a document": data["length"],
        "split": block["split"],
        "documents": len(nats),
        "draws": block["draws"],
        "replicates": block["replicates"],
        "noise": block["seed"],
        "precision": result["environment"]["precision"],
    }
    estimator, clusters = result["protocol"].split(";")[0], clusters_of(data["source"], len(nats))
    return Measured(cell["id"], nats, data["length"], setting, estimator, clusters)


def beside_headline(runs: Path, cell: Any, stage: Any) -> Estimate | None:
    """A stage `estimate` minus the stage `bound` of the same cell, in nats per token, on the documents of both; None
    where the latter is not there or has another split. Raises BrokenRecord.

    Draws that share nothing but the documents leave the noise of both in the difference.
    """
    headline = next(each for each in cell["stages"] if each["name"] == "bound")
    folder = runs / "cells" / cell["id"]
    if record.status(folder, headline["folder"])[0] != "done":
        return None
    one, other = (_read(folder / each["folder"], cell) for each in (stage, headline))
    if one.setting["split"] != other.setting["split"]:
        return None
    documents = min(len(one.nats), len(other.nats))
    own, its = one.nats[:documents], other.nats[:documents]
    clusters = clusters_of(cell["science"]["data"]["source"], documents)
    if own.shape == its.shape:
        return mean_nats({"difference": own - its}, one.length, clusters)
    found = mean_nats({"difference": (own.mean(1) - its.mean(1))[:, None]}, one.length, clusters)
    noise = [mean_nats({"nats": nats}, one.length).monte_carlo_error for nats in (own, its)]
    return replace(found, monte_carlo_error=math.hypot(*noise))


def tell_apart(cell: Any, stage: Any) -> str:
    """What else sets an estimate of the bound apart from others of its cell, in words."""
    blocks = [each["block"] for each in cell["stages"] if each["name"] in ("bound", "estimate")]
    words = {
        "replicates": " x {} replicates",
        "seed": ", noise seed {}",
        "split": ", {} split",
        "sequences": ", {} sequences",
    }
    told = [(said, name) for name, said in words.items() if len({block.get(name) for block in blocks}) > 1]
    values = [(said, stage["block"][name]) for said, name in told]
    return "".join(said.format("all" if value is None else value) for said, value in values)


def _why_not(one: Measured | str, other: Measured | str, base: str) -> str:
    """Why two cannot be paired; "" where they can."""
    if isinstance(one, str) or isinstance(other, str):
        return "; ".join(each for each in (one, other) if isinstance(each, str))
    pairs = [(name, value, other.setting[name]) for name, value in one.setting.items()]
    return "; ".join(f"{name} {own}, but {its} of base {base}" for name, own, its in pairs if own != its)
