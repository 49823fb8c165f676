"""What the commands of `bench` do; each returns an exit code and imports what it needs by itself."""

import argparse
import json
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.results import Record
    from bench.suite import Suite

DONE, BAD_USE, FAILED, INCOMPLETE, INTERRUPTED = 0, 2, 3, 4, 130


def perf(chosen: argparse.Namespace) -> int:
    """`bench perf loss`"""
    from bench.perf import Sizes, loss
    from methods import METHODS, known

    names = [known(name, METHODS, "method") for name in chosen.methods] or list(METHODS)
    sizes = Sizes(chosen.vocabulary, chosen.length, chosen.batch, chosen.width, chosen.device)
    return DONE if loss(names, sizes) else FAILED


def perf_sample(chosen: argparse.Namespace) -> int:
    """`bench perf sample`"""
    from bench.environment import settle
    from bench.perf_sample import FULL, QUICK, speed
    from bench.spec import Execution

    try:
        settle(Execution(device=chosen.device))
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return BAD_USE
    presets = [chosen.preset] if chosen.preset else ["micro"] if chosen.quick else ["tiny", "small"]
    return DONE if speed(presets, QUICK if chosen.quick else FULL, chosen.device) else FAILED


def sample(chosen: argparse.Namespace) -> int:
    """`bench sample RUN`"""
    from bench.prompt import draw, find, settings, show

    fields = ("count", "calls", "length", "stride", "temperature", "top_k", "top_p", "greedy_last")
    spec = settings(chosen.policy, chosen.option, **{name: getattr(chosen, name) for name in fields})
    cell = find(chosen.runs, chosen.run)
    show(draw(cell, spec, chosen.prompt, chosen.template, chosen.seed, chosen.device))
    return DONE


def certify(chosen: argparse.Namespace) -> int:
    """`bench certify [METHOD ...]`"""
    from bench.certify.show import show
    from bench.tuning.lock import read_tuned
    from methods import METHODS, known

    arms = (
        [(arm.method, arm.options) for arm in read_tuned(chosen.suite, chosen.scale).spec.arms] if chosen.suite else []
    )
    arms += [(known(name, METHODS, "method"), {}) for name in chosen.methods]
    fine = show(arms or [(name, {}) for name in METHODS], chosen.precision, chosen.runs if chosen.write else None)
    return DONE if fine else FAILED


def new_method(chosen: argparse.Namespace) -> int:
    """`bench new method NAME`"""
    from bench.new import new_method as write

    write(chosen.name, chosen.like, chosen.plugin_file)
    return DONE


def list_methods(chosen: argparse.Namespace) -> int:
    """`bench methods`"""
    from bench.catalogue import show_methods

    show_methods()
    return DONE


def show_method(chosen: argparse.Namespace) -> int:
    """`bench methods show NAME`"""
    from bench.catalogue import show_method as show

    show(chosen.name)
    return DONE


def plan(chosen: argparse.Namespace) -> int:
    """`bench plan SUITE`"""
    from bench.matrix import as_json, matrix
    from bench.plan import plan as make
    from bench.show import show_plan
    from bench.tuning.lock import read_tuned

    found = matrix(make(read_tuned(chosen.suite, chosen.scale)), chosen.runs)
    if chosen.json:
        print(json.dumps(as_json(found), indent=1, ensure_ascii=False))
    else:
        show_plan(found)
    return DONE


def schema(chosen: argparse.Namespace) -> int:
    """`bench schema`"""
    from bench.schema import schema as make

    print(json.dumps(make(), indent=1, ensure_ascii=False))
    return DONE


def run(chosen: argparse.Namespace) -> int:
    """`bench run SUITE`"""
    from bench import results
    from bench.plan import Cell
    from bench.plan import plan as make
    from bench.run import run as carry_out
    from bench.suite import with_data
    from bench.tracking import store
    from bench.tuning.lock import read_tuned

    suite, runs = read_tuned(chosen.suite, chosen.scale), chosen.runs
    if not _settled(suite, chosen.suite):
        return BAD_USE
    planned = make(with_data(suite))

    untracked: list[str] = []

    def finished(cell: Cell) -> None:
        if not untracked:  # a store that failed once is not waited for again; the next run brings it up to date
            untracked.extend(_track(runs, planned.suite.name, cell.id))

    carry_out(runs, planned, chosen.retry_failed, finished)
    record = results.read(runs, planned.suite.name)
    _report(record, runs)
    told = f"runs are tracked in {store(runs)}; look at them with: bench ui --runs {runs}"
    print("; ".join(untracked) or told, file=sys.stderr)
    return _code(record)


def tune(chosen: argparse.Namespace) -> int:
    """`bench tune SUITE`"""
    from bench.plan import Cell
    from bench.suite import SuiteError, read, with_data
    from bench.tuning.lock import lock_file
    from bench.tuning.show import show
    from bench.tuning.tune import Tuner
    from bench.tuning.winners import write

    suite, runs = read(chosen.suite, chosen.scale), chosen.runs
    if suite.tune is None:
        raise SuiteError(f"{chosen.suite}: suite {suite.name} says nothing of tuning; give it a block `tune`")
    if not _settled(suite, chosen.suite):
        return BAD_USE
    untracked: list[str] = []

    def finished(cell: Cell) -> None:
        if not untracked:
            untracked.extend(_track(runs, f"{suite.name}-trials", cell.id))

    lock = Tuner(runs, with_data(suite), chosen.retry_failed, finished).tune()
    write(lock_file(suite), lock)
    show(lock, lock_file(suite))
    print("; ".join(untracked), end="\n" if untracked else "", file=sys.stderr)
    return DONE if all(arm.winner is not None for arm in lock.arms.values()) else FAILED


def status(chosen: argparse.Namespace) -> int:
    """`bench status SUITE`"""
    from bench import results
    from bench.show import show_status

    record = results.read(chosen.runs, _name(chosen))
    _warn_of_changes(record, chosen.suite)
    show_status(record)
    return _code(record)


def report(chosen: argparse.Namespace) -> int:
    """`bench report SUITE`"""
    from bench import results

    record = results.read(chosen.runs, _name(chosen))
    _warn_of_changes(record, chosen.suite)
    _report(record, chosen.runs)
    return _code(record)


def ui(chosen: argparse.Namespace) -> int:
    """`bench ui`"""
    from bench.tracking import page

    return page(chosen.runs, chosen.port)


def cell(chosen: argparse.Namespace) -> int:
    """`bench cell DIR`"""
    from bench.worker import Worker

    return Worker(chosen.folder).run()


def _settled(suite: "Suite", file: Path) -> bool:
    """Whether the suite can be run here as it asks to be; says why not."""
    from bench.environment import settle

    try:
        settle(suite.spec.execution)
    except (RuntimeError, ImportError) as error:
        print(f"{file}: {error}", file=sys.stderr)
        return False
    return True


def _track(runs: Path, suite: str, cell: str) -> list[str]:
    """Tells MLflow of one cell; what went wrong in words. The results are safe in their folders all the same."""
    from bench import results
    from bench.tracking import store, track

    try:
        track(runs, suite, results.read(runs, suite, only=cell).table)
    except Exception as error:  # MLflow raises whatever its store does
        return [f"NOT tracked in {store(runs)}: {' '.join(str(error).split())[:300]}; mend it and run the suite again"]
    return []


def _report(record: "Record", runs: Path) -> None:
    """Hands the record to every reporter that is installed; the packages of reports are found, not imported."""
    reporters = entry_points(group="bench.reporters")
    if not reporters:
        print("no reporter is installed, so no table is written; install the project with: make setup", file=sys.stderr)
    for found in reporters:
        found.load()(record, runs / "reports" / record.suite)


def _name(chosen: argparse.Namespace) -> str:
    """What the record of a suite is called, whose file may be gone."""
    from bench.document import load, record_name

    if not chosen.suite.is_file():
        return record_name(chosen.suite, chosen.scale)
    return load(chosen.suite).at(chosen.scale).name


def _warn_of_changes(record: "Record", suite: Path) -> None:
    """Says so when the file, or one that it extends, is no longer the suite that was run."""
    from bench.document import load

    if suite.is_file() and load(suite).source != record.source:
        print(
            f"{suite} changed since it was run; this is what was run. Run it again to bring both together",
            file=sys.stderr,
        )


def _code(record: "Record") -> int:
    if (record.table["status"] == "failed").any():
        return FAILED
    return INCOMPLETE if record.state == "incomplete" else DONE
