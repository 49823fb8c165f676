"""Bounds of given texts on the terminal and as JSON."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.cli.score import ScoredText, Scores
from bench.cli.views.samples import escape
from bench.engine.likelihood.standard_error import Estimate
from bench.engine.metric_definitions import METRICS
from bench.results.statistics.pooled import SIGNS

EXCERPT = 32  # characters of a text that identify it in the table
CLAIMS = {
    "exact": '"=" marks an exact likelihood, which has a certificate.',
    "likelihood": '"†" marks a likelihood without a certificate: see bench certify.',
    "certified": '"<=" marks an upper bound with a certificate.',
    "bound": '"†" marks a bound without a certificate: see bench certify.',
}


def show(scores: Scores, by_token: bool) -> None:
    """Print a row for each text and one for all of them; with `by_token`, a row for each token as well."""
    console = Console(highlight=False)
    if by_token:
        for number, text in enumerate(scores.texts, 1):
            console.print(Text(f"text {number}", "bold"))
            console.print(_tokens_table(text))
    console.print(_texts_table(scores))
    for note in _notes(scores):
        console.print(Text(note, "dim"), soft_wrap=True)
    for warning in scores.warnings:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(f"note: {warning}", style="yellow"))


def _notes(scores: Scores) -> list[str]:
    """What the numbers are."""
    errors = "± is one Monte Carlo error of the noise draws"
    if len(scores.texts) > 1:
        errors += "; in the last row, one standard error over the texts, in which it is contained"
    return [f"{scores.title}: {CLAIMS[scores.kind]} {errors}.", scores.protocol]


def _texts_table(scores: Scores) -> Table:
    names = list(scores.metrics)
    units = ["perplexity" if name == "perplexity" else METRICS[name].subtitle for name in names]
    heads = ["text", "tokens", "nats", *units, ""]
    table = Table(*heads, box=None, header_style="bold", pad_edge=False)
    sign = SIGNS[scores.kind]
    for number, text in enumerate(scores.texts, 1):
        numbers = [text.nats, *(text.metrics[name] for name in names)]
        cells = [_format(sign, estimate, estimate.monte_carlo_error) for estimate in numbers]
        table.add_row(str(number), f"{len(text.tokens):,}", *cells, Text(_excerpt(text.text), "dim"))
    if len(scores.texts) > 1:
        tokens = sum(len(text.tokens) for text in scores.texts)
        cells = [_format(sign, scores.metrics[name], scores.metrics[name].standard_error) for name in names]
        table.add_row("all", f"{tokens:,}", "", *cells, "")
    return table


def _tokens_table(text: ScoredText) -> Table:
    table = Table("position", "token", "nats", box=None, header_style="bold", pad_edge=False)
    for position, (token, estimate) in enumerate(zip(text.tokens, text.by_token, strict=True)):
        table.add_row(str(position), Text(token), _format("", estimate, estimate.monte_carlo_error))
    return table


def _format(sign: str, estimate: Estimate, error: float) -> str:
    """A number with its error to two significant digits of the error."""
    if math.isfinite(error) and error > 0:
        decimals = min(max(1 - math.floor(math.log10(error)), 0), 6)
        return f"{sign} {estimate.value:.{decimals}f} ± {error:.{decimals}f}".strip()
    return f"{sign} {estimate.value:.4f}".strip()


def _excerpt(text: str) -> str:
    line = escape(" ".join(text.split()))
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"


def as_json(scores: Scores) -> dict[str, Any]:
    """The scores for other programs; errors that do not exist are null."""
    return {
        "title": scores.title,
        "kind": scores.kind,
        "protocol": scores.protocol,
        "texts": [
            {
                "text": text.text,
                "nats": _plain(text.nats),
                **{name: _plain(estimate) for name, estimate in text.metrics.items()},
                "tokens": [
                    {"token": token, **_plain(estimate)}
                    for token, estimate in zip(text.tokens, text.by_token, strict=True)
                ],
            }
            for text in scores.texts
        ],
        "all": {name: _plain(estimate) for name, estimate in scores.metrics.items()},
        "warnings": scores.warnings,
    }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    numbers = {"value": estimate.value, "monte_carlo_error": estimate.monte_carlo_error}
    numbers["standard_error"] = estimate.standard_error
    return {name: number if math.isfinite(number) else None for name, number in numbers.items()}
