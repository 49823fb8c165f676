"""Types of command-line arguments: each turns text into a value, or says what to give instead."""

import argparse
import math
from typing import Any

PRECISIONS = ("float32", "bfloat16")


def parse_names(text: str) -> list[str]:
    """Names between commas."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r}: give a name, or several with commas")
    return names


def parse_precisions(text: str) -> list[str]:
    """One precision, or both with a comma."""
    names = parse_names(text)
    if not set(names) <= set(PRECISIONS):
        raise argparse.ArgumentTypeError(f"{text!r}: give {' or '.join(PRECISIONS)}, or {','.join(PRECISIONS)}")
    return names


def parse_seconds(text: str) -> float:
    """A positive number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds, such as 600")
    return seconds


def parse_draws(text: str) -> int:
    """An even number of noise draws, as antithetic pairs need."""
    return _parse_count(text, least=2, multiple=2)


def parse_replicates(text: str) -> int:
    """A number of replicates that have a spread."""
    return _parse_count(text, least=2)


def parse_jobs(text: str) -> int:
    """A number of processes."""
    return _parse_count(text, least=1)


def parse_natural(text: str) -> int:
    """A number from 0 on."""
    return _parse_count(text, least=0)


def _parse_count(text: str, least: int, multiple: int = 1) -> int:
    if not text.isdecimal() or int(text) < least or int(text) % multiple:
        kind = "an even number" if multiple == 2 else "a number"
        raise argparse.ArgumentTypeError(f"{text!r}: give {kind} of at least {least}")
    return int(text)


def parse_margin(text: str) -> Any:
    """A margin of `bench compare`."""
    from bench.results.compare.gate import Margin

    try:
        return Margin.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
