"""The command `bench`. Heavy packages are imported by the command that needs them, so that help answers at once."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.cli import method_commands as commands_methods
from bench.cli import suite_commands as commands
from bench.launch.exit_codes import INCOMPLETE, INTERRUPTED, USAGE_ERROR

Command = Callable[[argparse.Namespace], int]

POLICIES = "ancestral, euler, ddim, first-hitting, confidence, margin, entropy-bounded, remask or self-correct"

EXIT_CODES = """exit codes:
  0    done
  2    wrong usage, or a suite that cannot be run (nothing was written)
  3    some cells failed, each a row of the table with its reason, or some of several data sets could not be had
       (certify, perf: a check failed; compare: a regression; tune: an arm has no trial that did not fail)
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
        from bench.cli.prompt import PromptError
        from bench.engine.data import DataError
        from bench.engine.storage import BrokenRecord, Busy
        from bench.results.compare.operands import CompareError
        from bench.results.mlflow_archive import NotMirrored
        from bench.results.record_names import AmbiguousName
        from bench.results.suite_record import NoRecord
        from bench.suite.suite import SuiteError
        from methods import OptionError, PluginError

        wrong = SuiteError | DataError | OptionError | PluginError | PromptError | CompareError
        told = wrong | NoRecord | AmbiguousName | NotMirrored | BrokenRecord | Busy | OSError
        if not isinstance(error, told):
            raise
        print(error, file=sys.stderr)
        return INCOMPLETE if isinstance(error, Busy) else USAGE_ERROR


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
    _add_sample(kinds)
    _add_compare(kinds)
    measuring = _add(kinds, "perf", "measure speed and memory").add_subparsers(
        required=True, metavar="loss|sample|plan|report"
    )
    _add_loss(measuring)
    _add_speed(measuring)
    planning = _add(measuring, "plan", "measure how long it takes to plan a thousand cells", commands_methods.perf_plan)
    planning.add_argument("--arms", type=int, default=1000, metavar="N", help="(default: 1000)")
    help = "measure how long the reports of a suite that was run take"
    reporting = _add(measuring, "report", help, commands_methods.perf_report)
    reporting.add_argument("suite", type=Path, help="suite file, such as suites/quickstart.yaml")
    _add_scale(reporting)
    _add_data(reporting)
    _add_runs(reporting)
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


def _add_scale(parser: argparse.ArgumentParser) -> None:
    help = "the suite at one of its named scales, such as quick (default: as it is written)"
    parser.add_argument("--scale", metavar="NAME", help=help)


def _add_data(parser: argparse.ArgumentParser) -> None:
    help = "one of the suite's several data sets, by its label (default: all of them)"
    parser.add_argument("--data", metavar="LABEL", help=help)


def _add_methods(kinds: Any) -> None:
    """The commands on methods."""
    listing = _add(
        kinds, "methods", "list the registered methods, or show one with its options", commands_methods.list_methods
    )
    _add_plugin(listing)
    showing = _add(
        listing.add_subparsers(metavar="[show NAME]"), "show", "show one method", commands_methods.show_method
    )
    _add_plugin(showing)
    showing.add_argument("name", metavar="NAME", help="a name that bench methods lists")
    things = _add(kinds, "new", "write the files that a new method starts from").add_subparsers(
        required=True, metavar="method"
    )
    making = _add(
        things, "method", "write a method that trains and is certified as it stands", commands_methods.new_method
    )
    making.add_argument("name", metavar="NAME", help="its name in suites, such as my-method")
    making.add_argument("--like", metavar="METHOD", help="start from this registered method (default: a masked one)")
    making.add_argument(
        "--plugin", type=Path, metavar="FILE", dest="plugin_file", help="write this file alone, outside the project"
    )
    proving = _add(
        kinds, "certify", "prove that the bounds of methods are bounds, without training", commands_methods.certify
    )
    proving.add_argument("methods", nargs="*", help="registered methods, with their defaults (default: all)")
    proving.add_argument("--suite", type=Path, help="the arms of a suite, with their options")
    _add_scale(proving)
    _add_data(proving)
    proving.add_argument("--precision", choices=("float32", "bfloat16"), default="float32", help="(default: float32)")
    proving.add_argument("--write", action="store_true", help="keep the certificates, for reports to print <=")
    _add_runs(proving)
    _add_plugin(proving)


def _add_suites(kinds: Any) -> None:
    """The commands on suites and their results."""

    def add(name: str, command: Command, help: str, many: str | None = None) -> argparse.ArgumentParser:
        added = _add(kinds, name, help, command)
        added.add_argument("suite", type=Path, nargs=many, help="suite file, such as suites/quickstart.yaml")
        _add_scale(added)
        _add_data(added)
        _add_runs(added)
        return added

    planning = add("plan", commands.plan, "show what a suite would run, and write nothing")
    planning.add_argument("--json", action="store_true", help="print all of it as JSON")
    _add_plugin(planning)
    help = "try what a suite leaves open, as often for each arm, and keep the best for bench run"
    tuning = add("tune", commands.tune, help)
    tuning.add_argument("--retry-failed", action="store_true", help="try failed trials again")
    _add_plugin(tuning)
    running = add("run", commands.run, "run what is missing of a suite, then write its report")
    running.add_argument("--retry-failed", action="store_true", help="try failed cells again")
    _add_plugin(running)
    add("status", commands.status, "show how far each cell of a suite is")
    reporting = add("report", commands.report, "write the table, the plots and the page from what is recorded", "?")
    help = "read the record from an MLflow store, such as http://host:5000, instead of the folder of results"
    reporting.add_argument("--from-mlflow", metavar="URI", help=help)
    help = "exit with 0 also where cells failed or have no result yet, as the stamp on the page then says"
    reporting.add_argument("--allow-incomplete", action="store_true", help=help)
    help = "instead of a suite: the numbers of papers beside those measured here; without NAME the names, or all"
    reporting.add_argument("--published", nargs="?", const="", metavar="NAME", help=help)
    add("sync", commands.sync, "write what is recorded of a suite into MLflow's store again, where it lacks it")
    _add(kinds, "schema", "print the JSON Schema of suite files, for editors", commands.schema)
    looking = _add(kinds, "ui", "open MLflow's page on the recorded runs", commands.ui)
    _add_runs(looking)
    looking.add_argument("--port", type=int, default=5000)


def _add_sample(kinds: Any) -> None:
    drawing = _add(
        kinds, "sample", "draw texts from a trained cell, with a beginning or gaps of yours", commands.sample
    )
    drawing.add_argument("run", metavar="RUN", help="SUITE/ARM, SUITE/ARM/SEED, the beginning of a cell's id, a folder")
    _add_runs(drawing)
    given = drawing.add_mutually_exclusive_group()
    given.add_argument("--prompt", default="", metavar="TEXT", help="every text begins with it")
    help = r"as --prompt, with gaps: each underscore is one token to be drawn (an underscore itself: \_)"
    given.add_argument("--template", default="", metavar="TEXT", help=help)
    for name, default, help in (("count", 4, "texts"), ("calls", 128, "network calls, for each window of long texts")):
        drawing.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"{help} (default: {default})")
    drawing.add_argument("--length", type=int, metavar="N", help="tokens of a text (default: as in training)")
    drawing.add_argument(
        "--stride", type=int, metavar="N", help="new tokens a window, if longer (default: half of one)"
    )
    drawing.add_argument("--policy", default="ancestral", metavar="NAME", help=f"(default: ancestral) {POLICIES}")
    help = "a setting of the policy, such as eta=0.1 or grid=cosine; may be given several times"
    drawing.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help=help)
    drawing.add_argument("--temperature", type=float, default=1.0, metavar="X", help="(default: 1)")
    drawing.add_argument("--top-k", type=int, metavar="N", help="draw from the N likeliest tokens")
    drawing.add_argument("--top-p", type=float, metavar="X", help="draw from the likeliest tokens of mass X")
    drawing.add_argument("--greedy-last", action="store_true", help="the last guess is the likeliest token")
    drawing.add_argument("--seed", type=int, help="(default: that of the suite's own samples)")
    drawing.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")


def _add_compare(kinds: Any) -> None:
    comparing = _add(kinds, "compare", "show how B differs from A, in numbers and in all else", commands.compare)
    help = "SUITE, SUITE/ARM, SUITE/ARM/SEED, ARM, the beginning of a cell's id; the same behind the path of another"
    help += " folder of results; or the path of a cell's folder, of a suite's record or of a tidy.csv"
    comparing.add_argument("one", metavar="A", help=help)
    comparing.add_argument("other", metavar="B", help="as A; the new one")
    _add_runs(comparing)
    help = "exit with 3 where the bound of an arm grew by surely more than this share, or difference if without %%"
    comparing.add_argument("--fail-on-regression", type=_margin, metavar="0.5%", dest="margin", help=help)
    comparing.add_argument("--json", action="store_true", help="print all of it as JSON")


def _margin(text: str) -> Any:
    from bench.results.compare.compare import Margin

    try:
        return Margin.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add_loss(kinds: Any) -> None:
    help = "measure the memory and the seconds that the loss of each method takes at a large vocabulary"
    measured = _add(kinds, "loss", help, commands_methods.perf)
    measured.add_argument("methods", nargs="*", help="registered methods (default: all)")
    _add_plugin(measured)
    for name, default in (("vocabulary", 50_258), ("length", 1024), ("batch", 8), ("width", 768)):
        measured.add_argument(f"--{name}", type=int, default=default, help=f"(default: {default})")
    measured.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")


def _add_speed(kinds: Any) -> None:
    measured = _add(
        kinds, "sample", "measure the network calls and the seconds of drawing texts", commands_methods.perf_sample
    )
    measured.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    help = "the network (default: tiny, and for the cache of keys and values small as well)"
    measured.add_argument("--preset", choices=("micro", "tiny", "small", "medium"), help=help)
    measured.add_argument("--quick", action="store_true", help="sizes so small that the numbers mean nothing")
