"""The table of a record in a neutral structure: what each arm scored, how sure that is, and what it cost."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from bench.results.statistics.pooled import SIGNS, Estimate, Readings, is_tied, pool
from bench.results.statistics.ranks import find_places
from bench.results.statistics.verdicts import summarise
from bench.results.suite_record import Record
from reports.tables.arms import choose_arms, describe, find_problems, list_others, say_tuning, split_arms, warn

LETTERS = "abcdefghijklmnoprstuvwxyz"
NONE = "—"
RANK = 3  # the place of the column of ranks: after the scores and what they were measured on
MEANINGS = {
    "=": "the likelihood itself",
    "<=": "a bound with a certificate",
    "†": "a bound whose certificate has not been run; <= is kept for certified ones",
    "±": "one standard error: over the seeds (and the Monte Carlo noise that they share) where there are several, else"
    " over the n sequences of the one seed, which shows no variance of training; sequences of a running text are taken"
    " in runs of neighbours, which may vary together",
    "~": "the 95 % interval of the difference from the lowest value, which is bold, holds zero: Student's, over seeds"
    " and sequences, unpaired",
}
SURVIVORS = "a mean over the seeds that finished; the status names the others"
STALE = "measured by other code than this checkout's"


@dataclass(frozen=True)
class Column:
    """A metric of one stage and how it is written: `write` gives the text of the value and of its error."""

    stage: str
    metric: str
    title: str
    unit: str
    write: Callable[[Estimate], tuple[str, str]]
    is_score: bool = False  # lower is better: shows signs, ties and the best
    is_marked: bool = True  # a letter tells protocols, lost seeds and other code apart


@dataclass(frozen=True)
class Cell:
    value: str = ""
    error: str = ""
    sign: str = ""
    marks: str = ""
    best: bool = False
    estimate: Estimate | None = None
    also: tuple[tuple[str, Estimate], ...] = ()  # other numbers that the text holds, by the names of their metrics


@dataclass(frozen=True)
class Row:
    label: str
    method: str
    cells: tuple[Cell, ...]
    status: str = "done"
    reason: str = ""


@dataclass(frozen=True)
class Table:
    caption: str
    warning: str  # why the record is incomplete, or ""
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    references: tuple[Row, ...]
    footnotes: tuple[tuple[str, str], ...]  # mark and text


def write_error(number: Estimate) -> tuple[str, str]:
    """The value and its error to two significant digits of the error; where there is none, four of the value."""
    has_error = number.error > 0 and math.isfinite(number.error)
    scale = f"{number.error:.1e}" if has_error else f"{number.value:.3e}"
    digits = min(max((1 if has_error else 3) - int(scale.split("e")[1]), 0), 6) if math.isfinite(number.value) else 0
    return f"{number.value:.{digits}f}", f"{number.error:.{digits}f}" if has_error else ""


def write_compact(number: Estimate) -> tuple[str, str]:
    """Millions and billions with two decimals: 0.33M, 1.50B; smaller numbers in full."""
    for scale, letter, start in ((1e9, "B", 1e9), (1e6, "M", 1e5)):
        if number.value >= start:
            return f"{number.value / scale:.2f}{letter}", ""
    return f"{number.value:.0f}", ""


def write_power(number: Estimate) -> tuple[str, str]:
    """Three digits and a power of ten: 1.25e12."""
    return f"{number.value:.2e}".replace("e+", "e"), ""


def write_plain(number: Estimate) -> tuple[str, str]:
    """One decimal below 100, none above."""
    return f"{number.value:.{int(number.value < 100)}f}", ""


def write_count(number: Estimate) -> tuple[str, str]:
    """Documents x finished seeds, and how many seeds there should have been when some are lost."""
    lost = f" of {number.planned}" if number.planned > number.seeds else ""
    return f"{number.documents} × {number.seeds}{lost}", ""


def find_score(record: Record) -> tuple[str, str]:
    """The metric of the score and its unit: bits per byte where tokens are bytes, else bits per character."""
    is_byte = record.data.get("level") == "byte"
    return ("bits_per_byte", "bits per byte") if is_byte else ("bits_per_char", "bits per character")


def main_columns(record: Record) -> tuple[Column, ...]:
    """The columns of the main table: the score, what it was measured on, and what it cost."""
    score, unit = find_score(record)
    return (
        Column("bound", score, "Score ↓", unit, write_error, is_score=True),
        Column("bound", "perplexity", "Perplexity ↓", "per token", write_error, is_score=True),
        Column("bound", score, "Sequences", "n × seeds", write_count, is_marked=False),
        Column("train", "parameters", "Parameters", "total", write_compact),
        Column("train", "parameters_non_embedding", "Parameters", "non-embedding", write_compact),
        Column("train", "tokens", "Training", "tokens", write_compact),
        Column("train", "flops", "Training", "FLOPs", write_power),
        Column("train", "seconds", "Training", "seconds", write_plain),
        *[Column("samples", "network_calls", "Sampling", "network calls", write_plain)] * (not has_samplers(record)),
    )


def has_samplers(record: Record) -> bool:
    """Whether some arm is sampled in several ways, which have a table of their own."""
    rows = choose_arms(record)
    drawn = rows[rows["stage"] == "samples"]
    return bool((drawn.groupby(["arm", "seed"])["protocol"].nunique() > 1).any())


def measure(rows: pd.DataFrame, column: Column) -> Estimate | None:
    """The number of one arm in a column; None when no seed has it. The metric `tokens` is what training consumed."""
    return Readings(rows).find(column.stage, column.metric)


def letter_of(note: str, letters: dict[str, str]) -> str:
    """The letter of a footnote (a, b, ..., z, aa, ...); a new note takes the next one."""
    turns, place = divmod(len(letters), len(LETTERS))
    return letters.setdefault(note, LETTERS[place] * (turns + 1))


def mark(number: Estimate, protocols: set[str], letters: dict[str, str]) -> str:
    """The letters of a number: its protocol where a column holds several, lost seeds, other code."""
    notes = [f"protocol: {number.protocol or 'not recorded'}"] * (len(protocols) > 1)
    notes += [SURVIVORS] * (number.planned > number.seeds) + [STALE] * number.is_stale
    return "".join(sorted(letter_of(note, letters) for note in notes))


def write_column(column: Column, numbers: Sequence[Estimate | None], letters: dict[str, str]) -> list[Cell]:
    """The cells of one column; a scored one has signs, its best in bold, and ~ where the best is not clearly better."""
    there = [number for number in numbers if number]
    protocols = {number.protocol for number in there}
    best = min(there, key=lambda number: number.value, default=None)
    cells = []
    for number in numbers:
        if number is None or best is None:
            cells.append(Cell(NONE))
            continue
        marks = mark(number, protocols, letters) if column.is_marked else ""
        cell = Cell(*column.write(number), marks=marks, estimate=number)
        if column.is_score:
            tie = "~" if is_tied(number, best) and number.value > best.value else ""
            cell = replace(cell, sign=SIGNS[number.kind], marks=tie + marks, best=number.value == best.value)
        cells.append(cell)
    return cells


def make_row(label: str, rows: pd.DataFrame, cells: tuple[Cell, ...]) -> Row:
    """One arm with its status; where it has no first number, its first cell says why."""
    problems = find_problems(rows)
    status = str(problems["status"].iloc[0]) if len(problems) else "done"
    if status != "done" and cells[0].estimate is None:
        cells = (Cell(status), *cells[1:])
    reasons = "; ".join(describe(problem) for _, problem in problems.iterrows())
    return Row(label, str(rows["method"].iloc[0]), cells, status, reasons)


def find_references(record: Record) -> dict[str, Estimate]:
    """What needs no network, in nats per token: uniform, unigram, and the source itself where its law is known."""
    data, rows = record.data, record.table
    nats = {
        "uniform": math.log(data["vocab_size"]) if data.get("vocab_size") else None,
        "unigram": data.get("unigram_nats"),
        "entropy of the source": data["entropy_nats"] / data["length"] if data.get("entropy_nats") else None,
    }
    found = {name: Estimate(value, kind="exact") for name, value in nats.items() if value is not None}
    own = pool(rows[rows["metric"] == "source_nats_per_token"].drop_duplicates("metric"))
    return found | ({"source, same sequences": own} if own else {})


def write_reference(label: str, nats: Estimate, columns: Sequence[Column]) -> Row:
    """A reference as a row: its bits and its perplexity where these are scored, blank elsewhere."""
    cells = [Cell() for _ in columns]
    for place, column in enumerate(columns):
        if column.is_score:
            value = math.exp(nats.value) if column.metric == "perplexity" else nats.value / math.log(2)
            slope = value if column.metric == "perplexity" else 1 / math.log(2)
            errors = {name: getattr(nats, name) * slope for name in ("error", "sampling", "monte_carlo_error")}
            number = replace(nats, value=value, **errors)
            cells[place] = Cell(*write_error(number), SIGNS[number.kind], estimate=number)
    return Row(label, "", tuple(cells))


def explain(record: Record, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The footnotes that scores need: signs, bold and ties, errors, and the protocol where there is one."""
    numbers = {row.label: row.cells[0].estimate for row in rows if row.cells[0].estimate}
    cells = [row.cells[0] for row in rows]
    used = {cell.sign for cell in cells} | {"±" for cell in cells if cell.error} | {"~" for cell in cells if cell.best}
    notes = [(sign, meaning) for sign, meaning in MEANINGS.items() if sign in used]
    noise = ", ".join(f"{name} {n.monte_carlo_error:.2g}" for name, n in numbers.items() if n.monte_carlo_error > 0)
    notes += [("", f"Monte-Carlo error of the estimates, in {find_score(record)[1]}: {noise}.")] * bool(noise)
    protocols = {number.protocol for number in numbers.values()} - {""}
    return notes + [("", f"Protocol: {protocol}.") for protocol in protocols if len(protocols) == 1]


def build(record: Record, columns: Sequence[Column], caption: str) -> Table:
    """The table of a record in these columns: an arm a row, failed ones included; references where scores stand."""
    arms = split_arms(record)
    letters: dict[str, str] = {}
    found = [Readings(rows) for rows in arms.values()]
    written = [
        write_column(column, [arm.find(column.stage, column.metric) for arm in found], letters) for column in columns
    ]
    rows = [make_row(*arm, cells) for arm, cells in zip(arms.items(), zip(*written, strict=True), strict=True)]
    is_main = columns[0].is_score
    references = [write_reference(*item, columns) for item in find_references(record).items()] if is_main else []
    notes = explain(record, rows) if is_main else []
    notes += [(letter, note) for note, letter in letters.items()]
    return Table(caption, warn(record), tuple(columns), tuple(rows), tuple(references), tuple(notes))


def write_place(place: tuple[int, int] | None) -> Cell:
    """Such as 1, or 2-3 for an arm that shares its places with another."""
    if place is None:
        return Cell(NONE)
    best, worst = place
    also = (("rank_worst", Estimate(worst)),)
    return Cell(f"{best}-{worst}" if best < worst else f"{best}", estimate=Estimate(best), also=also)


def add_ranks(table: Table, record: Record) -> Table:
    """The main table with the column of places, where three or more arms can be compared."""
    numbers = {row.label: row.cells[0].estimate for row in table.rows if row.cells[0].estimate}
    places, note = find_places(numbers, summarise(record.pairs, table.columns[0].metric))
    if not places:
        return table

    def widen(row: Row, cell: Cell) -> Row:
        return replace(row, cells=(*row.cells[:RANK], cell, *row.cells[RANK:]))

    return replace(
        table,
        columns=(*table.columns[:RANK], Column("bound", "rank_best", "Rank", "", write_plain), *table.columns[RANK:]),
        rows=tuple(widen(row, write_place(places.get(row.label))) for row in table.rows),
        references=tuple(widen(row, Cell()) for row in table.references),
        footnotes=(*table.footnotes, ("", note)),
    )


def build_main(record: Record) -> Table:
    """The table of the suite, with the notes on its data and its machines."""
    table = add_ranks(build(record, main_columns(record), f"{record.suite}: {record.question}"), record)
    notes = list(record.data.get("notes", []))
    if len(record.environment) > 1:
        notes.append(f"The cells ran in {len(record.environment)} environments: seconds compare only within one.")
    notes += say_tuning(record)
    return replace(table, footnotes=(*table.footnotes, *(("", note) for note in notes), *list_others(record)))
