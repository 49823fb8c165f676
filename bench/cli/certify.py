"""What was asked and found, on the terminal and as certificates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.certify.certificate_files import Subject, subject, write
from bench.certify.checks import Case, Check, certify
from bench.certify.readme import refresh
from bench.cli.views.methods import console
from bench.engine.model.model import Precision


def show(arms: Sequence[tuple[str, dict[str, Any]]], precision: Precision, runs: Path | None) -> bool:
    """Prints what every method with its options was asked and what was found; True when all passed.

    The certificates are kept, too, where a folder of results is given.
    """
    out, fine = console(), True
    for name, options in arms:
        of = subject(name, options, precision)
        found = list(certify(Case(name, options, precision)))
        _print(out, of, found)
        fine = fine and all(each.passed for each in found)
        out.print(f"kept in {write(of, found, runs)}\n" if runs else "")
    if runs:
        refresh()
    return fine


def _print(out: Console, of: Subject, found: Sequence[Check]) -> None:
    departures = ", ".join(f"{key}={value}" for key, value in of.options.items())
    out.print(f"[bold]{of.method}{departures and f'({departures})'}[/bold], {of.precision}")
    table = Table("check", "found", "", "has to hold", box=None, header_style="bold")
    for each in found:
        table.add_row(each.name, each.figure, "passed" if each.passed else "FAILED", each.meaning)
    out.print(table)
