"""The main table of a record: the score of each arm with its uncertainty, and what it cost."""

import math
from collections.abc import Sequence
from dataclasses import replace

from bench.engine.metric_definitions import scale_of
from bench.results.execution_settings import share_protocols
from bench.results.statistics.pooled import SIGNS, PooledEstimate, can_be_best, pool
from bench.results.statistics.ranks import rank_arms
from bench.results.statistics.verdicts import summarize
from bench.results.suite_record import SuiteRecord, describe_unverified
from reports.tables.arms import (
    choose_score,
    describe_tracking,
    describe_tuning,
    distinguish,
    list_other_problems,
    split_arms,
)
from reports.tables.format_numbers import format_plain, format_sample_size, format_with_error
from reports.tables.samplers import has_samplers
from reports.tables.table_model import (
    MISSING,
    ONE_SEED,
    TRAINING_TOKENS,
    Column,
    Entry,
    Note,
    Row,
    Table,
    build_table,
    explain_signs,
    metric_column,
)

RANK = Column("bound", "rank_best", "Rank", "", format_plain)


def list_main_columns(record: SuiteRecord) -> list[Column]:
    """The score, the sample it was measured on, and what it cost."""
    score, _ = choose_score(record)
    columns = [
        metric_column("bound", score, is_score=True),
        metric_column("bound", "perplexity", is_score=True),
        Column("bound", score, "Sequences", "n × seeds", format_sample_size, is_marked=False),
        metric_column("train", "parameters"),
        metric_column("train", "parameters_non_embedding"),
        TRAINING_TOKENS,
        metric_column("train", "flops"),
        metric_column("train", "seconds"),
    ]
    if not has_samplers(record):  # which have a table of their own
        columns.append(metric_column("samples", "network_calls", "Sampling", "network calls", format=format_plain))
    return columns


def find_references(record: SuiteRecord) -> dict[str, PooledEstimate]:
    """Reference values that need no network, in nats per token: uniform, unigram, and the source if known."""
    data, rows = record.data, record.table
    nats = {
        "uniform": math.log(data.vocab_size) if data.vocab_size else None,
        "unigram": data.unigram_nats,
        "entropy of the source": data.entropy_nats / data.length if data.entropy_nats else None,
    }
    references = {name: PooledEstimate(value, kind="exact") for name, value in nats.items() if value is not None}

    on_same_sequences = pool(rows[rows["metric"] == "source_nats_per_token"].drop_duplicates("metric"))
    if on_same_sequences:
        references["source, same sequences"] = on_same_sequences
    return references


def name_references(record: SuiteRecord) -> dict[str, str]:
    """The label of each reference: its own name, or "uniform (reference)" if an arm is called "uniform"."""
    arms = split_arms(record)
    return {name: distinguish(name, arms, "reference") for name in find_references(record)}


def make_references(record: SuiteRecord, columns: Sequence[Column]) -> tuple[Row, ...]:
    """The rows of all references."""
    labels = name_references(record)
    return tuple(
        replace(make_reference(labels[name], nats, columns), role="reference", reference=name)
        for name, nats in find_references(record).items()
    )


def make_reference(label: str, nats: PooledEstimate, columns: Sequence[Column]) -> Row:
    """A reference as a row: bits or perplexity in the columns of scores, blank elsewhere."""
    entries = [Entry() for _ in columns]
    for index, column in enumerate(columns):
        if column.is_score:
            is_linear = scale_of(column.metric) == "linear"
            estimate = nats.scaled(1 / math.log(2)) if is_linear else nats.convert(scale_of(column.metric))
            entries[index] = Entry(*format_with_error(estimate), SIGNS[estimate.kind], estimate=estimate)
    return Row(label, "", tuple(entries))


def list_estimates(table: Table) -> dict[str, PooledEstimate]:
    """The first number of every row that has one, by label."""
    return {row.label: row.entries[0].estimate for row in table.rows if row.entries[0].estimate}


def describe_noise(estimates: dict[str, PooledEstimate]) -> str:
    """The Monte Carlo error of each estimate that has one: "MDLM 0.004, MD4 0.003"."""
    noisy = {label: estimate.monte_carlo_error for label, estimate in estimates.items()}
    return ", ".join(f"{label} {error:.2g}" for label, error in noisy.items() if error > 0)


def explain_scores(record: SuiteRecord, table: Table) -> list[Note]:
    """The footnotes of scores: signs, ties, errors, Monte Carlo noise, and the protocol if all share it."""
    estimates, entries = list_estimates(table), [row.entries[0] for row in table.rows]
    marks = {entry.sign for entry in entries}
    marks |= {"~" for entry in entries if entry.best}
    notes = explain_signs(marks, estimates.values())
    if estimates and not any(map(can_be_best, estimates.values())):
        notes.append(("", ONE_SEED))

    if noise := describe_noise(estimates):
        notes.append(("", f"Monte Carlo error of the estimates, in {choose_score(record)[1]}: {noise}."))
    protocols = {estimate.protocol for estimate in estimates.values()} - {""}
    protocols = set(share_protocols(protocols).values())
    if len(protocols) == 1:
        notes.append(("", f"Protocol: {protocols.pop()}."))
    return notes


def rank_entry(ranks: tuple[int, int] | None) -> Entry:
    """Rank as text: 1, or 2-3 if tied."""
    if ranks is None:
        return Entry(MISSING)
    best, worst = ranks
    text = f"{best}-{worst}" if best < worst else f"{best}"
    return Entry(text, estimate=PooledEstimate(best), also=(("rank_worst", PooledEstimate(worst)),))


def insert_column(table: Table, index: int, column: Column, entries: dict[str, Entry]) -> Table:
    """The table with one more column at `index`; its entries are given by row label, and blank for references."""

    def widen(row: Row, entry: Entry) -> Row:
        return replace(row, entries=(*row.entries[:index], entry, *row.entries[index:]))

    return replace(
        table,
        columns=(*table.columns[:index], column, *table.columns[index:]),
        rows=tuple(widen(row, entries[row.label]) for row in table.rows),
        references=tuple(widen(row, Entry()) for row in table.references),
    )


def add_ranks(table: Table, record: SuiteRecord) -> Table:
    """The main table with a column of ranks behind the scores and their sample size, if three arms are comparable."""
    ranks, note = rank_arms(list_estimates(table), summarize(record.pairs, table.columns[0].metric))
    if not ranks:
        return table
    index = 1 + max(i for i, column in enumerate(table.columns) if column.format is format_sample_size)
    entries = {row.label: rank_entry(ranks.get(row.label)) for row in table.rows}
    ranked = insert_column(table, index, RANK, entries)
    return replace(ranked, footnotes=(*table.footnotes, ("", note)))


def build_scores(record: SuiteRecord) -> Table:
    """The scores and costs of all arms, with references below and the footnotes of scores."""
    table = build_table(record, list_main_columns(record), f"{record.suite}: {record.question}")
    notes = (*explain_scores(record, table), *table.footnotes)
    return replace(table, references=make_references(record, table.columns), footnotes=notes)


def build_main(record: SuiteRecord) -> Table:
    """The main table, with ranks and with notes on the data, the machines and the tuning."""
    table = add_ranks(build_scores(record), record)
    notes = [*record.data.notes, *(f"Warning: {warning}." for warning in record.warnings)]
    if len(record.environment) > 1:
        notes.append(f"The cells ran in {len(record.environment)} environments; times are comparable only within one.")
    notes += [*describe_tuning(record), *record.training_warnings, *describe_tracking(record)]
    if record.unverified:
        notes.append(f"{describe_unverified(record)}.")
    return replace(table, footnotes=(*table.footnotes, *(("", note) for note in notes), *list_other_problems(record)))
