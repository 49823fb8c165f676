"""Paired differences of arms from their base, document by document; `significance_tests` tests them.

Both are evaluated on the same documents with the same noise draws, so the variance that they share cancels. A
difference is the arm's bound minus the base's; below zero the arm is better.
"""

import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from bench.engine.likelihood.bound import PARTS
from bench.engine.likelihood.metrics import mean_nats
from bench.engine.likelihood.standard_error import Estimate, clusters_of
from bench.engine.record_files import BrokenRecord, broken, read_bytes
from bench.engine.records import BoundResult, Stage
from bench.results.execution_settings import SettingsMade, describe_mix, find_varying, read_foundations
from bench.results.recorded_cell import RecordedCell

log = logging.getLogger(__name__)

NAN = math.nan
COLUMNS = {  # of the pairs, one row per arm, seed and metric, with default values
    "arm": "",
    "method": "",
    "base": "",
    "seed": 0,
    "metric": "",
    "value": NAN,  # the arm minus its base
    "standard_error": NAN,  # over documents, Monte Carlo noise included
    "monte_carlo_error": NAN,
    "n": 0,  # documents
    "clusters": 0,  # runs of neighbouring documents that may vary together; 0 if documents are independent
    "clustered_error": NAN,  # over documents, of the mean over all paired seeds of the arm, which share them
    "clustered_noise": NAN,  # the Monte Carlo error of that mean
    "unlike": "",  # the two estimators if they differ: the noise is not shared then
    "mix": "",  # how the arm and its base were made, if they differ in precision, device or the like
    "is_same": False,  # arm and base are one cell under two labels
    "reason": "",  # why there is no difference
}

OTHER_NOISE = "; noise is not shared between devices"

Row = dict[str, Any]  # by column


@dataclass(frozen=True)
class MeasuredBound:
    """The bound of one cell, document by document, and the settings that two cells must share to be subtracted."""

    folder: Path  # of the cell; equal ids in other folders of results are other cells
    nats: Tensor  # per document [n, replicates], summed over the parts of the bound
    length: int  # tokens of a document
    setting: dict[str, Any]
    estimator: str
    clusters: Tensor | None  # which documents may vary together
    settings: SettingsMade  # how the cell was trained and its bound evaluated


def pair(cells: Sequence[RecordedCell], level: str) -> pd.DataFrame:
    """The paired differences of every arm that has a base, in the unit of the score and in nats per token.

    There is a row for each seed that was planned; if two cells cannot be paired it gives the reason. `level` is that of
    the tokens.
    """
    by_arm: dict[str, list[RecordedCell]] = {}
    for cell in cells:
        if cell.stored.base not in (None, "", cell.arm):
            by_arm.setdefault(cell.arm, []).append(cell)

    score = "bits_per_byte" if level == "byte" else "bits_per_char"
    by_seed = {(cell.arm, cell.seed): cell for cell in cells}
    rows = [row for seeds in by_arm.values() for row in _pair_arm(seeds, by_seed, score)]
    return pd.DataFrame([{**COLUMNS, **row} for row in rows], columns=list(COLUMNS))


def _pair_arm(seeds: Sequence[RecordedCell], cells: dict[tuple[str, int], RecordedCell], score: str) -> list[Row]:
    """The rows of one arm. A token is a character, or a byte if the score is in bytes, so one factor converts."""
    rows: list[Row] = []
    differences: list[Tensor] = []
    length, clusters = 0, None
    for cell in seeds:
        row, difference, measured = _pair_seed(cell, cells)
        rows.append(row)
        if difference is not None and measured is not None:
            differences.append(difference)
            length, clusters = measured.length, measured.clusters

    if differences:
        pooled = average(torch.stack(differences).mean(0), length, clusters)
        errors = {"clustered_error": pooled["standard_error"], "clustered_noise": pooled["monte_carlo_error"]}
        rows = [row if row.get("reason") else row | errors for row in rows]
    units = {score: 1 / math.log(2), "nats_per_token": 1.0}
    return [_scale(row, metric, factor) for metric, factor in units.items() for row in rows]


def _pair_seed(
    cell: RecordedCell, cells: dict[tuple[str, int], RecordedCell]
) -> tuple[Row, Tensor | None, MeasuredBound | None]:
    """The row of one seed, with the differences of its documents [n, replicates] if it is paired."""
    label = cell.stored.base or ""
    row = {"arm": cell.arm, "method": cell.method, "base": label, "seed": cell.seed}
    base = cells.get((label, cell.seed))
    arm_bound = measure(cell)
    base_bound = measure(base) if base else _absent(label, cell.seed, cells)
    reason = refusal(arm_bound, base_bound, label)
    if reason or not (isinstance(arm_bound, MeasuredBound) and isinstance(base_bound, MeasuredBound)):
        return {**row, "reason": f"not paired: {reason}"}, None, None

    difference = arm_bound.nats - base_bound.nats
    unlike = f"{arm_bound.estimator}; of the base: {base_bound.estimator}"
    row |= {
        **average(difference, arm_bound.length, arm_bound.clusters),
        "unlike": unlike if arm_bound.estimator != base_bound.estimator else "",
        "mix": _describe_mix(arm_bound.settings, base_bound.settings),
        "is_same": arm_bound.folder == base_bound.folder,
    }
    return row, difference, arm_bound


def _describe_mix(arm: SettingsMade, base: SettingsMade) -> str:
    """How an arm and its base were made, if they differ; "" if they do not."""
    of_arm, of_base = describe_mix([arm, base])
    if not of_arm and not of_base:
        return ""
    has_other_device = "device" in find_varying([arm, base])
    return f"made {of_arm}; the base {of_base}" + (OTHER_NOISE if has_other_device else "")


def average(differences: Tensor, length: int, clusters: Tensor | None) -> Row:
    """Mean and errors of differences [n, replicates] in nats per token; documents of a cluster may vary together."""
    return asdict(mean_nats({"difference": differences}, length, clusters))


def _scale(row: Row, metric: str, factor: float) -> Row:
    """A row of nats per token in another unit."""
    numbers = ("value", "standard_error", "monte_carlo_error", "clustered_error", "clustered_noise")
    return row | {name: row[name] * factor for name in numbers if name in row} | {"metric": metric}


def _absent(base: str, seed: int, cells: dict[tuple[str, int], RecordedCell]) -> str:
    is_known = any(arm == base for arm, _ in cells)
    return f'base "{base}" has no seed {seed}' if is_known else f'no arm is called "{base}"'


def measure(cell: RecordedCell) -> MeasuredBound | str:
    """The bound of a cell, document by document, or the reason why there is none."""
    title = f"{cell.arm}, seed {cell.seed}"
    headline = next((stage for stage in cell.stages if stage.name == "bound"), None)
    if headline is None:
        return f"no bound is measured of {title}"

    state, _ = cell.status(headline)
    if state == "done":
        try:
            return read_bound(cell, headline)
        except BrokenRecord as error:
            return f"bound of {title} failed: {error.reason}"
    for stage in cell.stages[: cell.stages.index(headline) + 1]:
        stage_state, reason = cell.status(stage)
        if stage_state == "failed":
            return f"{stage.name} of {title} failed: {reason}"
    return f"bound of {title} is {state}"


def read_bound(cell: RecordedCell, stage: Stage) -> MeasuredBound:
    """Read the bound that a stage recorded. Raises BrokenRecord."""
    path, result = cell.folder / stage.folder / "sequences.npz", cell.result(stage)
    assert isinstance(result, BoundResult)
    nats = _read_nats(path)
    settings, data = result.settings, cell.stored.science["data"]
    setting = {
        "data": data["fingerprint"],
        "tokens per document": data["length"],
        "split": settings["split"],
        "documents": len(nats),
        "draws": settings["draws"],
        "replicates": settings["replicates"],
        "noise seed": settings["seed"],
    }
    return MeasuredBound(
        folder=cell.folder,
        nats=nats,
        length=data["length"],
        setting=setting,
        estimator=result.protocol.split(";")[0],
        clusters=clusters_of(data["source"], len(nats)),
        settings=read_foundations(cell.folder, stage),
    )


def _read_nats(path: Path) -> Tensor:
    """The sum of the parts of a bound [n, replicates]. Raises BrokenRecord."""
    try:
        with np.load(BytesIO(read_bytes(path)), allow_pickle=False) as parts:
            return torch.from_numpy(sum(parts[name].astype(np.float64) for name in parts.files if name in PARTS))
    except BrokenRecord:
        raise
    except (OSError, ValueError, TypeError, EOFError, BadZipFile, zlib.error) as error:
        raise broken(path, f"cannot be read ({error})") from None


def minus_headline(cell: RecordedCell, stage: Stage) -> Estimate | None:
    """A stage `estimate` minus the stage `bound` of the same cell, in nats per token, on the documents of both.

    None if one of them has no readable result or is of another split. Draws that share nothing but the documents leave
    the noise of both in the difference.
    """
    headline = next(sibling for sibling in cell.stages if sibling.name == "bound")
    if cell.status(headline)[0] != "done":
        return None
    try:
        estimate, bound = read_bound(cell, stage), read_bound(cell, headline)
    except BrokenRecord as error:
        log.warning("%s, seed %d: not compared with the headline bound: %s", cell.arm, cell.seed, error)
        return None
    if estimate.setting["split"] != bound.setting["split"]:
        return None

    documents = min(len(estimate.nats), len(bound.nats))
    minuend, subtrahend = estimate.nats[:documents], bound.nats[:documents]
    clusters = clusters_of(cell.stored.science["data"]["source"], documents)
    if minuend.shape == subtrahend.shape:
        return mean_nats({"difference": minuend - subtrahend}, estimate.length, clusters)

    difference = (minuend.mean(1) - subtrahend.mean(1))[:, None]
    mean = mean_nats({"difference": difference}, estimate.length, clusters)
    noise = [mean_nats({"nats": nats}, estimate.length).monte_carlo_error for nats in (minuend, subtrahend)]
    return replace(mean, monte_carlo_error=math.hypot(*noise))


def describe_difference(cell: RecordedCell, stage: Stage) -> str:
    """The settings in which an estimate of the bound differs from others of its cell, as text."""
    settings = [sibling.settings for sibling in cell.stages if sibling.name in ("bound", "estimate")]
    words = {
        "replicates": " x {} replicates",
        "seed": ", noise seed {}",
        "split": ", {} split",
        "sequences": ", {} sequences",
    }
    parts = []
    for name, template in words.items():
        if len({values.get(name) for values in settings}) > 1:
            value = stage.settings[name]
            parts.append(template.format("all" if value is None else value))
    return "".join(parts)


def refusal(arm: MeasuredBound | str, base: MeasuredBound | str, label: str) -> str:
    """Why two bounds cannot be paired; "" if they can. `label` is that of the base."""
    if isinstance(arm, str) or isinstance(base, str):
        return "; ".join(reason for reason in (arm, base) if isinstance(reason, str))
    reasons = [
        f"{name} {value}, but base {label} has {base.setting[name]}"
        for name, value in arm.setting.items()
        if value != base.setting[name]
    ]
    return "; ".join(reasons)
