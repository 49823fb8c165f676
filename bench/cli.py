"""The command `bench`. Heavy packages are imported by the command that needs them, so that help answers at once."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.results import Record

DONE, BAD_USE, FAILED, INCOMPLETE, INTERRUPTED = 0, 2, 3, 4, 130

EXIT_CODES = """exit codes:
  0    done
  2    wrong usage, or a suite that cannot be run (nothing was written)
  3    some cells failed; each is a row of the table with its reason (certify, perf: a check failed)
  4    incomplete: some cells have no result yet
  130  interrupted; run the same command again to go on
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    chosen = _parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("bench").setLevel(logging.INFO)
    try:
        return int(chosen.command(chosen))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        from bench.cell import BrokenRecord, Busy
        from bench.data import DataError
        from bench.results import NoRecord
        from bench.suite import SuiteError
        from methods import OptionError

        if not isinstance(error, SuiteError | DataError | OptionError | NoRecord | BrokenRecord | Busy | OSError):
            raise
        print(error, file=sys.stderr)
        return INCOMPLETE if isinstance(error, Busy) else BAD_USE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Train, evaluate and compare families of text diffusion.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
        added.set_defaults(command=command)
        return added

    def add_suite(name: str, command: Callable[[argparse.Namespace], int], help: str) -> argparse.ArgumentParser:
        added = add(name, command, help)
        added.add_argument("suite", type=Path, help="suite file, such as suites/quickstart.yaml")
        added.add_argument("--runs", type=Path, default=Path("runs"), help="folder of results (default: runs)")
        return added

    _add_show(add("methods", list_methods, "list the registered methods, or show one with its options"))
    proving = add("certify", certify, "prove that the bounds of methods are bounds, without training")
    proving.add_argument("methods", nargs="*", help="registered methods, with their defaults (default: all)")
    proving.add_argument("--suite", type=Path, help="the arms of a suite, with their options")
    proving.add_argument("--write", action="store_true", help="keep the certificates, for reports to print <=")
    add_suite("plan", plan, "show what a suite would run, and write nothing")
    running = add_suite("run", run, "run what is missing of a suite, then write its report")
    running.add_argument("--retry-failed", action="store_true", help="try failed cells again")
    add_suite("status", status, "show how far each cell of a suite is")
    add_suite("report", report, "write the table, the plots and the page from what is recorded")
    looking = add("ui", ui, "open MLflow's page on the recorded runs")
    looking.add_argument("--runs", type=Path, default=Path("runs"), help="folder of results (default: runs)")
    looking.add_argument("--port", type=int, default=5000)
    _add_loss(add("perf", perf, "measure speed and memory"))
    working = add("cell", cell, "carry out the job in one cell's folder (started by bench run)")
    working.add_argument("folder", type=Path)
    return parser


def _add_show(listing: argparse.ArgumentParser) -> None:
    kinds = listing.add_subparsers(metavar="[show NAME]")
    showing = kinds.add_parser("show", help="show one method", description="Show one method with its options.")
    showing.add_argument("name", metavar="NAME", help="a name that bench methods lists")
    showing.set_defaults(command=show_method)


def _add_loss(measuring: argparse.ArgumentParser) -> None:
    kinds = measuring.add_subparsers(required=True, metavar="loss")
    help = "the memory and the seconds that the loss of each method takes at a large vocabulary"
    measured = kinds.add_parser("loss", help=help, description=f"Measure {help}.")
    measured.set_defaults(command=perf)
    measured.add_argument("methods", nargs="*", help="registered methods (default: all)")
    for name, default in (("vocabulary", 50_258), ("length", 1024), ("batch", 8), ("width", 768)):
        measured.add_argument(f"--{name}", type=int, default=default, help=f"(default: {default})")
    measured.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")


def perf(chosen: argparse.Namespace) -> int:
    """`bench perf loss`"""
    from bench.perf import Sizes, loss
    from methods import METHODS, known

    names = [known(name, METHODS, "method") for name in chosen.methods] or list(METHODS)
    sizes = Sizes(chosen.vocabulary, chosen.length, chosen.batch, chosen.width, chosen.device)
    return DONE if loss(names, sizes) else FAILED


def certify(chosen: argparse.Namespace) -> int:
    """`bench certify [METHOD ...]`"""
    from bench.certify.verdict import show
    from bench.suite import read
    from methods import METHODS, known

    arms = [(arm.method, arm.options) for arm in read(chosen.suite).spec.arms] if chosen.suite else []
    named: list[tuple[str, dict[str, Any]]] = [(known(name, METHODS, "method"), {}) for name in chosen.methods]
    return DONE if show(arms + named or [(name, {}) for name in METHODS], chosen.write) else FAILED


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
    from bench.plan import plan as make
    from bench.show import show_plan
    from bench.suite import read

    show_plan(make(read(chosen.suite)), chosen.runs)
    return DONE


def run(chosen: argparse.Namespace) -> int:
    """`bench run SUITE`"""
    from bench import results
    from bench.environment import settle
    from bench.plan import Cell
    from bench.plan import plan as make
    from bench.run import run as carry_out
    from bench.suite import read, with_data
    from bench.tracking import store

    suite, runs = read(chosen.suite), chosen.runs
    try:
        settle(suite.spec.execution)
    except (RuntimeError, ImportError) as error:
        print(f"{chosen.suite}: {error}", file=sys.stderr)
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


def status(chosen: argparse.Namespace) -> int:
    """`bench status SUITE`"""
    from bench import results
    from bench.show import show_status

    record = results.read(chosen.runs, chosen.suite.stem)
    _warn_of_changes(record, chosen.suite)
    show_status(record)
    return _code(record)


def report(chosen: argparse.Namespace) -> int:
    """`bench report SUITE`"""
    from bench import results

    record = results.read(chosen.runs, chosen.suite.stem)
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


def _warn_of_changes(record: "Record", suite: Path) -> None:
    """Says so when the file is no longer the suite that was run."""
    if suite.is_file() and suite.read_text(encoding="utf-8") != record.source:
        print(
            f"{suite} changed since it was run; this is what was run. Run it again to bring both together",
            file=sys.stderr,
        )


def _code(record: "Record") -> int:
    if (record.table["status"] == "failed").any():
        return FAILED
    return INCOMPLETE if record.state == "incomplete" else DONE
