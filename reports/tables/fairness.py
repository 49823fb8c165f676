"""The table of resources: what each arm consumed as counted by the harness, its tuning trials, seeds and failures."""

from dataclasses import replace

import pandas as pd

from bench.results.suite_record import SuiteRecord
from reports.tables.arms import split_arms
from reports.tables.format_numbers import format_count, format_plain, format_seeds
from reports.tables.table_model import TRAINING_TOKENS, Column, Entry, Table, build_table, metric_column, number_entry

MEMORY = metric_column("train", "peak_memory_bytes")
FAIRNESS = (
    TRAINING_TOKENS,
    metric_column("train", "epochs"),
    metric_column("train", "flops"),
    metric_column("train", "seconds"),
    metric_column("train", "tokens_per_second", "Training", "tokens per second"),
    MEMORY,
    metric_column("train", "parameters"),
    metric_column("train", "parameters_non_embedding"),
    metric_column("train", "parameters_method"),
    Column("train", "tokens", "Seeds", "trained", format_seeds),
)
FAILED = Column("train", "failed", "Seeds", "failed", format_plain)
TRIALS = Column("tuning", "trials", "Tuning", "trials", format_plain)


def list_fairness(record: SuiteRecord) -> list[Column]:
    """The resources of each arm, with memory only if some cell recorded it."""
    has_memory = (record.table["metric"] == MEMORY.metric).any()
    return [column for column in FAIRNESS if column is not MEMORY or has_memory]


def count_failed(rows: pd.DataFrame) -> Entry:
    """The number of an arm's seeds that have a failed stage."""
    return number_entry(rows.loc[rows["status"] == "failed", "seed"].nunique(), format_count)


def count_trials(record: SuiteRecord, arm: str) -> Entry:
    """The number of trials that tuned an arm."""
    tuned = record.tuning["arms"].get(arm)
    return number_entry(tuned["trials"], format_count) if tuned else Entry("untuned")


def build_fairness(record: SuiteRecord) -> Table:
    """The resources of each arm, with failures, and with trials if the suite was tuned."""
    table, arms = build_table(record, list_fairness(record), "What each arm was given"), split_arms(record)
    rows = []
    for row in table.rows:
        trials = [count_trials(record, row.label)] if record.tuning else []
        rows.append(replace(row, entries=(*row.entries, count_failed(arms[row.label]), *trials)))
    columns = (*table.columns, FAILED, TRIALS) if record.tuning else (*table.columns, FAILED)
    return replace(table, columns=columns, rows=tuple(rows))
