"""The table of differences: every arm that has a base, minus that base on the same documents, noise and seeds."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import pandas as pd

from bench.results.statistics.paired_differences import OTHER_NOISE
from bench.results.statistics.pooled import SIGNS, PooledEstimate
from bench.results.statistics.significance_tests import ADVISED_SEEDS, describe_flips
from bench.results.statistics.verdicts import BETTER, NO_VERDICT, SAME, TEST_TEXT_ONLY, TIED, WORSE, summarize
from bench.results.suite_record import SuiteRecord
from reports.tables.arms import choose_score, distinguish, split_arms, warn_incomplete
from reports.tables.breakdown import explain_terms
from reports.tables.format_numbers import format_sample_size, format_with_error
from reports.tables.table_model import (
    MISSING,
    Column,
    Entry,
    Footnotes,
    Note,
    Row,
    Table,
    explain_signs,
    make_row,
    mark_mixed,
    metric_column,
    pool_arm,
)

SCORE = 2  # the column of the scores themselves
ONE_SEED = f"one seed, {TEST_TEXT_ONLY}: the interval is over documents, and there is no verdict"
NOISE = "noise is not shared, because the estimators differ: {unlike}"
UNPAIRED = "not all seeds are paired; see the status"
NOTES = {
    "delta": "Delta: arm minus base {on}; negative is better. 95 % interval: {how}.",
    "documents": f"{TEST_TEXT_ONLY}, over the documents of the one seed",
    "seeds": "Student's t over paired seeds, combined in quadrature with that over the documents, which seeds share",
    "verdict": "Worse, better: the interval excludes zero{corrected}{and_p}. If no arm differs, at most one table in"
    " 20 has a verdict by chance{alone}.",
    "no verdict": "No verdict: the spread over training runs is unknown with one seed; give at least"
    f" {ADVISED_SEEDS} seeds.",
    "clusters": "The n sequences are cut from a running text; their error is clustered over {count} runs of"
    " neighbours.",
    "detectable": "Detectable: the true difference, in the unit of Delta, that gets a verdict in 80 % of experiments.",
    "bounds": "A difference of bounds is not a difference of likelihoods: the better bound may just be"
    " tighter{certified}.",
    "certified": "; a certificate says nothing about tightness",
}


def compute_deltas(record: SuiteRecord) -> pd.DataFrame:
    """The differences of all arms in the unit of the score: see `bench.results.statistics.verdicts.summarize`."""
    return summarize(record.pairs, choose_score(record)[0])


def list_deltas(record: SuiteRecord) -> pd.DataFrame:
    """Every number at full precision, a row for each arm and unit."""
    return pd.concat([summarize(record.pairs, metric) for metric in record.pairs["metric"].unique()], ignore_index=True)


def format_delta(delta: Any) -> tuple[str, str, int]:
    """A difference with its sign, its interval ("" if there is none), and their decimals.

    Both are rounded to two significant digits of half the interval.
    """
    half = (delta.high - delta.low) / 2
    digits = len(format_with_error(PooledEstimate(delta.value, half))[0].partition(".")[2])
    interval = f"[{delta.low:z.{digits}f}, {delta.high:z.{digits}f}]" if math.isfinite(half) else ""
    return f"{delta.value:+z.{digits}f}", interval, digits


def format_p(delta: Any) -> str:
    """The corrected p-value of the sign-flip test, or that it cannot be small; none of one run or of one seed."""
    if delta.verdict in (SAME, NO_VERDICT):
        return MISSING
    return "out of reach" if delta.reach else f"{delta.p_holm:.2g}"


def is_decided(delta: Any) -> bool:
    """Whether the arm is better or worse than its base."""
    return delta.verdict in (WORSE, BETTER)


def score_entry(estimate: PooledEstimate | None, protocols: set[str], footnotes: Footnotes) -> Entry:
    """The score of an arm or a base itself, with the sign of what it claims."""
    if estimate is None:
        return Entry(MISSING)
    marks = footnotes.mark_estimate(estimate, protocols)
    return Entry(*format_with_error(estimate), SIGNS[estimate.kind], marks, estimate=estimate)


def detectable_entry(delta: Any, digits: int) -> Entry:
    """The difference that would have been detected, if none was."""
    if delta.verdict != TIED or math.isnan(delta.detectable):
        return Entry(MISSING)
    return Entry(f"{delta.detectable:.{digits}f}", estimate=PooledEstimate(delta.detectable))


def delta_entries(delta: Any, score: Entry, marks: str) -> tuple[Entry, ...]:
    """The entries of an arm; if it is not paired, a word takes the place of its difference."""
    if not delta.seeds:
        return (Entry("not paired"), Entry(MISSING), score, *[Entry(MISSING)] * 4)
    text, interval, digits = format_delta(delta)
    number = PooledEstimate(delta.value, documents=delta.documents, seeds=delta.seeds, planned=delta.planned)
    return (
        Entry(text, marks=marks, estimate=number),
        Entry(interval, estimate=number) if interval else Entry(MISSING),
        score,
        Entry(format_sample_size(number)[0], estimate=number),
        Entry(format_p(delta)),
        Entry(str(delta.verdict), estimate=number if is_decided(delta) else None),
        detectable_entry(delta, digits),
    )


def list_caveats(delta: Any, deltas: pd.DataFrame) -> list[str]:
    """What sets the difference of an arm apart from others of the table."""
    caveats = []
    if delta.seeds == 1 and (deltas["seeds"] > 1).any():
        caveats.append(ONE_SEED)
    if delta.unlike:
        caveats.append(NOISE.format(unlike=delta.unlike))
    if delta.mix:
        caveats.append(delta.mix)
    if 0 < delta.seeds < delta.planned:
        caveats.append(UNPAIRED)
    return caveats


def list_columns(record: SuiteRecord) -> tuple[Column, ...]:
    """The columns; the last is left out if every arm has a verdict."""
    metric, unit = choose_score(record)
    return (
        Column("bound", metric, "Delta", unit, format_with_error),
        Column("bound", metric, "Delta", "95 % interval", format_with_error),
        replace(metric_column("bound", metric, is_score=True), is_score=False),
        Column("bound", metric, "Pairs", "n × seeds", format_sample_size),
        Column("bound", metric, "p", "Holm", format_with_error),
        Column("bound", metric, "Verdict", "", format_with_error),
        Column("bound", metric, "Detectable", "80 % power", format_with_error),
    )


def make_base_row(label: str, arms: dict[str, pd.DataFrame], score: Entry) -> Row:
    """The row of a base, which has a score and no difference."""
    entries = (Entry("base"), Entry(), score, *[Entry()] * 4)
    if label not in arms:
        return Row(label, "", entries)
    return replace(make_row(label, arms[label], entries), label=distinguish(label, arms, "base"))


def join_reasons(row: Row, delta: Any) -> str:
    """Why the arm is not done, and why some seeds are not paired; the first reason alone if none is."""
    unpaired = "" if row.reason and not delta.seeds else str(delta.reason)
    return "; ".join(filter(None, (row.reason, unpaired)))


def make_rows(record: SuiteRecord, deltas: pd.DataFrame, footnotes: Footnotes) -> list[Row]:
    """Each base with its arms below it."""
    arms, column = split_arms(record), metric_column("bound", choose_score(record)[0])
    labels = {*deltas["base"], *deltas["arm"]}
    estimates = {label: pool_arm(rows, column) for label, rows in arms.items() if label in labels}
    protocols = {estimate.protocol for estimate in estimates.values() if estimate}
    scores = {label: score_entry(estimate, protocols, footnotes) for label, estimate in estimates.items()}

    rows: list[Row] = []
    for base, of_base in groupby(deltas.itertuples(), key=lambda delta: str(delta.base)):
        rows.append(make_base_row(base, arms, scores.get(base, Entry(MISSING))))
        for delta in of_base:
            label = str(delta.arm)
            marks = footnotes.mark_all(list_caveats(delta, deltas)) if delta.seeds else ""
            row = make_row(label, arms[label], delta_entries(delta, scores[label], marks))
            rows.append(replace(row, reason=join_reasons(row, delta)))
    return rows


def explain_scores(rows: Sequence[Row]) -> list[Note]:
    """The footnotes of the signs and errors of the scores."""
    scores = [row.entries[SCORE] for row in rows]
    return explain_signs({entry.sign for entry in scores}, [entry.estimate for entry in scores])


def explain_verdicts(paired: pd.DataFrame) -> list[str]:
    """What a difference, its interval and a verdict are."""
    has_shared_noise = bool(((paired["unlike"] == "") & ~paired["mix"].str.contains(OTHER_NOISE)).any())
    has_reachable_p = bool((paired["p_holm"].notna() & (paired["reach"] == "")).any())
    is_corrected = int((paired["p_interval"].notna() & (paired["verdict"] != NO_VERDICT)).sum()) > 1
    and_p = " and, if within reach, p < 0.05" if has_reachable_p else ""
    if has_reachable_p and is_corrected:
        and_p += " after it"
    delta = NOTES["delta"].format(
        on="on the same documents, seed by seed" + (" and with the same noise" if has_shared_noise else ""),
        how=NOTES["seeds" if (paired["seeds"] > 1).any() else "documents"],
    )
    verdict = NOTES["verdict"].format(
        corrected=" after Holm's correction over the arms" if is_corrected else "",
        and_p=and_p,
        alone="; each interval is for its arm alone" if is_corrected else "",
    )
    has_one_seed, has_verdicts = (
        bool((paired["verdict"] == NO_VERDICT).any()),
        bool((paired["verdict"] != NO_VERDICT).any()),
    )
    notes = [delta, *([verdict] if has_verdicts else []), *([NOTES["no verdict"]] if has_one_seed else [])]
    return notes + [f"{flips}." for flips in dict.fromkeys(map(describe_flips, paired["seeds"])) if flips]


def explain_limits(paired: pd.DataFrame, rows: Sequence[Row]) -> list[str]:
    """What the table cannot say: clustered sequences, p out of reach, power, and bounds that are not likelihoods."""
    notes = []
    clusters = paired["clusters"][paired["clusters"] < paired["documents"]]
    if clusters.any():
        notes.append(NOTES["clusters"].format(count=", ".join(map(str, sorted(set(clusters))))))
    reaches = paired["reach"][paired["verdict"] != NO_VERDICT]
    notes += [f"{reach}." for reach in dict.fromkeys(filter(None, reaches))]
    if (paired["verdict"] == TIED).any():
        notes.append(NOTES["detectable"])
    kinds = {entry.estimate.kind for row in rows for entry in row.entries if entry.estimate}
    if kinds & {"certified", "bound"}:
        notes.append(NOTES["bounds"].format(certified=NOTES["certified"] if "certified" in kinds else ""))
    return notes


def build_deltas(record: SuiteRecord) -> Table | None:
    """Each base with its arms: difference, interval, score, pairs, p and verdict; None if no arm has a base."""
    deltas = compute_deltas(record)
    if deltas.empty:
        return None
    footnotes = Footnotes()
    columns = list_columns(record)
    rows = list(mark_mixed(make_rows(record, deltas, footnotes), columns, footnotes))
    notes, paired = explain_scores(rows), deltas[deltas["seeds"] > 0]
    if not paired.empty:
        notes += [("", text) for text in (*explain_verdicts(paired), *explain_limits(paired, rows))]
    notes += [*explain_terms(record), *footnotes.list_notes()]

    if not (deltas["verdict"] == TIED).any():
        rows, columns = [replace(row, entries=row.entries[:-1]) for row in rows], columns[:-1]
    caption = f"{record.suite}: differences from the base"
    return Table(caption, warn_incomplete(record), columns, tuple(rows), (), tuple(notes))
