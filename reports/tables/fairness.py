"""The table of what each arm was given: budgets as the harness counted them, trials of tuning, seeds and failures."""

from dataclasses import replace

import pandas as pd

from bench.results.statistics.pooled import Estimate
from bench.results.suite_record import Record
from reports.tables.arms import split_arms
from reports.tables.main import Cell, Column, Table, build, write_compact, write_plain, write_power
from reports.tables.samplers import write_seeds, write_whole
from reports.tables.tuning import write_number


def write_bytes(number: Estimate) -> tuple[str, str]:
    """In MiB, without decimals."""
    return f"{number.value / 2**20:.0f}", ""


MEMORY = Column("train", "peak_memory_bytes", "Training", "peak MiB", write_bytes)
FAIRNESS = (
    Column("train", "tokens", "Training", "tokens", write_compact),
    Column("train", "epochs", "Training", "epochs", write_plain),
    Column("train", "flops", "Training", "FLOPs", write_power),
    Column("train", "seconds", "Training", "seconds", write_plain),
    Column("train", "tokens_per_second", "Training", "tokens per second", write_compact),
    MEMORY,
    Column("train", "parameters", "Parameters", "total", write_compact),
    Column("train", "parameters_non_embedding", "Parameters", "non-embedding", write_compact),
    Column("train", "parameters_method", "Parameters", "method's own", write_compact),
    Column("train", "tokens", "Seeds", "trained", write_seeds),
)
FAILED = Column("train", "failed", "Seeds", "failed", write_plain)
TRIALS = Column("tuning", "trials", "Tuning", "trials", write_plain)


def list_fairness(record: Record) -> list[Column]:
    """What each arm was given, its memory where some cell recorded it."""
    has_memory = (record.table["metric"] == MEMORY.metric).any()
    return [column for column in FAIRNESS if column is not MEMORY or has_memory]


def count_failed(rows: pd.DataFrame) -> Cell:
    """How many seeds of an arm have a stage that failed."""
    return write_number(rows.loc[rows["status"] == "failed", "seed"].nunique(), write_whole)


def count_trials(record: Record, arm: str) -> Cell:
    """How many trials tuned an arm."""
    tuned = record.tuning["arms"].get(arm)
    return write_number(tuned["trials"], write_whole) if tuned else Cell("untuned")


def build_fairness(record: Record) -> Table:
    """What each arm was given, with failures, and with trials where the suite was tuned."""
    table, arms = build(record, list_fairness(record), "What each arm was given"), split_arms(record)
    rows = []
    for row in table.rows:
        trials = [count_trials(record, row.label)] if record.tuning else []
        rows.append(replace(row, cells=(*row.cells, count_failed(arms[row.label]), *trials)))
    columns = (*table.columns, FAILED, *[TRIALS] * bool(record.tuning))
    return replace(table, columns=columns, rows=tuple(rows))
