"""The table of sample quality: a row for each arm and sampling setting, with held-out text and adversaries below.

No metric stands alone. A column that an adversary wins is marked, and the first column says over all metrics how unlike
held-out text a row is.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

from bench.engine.metric_definitions import JUDGED
from bench.results.statistics.pooled import PooledEstimate, can_be_best, combined_error, find_best, is_tied
from bench.results.suite_record import SuiteRecord
from reports.tables.arms import join_names, warn_incomplete
from reports.tables.format_numbers import format_count
from reports.tables.quality_results import (
    COLUMNS,
    QualityResults,
    collect_quality,
    find_winners,
    list_losses,
    split_shapes,
)
from reports.tables.table_model import (
    ARROWS,
    MISSING,
    ONE_SEED,
    TEXTS_ONLY,
    Column,
    Entry,
    Footnotes,
    Note,
    Row,
    Table,
    explain_errors,
    format_column,
    make_row,
    mark_mixed,
)

SIGN = "‡"
FALSE_ALARMS = 0.05  # share of rows of real text that differ from held-out text in some column
MOST_ERRORS = 100  # a difference of more combined standard errors is not told more closely
SCREEN_METRICS = {
    *("gen_ppl", "sample_nats_per_token", "unigram_entropy", "rep_4", "js_2", "js_4"),
    *("mauve", "copied", "network_calls"),
}
UNLIKE = Column("quality", "unlike_data", "Unlike data", "columns", format_count, is_marked=False)
NOTES = {
    "bold": "Bold: the best arm of a judged column; ↓ lower is better, ↑ higher, ≈ nearer to the row {data}.",
    "~": "tied with the best arm (bold): the 95 % interval of the difference contains zero, unpaired",
    "unlike": "Unlike data: judged columns, of all in quality.csv, in which a row differs significantly from held-out"
    " text, and the largest difference in combined standard errors. Text of the same law has 0 in 95 of 100 rows"
    " (Bonferroni). An error is at least the metric's resolution: one of all tokens, for the longest repeat and MAUVE"
    " one of the texts.",
}


def mark_best(entries: dict[str, Entry], metric: str, results: QualityResults) -> dict[str, Entry]:
    """The entries of a judged column with its best arm in bold and ~ at the arms that tie with it.

    Arms of one seed are neither.
    """
    losses = {label: loss for label, loss in list_losses(metric, results).items() if label in results.arms}
    best = find_best(list(losses.values()))
    marked = dict(entries)
    for label, loss in losses.items():
        if best is None or not can_be_best(loss):
            continue
        is_best = loss.value == best.value
        tie = "~" if is_tied(loss, best) and not is_best else ""
        marked[label] = replace(entries[label], best=is_best, marks=tie + entries[label].marks)
    return marked


def describe_column(column: Column, results: QualityResults) -> Column:
    """The column with the direction it is judged in, the mark of an adversary's win, and the features of MAUVE."""
    metric, words = column.metric, [column.unit]
    if metric == "mauve":
        protocols = {estimate.protocol for estimate in results.estimates[metric].values()}
        matches = [re.search(r"features of (.+?) beside", protocol) for protocol in protocols]
        words.append(" or ".join(sorted({match[1] for match in matches if match})))
    if metric in JUDGED:
        words.append(ARROWS[JUDGED[metric]])
    unit = " ".join(filter(None, words))
    return replace(column, unit=unit + SIGN if find_winners(metric, results) else unit)


def make_entries(column: Column, results: QualityResults, footnotes: Footnotes) -> dict[str, Entry]:
    """The entries of a column by row label."""
    estimates = [results.estimates[column.metric].get(label) for label in results.labels]
    entries = dict(zip(results.labels, format_column(column, estimates, footnotes), strict=True))
    return mark_best(entries, column.metric, results)


def count_differences(label: str, results: QualityResults) -> Entry:
    """The number of judged columns in which a row differs from held-out text, and the one in which it differs most.

    A single text has no error, so its columns are left out. Errors have a floor; see `floor_errors`.
    """
    if label == results.data:
        return Entry()
    distances = {}
    for metric in filter(JUDGED.get, results.estimates):
        estimates = results.compared(metric)
        pair = [estimates[name] for name in (label, results.data) if name in estimates]
        if len(pair) == 2 and min(estimate.documents for estimate in pair) > 1:
            distances[metric] = abs(pair[0].value - pair[1].value) / combined_error(*pair)
    if not distances:
        return Entry(MISSING)

    limit = NormalDist().inv_cdf(1 - FALSE_ALARMS / (2 * len(distances)))
    count = sum(distance > limit for distance in distances.values())
    worst, distance = max(distances.items(), key=lambda item: item[1])
    size = f"{distance:.{1 if distance < 10 else 0}f}" if distance < MOST_ERRORS else f"over {MOST_ERRORS}"
    detail = f": {worst.replace('_', ' ')} ({size})" if count else ""
    return Entry(f"{count} of {len(distances)}{detail}", estimate=PooledEstimate(count))


def count_texts(results: QualityResults) -> str:
    """How many texts the numbers of each row are from, as a sentence."""
    rows: dict[str, list[str]] = {}
    for label in results.labels:
        judged = [estimates for metric, estimates in results.estimates.items() if metric in JUDGED]
        estimates = [by_label[label] for by_label in judged if label in by_label]
        if largest := max(estimates, key=lambda estimate: estimate.documents, default=None):
            seeds = f" of each of {largest.seeds} seeds" if largest.seeds > 1 else ""
            rows.setdefault(f"{largest.documents}{seeds}", []).append(label)
    if not rows:
        return ""
    if len(rows) == 1:
        return f"Each row: {next(iter(rows))} texts."
    counts = [f"{count} ({join_names(labels)})" for count, labels in rows.items()]
    return f"Texts: {'; '.join(counts)}."


def describe_winners(metrics: Sequence[str], results: QualityResults) -> str:
    """The metrics that adversaries win: "gen ppl, rep 4 by the n-gram model"."""
    by_winner: dict[str, list[str]] = {}
    for metric in metrics:
        if winners := find_winners(metric, results):
            names = join_names([f"the {name}" for name in winners])
            by_winner.setdefault(names, []).append(metric.replace("_", " "))
    return "; ".join(f"{', '.join(titles)} by {names}" for names, titles in by_winner.items())


def list_protocols(columns: Sequence[Column], results: QualityResults) -> list[str]:
    """The protocol of each marked column that has only one."""
    protocols: list[str] = []
    for column in columns:
        if column.is_marked and column.metric in results.estimates:
            distinct = {estimate.protocol for estimate in results.estimates[column.metric].values()}
            if len(distinct) == 1:
                protocols += distinct
    return [protocol for protocol in dict.fromkeys(protocols) if protocol]


def explain(columns: Sequence[Column], results: QualityResults, rows: Sequence[Row]) -> list[Note]:
    """The footnotes: bold, ties, errors, wins of adversaries, unlike data, number of texts, and protocols."""
    entries = [entry for row in rows for entry in row.entries]
    metrics = [column.metric for column in columns if column.metric in results.estimates]
    notes = []
    if any(entry.best for entry in entries):
        notes.append(("", NOTES["bold"].format(data=results.data)))
    if any("~" in entry.marks for entry in entries):
        notes.append(("~", NOTES["~"]))
    with_error = [entry.estimate for entry in entries if entry.error]
    notes += explain_errors(with_error, TEXTS_ONLY)
    of_arms = [results.estimates[metric][label] for metric in metrics for label in results.list_measured_arms(metric)]
    if of_arms and not any(map(can_be_best, of_arms)):
        notes.append(("", ONE_SEED))
    if winners := describe_winners(metrics, results):
        notes.append((SIGN, f"won by an adversary, so meaningless on its own: {winners}"))
    notes.append(("", NOTES["unlike"]))
    if count := count_texts(results):
        notes.append(("", count))
    return notes + [("", f"Protocol: {protocol}.") for protocol in list_protocols(columns, results)]


def build_qualities(record: SuiteRecord, *, every_column: bool = False) -> list[Table]:
    """A table for each number and length of samples, since most metrics depend on both."""
    parts = split_shapes(record)
    tables = {shape: build_quality(part, every_column=every_column) for shape, part in parts.items()}
    if len(parts) == 1:
        return [table for table in tables.values() if table]
    captioned = []
    for shape, table in tables.items():
        if table:
            count, length = shape.split(" x ")
            captioned.append(replace(table, caption=f"{table.caption}, {count} texts of {length} tokens"))
    return captioned


def build_quality(record: SuiteRecord, *, every_column: bool = False) -> Table | None:
    """Sample quality of every arm, setting and control; None if the suite does not measure it.

    Shows every metric that was measured if `every_column`, otherwise those that fit on a screen.
    """
    results = collect_quality(record)
    if not results.labels:
        return None
    columns = [column for column in COLUMNS if column.metric in results.estimates]
    if not every_column:
        columns = [column for column in columns if column.metric in SCREEN_METRICS]

    footnotes = Footnotes()
    entries = [{label: count_differences(label, results) for label in results.labels}]
    entries += [make_entries(column, results, footnotes) for column in columns]
    arms, controls = (
        tuple(
            replace(make_row(label, rows, tuple(by_label[label] for by_label in entries)), role=role)
            for label, rows in groups.items()
        )
        for role, groups in (("arm", results.arms), ("control", results.controls))
    )
    columns = [UNLIKE, *(describe_column(column, results) for column in columns)]
    rows = mark_mixed([*arms, *controls], columns, footnotes)
    arms, controls = rows[: len(arms)], rows[len(arms) :]
    notes = (*explain(columns, results, arms + controls), *footnotes.list_notes())
    caption = f"{record.suite}: sample quality"
    return Table(caption, warn_incomplete(record), tuple(columns), arms, controls, notes)
