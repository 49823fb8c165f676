"""The model of a table: columns, rows, entries and footnotes; `reports.formats` prints it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.engine.metric_definitions import METRICS, Better
from bench.results.statistics.pooled import SIGNS, ArmResults, PooledEstimate, is_tied
from bench.results.suite_record import SuiteRecord
from reports.tables.arms import describe_problem, find_problems, split_arms, warn_incomplete
from reports.tables.format_numbers import FORMATS, Formatter, format_compact

Note = tuple[str, str]  # mark and text of a footnote

LETTERS = "abcdefghijklmnoprstuvwxyz"  # of footnotes; there is no raised q in Unicode
MISSING = "—"
ARROWS: dict[Better, str] = {"lower": "↓", "higher": "↑", "nearer": "≈"}
SIGN_NOTES = {
    "=": "exact likelihood",
    "<=": "certified bound",
    "†": "bound that is not certified; <= is kept for certified ones",
    "±": "one standard error: over seeds, with the Monte Carlo noise that they share; for a single seed, over its n"
    " sequences only (no training variance). Neighbouring sequences of a running text are clustered",
    "~": "tied with the lowest value (bold): the 95 % interval of the difference contains zero (Student's t over seeds"
    " and sequences, unpaired)",
}
LOST_SEEDS = "mean over the seeds that finished; see the status for the others"
STALE = "measured by a different version of the code"


@dataclass(frozen=True)
class Column:
    """A metric of one stage, its header, and how its values and errors are formatted."""

    stage: str
    metric: str
    title: str
    unit: str
    format: Formatter
    is_score: bool = False  # lower is better: shows signs, ties and the best
    is_marked: bool = True  # a letter tells protocols, lost seeds and other code apart


def metric_column(
    stage: str,
    name: str,
    title: str = "",
    subtitle: str = "",
    *,
    format: Formatter | None = None,
    is_score: bool = False,
    is_marked: bool = True,
) -> Column:
    """The column of a metric of a stage; header and rounding are those of the metric unless given here."""
    metric = METRICS[name]
    title, subtitle = title or metric.title, subtitle or metric.subtitle
    if is_score and metric.better:
        title = f"{title} {ARROWS[metric.better]}"
    return Column(stage, name, title, subtitle, format or FORMATS[metric.digits], is_score, is_marked)


TRAINING_TOKENS = Column("train", "tokens", "Training", "tokens", format_compact)


@dataclass(frozen=True)
class Entry:
    """What stands in one row and column: a number, or a word that takes its place."""

    value: str = ""
    error: str = ""
    sign: str = ""  # what the number claims: "=", "<=" or "†"
    marks: str = ""  # "~" for a tie with the best, and the letters of footnotes
    best: bool = False
    estimate: PooledEstimate | None = None
    also: tuple[tuple[str, PooledEstimate], ...] = ()  # further numbers in the text, by metric


@dataclass(frozen=True)
class Row:
    """One arm, control or reference; `reason` says why it is not done."""

    label: str
    method: str
    entries: tuple[Entry, ...]
    status: str = "done"
    reason: str = ""


@dataclass(frozen=True)
class Table:
    """A table that any format can print."""

    caption: str
    warning: str  # why the record is incomplete, or ""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    references: tuple[Row, ...]  # below the rows: what needs no network, or controls
    footnotes: tuple[Note, ...]


class Footnotes:
    """The lettered footnotes of a table; equal texts share a letter."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}

    def mark(self, text: str) -> str:
        """The letter of a footnote (a, b, ..., z, aa, bb, ...); a new text takes the next one."""
        turns, index = divmod(len(self.letters), len(LETTERS))
        return self.letters.setdefault(text, LETTERS[index] * (turns + 1))

    def mark_all(self, texts: Sequence[str]) -> str:
        """The letters of several footnotes, in alphabetical order."""
        return "".join(sorted(self.mark(text) for text in texts))

    def mark_estimate(self, estimate: PooledEstimate, protocols: set[str]) -> str:
        """The letters of a number: its protocol if its column has several, lost seeds, stale code."""
        texts = []
        if len(protocols) > 1:
            texts.append(f"protocol: {estimate.protocol or 'not recorded'}")
        if estimate.planned > estimate.seeds:
            texts.append(LOST_SEEDS)
        if estimate.is_stale:
            texts.append(STALE)
        return self.mark_all(texts)

    def list_notes(self) -> list[Note]:
        """Letter and text of every footnote, in the order in which they were first marked."""
        return [(letter, text) for text, letter in self.letters.items()]


def pool_arm(rows: pd.DataFrame, column: Column) -> PooledEstimate | None:
    """The number of one arm in a column; None if no seed has it. `tokens` are those that training consumed."""
    return ArmResults(rows).find(column.stage, column.metric)


def number_entry(value: float, format_number: Formatter) -> Entry:
    """An entry with a number that has no error."""
    estimate = PooledEstimate(float(value))
    return Entry(*format_number(estimate), estimate=estimate)


def format_column(column: Column, estimates: Sequence[PooledEstimate | None], footnotes: Footnotes) -> list[Entry]:
    """The entries of one column; a score has signs, its best in bold, and ~ at those that tie with the best."""
    measured = [estimate for estimate in estimates if estimate]
    protocols = {estimate.protocol for estimate in measured}
    best = min(measured, key=lambda estimate: estimate.value, default=None)

    entries = []
    for estimate in estimates:
        if estimate is None or best is None:
            entries.append(Entry(MISSING))
            continue
        marks = footnotes.mark_estimate(estimate, protocols) if column.is_marked else ""
        entry = Entry(*column.format(estimate), marks=marks, estimate=estimate)
        if column.is_score:
            is_best = estimate.value == best.value
            tie = "~" if is_tied(estimate, best) and not is_best else ""
            entry = replace(entry, sign=SIGNS[estimate.kind], marks=tie + marks, best=is_best)
        entries.append(entry)
    return entries


def make_row(label: str, rows: pd.DataFrame, entries: tuple[Entry, ...]) -> Row:
    """One arm with its status, which stands in its first entry if that has no number."""
    problems = find_problems(rows)
    status = str(problems["status"].iloc[0]) if len(problems) else "done"
    if status != "done" and entries[0].estimate is None:
        entries = (Entry(status), *entries[1:])
    reasons = "; ".join(describe_problem(problem) for _, problem in problems.iterrows())
    return Row(label, str(rows["method"].iloc[0]), entries, status, reasons)


def build_table(record: SuiteRecord, columns: Sequence[Column], caption: str) -> Table:
    """A table with a row for every arm of a record, failed ones included."""
    arms, footnotes = split_arms(record), Footnotes()
    results = [ArmResults(rows) for rows in arms.values()]
    entries = []
    for column in columns:
        estimates = [arm.find(column.stage, column.metric) for arm in results]
        entries.append(format_column(column, estimates, footnotes))

    by_arm = zip(arms.items(), zip(*entries, strict=True), strict=True)
    rows = [make_row(label, arm_rows, arm_entries) for (label, arm_rows), arm_entries in by_arm]
    return Table(caption, warn_incomplete(record), tuple(columns), tuple(rows), (), tuple(footnotes.list_notes()))
