"""From the folders of cells to one tidy table, a row for each cell, metric and point, failed ones included, and to all
else that reports are made from."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.engine import storage as record
from bench.results.certification import collect
from bench.results.statistics.paired import COLUMNS as PAIRED
from bench.results.statistics.paired import pair
from bench.results.tidy_table import COLUMNS, make_rows

LEARNED = ("arm", "method", "seed", "metric", "token", "value")  # the columns of what was learned for each token
PROFILE = (  # the columns of the density of the integral, in nats per token, between two edges of t or of the share k/L
    "arm",
    "method",
    "seed",
    "along",  # "t" or "masked"
    "low",
    "high",
    "value",
    "standard_error",
    "n",
    "clusters",
)


@dataclass(frozen=True)
class Record:
    """All that a report is made from."""

    suite: str
    question: str
    source: str  # the suite's YAML
    table: pd.DataFrame
    samples: dict[str, list[str]]  # arm -> texts of its first seed and way; then the controls
    data: dict[str, Any]  # the facts of the data
    environment: list[dict[str, str]]  # the distinct ones of all cells
    state: str  # "complete" or "incomplete"
    trajectories: list[dict[str, Any]] = field(default_factory=list)  # texts with all that each call was shown
    learned: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LEARNED))  # numbers of single tokens
    pairs: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(PAIRED)))  # arms against their bases
    certificates: list[dict[str, Any]] = field(
        default_factory=list
    )  # of the arms' bounds: see bench.results.certification
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # arm -> those of its method that the suite gives
    asked: str = ""  # the words that name the suite on the command line
    tuning: dict[str, Any] = field(
        default_factory=dict
    )  # see bench.suite.tuning.lock_file.Lock.told; empty where none was
    profiles: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PROFILE))  # where bounds spend nats


class NoRecord(ValueError):
    """There is nothing recorded under that name."""


def load(runs: Path | str) -> pd.DataFrame:
    """The tidy table of every suite under `runs`; raises NoRecord where there is none."""
    names = sorted(path.stem for path in (Path(runs) / "suites").glob("*.json"))
    if not names:
        raise NoRecord(f'no suite was run under "{runs}"; run one with: bench run suites/quickstart.yaml')
    return pd.concat([read(Path(runs), name).table for name in names], ignore_index=True)


def read(runs: Path, suite: str, only: str | None = None) -> Record:
    """What is recorded of one suite, or of one cell of it; raises NoRecord when it was never run."""
    plan = record.read_json(runs / "suites" / f"{suite}.json")
    if plan is None:
        raise NoRecord(f'suite "{suite}" was never run under "{runs}"; run it first, with bench run')
    rows: list[dict[str, Any]] = []
    samples: dict[str, list[str]] = {}
    learned: list[dict[str, Any]] = []
    profiles: list[dict[str, Any]] = []
    environments: list[dict[str, str]] = []
    trajectories: list[dict[str, Any]] = []
    compared: dict[str, list[str]] = {}
    for cell in (cell for cell in plan["cells"] if only in (None, cell["id"])):
        for stage in cell["stages"]:
            result = record.read_json(runs / "cells" / cell["id"] / stage["folder"] / "result.json")
            rows += make_rows(runs, plan, cell, stage, result)
            ran = {name: value for name, value in result["environment"].items() if name != "code"} if result else None
            if ran and ran not in environments:  # the code differs from method to method; what it changes is stale
                environments.append(ran)
            if result and stage["name"] == "samples":
                samples.setdefault(cell["arm"], result["texts"])
            if result and stage["name"] == "controls":
                compared |= {name: found["texts"] for name, found in result["controls"].items()} | compared
            if result and stage["name"] == "trajectories":
                _keep(trajectories, _trajectory(cell, result))
            if result and stage["name"] == "train":
                learned += _of_tokens(cell, result)
            if result and stage["name"] == "bound":
                profiles += _of_bins(cell, result)
    table = pd.DataFrame([{**COLUMNS, **row} for row in rows], columns=list(COLUMNS))
    state = "complete" if table["status"].isin(["done", "stale"]).all() else "incomplete"
    found = pd.DataFrame(learned, columns=LEARNED)
    samples = samples | {name: texts for name, texts in compared.items() if name not in samples}
    said = (suite, plan["question"], plan["source"], table, samples, plan["facts"], environments, state)
    options = {cell["arm"]: cell.get("options", {}) for cell in plan["cells"] if cell.get("role", "arm") == "arm"}
    asked, tuning, spent = plan.get("asked", ""), plan.get("tuning") or {}, pd.DataFrame(profiles, columns=PROFILE)
    whole = Record(*said, trajectories, found, options=options, asked=asked, tuning=tuning, profiles=spent)
    return whole if only else replace(whole, pairs=pair(runs, plan), certificates=collect(runs, plan))


def _keep(trajectories: list[dict[str, Any]], new: dict[str, Any]) -> None:
    """Of each arm and way those of the first seed."""
    if all((each["arm"], each["way"]) != (new["arm"], new["way"]) for each in trajectories):
        trajectories.append(new)


def _trajectory(cell: Any, result: Any) -> dict[str, Any]:
    """What a report needs to show how texts of an arm came about."""
    told = {"way": result["how"], "policy": result["family"]}
    kept = {name: result[name] for name in ("grid", "network_calls", "symbols", "texts", "finals")}
    return {"arm": cell["arm"], "method": cell["method"], "seed": cell["seed"], **told, **kept}


def _of_tokens(cell: Any, result: Any) -> list[dict[str, Any]]:
    """What the method of a cell has learned for each token, in the order of the ids."""
    common = {name: cell[name] for name in ("arm", "method", "seed")}
    return [
        {**common, "metric": name, "token": token, "value": value}
        for name, values in result.get("learned", {}).items()
        if isinstance(values, dict)
        for token, value in values.items()
    ]


def _of_bins(cell: Any, result: Any) -> list[dict[str, Any]]:
    """The density of the integral of a bound, a row a bin; none where it was not recorded."""
    found = result.get("profile")
    if not found:
        return []
    common = {name: cell[name] for name in ("arm", "method", "seed")}
    common |= {name: found[name] for name in ("along", "n", "clusters")}
    bins = zip(found["edges"], found["edges"][1:], found["value"], found["standard_error"], strict=False)
    return [
        {**common, "low": low, "high": high, "value": value, "standard_error": float("nan") if error is None else error}
        for low, high, value, error in bins
    ]
