"""Commands that plan, run and tune suites; each returns an exit code and imports what it needs."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cli.result_commands import advise, records_exit_code, write_reports
from bench.launch.exit_codes import DONE, FAILED, NOT_TRACKED, USAGE_ERROR

if TYPE_CHECKING:
    from bench.plan.cells import Cell, Plan
    from bench.results.tracker import Tracker
    from bench.suite.suite import Suite


def plan(args: argparse.Namespace) -> int:
    """`bench plan SUITE`"""
    from bench.cli.views.plans import show_plans
    from bench.plan.plan import plan as plan_suite
    from bench.plan.status import plan_status
    from bench.plan.status_json import all_as_json, as_json
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
    from bench.results.dataset_records import read_all as read_records
    from bench.results.mlflow_tracking import tracking_address
    from bench.results.tracker import Tracker
    from bench.suite.suite import with_all_data
    from bench.tune.tuned_suite import read_tuned

    suites = read_tuned(args.suite, args.scale, args.data)
    if not _is_runnable(suites[0], args.suite):  # all data sets share the execution
        return USAGE_ERROR
    available, missing = with_all_data(suites)
    for reason in missing.values():
        print(reason, file=sys.stderr)

    tracker = Tracker(args.runs)
    stop = _run_data_sets(args, available, tracker)
    records = read_records(args.runs, _names_of(args.runs, suites), missing)
    write_reports(records, args)
    advise(records, args)
    tracked = f"runs are tracked in {tracking_address(args.runs)}; open them with: bench ui --runs {args.runs}"
    lines = [*missing.values(), *filter(None, [stop]), _describe_gaps(tracker) or tracked]
    print(*lines, sep="\n", file=sys.stderr)
    code = FAILED if missing else records_exit_code(records)
    return NOT_TRACKED if code == DONE and tracker.error else code


def _run_data_sets(args: argparse.Namespace, suites: Sequence["Suite"], tracker: "Tracker") -> str:
    """Run the suite of each data set; returns why the run stopped early, or "". Raises StorageFull."""
    from bench.engine.record_files import StorageFull
    from bench.launch import local_launcher
    from bench.plan.plan import plan as plan_suite
    from bench.results.record_names import record_name
    from bench.suite.datasets import TRIALS

    stop = ""
    settings = local_launcher.RunSettings(args.retry_failed, args.fail_fast, args.hang_timeout)
    for planned in [plan_suite(suite) for suite in suites]:
        suite = planned.suite
        _announce(planned, args.runs, suite.name, f"{suite.name}{TRIALS}")
        if stop:
            local_launcher.record(args.runs, planned)
            continue
        try:
            local_launcher.run(args.runs, planned, settings, _track_cells(tracker, suite, suite.name))
        except local_launcher.StoppedEarly as error:
            stop = str(error)
        except StorageFull:
            _show_what_is_there(args, suites)
            raise
        tracker.close(record_name(args.runs, suite.file, suite.name))
    return stop


def _names_of(runs: Path, suites: Sequence["Suite"]) -> dict[str, str]:
    """The names of the records of a suite's data sets, by label; a single data set has the label ""."""
    from bench.results.record_names import record_name

    names = {suite.label: record_name(runs, suite.file, suite.name) for suite in suites}
    return names if len(suites) > 1 else {"": names[suites[0].label]}


def _show_what_is_there(args: argparse.Namespace, suites: Sequence["Suite"]) -> None:
    """Print the tables of a run that ends early, and write its report if there is room."""
    from bench.engine.record_files import StorageFull
    from bench.results.dataset_records import read_all
    from bench.results.suite_record import NoRecord

    with suppress(NoRecord, StorageFull):  # the caller tells that there is no room
        write_reports(read_all(args.runs, _names_of(args.runs, suites)), args)


def tune(args: argparse.Namespace) -> int:
    """`bench tune SUITE`"""
    from bench.cli.views.tuning import show
    from bench.engine.storage import read_suite
    from bench.results.record_names import record_name
    from bench.results.tracker import Tracker
    from bench.suite.datasets import TRIALS
    from bench.suite.suite import SuiteError, read_all, with_all_data
    from bench.suite.tuning.lock_file import write
    from bench.tune.trials import plan_all_trials
    from bench.tune.tuned_suite import lock_path, refuse_shared_locks
    from bench.tune.tuner import Tuner

    suites = read_all(args.suite, args.scale, args.data)
    if suites[0].tune is None:
        raise SuiteError(f"{args.suite}: suite {suites[0].name} is not tuned; add a block `tune` to it")
    if not _is_runnable(suites[0], args.suite):
        return USAGE_ERROR
    refuse_shared_locks(suites)
    available, missing = with_all_data(suites)
    for reason in missing.values():
        print(reason, file=sys.stderr)

    tracker = Tracker(args.runs)
    has_all_winners = not missing
    for suite in available:
        trials = f"{suite.name}{TRIALS}"
        _announce(plan_all_trials(suite), args.runs, trials, trials)
        finished = _track_cells(tracker, suite, trials)
        lock = Tuner(args.runs, suite, args.retry_failed, finished, args.hang_timeout).tune()
        record = record_name(args.runs, suite.file, trials)
        if read_suite(args.runs, record):  # it lists all trials only now
            tracker.track(record)
            tracker.close(record)
        write(lock_path(suite), lock)
        show(lock, lock_path(suite))
        has_all_winners &= all(arm.winner is not None for arm in lock.arms.values())
    if tracker.error:
        print(_describe_gaps(tracker), file=sys.stderr)
    if not has_all_winners:
        return FAILED
    return NOT_TRACKED if tracker.error else DONE


def cell(args: argparse.Namespace) -> int:
    """`bench cell DIR`"""
    from bench.launch.signals import exit_at_once, handled_by

    with handled_by(exit_at_once):  # nothing is begun before the worker's own reaction
        from bench.launch.worker import Worker

        return Worker(args.folder, args.load_plugin).run()


def _track_cells(tracker: "Tracker", suite: "Suite", name: str) -> Callable[["Cell"], None]:
    """A callback that tracks a cell of the suite's record."""
    from bench.results.record_names import record_name

    return lambda cell: tracker.track(record_name(tracker.runs, suite.file, name), cell.id)


def _describe_gaps(tracker: "Tracker") -> str:
    """What is not tracked and how to mend it; "" if all is."""
    if tracker.error is None:
        return ""
    runs = "" if str(tracker.runs) == "runs" else f" --runs {tracker.runs}"
    commands = " and ".join(f"bench sync {record}{runs}" for record in tracker.untracked)
    return f"NOT tracked: {tracker.error}; then write what is missing with: {commands}"


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


def _announce(planned: "Plan", runs: Path, name: str, trials: str) -> None:
    """Before a run, say what is hardly meant, and what is there but was made in another way than the suite asks for.

    A sampler may choose trials of tuning by their scores, so that no plan has them: `trials` is their record.
    """
    from bench.plan.status import plan_status
    from bench.plan.warnings import find_warnings

    suite = planned.suite
    _warn_of_namesake(runs, suite, name)
    lines = [f"data set {suite.label}:"] if suite.label else []
    lines += [f"warning: {warning.message}" for warning in find_warnings(planned)]
    lines += plan_status(planned, runs).describe_differences()
    of_trials = [line for line in _compare_trials(suite, runs, trials) if line not in lines]
    for line in [*lines, *(f"trials of tuning: {line}" for line in of_trials)]:
        print(line, file=sys.stderr)


def _compare_trials(suite: "Suite", runs: Path, trials: str) -> list[str]:
    """How the recorded trials of a suite's tuning were made in another way than it asks for."""
    from bench.engine.storage import read_suite
    from bench.plan.execution_differences import describe_differences, find_recorded
    from bench.results.record_names import record_name

    stored = read_suite(runs, record_name(runs, suite.file, trials))
    if stored is None:
        return []
    return describe_differences(find_recorded(runs, stored, suite.spec.execution), is_anything_left=False)


def _is_runnable(suite: "Suite", file: Path) -> bool:
    """Whether the device and precision of a suite are available here; prints the reason if not."""
    from bench.engine.environment import resolve_device

    try:
        for execution in suite.spec.executions:
            resolve_device(execution)
    except (RuntimeError, ImportError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return False
    return True
