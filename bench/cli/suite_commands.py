"""Commands that plan, run and tune suites; each returns an exit code and imports what it needs."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.result_commands import records_exit_code, write_reports
from bench.launch.exit_codes import DONE, FAILED, USAGE_ERROR

if TYPE_CHECKING:
    from bench.plan.cells import Cell
    from bench.suite.suite import Suite


def plan(args: argparse.Namespace) -> int:
    """`bench plan SUITE`"""
    from bench.cli.views.plans import show_plans
    from bench.plan.plan import plan as plan_suite
    from bench.plan.status import all_as_json, as_json, plan_status
    from bench.suite.suite import read_all
    from bench.tune.trials import plan_all_trials
    from bench.tune.tuned_suite import NotTuned, read_tuned

    try:
        plans = [plan_suite(suite) for suite in read_tuned(args.suite, args.scale, args.data)]
    except NotTuned as error:
        plans = [plan_all_trials(suite) for suite in read_all(args.suite, args.scale, args.data)]
        print(f"this plan shows the trials of tuning: {error}", file=sys.stderr)

    statuses = [plan_status(plan, args.runs) for plan in plans]
    if args.json:
        content = as_json(statuses[0]) if len(statuses) == 1 else all_as_json(statuses)
        print(json.dumps(content, indent=1, ensure_ascii=False))
    else:
        show_plans(statuses)
    return DONE


def schema(args: argparse.Namespace) -> int:
    """`bench schema`"""
    from bench.suite.schema import schema as suite_schema

    print(json.dumps(suite_schema(), indent=1, ensure_ascii=False))
    return DONE


def run(args: argparse.Namespace) -> int:
    """`bench run SUITE`"""
    from bench.launch.local_launcher import run as run_plan
    from bench.plan.plan import plan as plan_suite
    from bench.results.dataset_records import read_all as read_records
    from bench.results.mlflow_tracking import tracking_uri
    from bench.results.record_names import record_name
    from bench.suite.suite import with_all_data
    from bench.tune.tuned_suite import read_tuned

    suites = read_tuned(args.suite, args.scale, args.data)
    if not _is_runnable(suites[0], args.suite):  # all data sets share the execution
        return USAGE_ERROR
    available, missing = with_all_data(suites)
    for reason in missing.values():
        print(reason, file=sys.stderr)

    tracker = Tracker(args.runs)
    for planned in [plan_suite(suite) for suite in available]:
        suite = planned.suite
        _warn_of_namesake(args.runs, suite, suite.name)
        if suite.label:
            print(f"data set {suite.label}:", file=sys.stderr)
        run_plan(args.runs, planned, args.retry_failed, tracker.for_record(suite, suite.name))

    names = {suite.label: record_name(args.runs, suite.file, suite.name) for suite in suites}
    if len(suites) == 1:
        names = {"": names[suites[0].label]}
    records = read_records(args.runs, names, missing)
    write_reports(records, args)
    tracked = f"runs are tracked in {tracking_uri(args.runs)}; open them with: bench ui --runs {args.runs}"
    print(*missing.values(), tracker.error or tracked, sep="\n", file=sys.stderr)
    return FAILED if missing else records_exit_code(records)


def tune(args: argparse.Namespace) -> int:
    """`bench tune SUITE`"""
    from bench.cli.views.tuning import show
    from bench.suite.suite import SuiteError, read_all, with_all_data
    from bench.suite.tuning.lock_file import write
    from bench.tune.tuned_suite import lock_path
    from bench.tune.tuner import Tuner

    suites = read_all(args.suite, args.scale, args.data)
    if suites[0].tune is None:
        raise SuiteError(f"{args.suite}: suite {suites[0].name} is not tuned; add a block `tune` to it")
    if not _is_runnable(suites[0], args.suite):
        return USAGE_ERROR
    available, missing = with_all_data(suites)
    for reason in missing.values():
        print(reason, file=sys.stderr)

    tracker = Tracker(args.runs)
    has_all_winners = not missing
    for suite in available:
        trials = f"{suite.name}-trials"
        _warn_of_namesake(args.runs, suite, trials)
        lock = Tuner(args.runs, suite, args.retry_failed, tracker.for_record(suite, trials)).tune()
        write(lock_path(suite), lock)
        show(lock, lock_path(suite))
        has_all_winners &= all(arm.winner is not None for arm in lock.arms.values())
    if tracker.error:
        print(tracker.error, file=sys.stderr)
    return DONE if has_all_winners else FAILED


def cell(args: argparse.Namespace) -> int:
    """`bench cell DIR`"""
    from bench.launch.worker import Worker

    return Worker(args.folder).run()


class Tracker:
    """Brings MLflow up to date after each cell, until its store fails once; the next run catches up."""

    def __init__(self, runs: Path):
        self.runs = runs
        self.error = ""  # why the store is not up to date

    def for_record(self, suite: "Suite", name: str) -> Callable[["Cell"], None]:
        """A callback that tracks a cell of the suite's record."""
        from bench.results.record_names import record_name

        def track_cell(cell: "Cell") -> None:
            if not self.error:
                self.error = track(self.runs, record_name(self.runs, suite.file, name), cell.id)

        return track_cell


def track(runs: Path, record: str, cell: str) -> str:
    """Track one cell of a record; returns an error message, or "". Results are safe in their folders either way."""
    from bench.results import mlflow_tracking as tracking
    from bench.results import suite_record

    try:
        tracking.track(runs, record, suite_record.read(runs, record, only=cell).table)
    except Exception as error:  # MLflow passes on any error of its store
        reason = " ".join(str(error).split())[:300]
        return f"NOT tracked in {tracking.tracking_uri(runs)}: {reason}; repair the store and run the suite again"
    return ""


def _warn_of_namesake(runs: Path, suite: "Suite", name: str) -> None:
    """Before its first run, say that a suite's record has another name because another file owns its own."""
    from bench.results.record_names import owner, record_name

    recorded = record_name(runs, suite.file, name)
    if recorded != name and owner(runs, recorded) is None:
        holder = owner(runs, name)
        if holder:
            reason = f'"{name}" is the record of {holder}'
        else:
            reason = f'"{runs}" holds records of another {suite.file.name}'
        print(f'{suite.arguments} is recorded as "{recorded}"; {reason}', file=sys.stderr)


def _is_runnable(suite: "Suite", file: Path) -> bool:
    """Whether the device and precision of a suite are available here; prints the reason if not."""
    from bench.engine.environment import resolve_device

    try:
        resolve_device(suite.spec.execution)
    except (RuntimeError, ImportError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return False
    return True
