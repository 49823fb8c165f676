"""The command `bench`. Each command imports the heavy packages that it needs, so that help answers at once."""

import argparse
import logging
import sys
from collections.abc import Sequence

from bench.cli.parser import make_parser
from bench.launch.exit_codes import INCOMPLETE, INTERRUPTED, USAGE_ERROR


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    args = make_parser().parse_args(arguments)
    logging.basicConfig(format="%(message)s", stream=sys.stderr)
    logging.getLogger("bench").setLevel(logging.INFO)
    try:
        _register_plugins(args)
        return int(args.command(args))
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, RuntimeError) as error:
        code = _exit_code(error)
        if code is None:
            raise
        print(error, file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error whose message suffices, or None for one that needs its traceback."""
    from bench.cli.prompt import PromptError
    from bench.engine.data import DataError
    from bench.engine.storage import BrokenRecord, Busy
    from bench.results.compare.compared_results import CompareError
    from bench.results.mlflow_archive import IncompleteArchive
    from bench.results.record_names import AmbiguousName
    from bench.results.suite_record import NoRecord
    from bench.suite.suite import SuiteError
    from methods import OptionError, PluginError

    if isinstance(error, Busy):
        return INCOMPLETE
    invalid_input = SuiteError | DataError | OptionError | PluginError | PromptError | CompareError
    no_result = NoRecord | AmbiguousName | IncompleteArchive | BrokenRecord
    return USAGE_ERROR if isinstance(error, invalid_input | no_result | OSError) else None


def _register_plugins(args: argparse.Namespace) -> None:
    """Register the methods of the user's own files."""
    for path in args.plugin:
        from methods import plug

        plug(path)
