"""The command `bench`. Each command imports the heavy packages that it needs, so that help answers at once."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bench.cli.parser import make_parser
from bench.cli.streams import make_printable
from bench.engine.redaction import RedactingFormatter, print_traceback, redact
from bench.launch.exit_codes import BROKEN_PIPE, INCOMPLETE, INTERRUPTED, STORAGE_FULL, USAGE_ERROR
from bench.launch.signals import handled_by, interrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    make_printable()
    with handled_by(interrupt):
        try:
            return _run_command(arguments)
        except KeyboardInterrupt:
            with suppress(OSError):  # the terminal may be gone
                print("interrupted; run the same command again to continue", file=sys.stderr)
            return INTERRUPTED


def _run_command(arguments: Sequence[str] | None) -> int:
    parser = make_parser()
    args = parser.parse_args(arguments)
    _check_encoding(parser, args)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(RedactingFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])
    sys.excepthook = print_traceback
    logging.getLogger("bench").setLevel(logging.INFO)
    try:
        _register_plugins(args)
        result = int(args.command(args))
        sys.stdout.flush()  # what fails is told by an exit code
        return result
    except SystemExit as error:  # of a plug-in: no command of ours raises it
        print(f"the code of a plug-in ended the command: SystemExit: {error.code}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _discard_output()
        return BROKEN_PIPE
    except Exception as error:
        code, line = _exit_code(error), _plugin_line(error)
        if code is None and not line:
            raise
        if code is None:
            print_traceback(type(error), error, error.__traceback__)
        text = _describe(error, args) if code is not None else f"the code of a plug-in failed: {_type_and_text(error)}"
        print(redact(text if line in text else f"{text} ({line})"), file=sys.stderr)
        return USAGE_ERROR if code is None else code


def _check_encoding(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse arguments that are not UTF-8, since records could not hold them; texts for a model may be any bytes."""
    values = {name: value for name, value in vars(args).items() if name not in ("prompt", "template")}
    for name, value in values.items():
        for text in map(str, value if isinstance(value, list) else [value]):
            if any("\udc80" <= character <= "\udcff" for character in text):
                parser.error(f"{name} {text}: not UTF-8; rename the file or the arm")


def _describe(error: Exception, args: argparse.Namespace) -> str:
    """The message of an error; that of a full disk names a path, for some errors of libraries lack it."""
    from bench.engine.record_files import StorageFull, is_full

    if isinstance(error, OSError) and is_full(error) and not isinstance(error, StorageFull):
        if error.filename is None and _is_output_full():
            _discard_output()
            return f"no room to write what the command prints ({error.strerror}); the results are as they were"
        return str(StorageFull(Path(error.filename or getattr(args, "runs", ".")), error))
    return str(error)


def _type_and_text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _plugin_line(error: Exception) -> str:
    """The line of a plug-in that an error passed through, such as mine.py:41; "" if there is none."""
    from methods.plugins import find_plugin_line

    return find_plugin_line(error)


def _is_output_full() -> bool:
    """Whether not even an empty line can be printed, such as to a file on a full disk."""
    from bench.engine.record_files import is_full

    try:
        print(flush=True)
    except OSError as error:
        return is_full(error)
    return False


def _discard_output() -> None:
    """Leave nothing to be written at exit, which would fail again and change the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error whose message suffices, or None for one that needs its traceback."""
    from bench.cli.prompt import PromptError
    from bench.engine.data import DataError
    from bench.engine.lock import Busy
    from bench.engine.record_files import BrokenRecord, is_full
    from bench.results.compare.compared_results import CompareError
    from bench.results.mlflow_archive import IncompleteArchive
    from bench.results.mlflow_errors import StoreError
    from bench.results.record_names import AmbiguousName
    from bench.results.suite_record import NoRecord
    from bench.suite.suite import SuiteError
    from methods import OptionError, PluginError

    if isinstance(error, Busy):
        return INCOMPLETE
    if is_full(error):
        return STORAGE_FULL
    invalid_input = SuiteError | DataError | OptionError | PluginError | PromptError | CompareError
    no_result = NoRecord | AmbiguousName | IncompleteArchive | StoreError | BrokenRecord
    return USAGE_ERROR if isinstance(error, invalid_input | no_result | OSError) else None


def _register_plugins(args: argparse.Namespace) -> None:
    """Register the methods of the user's own files; what they change of the harness fails their certificate."""
    for path in args.plugin:
        from methods import plug

        plug(path, allow_changes=args.allow_changes)
