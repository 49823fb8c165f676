"""The table of the parts of the bound: prior loss, diffusion loss and reconstruction loss.

A method may name parts of its diffusion loss that mean something on their own. They are metrics `integral[NAME]` of the
tidy table; each gets a column here and a footnote in the table of differences.
"""

import math
import re
from dataclasses import dataclass, replace

from bench.results.statistics.pooled import PooledEstimate
from bench.results.suite_record import SuiteRecord
from reports.tables.arms import choose_score, split_arms
from reports.tables.format_numbers import format_with_error
from reports.tables.table_model import Column, Note, Table, build_table, metric_column, pool_arm

LN2 = math.log(2)
TERM = re.compile(r"integral\[(.+)\]")
INTEGRAL = metric_column("bound", "integral")
BREAKDOWN = (
    metric_column("bound", "prior_gap"),
    INTEGRAL,
    metric_column("bound", "last_guess"),
    metric_column("bound", "nats_per_token", "Sum"),
    metric_column("bound", "seconds", "Evaluation"),
)


@dataclass(frozen=True)
class Term:
    """A named part of the diffusion loss: its header, and what it is."""

    title: str
    meaning: str


TERMS = {
    "normalisation": Term(
        "S - 1 - log S",
        "the cost of predictions that do not sum to 1: S - 1 - log S, weighted as in the bound; normalizing them would"
        " save it",
    )
}


def find_term(name: str) -> Term:
    """A term by its name; of a plug-in's terms, only the name is known."""
    return TERMS.get(name) or Term(name, f"its part {name}")


def list_terms(record: SuiteRecord) -> dict[str, Column]:
    """A column for each named part of some arm's diffusion loss, by name."""
    metrics = record.table.loc[record.table["stage"] == "bound", "metric"].unique()
    matches = [TERM.fullmatch(str(metric)) for metric in metrics]
    names = [match[1] for match in matches if match]
    return {
        name: Column("bound", f"integral[{name}]", "Of the diffusion loss", find_term(name).title, format_with_error)
        for name in names
    }


def format_bits(estimate: PooledEstimate, unit: str) -> str:
    """An estimate in nats as bits, with its error and sample size: "0.500 ± 0.010 bits per character (n = 58 × 1)"."""
    bits = replace(estimate, value=estimate.value / LN2, error=estimate.error / LN2)
    value, error = format_with_error(bits)
    size = f"n = {estimate.documents} × {estimate.seeds}"
    return f"{value} ± {error} {unit} ({size})" if error else f"{value} {unit} ({size})"


def explain_terms(record: SuiteRecord) -> list[Note]:
    """A footnote for each arm and named part of its bound, in the unit of the score."""
    _, unit = choose_score(record)
    notes = []
    for name, column in list_terms(record).items():
        for arm, rows in split_arms(record).items():
            if estimate := pool_arm(rows, column):
                amount = format_bits(estimate, unit)
                notes.append(("", f"In the bound of {arm}, {amount} are {find_term(name).meaning}."))
    return notes


def list_breakdown(record: SuiteRecord) -> list[Column]:
    """The parts of the bound, with named parts of the diffusion loss right of it."""
    index = BREAKDOWN.index(INTEGRAL) + 1
    return [*BREAKDOWN[:index], *list_terms(record).values(), *BREAKDOWN[index:]]


def build_breakdown(record: SuiteRecord) -> Table:
    """The losses that add up to the bound of each arm."""
    return build_table(record, list_breakdown(record), "Where each arm spends its nats")
