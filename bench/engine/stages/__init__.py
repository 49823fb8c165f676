"""The registry of stages, what is done to a cell: each file here only orchestrates the libraries beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.engine.likelihood.settings import BoundSpec
from bench.engine.quality.settings import ControlsStage, SamplesQualityStage
from bench.engine.records import StageResult
from bench.engine.sample.settings import SamplesSpec
from bench.engine.settings import Settings
from bench.engine.stages import (
    draw_samples,
    evaluate_bound,
    measure_controls,
    measure_quality,
    record_trajectories,
    train_model,
)
from bench.engine.stages.context import StageContext
from bench.engine.stages.train_model import TrainStage


@dataclass(frozen=True)
class StageKind:
    """How a kind of stage is run, and by which settings."""

    settings: type[Settings]
    run: Callable[[StageContext, Any], StageResult]


STAGES: dict[str, StageKind] = {
    "train": StageKind(TrainStage, train_model.run),
    "bound": StageKind(BoundSpec, evaluate_bound.run),
    "estimate": StageKind(BoundSpec, evaluate_bound.run),
    "samples": StageKind(SamplesSpec, draw_samples.run),
    "trajectories": StageKind(SamplesSpec, record_trajectories.run),
    "quality": StageKind(SamplesQualityStage, measure_quality.run),
    "controls": StageKind(ControlsStage, measure_controls.run),
}
