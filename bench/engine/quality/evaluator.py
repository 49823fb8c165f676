"""Texts beside held-out text, by every quality metric, under one protocol."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.likelihood.standard_error import Estimate, ratio_estimate
from bench.engine.measurements import Measurement
from bench.engine.quality.controls import controls
from bench.engine.quality.generative_perplexity import gen_ppl, gen_ppl_mean
from bench.engine.quality.mauve import mauve
from bench.engine.quality.scorers.scorer import Scorer, TextScores
from bench.engine.quality.settings import QualitySpec
from bench.engine.quality.text_statistics import text_metrics
from bench.engine.records import ControlResult, QualityMetrics

HELD_OUT = 2048  # at most this many sequences represent held-out text
AT_ONCE = 64  # texts that are scored between two checks whether to stop
SHOWN = 4  # examples of each kind of control text


class QualityEvaluator:
    """Measures texts of one dataset; the scorer is loaded once."""

    def __init__(
        self, settings: QualitySpec, data: Dataset, scorer: Scorer | None, check: Callable[[], None] = lambda: None
    ):
        """`check` is called between batches and may raise to stop the work."""
        self.settings, self.data, self.scorer, self.check = settings, data, scorer, check
        self.held_out = data.sequences(settings.reference)[:HELD_OUT]

    def evaluate(self, ids: Tensor) -> QualityMetrics:
        """The metrics of texts [n, L]. Raises ScorerError, or ValueError if a metric is undefined for these texts."""
        metrics = text_metrics(ids, self.held_out, self.data.splits["train"], self.settings, self.data.stride)
        exact = self.data.exact_nats(ids)
        if exact is not None:
            metrics["sample_nats_per_token"] = ratio_estimate(exact[:, None], torch.full((len(ids),), ids.shape[1]))
        if self.scorer is not None:
            metrics |= self._scorer_metrics(ids, self.scorer)

        measures = {name: Measurement.of(value) for name, value in metrics.items()}
        return QualityMetrics(measures=measures, protocol=self.protocol(ids))

    def evaluate_controls(self, count: int, length: int) -> dict[str, ControlResult]:
        """The metrics of each kind of control text, as many and as long as the samples, with examples."""
        results = {}
        for name, ids in controls(self.data, self.settings, count, length).items():
            metrics, examples = self.evaluate(ids), [self.data.decode(row) for row in ids[:SHOWN]]
            results[name] = ControlResult(measures=metrics.measures, protocol=metrics.protocol, texts=examples)
        return results

    def _scorer_metrics(self, ids: Tensor, scorer: Scorer) -> dict[str, Estimate]:
        """Metrics of the scorer's nats and features."""
        scored = self._score(scorer, ids)
        metrics = {
            "gen_ppl": gen_ppl(scored.nats, scored.tokens),
            "gen_ppl_mean": gen_ppl_mean(scored.nats, scored.tokens),
        }
        if self.settings.mauve:
            reference = self._score(scorer, self.held_out[: len(ids)])
            metrics["mauve"] = mauve(scored.features, reference.features, self.settings.seed)
        return metrics

    def _score(self, scorer: Scorer, ids: Tensor) -> TextScores:
        batches: list[TextScores] = []
        for batch in ids.split(AT_ONCE):
            self.check()
            batches.append(scorer.score([self.data.decode(row) for row in batch], batch))

        columns = zip(*((batch.nats, batch.tokens, batch.features) for batch in batches), strict=True)
        nats, tokens, features = (torch.cat(column) for column in columns)
        return TextScores(nats, tokens, features)

    def protocol(self, ids: Tensor) -> str:
        """What the numbers depend on besides the texts, in words."""
        settings, (count, length) = self.settings, ids.shape
        reference = f"{len(self.held_out)} sequences of {settings.reference}"
        parts = [
            f"{count} texts of {length} tokens",
            f"divergence from {reference}",
            f"copied: {settings.copied} tokens in a row that stand in training",
        ]
        if self.scorer is not None:
            parts.append(f"perplexity under {self.scorer.name}: {self.scorer.protocol}")
        if settings.mauve and self.scorer is not None:
            compared = f"{min(count, len(self.held_out))} sequences of {settings.reference}"
            parts.append(f"MAUVE of features of {self.scorer.name} beside {compared}")
        return "; ".join(parts)
