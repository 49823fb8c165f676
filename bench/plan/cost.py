"""What each stage of a cell costs, in floating-point operations (FLOPs) by the closed form of bench/engine/flops.py."""

import math
from dataclasses import dataclass

from bench.engine.flops import FlopCounter
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.model.method_instances import method_instance
from bench.engine.sample.settings import SamplesSpec
from bench.plan.cells import Cell
from bench.suite.suite import Suite


@dataclass(frozen=True)
class Work:
    """Something that a stage does."""

    kind: str  # "training", "bound", "drawing" or "drawing left to right", which differ in how fast they go
    flops: float


def costs(suite: Suite, cell: Cell) -> dict[str, float]:
    """The FLOPs of each stage of a cell, by its folder; those of training include its validations."""
    return {folder: sum((each.flops for each in done), 0.0) for folder, done in works(suite, cell).items()}


def works(suite: Suite, cell: Cell) -> dict[str, tuple[Work, ...]]:
    """What each stage of a cell does, by its folder.

    A scorer has no cost that could be told for all: quality and controls count as nothing.
    """
    if cell.role == "control":
        return {stage.folder: () for stage in cell.stages}
    spec, there = suite.spec, suite.facts.sequences
    method = method_instance(cell.method, suite.facts.vocab_size, cell.options)
    price = FlopCounter(method, cell.network.shape(), spec.data.length)
    training = cell.training
    drawing = "drawing left to right" if method.needs.causal else "drawing"
    done: dict[str, tuple[Work, ...]] = {}
    for stage in cell.stages:
        if stage.name == "train":
            validation = price.bound(min(training.validation_sequences, there["valid"]), training.validation_draws)
            validations = Work("bound", min(cell.steps, training.validations) * validation)
            done[stage.folder] = (Work("training", cell.flops), validations)
        elif stage.name in ("bound", "estimate"):
            bound = BoundSpec.model_validate(stage.block)
            sequences = min(bound.sequences or math.inf, there[bound.split])
            flops = price.bound(sequences, bound.draws, bound.replicates, bound.estimator)
            done[stage.folder] = (Work("bound", flops),)
        elif stage.name in ("samples", "trajectories"):
            way = SamplesSpec.model_validate(stage.block)
            flops = price.samples(way.count, way.calls) * windows(way, spec.data.length)
            done[stage.folder] = (Work(drawing, flops),)
        else:
            done[stage.folder] = ()
    return done


def windows(samples: SamplesSpec, window: int) -> int:
    """How many windows of the length of training a text takes."""
    length, stride = samples.length or window, samples.stride or max(1, window // 2)
    return 1 + max(0, -(-(length - window) // stride))
