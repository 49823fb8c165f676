"""`bench certify`: run the checks of methods, print their outcomes and save certificates."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.certify.certificate_files import Subject, subject, write_certificate
from bench.certify.certificate_tables import refresh_readme
from bench.certify.check import Case, Check
from bench.certify.checks import certify
from bench.cli.views.methods import console
from bench.engine.model.method_with_network import Precision


class Certified(NamedTuple):
    """A method with its options, in a precision."""

    method: str
    options: dict[str, Any]
    precision: Precision


def show(subjects: Sequence[Certified], runs: Path | None) -> bool:
    """Print the checks of each method with its options and precision; returns whether all passed.

    If `runs` is given, the certificates are saved there.
    """
    output, has_passed = console(), True
    for name, options, precision in subjects:
        certified = subject(name, options, precision)
        checks = list(certify(Case(name, options, precision)))
        _print(output, certified, checks)
        has_passed = has_passed and all(check.passed for check in checks)
        output.print(f"saved in {write_certificate(certified, checks, runs)}\n" if runs else "")
    if runs:
        refresh_readme()
    return has_passed


def _print(output: Console, certified: Subject, checks: Sequence[Check]) -> None:
    options = ", ".join(f"{key}={value}" for key, value in certified.options.items())
    title = f"{certified.method}({options})" if options else certified.method
    output.print(f"[bold]{title}[/bold], {certified.precision}")
    table = Table("check", "result", "", "requirement", box=None, header_style="bold")
    for check in checks:
        table.add_row(check.name, check.figure, "passed" if check.passed else "FAILED", check.meaning)
    output.print(table)
