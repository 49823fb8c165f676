"""The table of hyperparameter tuning: what it tried, what it found, and what it cost beside training."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.engine.metric_definitions import METRICS
from bench.results.statistics.pooled import PooledEstimate
from bench.results.suite_record import SuiteRecord
from bench.suite.tuning.lock_file import format_values
from reports.tables.arms import split_arms, warn_incomplete
from reports.tables.format_numbers import format_compact, format_count, format_flops, format_plain, format_with_error
from reports.tables.table_model import (
    MISSING,
    Column,
    Entry,
    Footnotes,
    Note,
    Table,
    make_row,
    mark_mixed,
    metric_column,
    number_entry,
    pool_arm,
)

TRAINING = metric_column("train", "seconds")
ERRORS = {
    "one": "scored text only, one standard error over its sequences for the one seed of tuning",
    "several": "one standard error over the seeds of tuning",
}
NOTES = {
    "how": "Every arm had {trials} trials of {budget}, proposed by {sampler} and scored on the {split} split with seed"
    " {seeds}; failed trials were not replaced. Reported scores use another split and other seeds.",
    "winner": "Winner: the lowest of several noisy scores, and so biased low; it is not a result. ±: {error}."
    " Spread: one standard deviation over the trials that did not fail.",
    "best": "Expected best of k: over all orders of the trials; a failed one counts as the worst of the others",
    "tpe": " (TPE's trials depend on earlier ones, so k trials alone would probably do worse)",
    "seconds": "Tuning seconds and FLOPs include training and scoring of all trials; training seconds are summed over"
    " seeds. A failed trial counts with its full budget; its seconds are not recorded.",
    "untuned": "{arm} was not tuned: {reason}.",
}


def winner_entry(tuned: Any) -> Entry:
    """The winner's score on the tuning split."""
    if tuned["score"] is None:
        return Entry("every trial failed")
    error = math.nan if tuned["standard_error"] is None else tuned["standard_error"]
    estimate = PooledEstimate(tuned["score"], error)
    return Entry(*format_with_error(estimate), estimate=estimate)


def spread_entry(tuned: Any) -> Entry:
    """One standard deviation over the trials that did not fail."""
    scores = pd.Series([trial["score"] for trial in tuned["tried"] if trial["score"] is not None], dtype=float)
    if len(scores) < 2:
        return Entry(MISSING)
    deviation = float(scores.std())
    return Entry(f"{deviation:.2g}", estimate=PooledEstimate(deviation))


def list_columns(record: SuiteRecord) -> tuple[Column, ...]:
    """Trials, costs of tuning and training, and what the best trial was."""
    unit = METRICS[record.tuning["metric"]].subtitle
    return (
        Column("tuning", "trials", "Trials", "made", format_plain),
        Column("tuning", "failed", "Trials", "failed", format_plain),
        Column("tuning", "tokens", "Tuning", "tokens", format_compact),
        Column("tuning", "flops", "Tuning", "FLOPs", format_flops),
        Column("tuning", "seconds", "Tuning", "seconds", format_plain),
        TRAINING,
        Column("tuning", "spread", "Spread", unit, format_with_error),
        Column("tuning", "winner", "Winner", unit, format_with_error),
        Column("tuning", "values", "Winner", "values", format_with_error),
    )


def tuning_entries(rows: pd.DataFrame, tuned: Any | None) -> tuple[Entry, ...]:
    """The entries of an arm; for one that was not tuned, only the cost of its training."""
    seconds = pool_arm(rows, TRAINING)
    total = seconds and replace(seconds, value=seconds.value * seconds.seeds)
    training = Entry(*format_plain(total), estimate=total) if total else Entry(MISSING)
    if tuned is None:
        return (Entry("untuned"), *[Entry(MISSING)] * 4, training, *[Entry(MISSING)] * 3)
    return (
        number_entry(tuned["trials"], format_count),
        number_entry(tuned["failed"], format_count),
        number_entry(tuned["tokens"], format_compact),
        number_entry(tuned["flops"], format_flops),
        number_entry(tuned["seconds"], format_plain),
        training,
        spread_entry(tuned),
        winner_entry(tuned),
        Entry(MISSING if tuned["winner"] is None else format_values(tuned["winner"])),
    )


def format_budget(budget: dict[str, float]) -> str:
    """The budget of each trial: "4,000 steps" or "1e+15 FLOPs"."""
    amounts = [f"{value:.4g} FLOPs" if unit == "flops" else f"{value:,} {unit}" for unit, value in budget.items()]
    return ", ".join(amounts)


def join_distinct(values: Sequence[int], separator: str) -> str:
    """The distinct values in their order."""
    return separator.join(map(str, dict.fromkeys(values)))


def explain(record: SuiteRecord) -> list[Note]:
    """The footnotes: how the arms were tuned, and what the columns show."""
    tuning = record.tuning
    how = NOTES["how"].format(
        trials=join_distinct([arm["trials"] for arm in tuning["arms"].values()], " or "),
        budget=format_budget(tuning["budget"]),
        sampler=tuning["sampler"],
        split=tuning["split"],
        seeds=join_distinct(tuning["seeds"], ", "),
    )
    winner = NOTES["winner"].format(error=ERRORS["several" if len(tuning["seeds"]) > 1 else "one"])
    best = NOTES["best"] + (NOTES["tpe"] if tuning["sampler"] == "tpe" else "") + "."
    untuned = [NOTES["untuned"].format(arm=arm, reason=reason) for arm, reason in tuning["untuned"].items()]
    return [("", note) for note in (how, winner, best, NOTES["seconds"], *untuned)]


def build_tuning(record: SuiteRecord) -> Table | None:
    """The cost of tuning each arm beside that of its training, and the winner; None if the suite was not tuned."""
    if not record.tuning:
        return None
    tuned, rows = record.tuning["arms"], []
    for label, arm_rows in split_arms(record).items():
        rows.append(make_row(label, arm_rows, tuning_entries(arm_rows, tuned.get(label))))
    columns, footnotes = list_columns(record), Footnotes()
    marked = mark_mixed(rows, columns, footnotes)
    notes = (*explain(record), *footnotes.list_notes())
    return Table(f"{record.suite}: tuning", warn_incomplete(record), columns, marked, (), notes)


def list_trials(record: SuiteRecord) -> pd.DataFrame:
    """Every trial at full precision."""
    rows = []
    for label, tuned in record.tuning.get("arms", {}).items():
        for number, trial in enumerate(tuned["tried"], 1):
            row = {"arm": label, "trial": number, **trial["values"], **trial, "cells": " ".join(trial["cells"])}
            del row["values"]
            rows.append(row)
    return pd.DataFrame(rows)
