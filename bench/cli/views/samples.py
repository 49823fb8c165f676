"""Samples on the terminal."""

import re

from rich.console import Console
from rich.text import Text

from bench.cli.sample import PromptedSamples
from bench.engine.data.token_names import make_visible


def show(samples: PromptedSamples) -> None:
    """Print the texts, with given tokens in bold, and the summary; warnings go to stderr."""
    console = Console(highlight=False, soft_wrap=True)
    for number, pieces in enumerate(samples.pieces, 1):
        console.print(Text(f"--- {number} of {len(samples.pieces)}", style="dim"))
        parts = [(escape(text), "bold" if is_given else "") for text, is_given in pieces]
        console.print(Text.assemble(*parts))
    console.print(Text(f"--- {samples.summary}", style="dim"))
    for warning in samples.warnings:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"note: {warning}", style="yellow"))


def escape(text: str) -> str:
    """Escape control characters except line ends and tabs, so that no text controls the terminal."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", lambda match: make_visible(match[0]), text)
