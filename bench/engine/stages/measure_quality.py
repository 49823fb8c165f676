"""What the stages `quality` and `controls` find: texts beside held-out text, by every metric, under one protocol."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.likelihood.standard_error import Estimate, ratio_estimate
from bench.engine.quality.controls import controls
from bench.engine.quality.generative_perplexity import gen_ppl, gen_ppl_mean
from bench.engine.quality.mauve import mauve
from bench.engine.quality.scorers.load import open_scorer
from bench.engine.quality.scorers.scorer import Scored, Scorer
from bench.engine.quality.settings import QualitySpec
from bench.engine.quality.text_statistics import measure

HELD_OUT = 2048  # sequences at most that divergences are taken from
AT_ONCE = 64  # texts that are scored between two looks whether to stop
SHOWN = 4  # texts of each control that are kept


class Appraiser:
    """Measures texts of one dataset; the scorer is loaded once."""

    def __init__(
        self, spec: QualitySpec, data: Dataset, scorer: Scorer | None, check: Callable[[], None] = lambda: None
    ):
        """`check` is called between batches and may raise what ends the work."""
        self.spec, self.data, self.scorer, self.check = spec, data, scorer, check
        self.held_out = data.sequences(spec.reference)[:HELD_OUT]

    @classmethod
    def of(
        cls,
        block: dict[str, Any],
        data: Dataset,
        base: Path,
        cells: Path,
        device: torch.device,
        check: Callable[[], None],
    ) -> "Appraiser":
        """As a stage's block says; `cells` is the folder of all cells. Raises ScorerError."""
        spec = QualitySpec.model_validate(block["quality"])
        if spec.scorer is None:
            return cls(spec, data, None, check)
        trained = cells / block["scorer"] if block["scorer"] else None
        return cls(spec, data, open_scorer(spec.scorer, base, data, device, block["steps"], trained), check)

    def appraise(self, ids: Tensor) -> dict[str, Any]:
        """The measures and the protocol of texts [n, L]; raises ScorerError, ValueError where they cannot be taken."""
        found = measure(ids, self.held_out, self.data.splits["train"], self.spec, self.data.stride)
        exact = self.data.exact_nats(ids)
        if exact is not None:
            found["sample_nats_per_token"] = ratio_estimate(exact[:, None], torch.full((len(ids),), ids.shape[1]))
        if self.scorer is not None:
            found |= self._scored(ids, self.scorer)
        return {
            "measures": {name: as_json(value) for name, value in found.items()},
            "protocol": self.protocol(ids),
        }

    def _scored(self, ids: Tensor, scorer: Scorer) -> dict[str, Estimate]:
        """What the scorer's nats and features come to."""
        own = self._score(scorer, ids)
        found = {"gen_ppl": gen_ppl(own.nats, own.tokens), "gen_ppl_mean": gen_ppl_mean(own.nats, own.tokens)}
        if self.spec.mauve:
            real = self._score(scorer, self.held_out[: len(ids)])
            found["mauve"] = mauve(own.features, real.features, self.spec.seed)
        return found

    def _score(self, scorer: Scorer, ids: Tensor) -> Scored:
        parts: list[Scored] = []
        for batch in ids.split(AT_ONCE):
            self.check()
            parts.append(scorer.score([self.data.decode(row) for row in batch], batch))
        columns = zip(*((part.nats, part.tokens, part.features) for part in parts), strict=True)
        return Scored(*(torch.cat(column) for column in columns))

    def controls(self, count: int, length: int) -> dict[str, Any]:
        """The controls of so many tokens by name, each with its measures, its protocol and its first texts."""
        return {
            name: {**self.appraise(ids), "texts": [self.data.decode(row) for row in ids[:SHOWN]]}
            for name, ids in controls(self.data, self.spec, count, length).items()
        }

    def protocol(self, ids: Tensor) -> str:
        """What the numbers depend on beside the texts, in words."""
        spec, (count, length) = self.spec, ids.shape
        held = f"{len(self.held_out)} sequences of {spec.reference}"
        parts = [f"{count} texts of {length} tokens", f"divergence from {held}"]
        parts.append(f"copied: {spec.copied} tokens in a row that stand in training")
        if self.scorer is not None:
            parts.append(f"perplexity under {self.scorer.name}: {self.scorer.protocol}")
        if spec.mauve and self.scorer is not None:
            real = min(count, len(self.held_out))
            parts.append(f"MAUVE of features of {self.scorer.name} beside {real} sequences of {spec.reference}")
        return "; ".join(parts)


def as_json(found: Estimate) -> dict[str, Any]:
    """An estimate as numbers of JSON, which knows no nan: only errors that do not exist are nan."""
    return {name: None if value != value else value for name, value in asdict(found).items()}
