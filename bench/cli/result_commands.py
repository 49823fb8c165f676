"""Commands that read recorded results; each returns an exit code and imports what it needs."""

import argparse
import json
import shlex
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from bench.launch.exit_codes import DONE, FAILED, INCOMPLETE, USAGE_ERROR

if TYPE_CHECKING:
    from bench.results.dataset_records import Records


def sample(args: argparse.Namespace) -> int:
    """`bench sample RUN`"""
    from bench.cli.sample import draw, parse_settings
    from bench.cli.views.samples import show
    from bench.results.find_cell import find

    fields = ("count", "calls", "length", "stride", "temperature", "top_k", "top_p", "greedy_last")
    spec = parse_settings(args.policy, args.option, **{name: getattr(args, name) for name in fields})
    cell = find(args.runs, args.run)
    show(draw(cell, spec, args.prompt, args.template, args.seed, args.device))
    return DONE


def score(args: argparse.Namespace) -> int:
    """`bench score RUN FILE`"""
    from bench.cli.score import read_texts
    from bench.cli.score import score as score_texts
    from bench.cli.views.scores import as_json, show
    from bench.results.find_cell import find

    fields = ("draws", "replicates", "seed", "estimator")
    overrides = {name: getattr(args, name) for name in fields if getattr(args, name) is not None}
    texts = read_texts(args.file, args.lines)
    scores = score_texts(find(args.runs, args.run), texts, overrides, args.device)
    if args.json:
        print(json.dumps(as_json(scores), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show(scores, args.tokens)
    return DONE


def compare(args: argparse.Namespace) -> int:
    """`bench compare A B`"""
    from bench.cli.views.comparison import as_json, exit_code, show
    from bench.results.compare.compare import compare as compare_sides
    from bench.results.compare.compared_results import find_side
    from bench.results.compare.gate import refuse_margin

    comparison = compare_sides(find_side(args.runs, args.old), find_side(args.runs, args.new))
    if problem := refuse_margin(comparison.bounds, args.margin) if args.margin else "":
        print(f"--fail-on-regression: {problem}", file=sys.stderr)
        return USAGE_ERROR
    if args.json:
        print(json.dumps(as_json(comparison, args.margin), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        show(comparison, args.margin)
    return exit_code(comparison, args.margin)


def status(args: argparse.Namespace) -> int:
    """`bench status SUITE`"""
    from bench.cli.views.plans import show_status

    records = read_records(args)
    _warn_of_changes(records, args.suite)
    for record in records.values():
        if isinstance(record, str):
            print(record, file=sys.stderr)
            continue
        if len(records) > 1:
            print(f"{record.suite}:")
        show_status(record)
        for line in _list_changes(record.suite, args):
            print(line)
    advise(records, args)
    return records_exit_code(records)


def report(args: argparse.Namespace) -> int:
    """`bench report SUITE`, `bench report --published NAME`"""
    needs_suite = any((args.scale, args.data, args.from_mlflow, args.allow_incomplete))
    if (args.published is None) == (args.suite is None) or (needs_suite and args.published is not None):
        print("give a suite, such as suites/quickstart.yaml, or --published NAME without a suite", file=sys.stderr)
        return USAGE_ERROR
    if args.published is not None:
        return _publish(args.published, args.runs)

    records = read_records(args, args.from_mlflow)
    _warn_of_changes(records, args.suite)
    write_reports(records, args)
    if not args.from_mlflow:
        advise(records, args)
    code = records_exit_code(records)
    if code == DONE or args.allow_incomplete:
        return DONE
    advice = "bench run completes it, and --allow-incomplete accepts it as it is"
    print(f"the report is incomplete: its stamp says what is missing; {advice}", file=sys.stderr)
    return code


def sync(args: argparse.Namespace) -> int:
    """`bench sync SUITE`"""
    from bench.results.mlflow_tracking import track, tracking_address
    from bench.results.tracking_gaps import close_gap

    records = read_records(args)
    for record in records.values():
        if isinstance(record, str):
            print(record, file=sys.stderr)
            continue
        written = track(args.runs, record.suite, record.table, verify=True)
        print(f"{tracking_address(args.runs)} holds the record of {record.suite}; {written.describe()}")
        if close_gap(args.runs, record.suite):
            print("its report still says that it is not tracked; write it again with: bench report", file=sys.stderr)
    return INCOMPLETE if any(isinstance(record, str) for record in records.values()) else DONE


def ui(args: argparse.Namespace) -> int:
    """`bench ui`"""
    from bench.results.mlflow_ui import find_page, serve

    page = find_page(args.runs, args.port)
    if page is not None:
        print(f"the store is a server with a page of its own; open {page}")
        return DONE
    return serve(args.runs, args.port)


def read_records(args: argparse.Namespace, uri: str | None = None) -> "Records":
    """The records of the suite, from the folder of results or the MLflow store at `uri`.

    Raises NoRecord if there are none, with what is wrong with the suite's path; also what `record_names` raises.
    """
    from bench.results.dataset_records import read_all
    from bench.results.missing_paths import describe_missing_suite
    from bench.results.suite_record import NoRecord

    try:
        return read_all(args.runs, record_names(args), uri=uri)
    except NoRecord as error:
        reason = describe_missing_suite(args.suite)
        raise NoRecord(f"{reason}, and {error}" if reason else str(error)) from None


def record_names(args: argparse.Namespace) -> dict[str, str]:
    """The names of the suite's records, by the labels of its data sets; a single data set has the label "".

    Raises SuiteError if the scale or data set does not exist, AmbiguousName if several files share a bare name.
    """
    from bench.results.record_names import record_name
    from bench.suite.datasets import suite_names

    names = suite_names(args.suite, args.scale, args.data)
    return {label: record_name(args.runs, args.suite, name) for label, name in names.items()}


def write_reports(records: "Records", args: argparse.Namespace) -> None:
    """Pass the records to every installed reporter, which are entry points: nothing of the reports is imported."""
    from bench.results.record_names import record_name
    from bench.suite.yaml_document import suite_name

    reporters = entry_points(group="bench.reporters")
    if not reporters:
        print("no reporter is installed, so no table is written; install the project with: make setup", file=sys.stderr)
    (record, *others) = records.values()
    if not others and not isinstance(record, str):
        name = record.suite
    else:
        name = record_name(args.runs, args.suite, suite_name(args.suite, args.scale))
    for reporter in reporters:
        reporter.load()(records, args.runs / "reports" / name, verbose=args.verbose)


def records_exit_code(records: "Records") -> int:
    """The exit code for the cells of all data sets."""
    complete = [record for record in records.values() if not isinstance(record, str)]
    if any((record.table["status"] == "failed").any() for record in complete):
        return FAILED
    states = {record.state for record in complete}
    return INCOMPLETE if "incomplete" in states or len(complete) < len(records) else DONE


def advise(records: "Records", args: argparse.Namespace) -> None:
    """Print the command that makes failed and broken cells again, if there are any."""
    if records_exit_code(records) == FAILED:
        words = [_suite_file(records, args), *(["--scale", args.scale] if args.scale else [])]
        words += [*(["--data", args.data] if args.data else []), "--runs", str(args.runs), "--retry-failed"]
        print(f"failed cells are run again with: bench run {shlex.join(words)}", file=sys.stderr)


def _suite_file(records: "Records", args: argparse.Namespace) -> str:
    """The file of the suite, also if the command was given the bare name of its record."""
    from bench.results.record_names import owner

    names = [record.suite for record in records.values() if not isinstance(record, str)]
    file = None if args.suite.is_file() else owner(args.runs, names[0])
    return file or str(args.suite)


def _publish(name: str, runs: Path) -> int:
    """Show published numbers beside those under `runs`, by every installed publisher."""
    publishers = entry_points(group="bench.publishers")
    if not publishers:
        print("no published numbers are installed; install the project with: make setup", file=sys.stderr)
        return USAGE_ERROR
    for publisher in publishers:
        publisher.load()(name, runs)
    return DONE


def _list_changes(record: str, args: argparse.Namespace) -> list[str]:
    """How the results of a record differ from what the suite's file asks for now, and which plug-ins have changed."""
    from bench.engine import storage
    from bench.plan.execution_differences import describe_differences, find_recorded
    from bench.results.staleness import list_changed_plugins
    from bench.suite.suite import read_execution

    stored = storage.read_suite(args.runs, record)
    if stored is None:
        return []
    lines = list_changed_plugins(args.runs, stored)
    if args.suite.is_file():
        execution = read_execution(args.suite, args.scale)
        lines += describe_differences(find_recorded(args.runs, stored, execution), is_anything_left=False)
    return lines


def _warn_of_changes(records: "Records", suite: Path) -> None:
    """Warn if the file, or one that it extends, has changed since the suite was run."""
    from bench.suite.yaml_file import load

    sources = {record.source for record in records.values() if not isinstance(record, str)}
    if suite.is_file() and sources - {load(suite).source}:
        print(f"{suite} has changed since it was run; this is what was run. Run it again to update it", file=sys.stderr)
