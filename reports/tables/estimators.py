"""The table of the estimators of the bound: a row for each arm and each way in which its bound was estimated.

Estimators of one bound agree in the mean and differ in their variance, which is compared at equal network calls.
"""

import math
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.results.statistics.pooled import SIGNS, PooledEstimate
from bench.results.suite_record import Record
from reports.tables.arms import differ_in_schedule, select_arms
from reports.tables.numbers import format_sample_size, format_with_error
from reports.tables.table import MEANINGS, Column, Row, Table, build_table, metric_column

STAGES = ("bound", "estimate")
OF_DRAWS = ("estimator_sd", "variance_ratio")  # their chance is that of documents and draws, which the seeds share


def format_noise(number: PooledEstimate) -> tuple[str, str]:
    """The Monte-Carlo error to two significant digits."""
    return (f"{number.monte_carlo_error:.2g}", "")


def format_signed(number: PooledEstimate) -> tuple[str, str]:
    """A difference with its sign and its error."""
    value, error = format_with_error(number)
    return ("" if value.startswith("-") else "+") + value, error


COLUMNS = (
    metric_column("bound", "nats_per_token"),
    Column("bound", "nats_per_token", "Monte Carlo", "error", format_noise, is_marked=False),
    Column("bound", "nats_per_token", "Sequences", "n × seeds", format_sample_size, is_marked=False),
    metric_column("bound", "minus_headline", format=format_signed, is_marked=False),
    metric_column("bound", "estimator_sd", is_marked=False),
    metric_column("bound", "network_calls", "Calls", "per sequence", is_marked=False),
    metric_column("bound", "variance_ratio", is_marked=False),
)
NOTES = {
    "estimator_sd": "Deviation: the standard deviation, in nats per token, of the estimate of one sequence from the"
    " draws of one replicate, pooled over the sequences; calls: how many network calls such an estimate takes",
    "variance_ratio": "Variance: the variance of an estimator times its calls, over the same of the first of its arm:"
    " how many times as many network calls it needs to be as sure",
    "minus_headline": "Difference: minus the first of the arm, with the same weights and on the same documents; all"
    " estimate one bound, so that it is 0 but for its error, which few draws show too small where the"
    " deviation is large: then rare draws hold much of the bound",
}


def find_cost(rows: pd.DataFrame) -> tuple[float, float]:
    """Variance of a sequence's estimate times its network calls, and the relative error of that; nan where unknown."""
    metrics = rows.drop_duplicates("metric").set_index("metric")
    if not {"estimator_sd", "network_calls"} <= set(metrics.index):
        return math.nan, math.nan
    values = metrics["value"].astype(float)
    deviation, error = values["estimator_sd"], float(metrics["standard_error"].astype(float)["estimator_sd"])
    return deviation**2 * values["network_calls"], 2 * error / deviation


def list_ratios(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """For each arm and seed the variance of its other estimators over that of its first, at equal network calls: tidy
    rows with an error to first order, both deviations taken as independent."""
    found = []
    for _, cell in rows.groupby(["arm", "seed"], sort=False):
        first, first_error = find_cost(cell[cell["stage"] == "bound"])
        for _, other in cell[cell["stage"] == "estimate"].groupby("way", sort=False):
            cost, error = find_cost(other)
            ratio = {"value": cost / first, "standard_error": cost / first * math.hypot(error, first_error)}
            common = {str(name): value for name, value in other.iloc[0].items()}
            found.append(common | ratio | {"metric": "variance_ratio", "unit": ""})
    return found


def list_estimates(record: Record) -> pd.DataFrame:
    """The tidy rows of all estimates of bounds, each called by its arm and its way; no exact likelihoods."""
    rows = select_arms(record)
    rows = rows[rows["stage"].isin(STAGES)]
    exact = (rows["kind"] == "exact") & (rows["metric"] != "source_nats_per_token")
    rows = rows[~rows["arm"].isin(rows.loc[exact, "arm"])]
    rows = pd.concat([rows, pd.DataFrame(list_ratios(rows), columns=rows.columns)]) if len(rows) else rows
    is_shared = rows["metric"].isin(OF_DRAWS)
    rows = rows.assign(monte_carlo_error=rows["monte_carlo_error"].mask(is_shared, rows["standard_error"]))
    return rows.assign(arm=rows["arm"] + ": " + rows["way"], stage="bound")


def has_estimators(record: Record) -> bool:
    """Whether there is something to compare: several estimates of an arm, or arms that differ in schedules alone."""
    return bool((select_arms(record)["stage"] == "estimate").any()) or differ_in_schedule(record)


def sign(row: Row) -> Row:
    """The row with the sign of what its bound claims."""
    first = row.entries[0]
    claim = SIGNS[first.estimate.kind] if first.estimate else ""
    return replace(row, entries=(replace(first, sign=claim), *row.entries[1:]))


def build_estimators(record: Record) -> Table | None:
    """Bound, errors, deviation of a sequence, calls and variance of each estimator; None with nothing to compare."""
    if not has_estimators(record):
        return None
    rows = list_estimates(record)
    state = "complete" if rows["status"].isin(["done", "stale"]).all() else record.state
    told = set(rows.loc[rows["value"].notna(), "metric"])
    columns = [column for column in COLUMNS if column.metric in told]
    if not columns:
        return None
    table = build_table(replace(record, table=rows, state=state), columns, f"{record.suite}: estimators of the bound")
    signed = tuple(sign(row) for row in table.rows)
    used = {row.entries[0].sign for row in signed} | {"±"}
    notes = [(mark, meaning) for mark, meaning in MEANINGS.items() if mark in used]
    notes += [("", note) for metric, note in NOTES.items() if metric in told]
    return replace(table, rows=signed, footnotes=(*notes, *table.footnotes))
