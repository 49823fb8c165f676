"""What paired differences say of each arm: its interval, whether it is better or worse than its base, and its place."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.results.statistics.significance import (
    LEVEL,
    Source,
    detectable,
    half_width,
    holm,
    interval_p,
    is_reachable,
    join,
    rank,
    say_reach,
    sign_flip,
    standard_error,
)

NAN = float("nan")
DELTAS = {  # of the differences of arms, a row for each arm; as above
    "arm": "",
    "method": "",
    "base": "",
    "metric": "",
    "value": NAN,
    "low": NAN,  # the ends of the 95 % interval
    "high": NAN,
    "seeds": 0,  # that are paired, of those planned for the arm
    "planned": 0,
    "documents": 0,
    "clusters": 0,  # of documents that may vary together; as many as documents where these are independent
    "seeds_error": NAN,  # one standard error over the paired seeds
    "documents_error": NAN,  # one over the documents, of the mean over the seeds
    "monte_carlo_error": NAN,  # of it what the noise alone adds
    "p": NAN,  # of the exact sign-flip test over the paired seeds
    "p_holm": NAN,  # corrected for being one of several arms
    "reach": "",  # why p < 0.05 cannot be
    "p_interval": NAN,  # the level at which the interval just reaches zero
    "p_interval_holm": NAN,  # corrected for being one of several arms
    "detectable": NAN,
    "rank_best": pd.NA,
    "rank_worst": pd.NA,
    "verdict": "",
    "unlike": "",
    "reason": "",  # why some seed, or all of them, are not paired
}
WORSE, BETTER, TIED, SAME = "worse", "better", "not told apart", "same training"


def summarise(pairs: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row for each arm with its difference in one metric over all paired seeds, in the order of the bases: see
    `judge`."""
    rows = judge(pairs[pairs["metric"] == metric].to_dict("records"))
    found = pd.DataFrame([{**DELTAS, **row} for row in rows], columns=list(DELTAS))
    return found.astype({"rank_best": "Int64", "rank_worst": "Int64"})


def judge(pairs: Sequence[dict[Any, Any]]) -> list[dict[str, Any]]:
    """What the pairs of one metric say of each arm.

    The 95 % interval `low`..`high` is Student's over the paired seeds, joined with that over the documents, which the
    seeds share; of a single seed it is over documents alone. An arm is worse or better where its interval leaves out
    zero after Holm's correction over all arms and, where the sign-flip test over the seeds can fall below 0.05, its p
    after Holm's correction does: where no arm differs, at most one table in twenty has a verdict. Both are asked for,
    since with few seeds Student's interval alone is wrong too often where differences are far from normal. `detectable`
    is the true difference that gets a verdict in 80 % of experiments. `rank_best` and `rank_worst` are places among the
    arms of one base and the base itself, all of which hold at once in 95 % of tables.
    """
    groups: dict[str, dict[str, list[dict[Any, Any]]]] = {}
    for row in pairs:
        groups.setdefault(row["base"], {}).setdefault(row["arm"], []).append(row)
    found = {base: [_summary(rows) for rows in arms.values()] for base, arms in groups.items()}
    together = [row for rows in found.values() for row in rows]
    _correct(together)
    for rows in found.values():
        _place([row for row in rows if row["seeds"]])
    return together


def _summary(rows: Sequence[dict[Any, Any]]) -> dict[str, Any]:
    """The difference of one arm over its paired seeds, not yet one of several arms."""
    there = [row for row in rows if not math.isnan(row["value"])]
    common = {name: rows[0][name] for name in ("arm", "method", "base", "metric")}
    common |= {"planned": len(rows), "seeds": len(there), "p": NAN, "p_interval": NAN}
    common["reason"] = "; ".join(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
    if not there:
        return common
    values = [row["value"] for row in there]
    first, mean, is_same = there[0], float(np.mean(values)), all(row["is_same"] for row in there)
    documents = min(row["n"] for row in there)
    found = {
        **common,
        "value": mean,
        "documents": documents,
        "clusters": first["clusters"] or documents,
        "seeds_error": standard_error(values),
        "documents_error": first["clustered_error"],
        "monte_carlo_error": first["clustered_noise"],
        "p": sign_flip(values) if len(values) > 1 and not is_same else NAN,
        "reach": say_reach(len(values)),
        "verdict": SAME if is_same else TIED,
        "unlike": "; or ".join(dict.fromkeys(row["unlike"] for row in there if row["unlike"])),
    }
    half = _half(found, LEVEL)
    p = NAN if is_same else interval_p(mean, _sources(found))
    return found | {"low": mean - half, "high": mean + half, "p_interval": p}


def _sources(row: dict[str, Any]) -> list[Source]:
    """The sources of chance of a difference that can be told anything about: seeds and documents."""
    sources = [(row["seeds_error"], row["seeds"]), (row["documents_error"], row["clusters"])]
    return [source for source in sources if source[1] > 1]


def _half(row: dict[str, Any], level: float) -> float:
    """Half of the interval of a difference; nan where there is none."""
    return join([half_width(*source, level) for source in _sources(row)])


def _correct(rows: Sequence[dict[str, Any]]) -> None:
    """Gives each arm its verdict as one of several, and the effect that such a verdict would have found."""
    flipped, tested = ([row for row in rows if not math.isnan(row[name])] for name in ("p", "p_interval"))
    for row, p in zip(flipped, holm([row["p"] for row in flipped]), strict=True):
        row |= {"p_holm": p, "reach": say_reach(row["seeds"], len(flipped))}
    for row, p in zip(tested, holm([row["p_interval"] for row in tested]), strict=True):
        can = row["seeds"] > 1 and is_reachable(row["seeds"], len(flipped))
        level = LEVEL / (len(flipped) if can else len(tested))
        sizes = [detectable(*source, level, flipped=can and place == 0) for place, source in enumerate(_sources(row))]
        row |= {"p_interval_holm": p, "detectable": join(sizes)}
        if p < LEVEL and not (can and row["p_holm"] >= LEVEL):
            row["verdict"] = WORSE if row["value"] > 0 else BETTER


def _place(rows: Sequence[dict[str, Any]]) -> None:
    """Gives the arms of one base their places among each other and the base, whose difference is zero for sure, from
    intervals that all hold at once (Bonferroni's correction)."""
    halves = [_half(row, LEVEL / len(rows)) for row in rows]
    lows = [row["value"] - half for row, half in zip(rows, halves, strict=True)]
    highs = [row["value"] + half for row, half in zip(rows, halves, strict=True)]
    for row, (best, worst) in zip(rows, rank([0.0, *lows], [0.0, *highs])[1:], strict=True):
        row |= {"rank_best": best, "rank_worst": worst}
