"""The stage `quality`: measure the samples of another stage."""

import torch

from bench.engine import storage
from bench.engine.quality.settings import SamplesQualityStage
from bench.engine.records import QualityResult, SamplesResult
from bench.engine.stages.context import StageContext


def run(context: StageContext, settings: SamplesQualityStage) -> QualityResult:
    """Measure samples by every metric. Raises FileNotFoundError if they are missing, ScorerError."""
    folder = context.cell.folder / settings.samples
    samples: SamplesResult | None = storage.read_result(context.cell.folder, settings.samples)
    if samples is None:
        raise FileNotFoundError(f"{folder} holds no samples to measure; run the suite again")

    evaluator = context.cell.quality_evaluator(settings, context.check)
    metrics = evaluator.evaluate(torch.tensor(samples.ids))
    causal = context.cell.build_method().needs.causal
    return QualityResult(**settings.way.describe(causal), measures=metrics.measures, protocol=metrics.protocol)
