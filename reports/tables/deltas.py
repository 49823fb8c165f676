"""The table of differences: every arm that has a base, minus that base on the same documents, noise and seeds."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pandas as pd

from bench.results.statistics.pooled import SIGNS, PooledEstimate
from bench.results.statistics.verdicts import BETTER, SAME, TIED, WORSE, summarise
from bench.results.suite_record import Record
from reports.tables.arms import choose_score, split_arms, warn_incomplete
from reports.tables.breakdown import explain_terms
from reports.tables.main import list_main_columns
from reports.tables.numbers import format_sample_size, format_with_error
from reports.tables.table import MEANINGS, MISSING, Column, Entry, Footnotes, Row, Table, make_row, pool_arm

ONE_SEED = "the interval is over the documents alone: one seed shows no variance of training"
NOTES = {
    "delta": "Delta: the arm minus its base, {on}; below zero the arm is better. 95 % interval: {how}",
    "documents": "over the documents of the one seed, which shows no variance of training",
    "seeds": "Student's t over the paired seeds, joined in quadrature with that over the documents, which they share",
    "verdict": "Worse, better: the interval leaves out zero{corrected}{and_p}. Of 20 tables in which no arm differs, at"
    " most one has such a verdict by chance{alone}",
    "clusters": "The n sequences are cut from a running text: the error over them is that of {count} runs of"
    " neighbours",
    "detectable": "Detectable: the true difference, in the unit of Delta, that would get a verdict in 80 % of such"
    " experiments",
    "bounds": "A difference of bounds is not a difference of likelihoods: an arm may have the lower bound because its"
    " bound is tighter{certified}",
    "certified": "; a certificate says that it is a bound, not how tight",
}


def compute_deltas(record: Record) -> pd.DataFrame:
    """The differences of all arms in the unit of the score: see `bench.results.statistics.verdicts.summarise`."""
    return summarise(record.pairs, choose_score(record)[0])


def list_deltas(record: Record) -> pd.DataFrame:
    """Every number at full precision, a row for each arm and unit."""
    return pd.concat([summarise(record.pairs, metric) for metric in record.pairs["metric"].unique()], ignore_index=True)


def format_delta(delta: Any) -> tuple[str, str, int]:
    """A difference with its sign, the ends of its interval ("" where there is none), and the decimals of both: two
    significant digits of half the interval."""
    half = (delta.high - delta.low) / 2
    digits = len(format_with_error(PooledEstimate(delta.value, half))[0].partition(".")[2])
    interval = f"[{delta.low:z.{digits}f}, {delta.high:z.{digits}f}]" if math.isfinite(half) else ""
    return f"{delta.value:+z.{digits}f}", interval, digits


def format_p(delta: Any) -> str:
    """The corrected p of the sign-flip test, or that it cannot be small; none where arm and base are one training."""
    if delta.verdict == SAME:
        return MISSING
    return "out of reach" if delta.reach else f"{delta.p_holm:.2g}"


def format_verdict(delta: Any) -> str:
    """The verdict, with how little it rests on where that is a single seed."""
    return delta.verdict + ", one seed" * (delta.seeds == 1 and delta.verdict in (WORSE, BETTER))


def score_entry(number: PooledEstimate | None, protocols: set[str], footnotes: Footnotes) -> Entry:
    """The score of an arm or a base itself, with the sign of what it claims."""
    if number is None:
        return Entry(MISSING)
    return Entry(
        *format_with_error(number), SIGNS[number.kind], footnotes.mark_estimate(number, protocols), estimate=number
    )


def detectable_entry(delta: Any, digits: int) -> Entry:
    """What could have been told apart, where nothing was."""
    if delta.verdict != TIED or math.isnan(delta.detectable):
        return Entry(MISSING)
    return Entry(f"{delta.detectable:.{digits}f}", estimate=PooledEstimate(delta.detectable))


def delta_entries(delta: Any, score: Entry, footnotes: Footnotes, notes: Sequence[str]) -> tuple[Entry, ...]:
    """The cells of an arm; where it is not paired, words in place of its difference."""
    if not delta.seeds:
        return (
            Entry("not paired"),
            Entry(MISSING),
            score,
            Entry(MISSING),
            Entry(MISSING),
            Entry(MISSING),
            Entry(MISSING),
        )
    text, interval, digits = format_delta(delta)
    number = PooledEstimate(delta.value, documents=delta.documents, seeds=delta.seeds, planned=delta.planned)
    marks = footnotes.mark_all(notes)
    return (
        Entry(text, marks=marks, estimate=number),
        Entry(interval, estimate=number) if interval else Entry(MISSING),
        score,
        Entry(format_sample_size(number)[0], estimate=number),
        Entry(format_p(delta)),
        Entry(format_verdict(delta), estimate=number if delta.verdict in (WORSE, BETTER) else None),
        detectable_entry(delta, digits),
    )


def list_marks(delta: Any, deltas: pd.DataFrame) -> list[str]:
    """What sets the difference of an arm apart from others of the table."""
    notes = [ONE_SEED] * (delta.seeds == 1 and bool((deltas["seeds"] > 1).any()))
    notes += [f"the noise is not shared, for the estimators differ: {delta.unlike}"] * bool(delta.unlike)
    return notes + ["not all seeds are paired; the status says why"] * (0 < delta.seeds < delta.planned)


def list_columns(record: Record) -> tuple[Column, ...]:
    """The columns; the last is left out where every arm is told apart."""
    metric, unit = choose_score(record)
    score = list_main_columns(record)[0]
    return (
        Column("bound", metric, "Delta", unit, format_with_error),
        Column("bound", metric, "Delta", "95 % interval", format_with_error),
        replace(score, is_score=False),
        Column("bound", metric, "Pairs", "n × seeds", format_sample_size),
        Column("bound", metric, "p", "Holm", format_with_error),
        Column("bound", metric, "Verdict", "", format_with_error),
        Column("bound", metric, "Detectable", "80 % power", format_with_error),
    )


def make_base_row(label: str, arms: dict[str, pd.DataFrame], score: Entry) -> Row:
    """The row of a base, which has a score and no difference."""
    cells = (Entry("base"), Entry(), score, *[Entry()] * 4)
    if label not in arms:
        return Row(label, "", cells)
    return replace(make_row(label, arms[label], cells), label=f"{label} (base)")


def join_reasons(row: Row, delta: Any) -> str:
    """Why the arm is not done, and why some of its seeds are not paired; only the first where none is."""
    is_told = bool(row.reason) and not delta.seeds
    return "; ".join(filter(None, (row.reason, "" if is_told else str(delta.reason))))


def make_rows(record: Record, deltas: pd.DataFrame, footnotes: Footnotes) -> list[Row]:
    """Each base with its arms below it."""
    arms, column = split_arms(record), list_main_columns(record)[0]
    shown = {*deltas["base"], *deltas["arm"]}
    numbers = {label: pool_arm(rows, column) for label, rows in arms.items() if label in shown}
    protocols = {number.protocol for number in numbers.values() if number}
    scores = {label: score_entry(number, protocols, footnotes) for label, number in numbers.items()}
    rows: list[Row] = []
    for base, of_base in groupby(deltas.itertuples(), key=lambda delta: str(delta.base)):
        rows.append(make_base_row(base, arms, scores.get(base, Entry(MISSING))))
        for delta in of_base:
            label = str(delta.arm)
            row = make_row(
                label, arms[label], delta_entries(delta, scores[label], footnotes, list_marks(delta, deltas))
            )
            rows.append(replace(row, reason=join_reasons(row, delta)))
    return rows


def explain(deltas: pd.DataFrame, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The footnotes: what a difference, its interval, p and verdict are, and what a difference of bounds is not."""
    paired = deltas[deltas["seeds"] > 0]
    used = {cell.sign for row in rows for cell in row.entries} | {"±"}
    notes = [(sign, meaning) for sign, meaning in MEANINGS.items() if sign in used]
    if paired.empty:
        return notes
    is_shared = (paired["unlike"] == "").any()
    on = "on the same documents, seed by seed" + " and with the same noise" * bool(is_shared)
    how = NOTES["seeds" if (paired["seeds"] > 1).any() else "documents"]
    reached = bool((paired["p_holm"].notna() & (paired["reach"] == "")).any())
    several = int(paired["p_interval"].notna().sum()) > 1
    said = {
        "corrected": " after Holm's correction over the arms" * several,
        "and_p": " and, where it is within reach, p < 0.05" * reached + " after it" * (reached and several),
        "alone": "; an interval is that of its arm alone" * several,
    }
    notes.append(("", NOTES["delta"].format(on=on, how=how)))
    notes.append(("", NOTES["verdict"].format(**said)))
    if (clusters := paired["clusters"][paired["clusters"] < paired["documents"]]).any():
        notes.append(("", NOTES["clusters"].format(count=", ".join(map(str, sorted(set(clusters)))))))
    notes += [("", f"{reach}.") for reach in dict.fromkeys(filter(None, paired["reach"]))]
    notes += [("", NOTES["detectable"])] * bool((paired["verdict"] == TIED).any())
    if kinds := {"certified", "bound"} & {cell.estimate.kind for row in rows for cell in row.entries if cell.estimate}:
        certified = NOTES["certified"] * ("certified" in kinds)
        notes.append(("", NOTES["bounds"].format(certified=certified)))
    return notes


def build_deltas(record: Record) -> Table | None:
    """Each base with its arms: difference, interval, score, pairs, p and verdict; None where no arm has a base."""
    deltas = compute_deltas(record)
    if deltas.empty:
        return None
    footnotes = Footnotes()
    rows, columns = make_rows(record, deltas, footnotes), list_columns(record)
    notes = [*explain(deltas, rows), *explain_terms(record), *footnotes.list_notes()]
    if not (deltas["verdict"] == TIED).any():
        rows, columns = [replace(row, entries=row.entries[:-1]) for row in rows], columns[:-1]
    caption = f"{record.suite}: differences from the base"
    return Table(caption, warn_incomplete(record), columns, tuple(rows), (), tuple(notes))
