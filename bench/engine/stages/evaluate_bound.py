"""The stage `bound`: what a trained model scores on a split, with the protocol that the numbers stand under."""

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.likelihood.bound import Parts, bound
from bench.engine.likelihood.estimators import calls, choose, say_estimator
from bench.engine.likelihood.metrics import bound_metrics, mean_nats
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.standard_error import clusters_of
from bench.engine.likelihood.time_density import NoiseDraws, RecordingModel, time_density
from bench.engine.model.model import Model
from bench.engine.stages.measure_quality import as_json
from bench.launch.progress import Bar


def evaluate(
    model: RecordingModel, data: Dataset, spec: BoundSpec, batch_size: int, title: str, check: Callable[[], None]
) -> tuple[Parts, dict[str, Any]]:
    """The parts of the bound sequence by sequence, and what is recorded of them; `check` is called after each batch and
    raises what stops it."""
    x = data.sequences(spec.split)[: spec.sequences]
    began = time.monotonic()
    with Bar(title, len(x), x.shape[1]) as bar:

        def reach(done: int) -> None:
            bar.reach(done)
            check()

        settings = (spec.draws, spec.replicates, spec.seed, batch_size, reach, spec.estimator)
        model.seen = NoiseDraws()
        parts = bound(model, x, *settings, addends=True)
    sizes, clusters = [data.count_bytes(row) for row in x], clusters_of(data.facts.source, len(x))
    length, integral = x.shape[1], parts["integral"]
    found = bound_metrics(parts, length, sizes, data.facts.level, clusters)
    return parts, {
        "split": spec.split,
        "kind": "exact" if model.method.exact else "bound",
        "estimator": say_estimator(model.method, spec.estimator, spec.draws),
        "network_calls": calls(model.method, spec.draws, spec.estimator),
        "measures": {name: as_json(value) for name, value in found.items()},
        "profile": time_density(model.seen, model.method, integral, length, spec.draws, spec.estimator, clusters),
        "source_nats": source_nats(data, x),
        "seconds": time.monotonic() - began,
        "protocol": protocol(model, spec, length),
    }


def protocol(model: Model, spec: BoundSpec, length: int) -> str:
    """What a number of the bound depends on beside the model, in words."""
    method, chosen = model.method, choose(model.method, spec.estimator)
    ends = "" if chosen == "counted" else " with both ends"
    if method.needs.steps:
        ends = ", last guess" * (method.t_min > 0)
    mirrored = "" if chosen == "independent" else "mirrored "
    draws = f"{spec.draws} {mirrored}draws x {spec.replicates}, noise {spec.seed}"
    how = "exact likelihood" if method.exact else f"{say_estimator(method, spec.estimator)}{ends}, {draws}"
    text = f"{spec.split} packed without overlap, {length} tokens a sequence"
    return f"{how}; {text}; averaged weights; {model.precision}"


def source_nats(data: Dataset, x: Tensor) -> dict[str, Any] | None:
    """For a source whose law is known: its own -log p of the very sequences x, nats per token."""
    exact = data.exact_nats(x)
    return None if exact is None else as_json(mean_nats({"exact": exact[:, None]}, x.shape[1]))
