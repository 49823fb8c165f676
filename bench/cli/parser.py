"""The command-line parser. It imports nothing heavy, so that help answers at once."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cli import method_commands, result_commands, suite_commands
from bench.cli.argument_types import (
    parse_draws,
    parse_jobs,
    parse_margin,
    parse_names,
    parse_natural,
    parse_precisions,
    parse_replicates,
    parse_seconds,
)

Command = Callable[[argparse.Namespace], int]
Subparsers = Any  # argparse's type of them is private

ESTIMATORS = ("auto", "counted", "times", "independent")
POLICIES = "ancestral, euler, ddim, first-hitting, confidence, margin, entropy-bounded, remask or self-correct"

EXIT_CODES = """exit codes:
  0    done
  2    wrong usage, or a suite that cannot be run (nothing was written)
  3    some cells failed, each with its reason in the table, or some of several data sets are not available
       (certify, perf: a check failed; compare: a regression; tune: all trials of an arm failed)
  4    incomplete: some cells have no result yet
  5    no room on the disk; what is finished is kept, and the same command goes on
  6    done, but not tracked: MLflow's store lacks results, and bench sync writes them
  141  the reader of the output closed it
  130  interrupted; run the same command again to continue
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of `bench`; the chosen command is in `command`."""
    parser = argparse.ArgumentParser(
        prog="bench",
        description="Train, evaluate and compare families of text diffusion.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(plugin=[], allow_changes=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_methods(commands)
    _add_suites(commands)
    _add_sample(commands)
    _add_score(commands)
    _add_compare(commands)
    _add_perf(commands)
    cell = _add(commands, "cell", "run the job in a cell's folder (started by bench run)", suite_commands.cell)
    cell.add_argument("folder", type=Path)
    help = "a plug-in that the driver was given; its failure is one of the cell"
    cell.add_argument("--plugin", type=Path, action="append", default=[], metavar="FILE", dest="load_plugin", help=help)
    return parser


def _add(commands: Subparsers, name: str, help: str, command: Command | None = None) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    parser.set_defaults(command=command)
    return parser


def _add_plugin(parser: argparse.ArgumentParser) -> None:
    help = "a Python file of your own with METHODS = {...}; may be repeated"
    default = argparse.SUPPRESS  # keeps what an outer command was given
    parser.add_argument("--plugin", type=Path, action="append", metavar="FILE", default=default, help=help)


def _add_runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of results (default: runs)")


def _add_scale(parser: argparse.ArgumentParser) -> None:
    help = "one of the suite's scales, such as quick (default: the suite as written)"
    parser.add_argument("--scale", metavar="NAME", help=help)


def _add_data(parser: argparse.ArgumentParser) -> None:
    help = "one of the suite's data sets, by its label (default: all of them)"
    parser.add_argument("--data", metavar="LABEL", help=help)


def _add_verbose(parser: argparse.ArgumentParser) -> None:
    help = "print every table with its notes in full, not only the main one"
    parser.add_argument("--verbose", action="store_true", help=help)


def _add_suite(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """A suite with its scale, its data set and the folder of results."""
    parser.add_argument("suite", type=Path, nargs=nargs, help="suite file, such as suites/quickstart.yaml")
    _add_scale(parser)
    _add_data(parser)
    _add_runs(parser)


def _add_hang_timeout(parser: argparse.ArgumentParser) -> None:
    help = "end a worker that gives no sign of life for so long, and record a failure (default: only say so)"
    parser.add_argument("--hang-timeout", type=parse_seconds, metavar="SECONDS", help=help)


def _add_methods(commands: Subparsers) -> None:
    """The commands on methods."""
    help = "list the registered methods, or show one with its options"
    methods = _add(commands, "methods", help, method_commands.list_methods)
    _add_plugin(methods)
    shown = methods.add_subparsers(metavar="[show NAME]")
    show = _add(shown, "show", "show one method", method_commands.show_method)
    _add_plugin(show)
    show.add_argument("name", metavar="NAME", help="a name from the list of bench methods")

    new = _add(commands, "new", "write the files of a new method").add_subparsers(required=True, metavar="method")
    method = _add(new, "method", "write a method that trains and passes certification", method_commands.new_method)
    method.add_argument("name", metavar="NAME", help="its name in suites, such as my-method")
    method.add_argument("--like", metavar="METHOD", help="start from this registered method (default: a masked one)")
    help = "write this single file, outside the project"
    method.add_argument("--plugin", type=Path, metavar="FILE", dest="plugin_file", help=help)

    help = "check that the bounds of methods are bounds, without training"
    certify = _add(commands, "certify", help, method_commands.certify)
    certify.set_defaults(allow_changes=True)  # of the harness by plug-ins: a check names them
    certify.add_argument("methods", nargs="*", help="registered methods, with their default options (default: all)")
    certify.add_argument("--suite", type=Path, help="the arms of a suite, with their options")
    _add_scale(certify)
    _add_data(certify)
    _add_subjects(certify)
    help = "save the certificates, which let reports print = and <=; those that hold are not made again"
    certify.add_argument("--write", action="store_true", help=help)
    certify.add_argument("--force", action="store_true", help="with --write, make certificates that hold again")
    help = "run these checks alone, such as oracle or probes,kraft; may be repeated"
    certify.add_argument("--only", type=parse_names, action="extend", default=[], metavar="CHECK", help=help)
    certify.add_argument("--seed", type=parse_natural, default=0, metavar="N", help="of all that is drawn (default: 0)")
    help = "processes that run checks at the same time (default: one per core)"
    certify.add_argument("--jobs", type=parse_jobs, metavar="N", help=help)
    _add_runs(certify)
    _add_plugin(certify)


def _add_subjects(certify: argparse.ArgumentParser) -> None:
    """The precisions and estimators that methods are certified with."""
    help = (
        "float32, bfloat16, or both with a comma; of methods, and of arms that name none (default: float32; for arms,"
    )
    help += " what the suite's execution says)"
    certify.add_argument("--precision", type=parse_precisions, action="extend", metavar="PRECISION", help=help)
    chosen = certify.add_mutually_exclusive_group()
    help = "of the bounds of METHODs: counted, times or independent (default: that of each; a suite names its own)"
    chosen.add_argument("--estimator", choices=ESTIMATORS, metavar="NAME", help=help)
    help = "certify every other estimator that a method admits, too"
    chosen.add_argument("--all", action="store_true", dest="all_estimators", help=help)


def _add_suites(commands: Subparsers) -> None:
    """The commands on suites and their results."""
    plan = _add(commands, "plan", "show what a suite would run; writes nothing", suite_commands.plan)
    _add_suite(plan)
    plan.add_argument("--json", action="store_true", help="print the whole plan as JSON")
    _add_plugin(plan)

    help = "tune the arms of a suite with an equal number of trials, for bench run to use the best"
    tune = _add(commands, "tune", help, suite_commands.tune)
    _add_suite(tune)
    tune.add_argument("--retry-failed", action="store_true", help="run failed trials again")
    _add_hang_timeout(tune)
    _add_plugin(tune)

    run = _add(commands, "run", "run what is missing of a suite, then write its report", suite_commands.run)
    _add_suite(run)
    run.add_argument("--retry-failed", action="store_true", help="run failed cells again")
    _add_verbose(run)
    help = "start no further cell after the first that failed; the report is written, and the exit code is 3"
    run.add_argument("--fail-fast", action="store_true", help=help)
    _add_hang_timeout(run)
    _add_plugin(run)

    _add_suite(_add(commands, "status", "show the state of each cell of a suite", result_commands.status))
    _add_report(commands)
    help = "bring the MLflow store up to date with the recorded results of a suite"
    _add_suite(_add(commands, "sync", help, result_commands.sync))
    _add(commands, "schema", "print the JSON Schema of suite files, for editors", suite_commands.schema)
    ui = _add(commands, "ui", "open MLflow's page of the recorded runs", result_commands.ui)
    _add_runs(ui)
    ui.add_argument("--port", type=int, default=5000, help="(default: 5000)")


def _add_report(commands: Subparsers) -> None:
    help = "write the table, the plots and the page from recorded results"
    report = _add(commands, "report", help, result_commands.report)
    _add_suite(report, nargs="?")
    _add_verbose(report)
    help = "read the record from an MLflow store, such as http://host:5000, instead of the folder of results"
    report.add_argument("--from-mlflow", metavar="URI", help=help)
    help = "exit with 0 even if cells failed or have no result yet; the stamp on the page says so"
    report.add_argument("--allow-incomplete", action="store_true", help=help)
    help = "instead of a suite: published numbers beside those measured here; a NAME, all, or nothing to list them"
    report.add_argument("--published", nargs="?", const="", metavar="NAME", help=help)


def _add_sample(commands: Subparsers) -> None:
    help = "draw samples from a trained cell, optionally with a prompt or a template"
    parser = _add(commands, "sample", help, result_commands.sample)
    parser.add_argument("run", metavar="RUN", help="SUITE/ARM, SUITE/ARM/SEED, a prefix of a cell's id, or its folder")
    _add_runs(parser)
    _add_plugin(parser)
    prompts = parser.add_mutually_exclusive_group()
    prompts.add_argument("--prompt", default="", metavar="TEXT", help="the beginning of every text")
    help = r"a text with gaps: each underscore is one token to draw; write \_ for an underscore"
    prompts.add_argument("--template", default="", metavar="TEXT", help=help)
    parser.add_argument("--count", type=int, default=4, metavar="N", help="number of texts (default: 4)")
    help = "network calls, for each window of long texts (default: 128)"
    parser.add_argument("--calls", type=int, default=128, metavar="N", help=help)
    parser.add_argument("--length", type=int, metavar="N", help="tokens per text (default: as in training)")
    help = "new tokens per window of longer texts (default: half a window)"
    parser.add_argument("--stride", type=int, metavar="N", help=help)
    parser.add_argument("--policy", default="ancestral", metavar="NAME", help=f"(default: ancestral) {POLICIES}")
    help = "a setting of the policy, such as eta=0.1 or grid=cosine; may be repeated"
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help=help)
    parser.add_argument("--temperature", type=float, default=1.0, metavar="X", help="(default: 1)")
    parser.add_argument("--top-k", type=int, metavar="N", help="draw from the N most likely tokens")
    parser.add_argument("--top-p", type=float, metavar="X", help="draw from the most likely tokens of total mass X")
    parser.add_argument("--greedy-last", action="store_true", help="take the most likely tokens in the last call")
    parser.add_argument("--seed", type=int, help="(default: that of the suite's samples)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")


def _add_score(commands: Subparsers) -> None:
    help = "measure the bound of a text of yours under a trained cell, per text and per token"
    parser = _add(commands, "score", help, result_commands.score)
    parser.add_argument("run", metavar="RUN", help="SUITE/ARM, SUITE/ARM/SEED, a prefix of a cell's id, or its folder")
    parser.add_argument("file", metavar="FILE", help="a file or folder of UTF-8 text, or - for the standard input")
    _add_runs(parser)
    _add_plugin(parser)
    parser.add_argument("--lines", action="store_true", help="take each line as a text of its own")
    parser.add_argument("--tokens", action="store_true", help="print the nats of each token as well")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, tokens included")
    help = "noise draws per window and replicate, an even number (default for this and the next: as in the suite)"
    parser.add_argument("--draws", type=parse_draws, metavar="N", help=help)
    help = "independent replicates, for the Monte Carlo error"
    parser.add_argument("--replicates", type=parse_replicates, metavar="N", help=help)
    parser.add_argument("--seed", type=int, help="of the noise (default: as in the suite)")
    parser.add_argument("--estimator", choices=ESTIMATORS, help="(default: as in the suite)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")


def _add_compare(commands: Subparsers) -> None:
    help = "show how B differs from A, in results and in everything else"
    compare = _add(commands, "compare", help, result_commands.compare)
    help = "SUITE, SUITE/ARM, SUITE/ARM/SEED, ARM, or a prefix of a cell's id; any of these after the path of another"
    help += " folder of results; or the path of a cell's folder, of a suite's record, or of a tidy.csv"
    compare.add_argument("old", metavar="A", help=help)
    compare.add_argument("new", metavar="B", help="like A; the new one")
    _add_runs(compare)
    help = "exit with 3 if the bound of an arm certainly grew by more than this share, or by this difference without %%"
    compare.add_argument("--fail-on-regression", type=parse_margin, metavar="0.5%", dest="margin", help=help)
    compare.add_argument("--json", action="store_true", help="print the whole comparison as JSON")


def _add_perf(commands: Subparsers) -> None:
    """The commands that measure speed and memory."""
    perf = _add(commands, "perf", "measure speed and memory")
    kinds = perf.add_subparsers(required=True, metavar="loss|sample|plan|report")

    help = "measure the memory and time of each method's loss at a large vocabulary"
    loss = _add(kinds, "loss", help, method_commands.perf)
    loss.add_argument("methods", nargs="*", help="registered methods (default: all)")
    _add_plugin(loss)
    for name, default in (("vocabulary", 50_258), ("length", 1024), ("batch", 8), ("width", 768)):
        loss.add_argument(f"--{name}", type=int, default=default, help=f"(default: {default})")
    loss.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")

    help = "measure the network calls and the time of sampling"
    sample = _add(kinds, "sample", help, method_commands.perf_sample)
    sample.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="(default: cpu)")
    help = "the network (default: tiny, and also small for the key-value cache)"
    sample.add_argument("--preset", choices=("micro", "tiny", "small", "medium"), help=help)
    sample.add_argument("--quick", action="store_true", help="a smoke test: sizes too small for meaningful numbers")

    plan = _add(kinds, "plan", "measure how long planning a thousand cells takes", method_commands.perf_plan)
    plan.add_argument("--arms", type=int, default=1000, metavar="N", help="(default: 1000)")
    help = "measure how long writing the reports of a recorded suite takes"
    _add_suite(_add(kinds, "report", help, method_commands.perf_report))
