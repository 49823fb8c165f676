"""The rows of the tidy table: one for each measurement of a stage, or one that says why there are none.

Numbers that a method has learned are metrics of training. Where it learned one for each token, these are `power[a]` and
so on in vocabularies of at most 256 tokens, and `power_min`, `power_mean` and `power_max` in larger ones, whose single
numbers are in train/result.json and in `Record.learned`. Stage `bound` is the bound that counts; where a suite asks for
other estimates of it, each is a stage `estimate`, told apart by its way. `integral[...]` are addends of the integral.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from bench.certify.certificate_files import holds
from bench.engine import storage as record
from bench.engine.code_hash import code_fingerprint, with_stage
from bench.engine.likelihood.estimators import estimator_for
from bench.engine.model.method_instances import method_instance
from bench.engine.quality.settings import ORDERS
from bench.engine.sample.settings import SamplesSpec
from bench.results.certification import files_of, subject_of
from bench.results.statistics.paired import beside_headline, tell_apart
from methods import METHODS

UNITS = {
    "nats_per_token": "nats/token",
    "bits_per_char": "bits/char",
    "bits_per_byte": "bits/byte",
    "perplexity": "per token",
    "flops": "FLOPs",
    "prior_gap": "nats/token",
    "integral": "nats/token",
    "last_guess": "nats/token",
    "estimator_sd": "nats/token",
    "minus_headline": "nats/token",
    "source_nats_per_token": "nats/token",
    "sample_nats_per_token": "nats/token",
    "seconds": "s",
    "seconds_per_sequence": "s",
    "tokens_per_second": "tokens/s",
    "peak_memory_bytes": "bytes",
    "gen_ppl": "per token of the scorer",
    "gen_ppl_mean": "per token of the scorer",
    "unigram_entropy": "nats",
    "longest_repeat": "tokens",
    **{f"js_{order}": "bits" for order in ORDERS},
}
SCALARS = {
    "train": (
        "seconds",
        "tokens_per_second",
        "peak_memory_bytes",
        "epochs",
        "steps",
        "flops",
        "parameters",
        "parameters_non_embedding",
        "parameters_method",
    ),
    "bound": ("seconds", "network_calls"),
    "estimate": ("seconds", "network_calls"),
    "samples": ("network_calls", "seconds_per_sequence", "tokens_per_second", "cut_off_share"),
    "trajectories": ("network_calls",),
    "quality": (),
}
COLUMNS = {  # of the tidy table, with the value of a row that says nothing about it
    "suite": "",
    "arm": "",
    "method": "",
    "cell": "",
    "seed": 0,
    "data": "",
    "network": "",
    "stage": "",
    "status": "",
    "reason": "",
    "metric": "",
    "unit": "",
    "split": "",
    "tokens": 0,  # seen in training when the value was measured
    "value": float("nan"),
    "standard_error": float("nan"),
    "monte_carlo_error": float("nan"),
    "n": 0,  # documents
    "clusters": 0,  # of documents that may vary together; 0 where each varies by itself
    "kind": "",  # "exact", "certified" (a bound with a certificate) or "bound"
    "protocol": "",
    "role": "arm",  # or "scorer", which judges texts, or "control": texts that no arm has written
    "way": "",  # how texts were drawn, or how the bound was estimated, in words
    "policy": "",  # the same without the number of calls and the temperature
    "temperature": float("nan"),
    "texts": "",  # how many and of how many tokens they were asked for: "100 x 128"
    "seconds": float("nan"),  # of training when the value was measured, where that was along a curve
}

LISTED = 256  # the largest vocabulary whose tokens have rows of their own in the tidy table


def make_rows(runs: Path, plan: Any, cell: Any, stage: Any, result: Any) -> list[dict[str, Any]]:
    """The rows of one stage: its measurements, or one row that says why there are none."""
    common = {
        "suite": plan["suite"],
        "arm": cell["arm"],
        "method": cell["method"],
        "cell": cell["id"],
        "seed": cell["seed"],
        "data": plan["facts"]["source"],
        "network": cell.get("network", plan["network"]),
        "stage": "quality" if stage["name"] == "controls" else stage["name"],
        "tokens": cell["tokens"],
        "role": cell.get("role", "arm"),
        **_how(cell, stage, plan["facts"]),
    }
    if result is None:
        status, reason = _why_missing(runs / "cells" / cell["id"], cell["stages"], stage)
        return [{**common, "status": status, "reason": reason}]
    stale = result["environment"]["code"] != code_fingerprint(with_stage(files_of(cell), stage["name"]))
    reason = f"made by other code; remove cells/{cell['id']}/{stage['folder']} of the results to make it again"
    common |= {"status": "stale", "reason": reason} if stale else {"status": "done", "reason": ""}
    if stage["name"] == "controls":
        return [row for name, each in result["controls"].items() for row in _control(common | {"arm": name}, each)]
    there = [name for name in SCALARS[stage["name"]] if result.get(name) is not None]
    found = [{"metric": name, "value": float(result[name])} for name in there]
    common |= {"way": f"{result['estimator']}{tell_apart(cell, stage)}"} if "estimator" in result else {}
    found += _learned(result) + _measured(result, _kind(runs, cell, result, stale)) + _curve(result)
    apart = beside_headline(runs, cell, stage) if stage["name"] == "estimate" else None
    if apart is not None:
        found.append({"metric": "minus_headline", "protocol": result["protocol"], **_errors(vars(apart))})
    return [{**common, "unit": UNITS.get(str(row["metric"]).partition("[")[0], ""), **row} for row in found]


def _control(common: dict[str, Any], found: Any) -> list[dict[str, Any]]:
    """The rows of one kind of control texts."""
    rows = _measured(found, "exact")
    return [{**common, "unit": UNITS.get(row["metric"], ""), **row} for row in rows]


def _how(cell: Any, stage: Any, facts: Any) -> dict[str, Any]:
    """How texts or a bound were drawn, or are to be drawn, in words, where a stage is about these."""
    block = {"samples": stage["block"], "trajectories": stage["block"], "quality": stage["block"].get("way")}
    if stage["name"] in ("bound", "estimate"):
        return {"way": _say_bound(cell, stage["block"], facts) + tell_apart(cell, stage)}
    if stage["name"] == "controls":
        return {"texts": f"{stage['block']['count']} x {stage['block']['length']}"}
    asked = block.get(stage["name"])
    if asked is None:
        return {}
    spec = SamplesSpec.model_validate(asked)
    told = spec.describe(cell["method"] in METHODS and METHODS[cell["method"]].needs.causal)
    words = {"way": told["how"], "policy": told["family"], "temperature": told["temperature"]}
    words["texts"] = f"{spec.count} x {spec.length or facts['length']}"
    return words | ({"protocol": told["how"]} if stage["name"] == "samples" else {})


def _say_bound(cell: Any, asked: Any, facts: Any) -> str:
    """How a bound is to be estimated, in the words of its result, so that lost seeds stand in the row of the others;
    in those of the suite where the method is of a plug-in that is not loaded."""
    if "estimator" not in asked:
        return ""
    if cell["method"] not in METHODS:
        return f"{asked['estimator']}, {asked['draws']} draws"
    method = method_instance(cell["method"], facts["vocab_size"], cell.get("options", {}))
    return estimator_for(method, asked["estimator"]).describe(asked["draws"])


def _learned(result: Any) -> list[dict[str, Any]]:
    """What the method has learned; of a large vocabulary the least, the mean and the largest number."""
    rows: list[dict[str, Any]] = []
    for name, value in result.get("learned", {}).items():
        if not isinstance(value, dict):
            rows.append({"metric": name, "value": value})
        elif len(value) <= LISTED:
            rows += [{"metric": f"{name}[{token}]", "value": number} for token, number in value.items()]
        else:
            of_all = pd.Series(value).agg(["min", "mean", "max"])
            rows += [{"metric": f"{name}_{which}", "value": number} for which, number in of_all.items()]
    return rows


def _why_missing(folder: Path, stages: list[Any], stage: Any) -> tuple[str, str]:
    """Its own state, or that of the first stage before it that failed."""
    for earlier in stages[: stages.index(stage)]:
        status, reason = record.status(folder, earlier["folder"])
        if status == "failed":
            return "failed", f"{earlier['name']} failed: {reason}"
    return record.status(folder, stage["folder"])


def _kind(runs: Path, cell: Any, result: Any, stale: bool) -> str:
    """What a number claims to be: a bound is certified if it was made by the code that its certificate was made by."""
    kind, precision = result.get("kind", ""), result["environment"].get("precision", "")
    certified = kind == "bound" and not stale and holds(subject_of(cell, precision), runs)
    return "certified" if certified else str(kind)


def _measured(result: Any, kind: str) -> list[dict[str, Any]]:
    """The bound in every unit, and the source's own cost of the same sequences where its law is known."""
    measured = dict(result.get("measures", {}))
    common = {"split": result.get("split", ""), "kind": kind, "protocol": result.get("protocol", "")}
    rows = [{"metric": name, **_errors(found), **common} for name, found in measured.items()]
    if result.get("source_nats"):
        rows.append({**common, "metric": "source_nats_per_token", **_errors(result["source_nats"]), "kind": "exact"})
    if result.get("sample_nats"):
        rows.append({"metric": "sample_nats_per_token", **_errors(result["sample_nats"]), "kind": "exact"})
    return rows


def _curve(result: Any) -> list[dict[str, Any]]:
    """Training and validation along the tokens seen, and the seconds that these took."""
    return [
        {
            "metric": "nats_per_token",
            "split": split,
            "tokens": point["tokens"],
            "seconds": point.get("seconds", float("nan")),
            **_errors(point),
        }
        for split, points in result.get("curve", {}).items()
        for point in points
    ]


def _errors(found: Any) -> dict[str, Any]:
    errors = {name: found.get(name) for name in ("value", "standard_error", "monte_carlo_error")}
    return {name: float("nan") if value is None else value for name, value in errors.items()} | {
        name: found.get(name, 0) for name in ("n", "clusters")
    }
