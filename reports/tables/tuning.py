"""The table of tuning: what it tried, what it found and what it cost beside training."""

import math
from typing import Any

import pandas as pd

from bench.engine.metric import METRICS
from bench.results.statistics.pooled import PooledEstimate
from bench.results.suite_record import Record
from bench.suite.tuning.lock_file import format_values
from reports.tables.arms import split_arms, warn_incomplete
from reports.tables.numbers import format_compact, format_flops, format_plain, format_with_error
from reports.tables.table import MISSING, Column, Entry, Table, make_row, number_entry, pool_arm

NOTES = {
    "how": "Every arm had {trials} trials of {budget}, drawn by {sampler} and scored on the {split} split with seed"
    " {seeds}; one that failed was not replaced. What is reported has another split and other seeds",
    "winner": "The winner's score is the lowest of several noisy ones and thereby too low: it is no result. ± as in the"
    " main table; the spread is one standard deviation over the trials that did not fail",
    "seconds": "Seconds and FLOPs of tuning hold training and scoring of the trials; those of training all seeds."
    " A trial that failed counts with its whole budget, and its seconds are not recorded",
    "best": "The expected best of k trials takes them in any order, and one that failed as the worst of the others",
    "tpe": "; under tpe each goes by the scores before it, so that k trials alone would be expected to do worse",
    "untuned": "{arm} was not tuned: {reason}",
}


def winner_entry(tuned: Any) -> Entry:
    """The winner's score on the split of tuning."""
    if tuned["score"] is None:
        return Entry("every trial failed")
    error = math.nan if tuned["standard_error"] is None else tuned["standard_error"]
    number = PooledEstimate(tuned["score"], error)
    return Entry(*format_with_error(number), estimate=number)


def spread_entry(tuned: Any) -> Entry:
    """One standard deviation over the trials that did not fail."""
    scores = pd.Series([each["score"] for each in tuned["tried"] if each["score"] is not None], dtype=float)
    number = PooledEstimate(float(scores.std())) if len(scores) > 1 else None
    return Entry(MISSING) if number is None else Entry(f"{number.value:.2g}", estimate=number)


def list_columns(record: Record) -> tuple[Column, ...]:
    """The columns of the table."""
    unit = METRICS[record.tuning["metric"]].subtitle
    return (
        Column("tuning", "trials", "Trials", "made", format_plain),
        Column("tuning", "failed", "Trials", "failed", format_plain),
        Column("tuning", "tokens", "Tuning", "tokens", format_compact),
        Column("tuning", "flops", "Tuning", "FLOPs", format_flops),
        Column("tuning", "seconds", "Tuning", "seconds", format_plain),
        Column("train", "seconds", "Training", "seconds", format_plain),
        Column("tuning", "spread", "Spread", unit, format_with_error),
        Column("tuning", "winner", "Winner", unit, format_with_error),
        Column("tuning", "values", "Winner", "values", format_with_error),
    )


def tuning_entries(rows: pd.DataFrame, tuned: Any | None) -> tuple[Entry, ...]:
    """The cells of an arm; of one that was not tuned only what its training cost."""
    seconds = pool_arm(rows, Column("train", "seconds", "", "", format_plain))
    training = number_entry(seconds.value * seconds.seeds, format_plain) if seconds else Entry(MISSING)
    if tuned is None:
        return (Entry("untuned"), *[Entry(MISSING)] * 4, training, *[Entry(MISSING)] * 3)
    return (
        number_entry(tuned["trials"], lambda number: (f"{number.value:.0f}", "")),
        number_entry(tuned["failed"], lambda number: (f"{number.value:.0f}", "")),
        number_entry(tuned["tokens"], format_compact),
        number_entry(tuned["flops"], format_flops),
        number_entry(tuned["seconds"], format_plain),
        training,
        spread_entry(tuned),
        winner_entry(tuned),
        Entry(format_values(tuned["winner"]) if tuned["winner"] is not None else MISSING),
    )


def format_budget(name: str, value: float) -> str:
    """What each trial was given: 4,000 steps, 1e+15 FLOPs."""
    return f"{value:.4g} FLOPs" if name == "flops" else f"{value:,} {name}"


def explain(record: Record) -> list[tuple[str, str]]:
    """The footnotes: how it was tuned, and what the columns hold."""
    found = record.tuning
    said = {
        "trials": " or ".join(map(str, dict.fromkeys(each["trials"] for each in found["arms"].values()))),
        "budget": ", ".join(format_budget(name, value) for name, value in found["budget"].items()),
        "seeds": ", ".join(map(str, found["seeds"])),
    }
    best = NOTES["best"] + NOTES["tpe"] * (found["sampler"] == "tpe")
    notes = [NOTES["how"].format(**{**found, **said}), NOTES["winner"], best, NOTES["seconds"]]
    notes += [NOTES["untuned"].format(arm=arm, reason=reason) for arm, reason in found["untuned"].items()]
    return [("", note + ".") for note in notes]


def build_tuning(record: Record) -> Table | None:
    """What tuning cost each arm beside its training, and what it found; None where the suite was not tuned."""
    if not record.tuning:
        return None
    tuned = record.tuning["arms"]
    arms = split_arms(record).items()
    rows = tuple(make_row(label, found, tuning_entries(found, tuned.get(label))) for label, found in arms)
    return Table(
        f"{record.suite}: tuning", warn_incomplete(record), list_columns(record), rows, (), tuple(explain(record))
    )


def list_trials(record: Record) -> pd.DataFrame:
    """Every trial at full precision."""
    rows = [
        {"arm": label, "trial": number, **each["values"]} | {name: each[name] for name in each if name != "values"}
        for label, tuned in record.tuning.get("arms", {}).items()
        for number, each in enumerate(tuned["tried"], 1)
    ]
    return pd.DataFrame([row | {"cells": " ".join(row["cells"])} for row in rows])
