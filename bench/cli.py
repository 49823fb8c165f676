"""The command `bench`. Heavy packages are imported by the command that needs them, so that help answers at once."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import commands
from bench.commands import BAD_USE, DONE, FAILED, INCOMPLETE, INTERRUPTED

Command = Callable[[argparse.Namespace], int]

__all__ = ["BAD_USE", "DONE", "FAILED", "INCOMPLETE", "INTERRUPTED", "main"]

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
        _plug(chosen)
        return int(chosen.command(chosen))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        from bench.cell import BrokenRecord, Busy
        from bench.data import DataError
        from bench.results import NoRecord
        from bench.suite import SuiteError
        from methods import OptionError, PluginError

        told = SuiteError | DataError | OptionError | PluginError | NoRecord | BrokenRecord | Busy | OSError
        if not isinstance(error, told):
            raise
        print(error, file=sys.stderr)
        return INCOMPLETE if isinstance(error, Busy) else BAD_USE


def _plug(chosen: argparse.Namespace) -> None:
    """Registers the methods of the user's own files."""
    for path in chosen.plugin:
        from methods import plug

        plug(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Train, evaluate and compare families of text diffusion.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(plugin=[])
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_methods(kinds)
    _add_suites(kinds)
    _add_loss(_add(kinds, "perf", "measure speed and memory"))
    working = _add(kinds, "cell", "carry out the job in one cell's folder (started by bench run)", commands.cell)
    working.add_argument("folder", type=Path)
    return parser


def _add(kinds: Any, name: str, help: str, command: Command | None = None) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = kinds.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    added.set_defaults(command=command)
    return added


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    help = "a file of your own with METHODS = {...}; may be given several times"
    absent = argparse.SUPPRESS  # so that a command inside another leaves what the outer one was given
    parser.add_argument("--plugin", type=Path, action="append", metavar="FILE", default=absent, help=help)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of results (default: runs)")


def _add_methods(kinds: Any) -> None:
    """The commands on methods."""
    listing = _add(kinds, "methods", "list the registered methods, or show one with its options", commands.list_methods)
    _add_plugin(listing)
    showing = _add(listing.add_subparsers(metavar="[show NAME]"), "show", "show one method", commands.show_method)
    _add_plugin(showing)
    showing.add_argument("name", metavar="NAME", help="a name that bench methods lists")
    things = _add(kinds, "new", "write the files that a new method starts from").add_subparsers(
        required=True, metavar="method"
    )
    making = _add(things, "method", "write a method that trains and is certified as it stands", commands.new_method)
    making.add_argument("name", metavar="NAME", help="its name in suites, such as my-method")
    making.add_argument("--like", metavar="METHOD", help="start from this registered method (default: a masked one)")
    making.add_argument(
        "--plugin", type=Path, metavar="FILE", dest="plugin_file", help="write this file alone, outside the project"
    )
    proving = _add(kinds, "certify", "prove that the bounds of methods are bounds, without training", commands.certify)
    proving.add_argument("methods", nargs="*", help="registered methods, with their defaults (default: all)")
    proving.add_argument("--suite", type=Path, help="the arms of a suite, with their options")
    proving.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(default: float32)")
    proving.add_argument("--write", action="store_true", help="keep the certificates, for reports to print <=")
    _add_runs(proving)
    _add_plugin(proving)


def _add_suites(kinds: Any) -> None:
    """The commands on suites and their results."""

    def add(name: str, command: Command, help: str) -> argparse.ArgumentParser:
        added = _add(kinds, name, help, command)
        added.add_argument("suite", type=Path, help="suite file, such as suites/quickstart.yaml")
        _add_runs(added)
        return added

    _add_plugin(add("plan", commands.plan, "show what a suite would run, and write nothing"))
    running = add("run", commands.run, "run what is missing of a suite, then write its report")
    running.add_argument("--retry-failed", action="store_true", help="try failed cells again")
    _add_plugin(running)
    add("status", commands.status, "show how far each cell of a suite is")
    add("report", commands.report, "write the table, the plots and the page from what is recorded")
    looking = _add(kinds, "ui", "open MLflow's page on the recorded runs", commands.ui)
    _add_runs(looking)
    looking.add_argument("--port", type=int, default=5000)


def _add_loss(measuring: argparse.ArgumentParser) -> None:
    help = "measure the memory and the seconds that the loss of each method takes at a large vocabulary"
    measured = _add(measuring.add_subparsers(required=True, metavar="loss"), "loss", help, commands.perf)
    measured.add_argument("methods", nargs="*", help="registered methods (default: all)")
    _add_plugin(measured)
    for name, default in (("vocabulary", 50_258), ("length", 1024), ("batch", 8), ("width", 768)):
        measured.add_argument(f"--{name}", type=int, default=default, help=f"(default: {default})")
    measured.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
