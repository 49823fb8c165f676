"""The bound of given texts, token by token, with its Monte Carlo error.

A text that is longer than a sequence of training is cut into windows of that length without overlap, as test splits
are; its last window may be shorter. Every window is scored on its own, all tokens of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.engine.likelihood.batch_probe import probe_batches
from bench.engine.likelihood.bound import bound
from bench.engine.likelihood.metrics import bits_of, perplexity_of
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.standard_error import Estimate, ratio_estimate
from bench.engine.model.method_with_network import Model
from bench.engine.rng import seed_for
from methods.method import Tokens


@dataclass(frozen=True)
class TextScore:
    """The bound of one text."""

    nats: Tensor  # [replicates, tokens], float64
    size: int  # bytes of the text in UTF-8

    @property
    def totals(self) -> Tensor:
        """The bound of the whole text, nats [replicates]."""
        return self.nats.sum(-1)

    @property
    def tokens(self) -> int:
        """The number of tokens."""
        return self.nats.shape[1]

    def by_token(self) -> list[Estimate]:
        """What each token contributes, in nats, with its Monte Carlo error."""
        return [ratio_estimate(column[None], torch.ones(1)) for column in self.nats.unbind(1)]


def score_texts(
    model: Model,
    texts: Sequence[Tokens],
    sizes: Sequence[int],
    window: int,
    spec: BoundSpec,
    batch_size: int,
    report: Callable[[int], None] = lambda windows: None,
) -> list[TextScore]:
    """Score texts, ids [n] each, of `sizes` bytes, in windows of at most `window` tokens.

    Windows of full length are the documents 0, 1, ... of the noise, so that a test split has the bound that its suite
    reports; shorter ones have noise of their own. Raises as `bound` and, if there are many windows, `probe_batches` do.
    """
    windows = [(number, part) for number, text in enumerate(texts) for part in text.split(window)]
    nats: dict[int, Tensor] = {}
    for length in sorted({len(part) for _, part in windows}, reverse=True):
        chosen = [index for index, (_, part) in enumerate(windows) if len(part) == length]
        seed = spec.seed if length == window else seed_for(spec.seed, f"windows of {length} tokens")
        x = torch.stack([windows[index][1] for index in chosen])
        parts = bound(model, x, spec.draws, spec.replicates, seed, batch_size, report, spec.estimator, by_token=True)
        totals = {name: part.sum(-1) for name, part in parts.items()}
        probe_batches(model, x, totals, spec.draws, seed, batch_size, spec.estimator)
        nats |= dict(zip(chosen, torch.stack(list(parts.values())).sum(0), strict=True))

    by_text: list[list[Tensor]] = [[] for _ in texts]
    for index, (number, _) in enumerate(windows):
        by_text[number].append(nats[index])
    return [TextScore(torch.cat(parts, -1), size) for parts, size in zip(by_text, sizes, strict=True)]


def text_metrics(scores: Sequence[TextScore], level: str) -> dict[str, Estimate]:
    """The bound of texts together, by metric; per token and per byte it is the ratio of sums.

    The standard error is over texts, and nan for a single one.
    """
    totals = torch.stack([score.totals for score in scores])
    nats = ratio_estimate(totals, torch.tensor([score.tokens for score in scores]))
    metrics = {"nats_per_token": nats}
    if level == "char":
        metrics["bits_per_char"] = bits_of(nats)
    metrics["bits_per_byte"] = bits_of(ratio_estimate(totals, torch.tensor([score.size for score in scores])))
    return metrics | perplexity_of(nats)
