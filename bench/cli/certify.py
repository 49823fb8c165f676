"""`bench certify`: run the checks of methods, print their outcomes and save certificates."""

import platform
from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.certify import checks
from bench.certify.certificate_files import (
    Subject,
    admitted_estimators,
    is_certified,
    read_certificate,
    subject,
    write_certificate,
)
from bench.certify.certificate_tables import refresh_readme
from bench.certify.check import Case, Check
from bench.certify.processes import Group, run_checks
from bench.certify.sizes import describe_sizes
from bench.cli.views.methods import console
from bench.engine.environment import resolve_names
from bench.engine.likelihood.estimators import EstimatorName
from bench.engine.model.method_with_network import Precision
from bench.tune.tuned_suite import read_tuned
from methods import METHODS, check_name

SHARES = (0.27, 0.25, 6, 8, 0.13)  # of the width of the terminal, for columns but the last, or the width itself
WIDEST = 400  # columns that are shared, though a pipe has more
HEADINGS = ("check", "result", "", "seconds", "sees", "requirement")


@dataclass(frozen=True)
class Request:
    """How the subjects are certified."""

    only: tuple[str, ...] = ()  # names of `CHECKS`; () stands for all
    seed: int = 0
    runs: Path | None = None  # where certificates are saved; None: nowhere
    is_forced: bool = False  # certificates that hold are made again
    jobs: int | None = None  # processes; None: one per core


@dataclass
class Outcome:
    """The checks of one subject so far."""

    subject: Subject
    is_settled: bool  # by a stored certificate, so that no check runs
    checks: list[Check] = field(default_factory=list)

    @property
    def failures(self) -> list[str]:
        """The names of the checks that failed."""
        return [check.name for check in self.checks if not check.passed]


def list_subjects(args: Namespace) -> list[Subject]:
    """The subjects that the command line names, each once. Raises OptionError, and SuiteError as `read_tuned` does."""
    subjects = [*_list_arms(args), *_list_methods(args)]
    return [item for index, item in enumerate(subjects) if item not in subjects[:index]]


def _list_arms(args: Namespace) -> Iterator[Subject]:
    """The arms of a suite, each with the estimators that the suite asks for."""
    suites = read_tuned(args.suite, args.scale, args.data) if args.suite else ()
    for suite in suites[:1]:  # the same on all data
        for arm in suite.spec.arms:
            default = resolve_names(suite.spec.execution)[1]
            precisions = [arm.precision] if arm.precision else args.precision or [default]
            bounds = [spec.estimator for spec in suite.spec.evaluation.bound if spec.is_for(arm.label)]
            for precision in precisions:
                for estimator in _choose_estimators(args, arm.method, arm.options, bounds):
                    yield subject(arm.method, arm.options, precision, estimator)


def _list_methods(args: Namespace) -> Iterator[Subject]:
    """The methods that are named, or all of them if there is no suite either, with their default options."""
    names = [check_name(name, METHODS, "method") for name in args.methods]
    if not names and not args.suite:
        names = [name for name in METHODS if not args.estimator or args.estimator in admitted_estimators(name, {})]
    for name in names:
        for precision in args.precision or ["float32"]:
            for estimator in _choose_estimators(args, name, {}, [args.estimator or "auto"]):
                yield subject(name, {}, precision, estimator)


def _choose_estimators(
    args: Namespace, method: str, options: dict[str, object], default: list[EstimatorName]
) -> list[EstimatorName]:
    """The estimators that a method is certified with, some of them perhaps twice."""
    return [*default, *(admitted_estimators(method, options) if args.all_estimators else [])]


def show(subjects: Sequence[Subject], request: Request) -> bool:
    """Print the checks of each subject as they finish, and save certificates; returns whether all passed."""
    output = console()
    outcomes = [Outcome(item, _is_settled(item, request)) for item in subjects]
    _run(output, outcomes, request)
    if request.runs and not all(outcome.is_settled for outcome in outcomes):
        refresh_readme()
    output.print(Text(_summarize(outcomes, request)), soft_wrap=True)
    return not any(outcome.failures for outcome in outcomes)


def _is_settled(subject: Subject, request: Request) -> bool:
    """Whether a stored certificate of the present code and of the same seed makes another one needless."""
    if request.runs is None or request.is_forced or not is_certified(subject, request.runs):
        return False
    certificate = read_certificate(subject, request.runs) or {}
    return bool(certificate.get("seed", 0) == request.seed)


def _explain_skipping(subject: Subject, request: Request) -> str:
    assert request.runs is not None
    path = subject.path(request.runs)
    return f"{subject.describe()}: certified by the present code ({path}); not made again without --force"


def _run(output: Console, outcomes: Sequence[Outcome], request: Request) -> None:
    """Run the checks of all subjects, and print those of each in turn."""
    names, sizes = request.only or tuple(checks.CHECKS), describe_sizes()
    cases = [_make_case(outcome.subject, request.seed) for outcome in outcomes if not outcome.is_settled]
    results = run_checks([Group(case, name) for case in cases for name in names], request.jobs)
    for outcome in outcomes:
        if outcome.is_settled:
            output.print(Text(_explain_skipping(outcome.subject, request)), soft_wrap=True)
            continue

        _print_heading(output, outcome.subject, request.seed)
        for name, (_, finished) in zip(names, results, strict=False):
            output.print(Text(f" {name}: {sizes.get(name, '')}".removesuffix(": "), "dim"), soft_wrap=True)
            count = len(outcome.checks)
            with output.status(f"{outcome.subject.describe()}: {name}"):
                for check in finished:
                    outcome.checks.append(check)
                    output.print(_format_row(output, check))
            if len(outcome.checks) == count:
                output.print(Text(f" no check of {name} applies to {outcome.subject.method}", "dim"), soft_wrap=True)
        _finish(output, outcome, request)


def _make_case(subject: Subject, seed: int) -> Case:
    precision, estimator = cast(Precision, subject.precision), cast(EstimatorName, subject.estimator)
    return Case(subject.method, subject.options, precision, estimator, seed)


def _print_heading(output: Console, subject: Subject, seed: int) -> None:
    """The subject, what identifies it, and the names of the columns."""
    plugin = f", plug-in {subject.plugin}" if subject.plugin else ""
    estimator = "exact likelihood" if subject.estimator == "auto" else f"estimator {subject.estimator}"
    versions = f"python {platform.python_version()}, torch {torch.__version__}"
    output.print(Text(subject.describe(), "bold"))
    output.print(Text(f"code {subject.code()}{plugin}; {estimator}; seed {seed}; {versions}", "dim"))
    output.print(_make_row(output, HEADINGS, "bold"))


def _format_row(output: Console, check: Check) -> Table:
    verdict = "passed" if check.passed else "FAILED"
    cells = (check.name, check.figure, verdict, f"{check.seconds:.1f} s", check.sees, check.meaning)
    return _make_row(output, cells, "" if check.passed else "bold")


def _make_row(output: Console, cells: Iterable[str], style: str) -> Table:
    """A row on its own, so that it can be printed at once, with columns as wide as those of all others."""
    table = Table(box=None, show_header=False, style=style)
    room = min(output.width, WIDEST) - 30
    for share in SHARES:
        table.add_column(width=int(share if share > 1 else share * room))
    table.add_column()
    table.add_row(*(Text(cell) for cell in cells))
    return table


def _finish(output: Console, outcome: Outcome, request: Request) -> None:
    """Print how many checks passed and their time, and save the certificate."""
    seconds = sum(check.seconds for check in outcome.checks)
    passed = len(outcome.checks) - len(outcome.failures)
    output.print(f"{passed} of {len(outcome.checks)} checks passed; {seconds:.1f} s")
    if request.runs:
        path = write_certificate(outcome.subject, outcome.checks, request.runs, request.seed, describe_sizes())
        output.print(Text(f"saved in {path}"), soft_wrap=True)
    output.print()


def _summarize(outcomes: Sequence[Outcome], request: Request) -> str:
    """One line: how many subjects are certified, and which are not and why."""
    words = ("passed", "failed") if request.only else ("certified", "refused")
    refused = [outcome for outcome in outcomes if outcome.failures]
    unchecked = [outcome.subject.describe() for outcome in outcomes if not outcome.checks and not outcome.is_settled]
    parts = [f"{words[0]}: {len(outcomes) - len(refused) - len(unchecked)} of {len(outcomes)}"]
    parts += [f"{words[1]}: {outcome.subject.describe()} ({', '.join(outcome.failures)})" for outcome in refused]
    return "; ".join([*parts, *(f"no check applies to {name}" for name in unchecked)])
