"""The table of what tuning tried and what it cost.

Sources: Dodge et al., "Show Your Work" (arXiv:1909.03004), for the curves and their spread; Tang et al., "Showing Your
Work Doesn't Always Work" (arXiv:2004.13705), for the estimate of the mean that is not biased.
"""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

from bench.results.statistics.pooled import Estimate
from bench.results.suite_record import Record
from bench.suite.tuning.lock_file import say
from reports.tables.arms import split_arms, warn
from reports.tables.main import NONE, Cell, Column, Table, make_row, measure, write_compact, write_error, write_plain

UNITS = {"bits_per_char": "bits per character", "bits_per_byte": "bits per byte"}
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


def write_winner(tuned: Any) -> Cell:
    """The winner's score on the split of tuning."""
    if tuned["score"] is None:
        return Cell("every trial failed")
    error = math.nan if tuned["standard_error"] is None else tuned["standard_error"]
    number = Estimate(tuned["score"], error)
    return Cell(*write_error(number), estimate=number)


def write_spread(tuned: Any) -> Cell:
    """One standard deviation over the trials that did not fail."""
    scores = pd.Series([each["score"] for each in tuned["tried"] if each["score"] is not None], dtype=float)
    number = Estimate(float(scores.std())) if len(scores) > 1 else None
    return Cell(NONE) if number is None else Cell(f"{number.value:.2g}", estimate=number)


def write_number(value: float, write: Callable[[Estimate], tuple[str, str]]) -> Cell:
    """A number without an error."""
    number = Estimate(float(value))
    return Cell(*write(number), estimate=number)


def write_flops(number: Estimate) -> tuple[str, str]:
    """Two digits and the power of ten."""
    return f"{number.value:.1e}".replace("e+", "e"), ""


def list_columns(record: Record) -> tuple[Column, ...]:
    """The columns of the table."""
    unit = UNITS.get(record.tuning["metric"], record.tuning["metric"])
    return (
        Column("tuning", "trials", "Trials", "made", write_plain),
        Column("tuning", "failed", "Trials", "failed", write_plain),
        Column("tuning", "tokens", "Tuning", "tokens", write_compact),
        Column("tuning", "flops", "Tuning", "FLOPs", write_flops),
        Column("tuning", "seconds", "Tuning", "seconds", write_plain),
        Column("train", "seconds", "Training", "seconds", write_plain),
        Column("tuning", "spread", "Spread", unit, write_error),
        Column("tuning", "winner", "Winner", unit, write_error),
        Column("tuning", "values", "Winner", "values", write_error),
    )


def write_arm(rows: pd.DataFrame, tuned: Any | None) -> tuple[Cell, ...]:
    """The cells of an arm; of one that was not tuned only what its training cost."""
    seconds = measure(rows, Column("train", "seconds", "", "", write_plain))
    training = write_number(seconds.value * seconds.seeds, write_plain) if seconds else Cell(NONE)
    if tuned is None:
        return (Cell("untuned"), *[Cell(NONE)] * 4, training, *[Cell(NONE)] * 3)
    return (
        write_number(tuned["trials"], lambda number: (f"{number.value:.0f}", "")),
        write_number(tuned["failed"], lambda number: (f"{number.value:.0f}", "")),
        write_number(tuned["tokens"], write_compact),
        write_number(tuned["flops"], write_flops),
        write_number(tuned["seconds"], write_plain),
        training,
        write_spread(tuned),
        write_winner(tuned),
        Cell(say(tuned["winner"]) if tuned["winner"] is not None else NONE),
    )


def say_budget(name: str, value: float) -> str:
    """What each trial was given: 4,000 steps, 1e+15 FLOPs."""
    return f"{value:.4g} FLOPs" if name == "flops" else f"{value:,} {name}"


def explain(record: Record) -> list[tuple[str, str]]:
    """The footnotes: how it was tuned, and what the columns hold."""
    found = record.tuning
    said = {
        "trials": " or ".join(map(str, dict.fromkeys(each["trials"] for each in found["arms"].values()))),
        "budget": ", ".join(say_budget(name, value) for name, value in found["budget"].items()),
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
    rows = tuple(make_row(label, found, write_arm(found, tuned.get(label))) for label, found in arms)
    return Table(f"{record.suite}: tuning", warn(record), list_columns(record), rows, (), tuple(explain(record)))


def list_trials(record: Record) -> pd.DataFrame:
    """Every trial at full precision."""
    rows = [
        {"arm": label, "trial": number, **each["values"]} | {name: each[name] for name in each if name != "values"}
        for label, tuned in record.tuning.get("arms", {}).items()
        for number, each in enumerate(tuned["tried"], 1)
    ]
    return pd.DataFrame([row | {"cells": " ".join(row["cells"])} for row in rows])
