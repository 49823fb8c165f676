"""The table of bound estimators: a row for each arm and estimator of its bound.

All estimators of a bound have the same mean and differ in variance, which is compared at equal network calls.
"""

import math
from dataclasses import replace
from statistics import fmean
from typing import Any

import pandas as pd

from bench.results.statistics.pooled import LIKELIHOODS, SIGNS, PooledEstimate
from bench.results.suite_record import SuiteRecord
from reports.tables.arms import differ_in_schedule, label_by_way, select_arms
from reports.tables.format_numbers import format_sample_size, format_with_error
from reports.tables.table_model import Column, Row, Table, build_table, explain_signs, metric_column

STAGES = ("bound", "estimate")
ROUNDING = 2.0**-23  # of a number in float32, relative to it
FROM_DRAWS = ("estimator_sd", "variance_ratio")  # seeds share their documents and draws, so these do not average out


def format_monte_carlo(number: PooledEstimate) -> tuple[str, str]:
    """The Monte Carlo error to two significant digits."""
    return f"{number.monte_carlo_error:.2g}", ""


def format_signed(number: PooledEstimate) -> tuple[str, str]:
    """A difference with its sign and its error."""
    value, error = format_with_error(number)
    return value if value.startswith("-") else f"+{value}", error


COLUMNS = (
    metric_column("bound", "nats_per_token"),
    Column("bound", "nats_per_token", "Monte Carlo", "error", format_monte_carlo, is_marked=False),
    Column("bound", "nats_per_token", "Sequences", "n × seeds", format_sample_size, is_marked=False),
    metric_column("bound", "minus_headline", format=format_signed, is_marked=False),
    metric_column("bound", "estimator_sd", is_marked=False),
    metric_column("bound", "network_calls", "Calls", "per sequence", is_marked=False),
    metric_column("bound", "variance_ratio", is_marked=False),
)
NOTES = {
    "estimator_sd": "Deviation: standard deviation, in nats per token, of the estimate for one sequence from the draws"
    " of one replicate, pooled over sequences. Calls: network calls per estimate.",
    "variance_ratio": "Variance: variance × calls, relative to the first estimator of the arm; a value of 2 means twice"
    " the network calls for the same precision.",
    "minus_headline": "Difference: from the first estimator of the arm, with the same weights and documents. All"
    " estimate the same bound, so it is zero up to its error. With few draws and a large deviation that error is"
    " underestimated, since rare draws carry much of the bound.",
}


def find_cost(rows: pd.DataFrame) -> tuple[float, float]:
    """Variance per sequence × network calls, and its relative error; nan if unknown, or if there is no variance.

    A deviation that is within the rounding of the network's float32 numbers is none.
    """
    metrics = rows.drop_duplicates("metric").set_index("metric")
    if not {"estimator_sd", "network_calls"} <= set(metrics.index):
        return math.nan, math.nan
    values = metrics["value"].astype(float)
    deviation, error = values["estimator_sd"], float(metrics["standard_error"].astype(float)["estimator_sd"])
    if not deviation > ROUNDING * abs(values.get("nats_per_token", 0.0)):
        return math.nan, math.nan
    return deviation**2 * values["network_calls"], 2 * error / deviation


def list_ratios(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Tidy rows of the variance of each further estimator over that of the first, for each arm and seed.

    Variances are compared at equal network calls; one of zero has no ratio. Over seeds the ratio is that of the mean
    variances, R = mean(cost) / mean(first cost), so that it has the order of the deviations: the row of a seed holds R
    + (cost - R first cost) / mean(first cost), whose mean is R and whose spread is that of R to first order. Errors are
    to first order, with both deviations independent.
    """
    ratios = []
    for _, arm in rows.groupby("arm", sort=False):
        first = {seed: find_cost(cell[cell["stage"] == "bound"]) for seed, cell in arm.groupby("seed", sort=False)}
        for _, estimates in arm[arm["stage"] == "estimate"].groupby("way", sort=False):
            costs = {seed: find_cost(estimate) for seed, estimate in estimates.groupby("seed", sort=False)}
            seeds = [seed for seed, (cost, _) in costs.items() if cost > 0 and first[seed][0] > 0]
            if not seeds:
                continue

            first_mean = fmean(first[seed][0] for seed in seeds)
            ratio = fmean(costs[seed][0] for seed in seeds) / first_mean
            for seed in seeds:
                row = {str(name): value for name, value in estimates[estimates["seed"] == seed].iloc[0].items()}
                row |= {"metric": "variance_ratio", "unit": ""}
                row["value"] = ratio + (costs[seed][0] - ratio * first[seed][0]) / first_mean
                row["standard_error"] = ratio * math.hypot(costs[seed][1], first[seed][1])
                ratios.append(row)
    return ratios


def list_estimates(record: SuiteRecord) -> pd.DataFrame:
    """The tidy rows of all estimated bounds, labelled by arm and estimator; likelihoods are left out."""
    rows = select_arms(record)
    rows = rows[rows["stage"].isin(STAGES)]
    is_likelihood = rows["kind"].isin(LIKELIHOODS) & (rows["metric"] != "source_nats_per_token")
    rows = rows[~rows["arm"].isin(rows.loc[is_likelihood, "arm"])]
    if len(rows):
        rows = pd.concat([rows, pd.DataFrame(list_ratios(rows), columns=rows.columns)])
    is_shared = rows["metric"].isin(FROM_DRAWS)
    rows = rows.assign(monte_carlo_error=rows["monte_carlo_error"].mask(is_shared, rows["standard_error"]))
    return label_by_way(rows, "way").assign(stage="bound")


def has_estimators(record: SuiteRecord) -> bool:
    """Whether there is something to compare: an arm with several estimates, or arms that differ only in schedule."""
    return bool((select_arms(record)["stage"] == "estimate").any()) or differ_in_schedule(record)


def add_sign(row: Row) -> Row:
    """The row with the sign of what its bound claims."""
    bound = row.entries[0]
    claim = SIGNS[bound.estimate.kind] if bound.estimate else ""
    return replace(row, entries=(replace(bound, sign=claim), *row.entries[1:]))


def build_estimators(record: SuiteRecord) -> Table | None:
    """Bound, errors, deviation, calls and variance of each estimator; None if there is nothing to compare."""
    if not has_estimators(record):
        return None
    estimates = list_estimates(record)
    measured = set(estimates.loc[estimates["value"].notna(), "metric"])
    columns = [column for column in COLUMNS if column.metric in measured]
    if not columns:
        return None

    is_complete = estimates["status"].isin(["done", "stale"]).all()
    part = replace(record, table=estimates, state="complete" if is_complete else record.state)
    table = build_table(part, columns, f"{record.suite}: estimators of the bound")
    rows = tuple(add_sign(row) for row in table.rows)

    bounds = [row.entries[0] for row in rows]
    notes = explain_signs({bound.sign for bound in bounds}, [bound.estimate for bound in bounds])
    notes += [("", note) for metric, note in NOTES.items() if metric in measured]
    return replace(table, rows=rows, footnotes=(*notes, *table.footnotes))
