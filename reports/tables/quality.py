"""The table of sample quality: a row for each arm and way of drawing; below, held-out text and what games a metric.

No metric stands alone. A control is text that no network wrote: held-out text, the row "data", or an adversary that is
made to win one metric. A column that an adversary wins is marked, and the last column says on the whole table how
unlike held-out text a row is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import pandas as pd

from bench.engine.metric import QUALITY
from bench.engine.quality.controls import DATA
from bench.engine.quality.metrics import JUDGED
from bench.results.statistics.pooled import ArmResults, PooledEstimate, combined_error, is_tied
from bench.results.suite_record import Record
from reports.tables.arms import join_names, select_arms, warn_incomplete
from reports.tables.numbers import format_count
from reports.tables.table import (
    ARROWS,
    MEANINGS,
    MISSING,
    Column,
    Entry,
    Footnotes,
    Table,
    format_column,
    make_row,
    metric_column,
)

STAGES = ("quality", "samples")
SIGN = "‡"
FALSE_ALARMS = 0.05  # of rows of real text that are called unlike it in some column
COLUMNS = (
    *(metric_column("quality", metric.name) for metric in QUALITY),
    metric_column("samples", "network_calls", is_marked=False),
    metric_column("samples", "seconds_per_sequence", is_marked=False),
    metric_column("samples", "tokens_per_second", is_marked=False),
)
SCREEN_METRICS = {
    *("gen_ppl", "sample_nats_per_token", "unigram_entropy", "rep_4", "js_2", "js_4"),
    *("mauve", "copied", "network_calls"),
}
UNLIKE = Column("quality", "unlike_data", "Unlike data", "columns", format_count, is_marked=False)
NOTES = {
    "bold": "Bold: the best arm of a judged column: ↓ the lowest, ↑ the highest, ≈ the nearest to the row data",
    "~": "the 95 % interval of the difference from the best arm, which is bold, holds zero; unpaired",
    "unlike": "Unlike data: in how many of the judged columns, all of those in quality.csv, a row can be told from"
    " held-out text: text of the same law has 0 in 95 of 100 rows (Bonferroni over the columns; 1 / n for the error"
    " where no two texts differ). Then the column in which it differs most, and by how many combined standard errors",
}


@dataclass(frozen=True)
class QualityResults:
    """The numbers of all rows by metric: first the arms in each of their ways, then the controls."""

    arms: dict[str, pd.DataFrame]  # label -> rows of the tidy table
    controls: dict[str, pd.DataFrame]
    numbers: dict[str, dict[str, PooledEstimate]]  # metric -> label -> number, where it was measured

    @property
    def groups(self) -> dict[str, pd.DataFrame]:
        return self.arms | self.controls


def find_estimate(readings: ArmResults, metric: str) -> PooledEstimate | None:
    """The number of a row, from the first stage that has it."""
    found = (readings.find(stage, metric) for stage in STAGES)
    return next((number for number in found if number), None)


def split_shapes(record: Record) -> dict[str, Record]:
    """The record with texts of one number and length alone, by these: no others can be compared with them."""
    texts = record.table.loc[record.table["stage"].isin(STAGES), "texts"]
    shapes = [str(shape) for shape in dict.fromkeys(texts) if shape]
    if len(shapes) < 2:
        return dict.fromkeys(shapes or [""], record)
    tables = {shape: record.table[record.table["texts"].isin(["", shape])] for shape in shapes}
    return {shape: replace(record, table=table) for shape, table in tables.items()}


def split_ways(record: Record) -> dict[str, pd.DataFrame]:
    """The rows on texts of each arm and way whose quality is measured, by "arm: way", in the order of the suite."""
    drawn = select_arms(record)
    drawn = drawn[drawn["stage"].isin(["samples", "quality"])]
    ways = {(arm, way): rows for (arm, way), rows in drawn.groupby(["arm", "way"], sort=False)}
    return {
        f"{arm}: {way}" if way else str(arm): rows
        for (arm, way), rows in ways.items()
        if (rows["stage"] == "quality").any()
    }


def split_controls(record: Record) -> dict[str, pd.DataFrame]:
    """The rows of each control by its name."""
    controls = record.table[record.table["role"] == "control"]
    return {str(name): rows for name, rows in controls.groupby("arm", sort=False)}


def collect_quality(record: Record) -> QualityResults:
    """All that is measured of texts."""
    arms, controls = split_ways(record), split_controls(record)
    readings = {label: ArmResults(rows) for label, rows in (arms | controls).items()}
    numbers: dict[str, dict[str, PooledEstimate]] = {}
    for column in COLUMNS:
        for label, there in readings.items():
            if number := find_estimate(there, column.metric):
                numbers.setdefault(column.metric, {})[label] = number
    return QualityResults(arms, controls, numbers)


def list_losses(metric: str, numbers: dict[str, PooledEstimate]) -> dict[str, PooledEstimate]:
    """How bad each number is, lower is better; nothing where no way of judging is known, or the row data is missing."""
    better, data = JUDGED.get(metric), numbers.get(DATA)
    if better is None or (better == "nearer" and data is None):
        return {}
    target = data.value if data else 0.0
    worth = {"lower": lambda value: value, "higher": lambda value: -value, "nearer": lambda value: abs(value - target)}
    return {label: replace(number, value=worth[better](number.value)) for label, number in numbers.items()}


def find_winners(metric: str, measured: QualityResults) -> list[str]:
    """The adversaries that are better in a column than every arm."""
    losses = list_losses(metric, measured.numbers[metric])
    arms = [loss.value for label, loss in losses.items() if label in measured.arms]
    adversaries = {label: loss.value for label, loss in losses.items() if label in measured.controls and label != DATA}
    return [label for label, loss in adversaries.items() if arms and loss < min(arms)]


def mark_best(cells: dict[str, Entry], metric: str, measured: QualityResults) -> dict[str, Entry]:
    """The cells of a judged column with its best arm in bold and ~ at the arms that tie with it."""
    losses = {
        label: loss for label, loss in list_losses(metric, measured.numbers[metric]).items() if label in measured.arms
    }
    crowned = dict(cells)
    for label, loss in losses.items():
        best = min(losses.values(), key=lambda other: other.value)
        is_best = loss.value == best.value
        tie = "~" * (is_tied(loss, best) and not is_best)
        crowned[label] = replace(cells[label], best=is_best, marks=tie + cells[label].marks)
    return crowned


def describe_column(column: Column, measured: QualityResults) -> Column:
    """The column with which way it is judged, the sign of an adversary's win, and where MAUVE's features come from."""
    metric = column.metric
    unit = f"{column.unit} {ARROWS[JUDGED[metric]]}".strip() if metric in JUDGED else column.unit
    if metric == "mauve":
        protocols = {number.protocol for number in measured.numbers[metric].values()}
        sources = {
            found.group(1) for protocol in protocols if (found := re.search(r"features of (.+?) beside", protocol))
        }
        unit = f"{' or '.join(sorted(sources))} {unit}".strip()
    return replace(column, unit=unit + SIGN * bool(find_winners(metric, measured)))


def make_entries(column: Column, measured: QualityResults, footnotes: Footnotes) -> dict[str, Entry]:
    """The cells of a column by the label of their row."""
    numbers = [measured.numbers[column.metric].get(label) for label in measured.groups]
    cells = dict(zip(measured.groups, format_column(column, numbers, footnotes), strict=True))
    return mark_best(cells, column.metric, measured)


def count_errors(one: PooledEstimate, other: PooledEstimate) -> float:
    """How many combined standard errors lie between two numbers; 1 / n for the error where neither has shown any."""
    error = combined_error(one, other) or 1 / max(1, one.documents, other.documents)
    return abs(one.value - other.value) / error


def count_differences(label: str, measured: QualityResults) -> Entry:
    """In how many of the judged columns a row is unlike held-out text, and the one in which it is by the most; one text
    alone shows no error and says nothing."""
    there = {m: n for m, n in measured.numbers.items() if m in JUDGED and label in n and DATA in n}
    judged = {m: n for m, n in there.items() if min(n[label].documents, n[DATA].documents) > 1}
    if not judged or label == DATA:
        return Entry("" if label == DATA else MISSING)
    distances = {metric: count_errors(numbers[label], numbers[DATA]) for metric, numbers in judged.items()}
    limit = NormalDist().inv_cdf(1 - FALSE_ALARMS / (2 * len(judged)))
    unlike = [metric for metric, distance in distances.items() if distance > limit]
    worst, most = max(distances.items(), key=lambda found: found[1])
    told = f": {worst.replace('_', ' ')} ({most:.{int(most < 10)}f})" if unlike else ""
    return Entry(f"{len(unlike)} of {len(judged)}{told}", estimate=PooledEstimate(len(unlike)))


def count_texts(measured: QualityResults) -> str:
    """How many texts the numbers of each row are from."""
    counts: dict[str, list[str]] = {}
    for label in measured.groups:
        there = [
            numbers[label] for metric, numbers in measured.numbers.items() if metric in JUDGED and label in numbers
        ]
        if number := max(there, key=lambda number: number.documents, default=None):
            seeds = f" of each of {number.seeds} seeds" * (number.seeds > 1)
            counts.setdefault(f"{number.documents}{seeds}", []).append(label)
    if len(counts) == 1:
        return f"Each row: {next(iter(counts))} texts."
    said = [f"{count} ({join_names(labels)})" for count, labels in counts.items()]
    return f"Texts: {'; '.join(said)}." * bool(said)


def explain(columns: Sequence[Column], measured: QualityResults, cells: Sequence[Entry]) -> list[tuple[str, str]]:
    """The footnotes: what is bold, tied, won by an adversary and unlike data, how many texts, and the protocol."""
    metrics = [column.metric for column in columns if column.metric in measured.numbers]
    won: dict[str, list[str]] = {}
    for metric in metrics:
        won.setdefault(" and ".join(f"the {name}" for name in find_winners(metric, measured)), []).append(metric)
    said = [f"{', '.join(of).replace('_', ' ')} by {winners}" for winners, of in won.items() if winners]
    notes = [("", NOTES["bold"])] * any(cell.best for cell in cells)
    notes += [("~", NOTES["~"])] * any("~" in cell.marks for cell in cells)
    notes += [("±", MEANINGS["±"])] * any(cell.error for cell in cells)
    notes += [(SIGN, f"won by an adversary, and alone says nothing: {'; '.join(said)}")] * bool(said)
    notes += [("", NOTES["unlike"])] * (UNLIKE in columns) + [("", count_texts(measured))]
    marked = [column.metric for column in columns if column.is_marked and column.metric in metrics]
    protocols = [{number.protocol for number in measured.numbers[metric].values()} for metric in marked]
    one = dict.fromkeys(next(iter(found)) for found in protocols if len(found) == 1)
    return [note for note in notes if note[1]] + [("", f"Protocol: {protocol}.") for protocol in one if protocol]


def build_qualities(record: Record, whole: bool = False) -> list[Table]:
    """A table for each number and length of texts: most metrics depend on both."""
    parts = split_shapes(record)
    made = {shape: build_quality(part, whole) for shape, part in parts.items()}
    tables = {shape: table for shape, table in made.items() if table}
    if len(parts) == 1:
        return list(tables.values())
    words = "{}, {} texts of {} tokens"
    return [replace(t, caption=words.format(t.caption, *shape.split(" x "))) for shape, t in tables.items()]


def build_quality(record: Record, whole: bool = False) -> Table | None:
    """Quality of the texts of every arm, way and control in the columns that were measured; None where none was to be.

    Every one of them if `whole`, else those that fit on a screen.
    """
    measured = collect_quality(record)
    if not measured.groups:
        return None
    there = [column for column in COLUMNS if column.metric in measured.numbers]
    columns = there if whole else [column for column in there if column.metric in SCREEN_METRICS]
    footnotes = Footnotes()
    written = [{label: count_differences(label, measured) for label in measured.groups}]
    written += [make_entries(column, measured, footnotes) for column in columns]
    heads = [UNLIKE, *(describe_column(column, measured) for column in columns)]
    arms, controls = (
        tuple(make_row(label, rows, tuple(cells[label] for cells in written)) for label, rows in part.items())
        for part in (measured.arms, measured.controls)
    )
    notes = explain(heads, measured, [cell for row in arms + controls for cell in row.entries])
    notes += footnotes.list_notes()
    return Table(
        f"{record.suite}: quality of the texts", warn_incomplete(record), tuple(heads), arms, controls, tuple(notes)
    )
