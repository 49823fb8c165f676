"""The cost of each stage of a cell in FLOPs, by the closed form of bench/engine/flops.py."""

import math

from bench.engine.flops import FlopCounter
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.model.method_instances import method_instance
from bench.engine.records import Stage, Work
from bench.engine.sample.settings import SamplesSpec
from bench.plan.cells import Cell
from bench.suite.suite import Suite


def stage_flops(suite: Suite, cell: Cell) -> dict[str, float]:
    """The FLOPs of each stage of a cell, by the stage's folder; training includes its validations."""
    by_stage = stage_work(suite, cell)
    return {folder: sum((work.flops for work in works), 0.0) for folder, works in by_stage.items()}


def stage_work(suite: Suite, cell: Cell) -> dict[str, tuple[Work, ...]]:
    """The computation of each stage of a cell, by the stage's folder.

    Scorers differ too much for one formula: quality and controls have no work.
    """
    if cell.role == "control":
        return {stage.folder: () for stage in cell.stages}

    method = method_instance(cell.method, suite.facts.vocab_size, cell.options)
    price = FlopCounter(method, cell.network.shape(), suite.spec.data.length)
    return {stage.folder: _work(suite, cell, stage, price) for stage in cell.stages}


def _work(suite: Suite, cell: Cell, stage: Stage, price: FlopCounter) -> tuple[Work, ...]:
    if stage.name == "train":
        return (Work(kind="training", flops=cell.flops), _validations(suite, cell, price))

    if stage.name in ("bound", "estimate"):
        bound = BoundSpec.model_validate(stage.settings)
        sequences = min(bound.sequences or math.inf, suite.facts.sequences[bound.split])
        flops = price.bound(sequences, bound.draws, bound.replicates, bound.estimator)
        return (Work(kind="bound", flops=flops),)

    if stage.name in ("samples", "trajectories"):
        samples = SamplesSpec.model_validate(stage.settings)
        kind = "drawing left to right" if price.method.needs.causal else "drawing"
        flops = price.samples(samples.count, samples.calls) * count_windows(samples, suite.spec.data.length)
        return (Work(kind=kind, flops=flops),)

    return ()


def _validations(suite: Suite, cell: Cell, price: FlopCounter) -> Work:
    """The bounds on the validation split that a learning curve is made of."""
    training = cell.training
    sequences = min(training.validation_sequences, suite.facts.sequences["valid"])
    count = min(cell.steps, training.validations)
    return Work(kind="bound", flops=count * price.bound(sequences, training.validation_draws))


def count_windows(samples: SamplesSpec, window: int) -> int:
    """The number of windows of the training length that a sample takes."""
    length, stride = samples.length or window, samples.stride or max(1, window // 2)
    return 1 + max(0, -(-(length - window) // stride))
