"""`bench score`: the bound of given texts under a trained cell, per text and per token, with errors.

scores = score(find(Path("runs"), "quickstart/MDLM"), ["the first text", "the second"])
scores.metrics["bits_per_char"]   # of all texts together; scores.texts[0] holds those of the first
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.certify.certificate_files import is_certified, subject
from bench.cli.prompt import PromptError, encode
from bench.cli.sample import Device, load, open_cell, warnings
from bench.engine.data.text_files import read_text
from bench.engine.data.token_names import name_tokens
from bench.engine.likelihood.estimators import refusal
from bench.engine.likelihood.protocol import describe_noise
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.standard_error import Estimate
from bench.engine.likelihood.text_scores import TextScore, score_texts, text_metrics
from bench.engine.records import Job
from bench.engine.stages.context import CellContext
from bench.results.suite_certificates import CERTIFIED, CLAIMS

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class ScoredText:
    """A text with its bound."""

    text: str
    tokens: list[str]  # readable names
    by_token: list[Estimate]  # nats of each token
    nats: Estimate  # of the whole text
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Scores:
    """The bounds of texts under a cell."""

    title: str
    kind: str  # "exact" or "certified" with a certificate, "likelihood" or "bound" without
    protocol: str
    texts: list[ScoredText]
    metrics: dict[str, Estimate]  # of all texts together
    warnings: list[str]


def read_texts(file: str, by_line: bool) -> list[str]:
    """The texts in a file, or in the standard input if it is "-": the whole of it, or each line that is not blank.

    Line ends after the last line are dropped. Raises PromptError if there is no text, DataError as `read_text` does.
    """
    content = _read_input() if file == STANDARD_INPUT else read_text(_find_file(file))
    content = content.rstrip("\r\n")
    texts = [line for line in content.splitlines() if line.strip()] if by_line else [content]
    if not any(texts):
        raise PromptError(f"{file}: there is no text in it")
    return texts


def _find_file(file: str) -> Path:
    """The path of an existing file or folder. Raises PromptError."""
    path = Path(file).expanduser()
    if not path.exists():
        raise PromptError(f"{path}: there is no such file or folder")
    return path


def _read_input() -> str:
    """The text of the standard input. Raises PromptError if it is not UTF-8."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        raise PromptError(f"standard input: not UTF-8 text: byte {error.start}; save it as UTF-8") from None


def score(
    cell: Path, texts: Sequence[str], overrides: dict[str, int | str] | None = None, device: Device = "auto"
) -> Scores:
    """Score texts under the EMA weights of a trained cell.

    Settings are those of the cell's own bound, unless `overrides` replaces some. Raises PromptError.
    """
    context = open_cell(cell, device)
    model, data = load(context)
    spec = own_settings(context.job).model_copy(update=overrides or {})
    reason = refusal(model.method, spec.estimator)
    if reason is not None:
        raise PromptError(f'estimator "{spec.estimator}": method "{context.job.method}" {reason}')

    ids = [encode(data, [(text, True)])[0] for text in texts]
    sizes = [data.count_bytes(row) for row in ids]
    window, batch_size = data.summary.length, context.execution.evaluation_batch
    try:
        scores = score_texts(model, ids, sizes, window, spec, batch_size)
    except ArithmeticError as error:
        raise PromptError(f"cell {cell.name}: {error}") from None

    names, level = name_tokens(data), data.summary.level
    return Scores(
        title=context.job.title,
        kind=claim(context, spec, model.method.exact),
        protocol=(
            f"{describe_noise(model.method, spec)}; windows of at most {window} tokens without overlap, each on its "
            f"own; EMA weights; {model.precision}"
        ),
        texts=[
            scored(text, [names[id] for id in row.tolist()], of_text, level)
            for text, row, of_text in zip(texts, ids, scores, strict=True)
        ],
        metrics=text_metrics(scores, level),
        warnings=warnings(context),
    )


def own_settings(job: Job) -> BoundSpec:
    """The settings of the cell's headline bound."""
    return next((BoundSpec(**stage.settings) for stage in job.stages if stage.name == "bound"), BoundSpec())


def claim(context: CellContext, spec: BoundSpec, exact: bool) -> str:
    """What the numbers are: a likelihood or a bound, with or without a certificate for this estimator."""
    of = subject(context.job.method, context.job.options, context.precision, spec.estimator)
    kind = "exact" if exact else "bound"
    return CERTIFIED[kind] if is_certified(of, context.folder.parent.parent) else CLAIMS[kind]


def scored(text: str, tokens: list[str], of_text: TextScore, level: str) -> ScoredText:
    """A text with every estimate of its bound."""
    metrics = text_metrics([of_text], level)
    nats, count = metrics["nats_per_token"], of_text.tokens
    total = Estimate(nats.value * count, nats.standard_error, nats.monte_carlo_error * count, 1)
    return ScoredText(text, tokens, of_text.by_token(), total, metrics)
