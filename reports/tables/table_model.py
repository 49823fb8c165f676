"""The model of a table: columns, rows, entries and footnotes; `reports.formats` prints it."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.engine.metric_definitions import METRICS, Better
from bench.results.execution_settings import share_protocols
from bench.results.statistics.pooled import SIGNS, ArmResults, PooledEstimate, can_be_best, find_best, is_tied
from bench.results.statistics.significance_tests import ADVISED_SEEDS
from bench.results.statistics.verdicts import TEST_TEXT_ONLY
from bench.results.suite_record import SuiteRecord
from reports.tables.arms import describe_problem, find_problems, split_arms, warn_incomplete
from reports.tables.format_numbers import FORMATS, Formatter, format_compact, format_sample_size, format_seeds
from reports.tables.mixed_execution import COUNTED, find_mix

Note = tuple[str, str]  # mark and text of a footnote

LETTERS = "abcdefghijklmnoprstuvwxyz"  # of footnotes; there is no raised q in Unicode
MISSING = "—"
ARROWS: dict[Better, str] = {"lower": "↓", "higher": "↑", "nearer": "≈"}
SIGN_NOTES = {
    "=": "exact likelihood",
    "<=": "certified bound",
    "±": "one standard error over seeds, with the Monte Carlo noise that they share",
    "~": "tied with the lowest value (bold): the 95 % interval of the difference contains zero (Student's t over seeds"
    " and sequences, unpaired)",
}
UNCERTIFIED_NOTES = {  # of "†", by the kinds that it marks
    ("bound",): "bound that is not certified; <= is kept for certified ones",
    ("likelihood",): "likelihood that is not certified; = is kept for certified ones and for references",
    ("bound", "likelihood"): "likelihood or bound that is not certified; <= is kept for certified ones, = for them and"
    " for references",
}
TEXTS_ONLY = "texts only"  # what the error of one seed is over in a table of samples
ERRORS_OF_ONE_SEED = {
    TEST_TEXT_ONLY: "one standard error over the n sequences of one seed, neighbours in a running text clustered",
    TEXTS_ONLY: "one standard error over the n texts of one seed, or of a control",
}
ONE_SEED = (
    "One seed: no rank, no best and no verdict, since the spread over training runs is unknown; give at least"
    f" {ADVISED_SEEDS} seeds."
)
LONE_SEED = f"one seed, {TEST_TEXT_ONLY}: not ranked and not compared, since its spread over training runs is unknown"
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
    role: str = "arm"  # or "control", or "reference"
    reference: str = ""  # which one it is, whatever its label


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
        shown = share_protocols(protocols)
        if len(set(shown.values())) > 1:
            texts.append(f"protocol: {shown[estimate.protocol] or 'not recorded'}")
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
    """The entries of one column; a score has signs, its best in bold, and ~ at those that tie with the best.

    Arms of one seed are neither; see `find_best`.
    """
    protocols = {estimate.protocol for estimate in estimates if estimate}
    best = find_best(estimates) if column.is_score else None

    entries = []
    for estimate in estimates:
        if estimate is None:
            entries.append(Entry(MISSING))
            continue
        marks = footnotes.mark_estimate(estimate, protocols) if column.is_marked else ""
        if column.is_score and estimate.has_one_seed and any(map(can_be_best, estimates)):
            marks = "".join(sorted(marks + footnotes.mark(LONE_SEED)))
        entry = Entry(*column.format(estimate), marks=marks, estimate=estimate)
        if column.is_score:
            entry = replace(entry, sign=SIGNS[estimate.kind])
        if best and can_be_best(estimate):
            is_best = estimate.value == best.value
            tie = "~" if is_tied(estimate, best) and not is_best else ""
            entry = replace(entry, marks=tie + marks, best=is_best)
        entries.append(entry)
    return entries


def explain_errors(estimates: Iterable[PooledEstimate | None], of_one_seed: str = TEST_TEXT_ONLY) -> list[Note]:
    """The footnote of ±: over seeds, and what it is over for arms of one seed."""
    with_error = [estimate for estimate in estimates if estimate and estimate.error > 0]
    meanings = [SIGN_NOTES["±"]] if any(not estimate.has_one_seed for estimate in with_error) else []
    if any(estimate.has_one_seed for estimate in with_error):
        introduction = "of one seed, " if meanings else ""
        meanings.append(f"{introduction}{of_one_seed}: {ERRORS_OF_ONE_SEED[of_one_seed]}")
    return [("±", "; ".join(meanings))] if meanings else []


def explain_signs(marks: Collection[str], estimates: Iterable[PooledEstimate | None]) -> list[Note]:
    """The footnotes of the signs and marks of scores, with that of ± among them."""
    measured = [estimate for estimate in estimates if estimate]
    notes = [(mark, meaning) for mark, meaning in SIGN_NOTES.items() if mark in marks and mark not in ("±", "~")]
    notes += explain_uncertified(measured) if "†" in marks else []
    return [*notes, *explain_errors(measured), *([("~", SIGN_NOTES["~"])] if "~" in marks else [])]


def explain_uncertified(estimates: Iterable[PooledEstimate]) -> list[Note]:
    """The footnote of †: what has no certificate, and the sign that it lacks."""
    kinds = tuple(sorted({estimate.kind for estimate in estimates if SIGNS[estimate.kind] == "†"}))
    return [("†", UNCERTIFIED_NOTES[kinds])] if kinds else []


def make_row(label: str, rows: pd.DataFrame, entries: tuple[Entry, ...]) -> Row:
    """One arm with its status, which stands in its first entry if that has no number."""
    problems = find_problems(rows)
    status = str(problems["status"].iloc[0]) if len(problems) else "done"
    if status != "done" and entries[0].estimate is None:
        entries = (Entry(status), *entries[1:])
    reasons = "; ".join(describe_problem(problem) for _, problem in problems.iterrows())
    return Row(label, str(rows["method"].iloc[0]), entries, status, reasons)


def mark_mixed(rows: Sequence[Row], columns: Sequence[Column], footnotes: Footnotes) -> tuple[Row, ...]:
    """The rows, with a letter at each number that was made in another way than most of its column."""
    marked = list(rows)
    for index, column in enumerate(columns):
        if column.metric in COUNTED or column.format in (format_sample_size, format_seeds):
            continue
        executions = [entry.estimate.execution if (entry := row.entries[index]).estimate else "" for row in rows]
        mix = find_mix([row.label for row in rows], executions)
        for number, is_marked in enumerate(mix.is_marked):
            if is_marked:
                marked[number] = _with_mark(marked[number], index, footnotes.mark(mix.note))
    return tuple(marked)


def _with_mark(row: Row, index: int, letter: str) -> Row:
    """The row with one more letter at an entry."""
    entry = row.entries[index]
    marked = replace(entry, marks=entry.marks + letter)
    return replace(row, entries=(*row.entries[:index], marked, *row.entries[index + 1 :]))


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
    marked = mark_mixed(rows, columns, footnotes)
    return Table(caption, warn_incomplete(record), tuple(columns), marked, (), tuple(footnotes.list_notes()))
