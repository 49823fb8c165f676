"""The table of the parts of the bound: where each arm spends its nats."""

from bench.results.suite_record import Record
from reports.tables.bound_terms import list_addends
from reports.tables.main import Column, Table, build, write_error, write_plain

BREAKDOWN = (
    Column("bound", "prior_gap", "Prior gap", "nats per token", write_error),
    Column("bound", "integral", "Integral", "nats per token", write_error),
    Column("bound", "last_guess", "Last guess", "nats per token", write_error),
    Column("bound", "nats_per_token", "Sum", "nats per token", write_error),
    Column("bound", "seconds", "Evaluation", "seconds", write_plain),
)


def list_breakdown(record: Record) -> list[Column]:
    """The parts of the bound, with the addends of the integral behind it."""
    place = [column.metric for column in BREAKDOWN].index("integral") + 1
    return [*BREAKDOWN[:place], *list_addends(record).values(), *BREAKDOWN[place:]]


def build_breakdown(record: Record) -> Table:
    """What adds up to the bound of each arm."""
    return build(record, list_breakdown(record), "Where each arm spends its nats")
