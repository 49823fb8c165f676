"""What the commands of `bench` on suites and their results do; each returns an exit code and imports what it needs by
itself."""

import argparse
import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from bench.launch.exit_codes import DONE, FAILED, INCOMPLETE, USAGE_ERROR

if TYPE_CHECKING:
    from bench.results.dataset_records import Records
    from bench.suite.suite import Suite


def sample(chosen: argparse.Namespace) -> int:
    """`bench sample RUN`"""
    from bench.cli.sample import draw, parse_settings
    from bench.cli.views.samples import show
    from bench.results.find import find

    fields = ("count", "calls", "length", "stride", "temperature", "top_k", "top_p", "greedy_last")
    spec = parse_settings(chosen.policy, chosen.option, **{name: getattr(chosen, name) for name in fields})
    cell = find(chosen.runs, chosen.run)
    show(draw(cell, spec, chosen.prompt, chosen.template, chosen.seed, chosen.device))
    return DONE


def compare(chosen: argparse.Namespace) -> int:
    """`bench compare A B`"""
    from bench.cli.views.comparison import as_json, exit_code, show
    from bench.results.compare.compare import compare as subtract
    from bench.results.compare.operands import find_side

    found = subtract(find_side(chosen.runs, chosen.one), find_side(chosen.runs, chosen.other))
    if chosen.json:
        print(json.dumps(as_json(found, chosen.margin), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show(found, chosen.margin)
    return exit_code(found, chosen.margin)


def plan(chosen: argparse.Namespace) -> int:
    """`bench plan SUITE`"""
    from bench.cli.views.plans import show_plans
    from bench.plan.plan import plan as make
    from bench.plan.status import all_as_json, as_json, plan_status
    from bench.suite.suite import read_all
    from bench.tune.trials import plan_all_trials
    from bench.tune.tuned_suite import NotTuned, read_tuned

    asked = (chosen.suite, chosen.scale, chosen.data)
    try:
        plans = [make(suite) for suite in read_tuned(*asked)]
    except NotTuned as error:
        plans = [plan_all_trials(suite) for suite in read_all(*asked)]
        print(f"this is what tuning costs, for {error}", file=sys.stderr)
    found = [plan_status(each, chosen.runs) for each in plans]
    if chosen.json:
        told = as_json(found[0]) if len(found) == 1 else all_as_json(found)
        print(json.dumps(told, indent=1, ensure_ascii=False))
    else:
        show_plans(found)
    return DONE


def schema(chosen: argparse.Namespace) -> int:
    """`bench schema`"""
    from bench.suite.schema import schema as make

    print(json.dumps(make(), indent=1, ensure_ascii=False))
    return DONE


def run(chosen: argparse.Namespace) -> int:
    """`bench run SUITE`"""
    from bench.launch.driver import run as carry_out
    from bench.plan.cells import Cell
    from bench.plan.plan import plan as make
    from bench.results.dataset_records import read_all as read_records
    from bench.results.record_names import record_name
    from bench.results.tracking import store
    from bench.suite.suite import Suite, with_all_data
    from bench.tune.tuned_suite import read_tuned

    suites, runs = read_tuned(chosen.suite, chosen.scale, chosen.data), chosen.runs
    if not _settled(suites[0], chosen.suite):  # all are run as the first one
        return USAGE_ERROR
    fetched, lost = with_all_data(suites)
    for why in lost.values():
        print(why, file=sys.stderr)
    untracked: list[str] = []
    for planned in [make(suite) for suite in fetched]:
        _tell_of_namesake(runs, planned.suite, planned.suite.name)
        if planned.suite.label:
            print(f"data set {planned.suite.label}:", file=sys.stderr)

        def finished(cell: Cell, suite: Suite = planned.suite) -> None:
            if not untracked:  # a store that failed once is not waited for again; the next run brings it up to date
                untracked.extend(_track(runs, record_name(runs, suite.file, suite.name), cell.id))

        carry_out(runs, planned, chosen.retry_failed, finished)
    names = {suite.label: record_name(runs, suite.file, suite.name) for suite in suites}
    records = read_records(runs, names if len(suites) > 1 else {"": names[suites[0].label]}, lost)
    _report(records, chosen)
    told = f"runs are tracked in {store(runs)}; look at them with: bench ui --runs {runs}"
    print(*lost.values(), "; ".join(untracked) or told, sep="\n", file=sys.stderr)
    return FAILED if lost else _code(records)


def tune(chosen: argparse.Namespace) -> int:
    """`bench tune SUITE`"""
    from bench.cli.views.tuning import show
    from bench.plan.cells import Cell
    from bench.results.record_names import record_name
    from bench.suite.suite import Suite, SuiteError, read_all, with_all_data
    from bench.suite.tuning.lock_file import write
    from bench.tune.tuned_suite import lock_path
    from bench.tune.tuner import Tuner

    suites, runs = read_all(chosen.suite, chosen.scale, chosen.data), chosen.runs
    if suites[0].tune is None:
        raise SuiteError(f"{chosen.suite}: suite {suites[0].name} says nothing of tuning; give it a block `tune`")
    if not _settled(suites[0], chosen.suite):
        return USAGE_ERROR
    fetched, lost = with_all_data(suites)
    print(*lost.values(), sep="\n", end="\n" if lost else "", file=sys.stderr)
    untracked: list[str] = []
    is_whole = not lost
    for suite in fetched:
        _tell_of_namesake(runs, suite, f"{suite.name}-trials")

        def finished(cell: Cell, suite: Suite = suite) -> None:
            if not untracked:
                untracked.extend(_track(runs, record_name(runs, suite.file, f"{suite.name}-trials"), cell.id))

        lock = Tuner(runs, suite, chosen.retry_failed, finished).tune()
        write(lock_path(suite), lock)
        show(lock, lock_path(suite))
        is_whole &= all(arm.winner is not None for arm in lock.arms.values())
    print("; ".join(untracked), end="\n" if untracked else "", file=sys.stderr)
    return DONE if is_whole else FAILED


def status(chosen: argparse.Namespace) -> int:
    """`bench status SUITE`"""
    from bench.cli.views.plans import show_status
    from bench.results.dataset_records import read_all

    records = read_all(chosen.runs, record_names(chosen))
    _warn_of_changes(records, chosen.suite)
    for record in records.values():
        if isinstance(record, str):
            print(record, file=sys.stderr)
            continue
        if len(records) > 1:
            print(f"{record.suite}:")
        show_status(record)
    return _code(records)


def report(chosen: argparse.Namespace) -> int:
    """`bench report SUITE`, `bench report --published NAME`"""
    from bench.results.dataset_records import read_all

    of_suite = (chosen.scale, chosen.data, chosen.from_mlflow, chosen.allow_incomplete)
    if (chosen.published is None) == (chosen.suite is None) or (any(of_suite) and chosen.published is not None):
        print("give a suite, such as suites/quickstart.yaml, or --published NAME without a suite", file=sys.stderr)
        return USAGE_ERROR
    if chosen.published is not None:
        return _publish(chosen.published, chosen.runs)
    records = read_all(chosen.runs, record_names(chosen), uri=chosen.from_mlflow)
    _warn_of_changes(records, chosen.suite)
    _report(records, chosen)
    code = _code(records)
    if code == DONE or chosen.allow_incomplete:
        return DONE
    rest = "its stamp says what is missing; bench run makes it, and --allow-incomplete takes the report as it is"
    print(f"the report is incomplete, and {rest}", file=sys.stderr)
    return code


def sync(chosen: argparse.Namespace) -> int:
    """`bench sync SUITE`"""
    from bench.results.dataset_records import read_all
    from bench.results.tracking import store, track

    records = read_all(chosen.runs, record_names(chosen))
    for record in records.values():
        if isinstance(record, str):
            print(record, file=sys.stderr)
        else:
            track(chosen.runs, record.suite, record.table)
            print(f"{store(chosen.runs)} holds what is recorded of {record.suite}")
    return DONE


def ui(chosen: argparse.Namespace) -> int:
    """`bench ui`"""
    from bench.results.tracking import page

    return page(chosen.runs, chosen.port)


def cell(chosen: argparse.Namespace) -> int:
    """`bench cell DIR`"""
    from bench.launch.worker import Worker

    return Worker(chosen.folder).run()


def record_names(chosen: argparse.Namespace) -> dict[str, str]:
    """The names of the records of the chosen suite, by the labels of its data sets; a single data set is "".

    Raises SuiteError if the scale or data set does not exist, AmbiguousName if a bare name stands for several files.
    """
    from bench.results.record_names import record_name
    from bench.suite.datasets import suite_names

    labelled = suite_names(chosen.suite, chosen.scale, chosen.data)
    return {label: record_name(chosen.runs, chosen.suite, name) for label, name in labelled.items()}


def _tell_of_namesake(runs: Path, suite: "Suite", name: str) -> None:
    """Tell once, before its first run, that a suite's record has another name because another file has its own."""
    from bench.results.record_names import owner, record_name

    recorded = record_name(runs, suite.file, name)
    if recorded != name and owner(runs, recorded) is None:
        other = owner(runs, name)
        holder = f" of {other}" if other else ""
        print(f'{suite.asked} is recorded as "{recorded}"; "{name}" is the record{holder}', file=sys.stderr)


def _settled(suite: "Suite", file: Path) -> bool:
    """Whether the suite can be run here as it asks to be; says why not."""
    from bench.engine.environment import settle

    try:
        settle(suite.spec.execution)
    except (RuntimeError, ImportError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return False
    return True


def _track(runs: Path, suite: str, cell: str) -> list[str]:
    """Tells MLflow of one cell; what went wrong in words. The results are safe in their folders all the same."""
    from bench.results import suite_record as results
    from bench.results.tracking import store, track

    try:
        track(runs, suite, results.read(runs, suite, only=cell).table)
    except Exception as error:  # MLflow raises whatever its store does
        return [f"NOT tracked in {store(runs)}: {' '.join(str(error).split())[:300]}; mend it and run the suite again"]
    return []


def _report(records: "Records", chosen: argparse.Namespace) -> None:
    """Hands the records to every reporter that is installed; the packages of reports are found, not imported."""
    from bench.results.record_names import record_name
    from bench.suite.document import suite_name

    reporters = entry_points(group="bench.reporters")
    if not reporters:
        print("no reporter is installed, so no table is written; install the project with: make setup", file=sys.stderr)
    alone = [record.suite for record in records.values() if not isinstance(record, str) and len(records) == 1]
    (name,) = alone or [record_name(chosen.runs, chosen.suite, suite_name(chosen.suite, chosen.scale))]
    for found in reporters:
        found.load()(records, chosen.runs / "reports" / name)


def _publish(name: str, runs: Path) -> int:
    """Has the numbers of papers shown beside those under `runs`, by whatever is installed for it."""
    publishers = entry_points(group="bench.publishers")
    if not publishers:
        print(
            "nothing is installed that knows published numbers; install the project with: make setup", file=sys.stderr
        )
        return USAGE_ERROR
    for found in publishers:
        found.load()(name, runs)
    return DONE


def _warn_of_changes(records: "Records", suite: Path) -> None:
    """Says so when the file, or one that it extends, is no longer the suite that was run."""
    from bench.suite.document import load

    sources = {getattr(record, "source", None) for record in records.values()} - {None}
    if suite.is_file() and sources - {load(suite).source}:
        print(
            f"{suite} changed since it was run; this is what was run. Run it again to bring both together",
            file=sys.stderr,
        )


def _code(records: "Records") -> int:
    """The exit code for the cells of all data sets."""
    whole = [record for record in records.values() if not isinstance(record, str)]
    if any((record.table["status"] == "failed").any() for record in whole):
        return FAILED
    states = {record.state for record in whole}
    return INCOMPLETE if "incomplete" in states or len(whole) < len(records) else DONE
