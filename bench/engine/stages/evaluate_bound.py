"""The stage `bound`: what a trained model scores on a split, with the protocol that the numbers stand under."""

import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench.engine.data import Dataset
from bench.engine.likelihood.bound import Parts, bound
from bench.engine.likelihood.estimators import estimator_for
from bench.engine.likelihood.metrics import bound_metrics, mean_nats
from bench.engine.likelihood.protocol import describe_protocol
from bench.engine.likelihood.settings import BoundSpec
from bench.engine.likelihood.standard_error import clusters_of
from bench.engine.likelihood.time_density import NoiseDraws, RecordingModel, time_density
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
    estimator = estimator_for(model.method, spec.estimator)
    return parts, {
        "split": spec.split,
        "kind": "exact" if model.method.exact else "bound",
        "estimator": estimator.describe(spec.draws),
        "network_calls": estimator.network_calls(spec.draws),
        "measures": {name: as_json(value) for name, value in found.items()},
        "profile": time_density(model.seen, model.method, integral, length, spec.draws, spec.estimator, clusters),
        "source_nats": source_nats(data, x),
        "seconds": time.monotonic() - began,
        "protocol": describe_protocol(model.method, spec, length, model.precision),
    }


def source_nats(data: Dataset, x: Tensor) -> dict[str, Any] | None:
    """For a source whose law is known: its own -log p of the very sequences x, nats per token."""
    exact = data.exact_nats(x)
    return None if exact is None else as_json(mean_nats({"exact": exact[:, None]}, x.shape[1]))
