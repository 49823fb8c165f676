"""Parts of a bound that say something by themselves, as methods name them: columns of the breakdown, and footnotes."""

import math
import re
from dataclasses import dataclass, replace

from bench.results.suite_record import Record
from reports.tables.arms import split_arms
from reports.tables.main import Column, find_score, measure, write_error

LN2 = math.log(2)
ADDEND = re.compile(r"integral\[(.+)\]")  # such a metric of the tidy table


@dataclass(frozen=True)
class Meaning:
    """How an addend is called in a column, and what is told of it."""

    title: str
    sentence: str


MEANINGS = {
    "normalisation": Meaning(
        "S - 1 - log S",
        "the cost of guesses that need not sum to 1: S - 1 - log S, weighed as the bound is. Normalising them would"
        " save it",
    )
}


def find_meaning(name: str) -> Meaning:
    """What is known of an addend; of those of plug-ins nothing but the name."""
    return MEANINGS.get(name) or Meaning(name, f"its part {name}")


def list_addends(record: Record) -> dict[str, Column]:
    """A column for each addend of some arm's bound, by its name."""
    metrics = record.table.loc[record.table["stage"] == "bound", "metric"].unique()
    names = [found[1] for metric in metrics if (found := ADDEND.fullmatch(str(metric)))]
    return {
        name: Column("bound", f"integral[{name}]", "Of the integral", find_meaning(name).title, write_error)
        for name in names
    }


def explain_addends(record: Record) -> list[tuple[str, str]]:
    """A footnote for each arm and addend, in the unit of the score, with its error and how many sequences it is of."""
    notes = []
    for name, column in list_addends(record).items():
        for arm, rows in split_arms(record).items():
            if found := measure(rows, column):
                value, error = write_error(replace(found, value=found.value / LN2, error=found.error / LN2))
                size = f"n = {found.documents} × {found.seeds}"
                told = f"{value}{f' ± {error}' if error else ''} {find_score(record)[1]} ({size})"
                notes.append(("", f"In the bound of {arm}, {told} are {find_meaning(name).sentence}."))
    return notes
