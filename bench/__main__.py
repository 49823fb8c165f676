"""`python -m bench` is the command `bench`. A driver starts its workers by the path of this file.

Both run the code that is installed, or that this file belongs to: the working folder does not lead the search for
modules, so that a queue.py that lies there is not imported in place of Python's own.
"""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def find_package() -> str:
    """The root of the package `bench` that an import would load; "" if it would load none."""
    for finder in sys.meta_path:
        spec = finder.find_spec("bench", None)
        if spec is not None and spec.origin is not None:
            return os.path.dirname(os.path.dirname(os.path.abspath(spec.origin)))
    return ""


def start() -> int:
    """Run the command, or the worker, whose signals and driver are watched from here on."""
    from bench.launch.lifeline import hold_lifeline
    from bench.launch.signals import exit_at_once, handled_by

    with handled_by(exit_at_once):
        lifeline = hold_lifeline()
        try:
            from bench.cli.main import main

            return main()
        finally:
            if lifeline is not None:
                lifeline.release()


def lead_with_installed() -> None:
    """Take the working folder, or that of this file, from the front of the search path."""
    if not sys.flags.safe_path:
        del sys.path[0]
    if find_package() != ROOT:  # a checkout that is not installed comes before what is, but after Python's own modules
        libraries = [number for number, path in enumerate(sys.path) if os.path.basename(path) == "site-packages"]
        sys.path.insert(min(libraries, default=len(sys.path)), ROOT)


if __name__ == "__main__":
    lead_with_installed()
    raise SystemExit(start())
