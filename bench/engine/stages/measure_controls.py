"""The stage `controls`: measure held-out text and adversaries as samples are measured."""

from bench.engine.quality.settings import ControlsStage
from bench.engine.records import ControlsResult
from bench.engine.stages.context import StageContext


def run(context: StageContext, settings: ControlsStage) -> ControlsResult:
    """Measure every kind of control text. Raises ScorerError."""
    evaluator = context.cell.quality_evaluator(settings, context.check)
    return ControlsResult(controls=evaluator.evaluate_controls(settings.count, settings.length))
